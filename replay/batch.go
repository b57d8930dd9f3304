package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/zstd"
)

const (
	batchFormat = 1
	batchZstd   = 1

	batchPrefix = 8  // length and checksum
	batchHeader = 34 // with the prefix
	// maxBody is a batch of the largest size with records of one byte: kind and two lengths each beside it.
	maxBody = MaxBatchBytes * 4
	// minCompress is the body below which compressing costs more than it saves.
	minCompress = 512
)

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errBatch = errors.New("batch does not check")
)

// batchHead is the header of a batch on disk.
type batchHead struct {
	length int64 // of the whole batch, with the prefix
	crc    uint32
	packed bool
	first  int64
	time   int64
	count  uint32
	body   uint32 // unpacked
}

// end is the offset after the batch's last record.
func (h *batchHead) end() int64 { return h.first + int64(h.count) }

// codec packs and unpacks the bodies of one log. The zstd encoder and decoder are safe for concurrent EncodeAll and
// DecodeAll.
type codec struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCodec() (*codec, error) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxBody), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, err
	}
	return &codec{enc: enc, dec: dec}, nil
}

// appendBatch appends one batch. scratch is reused and returned.
func (c *codec) appendBatch(dst, scratch []byte, first, time int64, records []Record) (out, buf []byte) {
	buf = scratch[:0]
	for i := range records {
		r := &records[i]
		buf = append(buf, byte(r.Kind))
		buf = append(binary.AppendUvarint(buf, uint64(len(r.Key))), r.Key...)
		buf = append(binary.AppendUvarint(buf, uint64(len(r.Value))), r.Value...)
	}
	start := len(dst)
	out = append(dst, make([]byte, batchHeader)...)
	if len(buf) >= minCompress {
		out = c.enc.EncodeAll(buf, out)
	}
	packed := len(out) > start+batchHeader && len(out)-start-batchHeader <= len(buf)-len(buf)/16
	if !packed {
		out = append(out[:start+batchHeader], buf...)
	}
	h := out[start:]
	binary.BigEndian.PutUint32(h, uint32(len(h)-batchPrefix))
	h[8] = batchFormat
	if packed {
		h[9] = batchZstd
	}
	binary.BigEndian.PutUint64(h[10:], uint64(first))
	binary.BigEndian.PutUint64(h[18:], uint64(time))
	binary.BigEndian.PutUint32(h[26:], uint32(len(records)))
	binary.BigEndian.PutUint32(h[30:], uint32(len(buf)))
	binary.BigEndian.PutUint32(h[4:], crc32.Checksum(h[batchPrefix:], castagnoli))
	return out, buf
}

// parseHead reads a batch's header. It checks what can be checked without the body.
func parseHead(b []byte) (batchHead, error) {
	if len(b) < batchHeader {
		return batchHead{}, fmt.Errorf("%w: %d bytes of its header", errBatch, len(b))
	}
	h := batchHead{
		length: int64(binary.BigEndian.Uint32(b)) + batchPrefix,
		crc:    binary.BigEndian.Uint32(b[4:]),
		packed: b[9] == batchZstd,
		first:  int64(binary.BigEndian.Uint64(b[10:])),
		time:   int64(binary.BigEndian.Uint64(b[18:])),
		count:  binary.BigEndian.Uint32(b[26:]),
		body:   binary.BigEndian.Uint32(b[30:]),
	}
	switch {
	case b[8] != batchFormat:
		return h, fmt.Errorf("%w: format %d", errBatch, b[8])
	case b[9] > batchZstd:
		return h, fmt.Errorf("%w: flags %#x", errBatch, b[9])
	case h.length < batchHeader || h.length > maxBody || h.body > maxBody:
		return h, fmt.Errorf("%w: length %d, body %d", errBatch, h.length, h.body)
	case h.first < 0 || h.count == 0 || h.first+int64(h.count) < h.first:
		return h, fmt.Errorf("%w: offset %d, %d records", errBatch, h.first, h.count)
	case h.count > h.body/3: // a kind and two lengths each
		return h, fmt.Errorf("%w: %d records in %d bytes", errBatch, h.count, h.body)
	}
	return h, nil
}

// parseBatch checks a whole batch and calls f for its records from offset from on. The slices point into b or into
// memory of the call.
func (c *codec) parseBatch(b []byte, from int64, f func(*Entry) error) error {
	h, err := parseHead(b)
	switch {
	case err != nil:
		return err
	case int64(len(b)) != h.length:
		return fmt.Errorf("%w: %d of %d bytes", errBatch, len(b), h.length)
	case crc32.Checksum(b[batchPrefix:], castagnoli) != h.crc:
		return fmt.Errorf("%w: checksum", errBatch)
	}
	body := b[batchHeader:]
	if h.packed {
		if body, err = c.dec.DecodeAll(body, make([]byte, 0, h.body)); err != nil {
			return fmt.Errorf("%w: zstd: %w", errBatch, err)
		}
	}
	if len(body) != int(h.body) {
		return fmt.Errorf("%w: body of %d bytes, %d declared", errBatch, len(body), h.body)
	}
	e := Entry{Time: h.time}
	for e.Offset = h.first; e.Offset < h.end(); e.Offset++ {
		if body, err = parseRecord(body, &e.Record); err != nil {
			return err
		}
		if e.Offset >= from {
			if err := f(&e); err != nil {
				return &callbackError{offset: e.Offset, err: err}
			}
		}
	}
	if len(body) > 0 {
		return fmt.Errorf("%w: %d bytes behind its records", errBatch, len(body))
	}
	return nil
}

// callbackError tells the error of a reader's function from damage.
type callbackError struct {
	offset int64
	err    error
}

func (e *callbackError) Error() string { return e.err.Error() }

func parseRecord(b []byte, r *Record) ([]byte, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: it ends before its records", errBatch)
	}
	r.Kind = Kind(b[0])
	var err error
	if r.Key, b, err = parseBytes(b[1:], MaxKeyBytes); err != nil {
		return nil, err
	}
	r.Value, b, err = parseBytes(b, MaxValueBytes)
	return b, err
}

func parseBytes(b []byte, limit uint64) (value, rest []byte, err error) {
	n, k := binary.Uvarint(b)
	if k <= 0 || n > limit || n > uint64(len(b)-k) {
		return nil, nil, fmt.Errorf("%w: length of a field", errBatch)
	}
	return b[k : k+int(n) : k+int(n)], b[k+int(n):], nil
}
