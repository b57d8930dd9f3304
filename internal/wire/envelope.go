package wire

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"meshd/crdt"
)

// writer appends msgpack values. It never fails: its sink is memory.
type writer struct {
	b   []byte
	enc *msgpack.Encoder
	err error
}

func newWriter(dst []byte) *writer {
	w := &writer{b: dst, enc: msgpack.GetEncoder()}
	w.enc.ResetWriter(w)
	return w
}

// done returns the bytes written and gives the encoder back.
func (w *writer) done() ([]byte, error) {
	msgpack.PutEncoder(w.enc)
	return w.b, w.err
}

// Write implements io.Writer for the encoder.
func (w *writer) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// WriteByte implements io.ByteWriter for the encoder.
func (w *writer) WriteByte(c byte) error {
	w.b = append(w.b, c)
	return nil
}

func (w *writer) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) array(n int)     { w.keep(w.enc.EncodeArrayLen(n)) }
func (w *writer) uint(v uint64)   { w.keep(w.enc.EncodeUint(v)) }
func (w *writer) int(v int64)     { w.keep(w.enc.EncodeInt(v)) }
func (w *writer) bool(v bool)     { w.keep(w.enc.EncodeBool(v)) }
func (w *writer) string(s string) { w.keep(w.enc.EncodeString(s)) }

func (w *writer) bytes(b []byte) {
	w.keep(w.enc.EncodeBytesLen(len(b)))
	w.b = append(w.b, b...)
}

func (w *writer) fail(kind error, format string, args ...any) {
	w.keep(fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...)))
}

// limit records that a list of n is longer than it may be.
func (w *writer) limit(what string, n, limit int) {
	if n > limit {
		w.fail(ErrLimit, "%d %s, want at most %d", n, what, limit)
	}
}

func (w *writer) name(s string) {
	if err := crdt.CheckName(s); err != nil {
		w.fail(ErrInvalid, "%v", err)
	}
	w.string(s)
}

func (w *writer) text(what, s string, limit int) {
	w.limit("bytes of "+what, len(s), limit)
	w.string(s)
}

// reader reads msgpack values from b. The first error stays and later reads return zeros. Nothing is allocated for a
// declared length before the bytes are known to be there.
type reader struct {
	b   []byte
	src bytes.Reader
	dec *msgpack.Decoder
	err error
}

func newReader(b []byte) *reader {
	r := &reader{b: b, dec: msgpack.GetDecoder()}
	r.src.Reset(b)
	r.dec.Reset(&r.src) // a ByteScanner: the decoder reads it without a buffer of its own
	return r
}

// end returns the first error, or that bytes are left over, and gives the decoder back.
func (r *reader) end() error {
	msgpack.PutDecoder(r.dec)
	if r.src.Len() > 0 {
		r.fail(ErrMalformed, "%d bytes after the end", r.src.Len())
	}
	return r.err
}

func (r *reader) fail(kind error, format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))
	}
}

func (r *reader) keep(err error) {
	if err != nil {
		r.fail(ErrMalformed, "%v", err)
	}
}

// keepAs keeps an error that already wraps one of this package.
func (r *reader) keepAs(err error) {
	if r.err == nil {
		r.err = err
	}
}

// array enters an array of at least the given number of fields and returns how many unknown ones follow them.
func (r *reader) array(fields int) (extra int) {
	if r.err != nil {
		return 0
	}
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	if r.err == nil && (n < fields || n > fields+maxExtra) {
		r.fail(ErrMalformed, "array of %d fields, want %d to %d", n, fields, fields+maxExtra)
	}
	if r.err != nil {
		return 0
	}
	return n - fields
}

// list enters an array of any length up to limit, each element at least size bytes long.
func (r *reader) list(what string, limit, size int) int {
	if r.err != nil {
		return 0
	}
	n, err := r.dec.DecodeArrayLen()
	r.keep(err)
	switch {
	case r.err != nil:
	case n < 0 || n > r.src.Len()/size:
		r.fail(ErrMalformed, "%d %s in %d bytes", n, what, r.src.Len())
	case n > limit:
		r.fail(ErrLimit, "%d %s, want at most %d", n, what, limit)
	default:
		return n
	}
	return 0
}

// skip passes over the unknown trailing fields of an array. They are scalars, strings or bytes: nothing that nests.
func (r *reader) skip(extra int) {
	for range extra {
		if r.err != nil {
			return
		}
		c, err := r.dec.PeekCode()
		r.keep(err)
		switch {
		case r.err != nil:
		case msgpcode.IsString(c), msgpcode.IsBin(c):
			r.raw()
		case c == msgpcode.Nil, c == msgpcode.False, c == msgpcode.True, msgpcode.IsFixedNum(c),
			c >= msgpcode.Float && c <= msgpcode.Int64:
			r.keep(r.dec.Skip())
		default:
			r.fail(ErrMalformed, "unknown field with code %#x", c)
		}
	}
}

func (r *reader) uint() uint64 {
	if r.err != nil {
		return 0
	}
	v, err := r.dec.DecodeUint64()
	r.keep(err)
	return v
}

// small reads an unsigned number that must not exceed limit.
func (r *reader) small(what string, limit uint64) uint64 {
	v := r.uint()
	if v > limit {
		r.fail(ErrInvalid, "%s %d, want at most %d", what, v, limit)
		return 0
	}
	return v
}

func (r *reader) uint32(what string) uint32 { return uint32(r.small(what, math.MaxUint32)) }

func (r *reader) int() int64 {
	if r.err != nil {
		return 0
	}
	v, err := r.dec.DecodeInt64()
	r.keep(err)
	return v
}

func (r *reader) bool() bool {
	if r.err != nil {
		return false
	}
	v, err := r.dec.DecodeBool()
	r.keep(err)
	return v
}

// raw returns the bytes of a string or bin without a copy.
func (r *reader) raw() []byte {
	if r.err != nil {
		return nil
	}
	n, err := r.dec.DecodeBytesLen()
	r.keep(err)
	if r.err == nil && (n < 0 || n > r.src.Len()) {
		r.fail(ErrMalformed, "%d bytes declared, %d left", n, r.src.Len())
	}
	if r.err != nil {
		return nil
	}
	at := len(r.b) - r.src.Len()
	if _, err := r.src.Seek(int64(n), io.SeekCurrent); err != nil {
		r.keep(err)
	}
	return r.b[at : at+n : at+n]
}

func (r *reader) text(what string, limit int) string {
	b := r.raw()
	if len(b) > limit {
		r.fail(ErrLimit, "%s of %d bytes, want at most %d", what, len(b), limit)
		return ""
	}
	return string(b)
}

func (r *reader) name() string {
	s := r.text("name", crdt.MaxNameBytes)
	if r.err == nil {
		if err := crdt.CheckName(s); err != nil {
			r.fail(ErrInvalid, "%v", err)
		}
	}
	return s
}

// id reads 16 bytes.
func (r *reader) id() (id [16]byte) {
	b := r.raw()
	if r.err == nil && len(b) != len(id) {
		r.fail(ErrMalformed, "identifier of %d bytes, want %d", len(b), len(id))
	}
	copy(id[:], b)
	return id
}
