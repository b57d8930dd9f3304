package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"meshd/node"
)

const (
	acceptedEncodings = "gzip, zstd, snappy"
	firstBodyBytes    = 32 << 10 // of a buffer that grows: most requests fit
)

// body is the body of a request, decompressed. Its bytes are charged to the door until release.
type body struct {
	door    *Door
	bytes   []byte
	charged int64
}

// readBody reads the body of r and undoes its Content-Encoding.
func (d *Door) readBody(w http.ResponseWriter, r *http.Request, m *meter) (*body, error) {
	decode, err := d.decoderOf(r.Header.Get("Content-Encoding"))
	if err != nil {
		return nil, err
	}
	return d.readEncoded(w, r, m, decode)
}

// readEncoded reads the body of r and decodes it, unless decode is nil. Neither form may be longer than maxBodyBytes, and
// a buffer grows with what has come: a body that only claims to be long, or a small one that decompresses to
// gigabytes, costs what a body of its honest size does. Its errors answer the request as a whole.
func (d *Door) readEncoded(w http.ResponseWriter, r *http.Request, m *meter, decode decoder) (*body, error) {
	from := addrOfRequest(r.RemoteAddr)
	if err := d.sources.check(from, d.now()); err != nil {
		return nil, err
	}
	if r.ContentLength > maxBodyBytes {
		return nil, errBodyTooLong()
	}
	raw := &body{door: d}
	err := raw.fill(http.MaxBytesReader(w, r.Body, maxBodyBytes), r.ContentLength)
	m.bytes.Add(float64(len(raw.bytes)))
	d.sources.charge(from, len(raw.bytes), d.now())
	if err != nil {
		raw.release()
		return nil, readError(err)
	}
	if decode == nil {
		return raw, nil
	}
	defer raw.release()
	plain := &body{door: d}
	if err = d.decompress(r.Context(), plain, raw.bytes, decode); err != nil {
		plain.release()
		return nil, readError(err)
	}
	return plain, nil
}

// release gives the bytes back. The body must not be used afterwards.
func (b *body) release() {
	b.door.held.Add(-b.charged)
	b.bytes, b.charged = nil, 0
}

func (b *body) charge(n int64) error {
	if b.door.held.Add(n) > maxBodiesBytes {
		b.door.held.Add(-n)
		return node.ErrBusy
	}
	b.charged += n
	return nil
}

// fill appends all of src. size is how long it claims to be, or negative. errTooLong beyond maxBodyBytes.
func (b *body) fill(src io.Reader, size int64) error {
	if size < 0 || size >= firstBodyBytes {
		size = firstBodyBytes - 1
	}
	if err := b.grow(size + 1); err != nil { // one more, in which the end of the input is found
		return err
	}
	for {
		if len(b.bytes) == cap(b.bytes) {
			if err := b.grow(int64(min(cap(b.bytes), maxBodyBytes+1-cap(b.bytes)))); err != nil {
				return err
			}
		}
		n, err := src.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		switch {
		case len(b.bytes) > maxBodyBytes:
			return errTooLong
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

func (b *body) grow(n int64) error {
	if err := b.charge(n); err != nil {
		return err
	}
	b.bytes = append(make([]byte, 0, int64(cap(b.bytes))+n), b.bytes...)
	return nil
}

// errTooLong says that a body is longer than maxBodyBytes, or would be.
var errTooLong = errors.New("body too long")

// decoder appends what the bytes of raw decompress to.
type decoder func(b *body, raw []byte) error

// decoderOf returns what undoes a Content-Encoding; nil if there is nothing to undo.
func (d *Door) decoderOf(encoding string) (decoder, error) {
	switch encoding {
	case "", "identity":
		return nil, nil
	case "gzip":
		return gunzip, nil
	case "zstd":
		return d.unzstd, nil
	case "snappy":
		return unsnappy, nil
	}
	return nil, &httpError{
		http.StatusUnsupportedMediaType, reasonSyntax,
		fmt.Sprintf("Content-Encoding %.32q is not supported: want one of %s, or none", encoding, acceptedEncodings),
	}
}

// decompress runs decode when a slot is free. The input is in memory: a slow client holds no slot.
func (d *Door) decompress(ctx context.Context, b *body, raw []byte, decode decoder) error {
	select {
	case d.slots <- struct{}{}:
		defer func() { <-d.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	return decode(b, raw)
}

func gunzip(b *body, raw []byte) error {
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return b.fill(z, -1)
}

// unzstd is charged when it is done: a frame that claims a size gets it, at most maxBodyBytes, while it holds a slot.
func (d *Door) unzstd(b *body, raw []byte) error {
	out, err := d.zstd.DecodeAll(raw, nil)
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return errTooLong
	}
	if err != nil {
		return err
	}
	if err := b.charge(int64(cap(out))); err != nil {
		return err
	}
	b.bytes = out
	return nil
}

// unsnappy undoes the block format, as remote write has it.
func unsnappy(b *body, raw []byte) error {
	n, err := snappy.DecodedLen(raw)
	switch {
	case err != nil:
		return err
	case n > maxBodyBytes:
		return errTooLong
	case n > maxSnappyRatio*(len(raw)+16):
		return errors.New("it claims to be longer than its bytes can say")
	}
	if err := b.charge(int64(n)); err != nil {
		return err
	}
	b.bytes, err = snappy.Decode(make([]byte, n), raw)
	return err
}

// maxSnappyRatio is above what any snappy block reaches: a copy of 3 bytes makes at most 64.
const maxSnappyRatio = 32

func errBodyTooLong() error {
	return &httpError{
		http.StatusRequestEntityTooLarge, reasonTooLong,
		fmt.Sprintf("the body is longer than %d bytes (8 MiB), as sent or decompressed: send less a request", maxBodyBytes),
	}
}

// readError returns the answer to a body that cannot be read to its end.
func readError(err error) error {
	tooLong := new(http.MaxBytesError)
	switch {
	case errors.As(err, &tooLong), errors.Is(err, errTooLong):
		return errBodyTooLong()
	case errors.Is(err, node.ErrBusy), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	return &httpError{http.StatusBadRequest, reasonSyntax, "nothing was counted, the body cannot be read: " + err.Error()}
}
