package ingest

import (
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// Messages are put together field by field, as the schemas number them.

func bytesField(num protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), b)
}

func varintField(num protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, num, protowire.VarintType), v)
}

func zigzagField(num protowire.Number, v int64) []byte {
	return varintField(num, protowire.EncodeZigZag(v))
}

func doubleField(num protowire.Number, v float64) []byte {
	return protowire.AppendFixed64(protowire.AppendTag(nil, num, protowire.Fixed64Type), math.Float64bits(v))
}

func message(fields ...[]byte) []byte { return slices.Concat(fields...) }

// write1 is a request of 1.0 with the series given.
func write1(series ...[]byte) []byte {
	var b []byte
	for _, s := range series {
		b = append(b, bytesField(1, s)...)
	}
	return b
}

// labels1 are labels of 1.0: names and values.
func labels1(pairs ...string) []byte {
	var b []byte
	for i := 0; i < len(pairs); i += 2 {
		b = append(b, bytesField(1, message(bytesField(1, []byte(pairs[i])), bytesField(2, []byte(pairs[i+1]))))...)
	}
	return b
}

func sample1(value float64, at int64) []byte {
	return bytesField(2, message(doubleField(1, value), varintField(2, uint64(at))))
}

// writer2 puts a request of 2.0 together.
type writer2 struct {
	symbols []string
	series  [][]byte
}

func (w *writer2) ref(s string) uint64 {
	if len(w.symbols) == 0 {
		w.symbols = []string{""}
	}
	i := slices.Index(w.symbols, s)
	if i < 0 {
		i = len(w.symbols)
		w.symbols = append(w.symbols, s)
	}
	return uint64(i)
}

// add adds a series of a type with labels and the fields given.
func (w *writer2) add(t rwType, pairs []string, fields ...[]byte) *writer2 {
	var refs []byte
	for _, s := range pairs {
		refs = protowire.AppendVarint(refs, w.ref(s))
	}
	w.series = append(w.series, message(bytesField(1, refs), message(fields...), bytesField(5, varintField(1, uint64(t)))))
	return w
}

func (w *writer2) message() []byte {
	var b []byte
	for _, s := range w.series { // before the symbols, which is allowed
		b = append(b, bytesField(5, s)...)
	}
	for _, s := range w.symbols {
		b = append(b, bytesField(4, []byte(s))...)
	}
	return b
}

func sample2(value float64, at, start int64) []byte {
	return bytesField(2, message(doubleField(1, value), varintField(2, uint64(at)), varintField(3, uint64(start))))
}

// nativeHistogram is one of 1 zero and 2 and 3 samples in two buckets, with the sum given.
func nativeHistogram(sum float64, start int64, more ...[]byte) []byte {
	deltas := protowire.AppendVarint(protowire.AppendVarint(nil, protowire.EncodeZigZag(2)), protowire.EncodeZigZag(1))
	return message(varintField(1, 6), doubleField(3, sum), zigzagField(4, 3), varintField(6, 1),
		bytesField(11, message(zigzagField(1, 1), varintField(2, 2))), bytesField(12, deltas), varintField(15, 1000), varintField(17, uint64(start)),
		message(more...))
}
