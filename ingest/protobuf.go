package ingest

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoReader reads the fields of a protobuf message one after the other, without allocating. A field whose wire type
// is not what the schema says, or that is cut short, makes it bad and ends it. What it returns aliases its input.
type protoReader struct {
	b   []byte
	bad bool

	num   int32
	typ   protowire.Type
	n     uint64 // of a varint or a fixed number
	bytes []byte // of a string, a message or a packed list
}

// next reads the next field and reports whether there was one.
func (r *protoReader) next() bool {
	if len(r.b) == 0 || r.bad {
		return false
	}
	num, typ, n := protowire.ConsumeTag(r.b)
	if n < 0 {
		return r.fail()
	}
	r.num, r.typ, r.b = int32(num), typ, r.b[n:]
	switch typ {
	case protowire.VarintType:
		r.n, n = protowire.ConsumeVarint(r.b)
	case protowire.Fixed64Type:
		r.n, n = protowire.ConsumeFixed64(r.b)
	case protowire.BytesType:
		r.bytes, n = protowire.ConsumeBytes(r.b)
	default: // of no field that we know
		n = protowire.ConsumeFieldValue(num, typ, r.b)
	}
	if n < 0 {
		return r.fail()
	}
	r.b = r.b[n:]
	return true
}

func (r *protoReader) fail() bool {
	r.bad = true
	return false
}

// is fails unless the field has the wire type.
func (r *protoReader) is(t protowire.Type) bool { return r.typ == t || r.fail() }

func (r *protoReader) varint() uint64 {
	if r.is(protowire.VarintType) {
		return r.n
	}
	return 0
}

func (r *protoReader) zigzag() int64 { return protowire.DecodeZigZag(r.varint()) }

func (r *protoReader) double() float64 {
	if r.is(protowire.Fixed64Type) {
		return math.Float64frombits(r.n)
	}
	return 0
}

func (r *protoReader) message() []byte {
	if r.is(protowire.BytesType) {
		return r.bytes
	}
	return nil
}

// protoList appends the numbers of a repeated field, packed or not. read takes one number off a packed list.
func protoList[T any](r *protoReader, dst []T, one protowire.Type, read func(b []byte) (T, int)) []T {
	if r.typ == one {
		var raw []byte
		if one == protowire.VarintType {
			raw = protowire.AppendVarint(nil, r.n)
		} else {
			raw = protowire.AppendFixed64(nil, r.n)
		}
		v, _ := read(raw)
		return append(dst, v)
	}
	for b := r.message(); len(b) > 0; {
		v, n := read(b)
		if n < 0 {
			r.fail()
			break
		}
		dst, b = append(dst, v), b[n:]
	}
	return dst
}

func readUint32(b []byte) (uint32, int) {
	v, n := protowire.ConsumeVarint(b)
	return uint32(v), n // as protobuf has it: what is beyond 32 bits is cut off
}

func readZigzag(b []byte) (int64, int) {
	v, n := protowire.ConsumeVarint(b)
	return protowire.DecodeZigZag(v), n
}

func readDouble(b []byte) (float64, int) {
	v, n := protowire.ConsumeFixed64(b)
	return math.Float64frombits(v), n
}
