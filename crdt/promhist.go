package crdt

import (
	"fmt"
	"math"
)

// NativeHistogram is a Prometheus native histogram with integer counts. (prometheus/model/histogram, Histogram.) Its
// bucket i holds the magnitudes in (g^(i-1), g^i], g = 2^(2^-Schema): the index is one more than OpenTelemetry's.
type NativeHistogram struct {
	Schema                           int32
	ZeroThreshold                    float64
	Count, ZeroCount                 uint64
	Sum                              float64
	PositiveSpans, NegativeSpans     []NativeSpan
	PositiveBuckets, NegativeBuckets []int64 // the first count, then differences to the count before
}

// NativeSpan is a run of adjacent buckets. Offset is the index of the first one in the first span, and the number of
// empty buckets since the previous span in the others.
type NativeSpan struct {
	Offset int32
	Length uint32
}

// Native returns d as a Prometheus native histogram, whose schema is the coarsest scale in use. The least and the
// greatest sample have no place in it. ErrRange: a bucket counts 2^63 samples or more.
func (d *Distribution) Native() (*NativeHistogram, error) {
	scale := d.Scale()
	h := &NativeHistogram{Schema: int32(scale), Count: d.count, ZeroCount: d.zero, Sum: d.Sum().Float64()}
	var err error
	if h.PositiveSpans, h.PositiveBuckets, err = d.positive.native(scale); err != nil {
		return nil, err
	}
	if h.NegativeSpans, h.NegativeBuckets, err = d.negative.native(scale); err != nil {
		return nil, err
	}
	return h, nil
}

func (bs buckets) native(scale int) (spans []NativeSpan, deltas []int64, err error) {
	next, last := 0, int64(0) // the index behind the last bucket, and its count
	for i, b := range bs.folded(scale) {
		if b.count > math.MaxInt64 {
			return nil, nil, fmt.Errorf("crdt: %w: %d samples in a bucket of a native histogram", ErrRange, b.count)
		}
		index := b.key.index() + 1
		if i == 0 || index != next {
			spans = append(spans, NativeSpan{Offset: int32(index - next)})
		}
		spans[len(spans)-1].Length++
		deltas = append(deltas, int64(b.count)-last)
		next, last = index+1, int64(b.count)
	}
	return spans, deltas, nil
}

// DistributionFromNative returns h as an increment, as DistributionFromExponential does. Samples below the zero
// threshold count as 0. Buckets of other schemas than -4 to 8, custom ones among them, are ErrRange.
func DistributionFromNative(h *NativeHistogram) (*Distribution, error) {
	d := &Distribution{zero: h.ZeroCount}
	if h.Schema > 8 {
		return nil, fmt.Errorf("crdt: %w: native histogram of schema %d", ErrRange, h.Schema)
	}
	if err := d.positive.importNative(h.Schema, h.PositiveSpans, h.PositiveBuckets); err != nil {
		return nil, err
	}
	if err := d.negative.importNative(h.Schema, h.NegativeSpans, h.NegativeBuckets); err != nil {
		return nil, err
	}
	if err := d.finishImport(h.Count, h.Sum, math.NaN(), math.NaN()); err != nil {
		return nil, err
	}
	return d, nil
}

func (bs *buckets) importNative(schema int32, spans []NativeSpan, deltas []int64) error {
	index, n := int64(-1), int64(0) // OpenTelemetry's index
	for i, s := range spans {
		if i > 0 && s.Offset < 0 || uint64(s.Length) > uint64(len(deltas)) {
			return fmt.Errorf("crdt: %w: native histogram with span %d of offset %d and length %d", ErrRange, i, s.Offset, s.Length)
		}
		index += int64(s.Offset)
		for _, delta := range deltas[:s.Length] {
			if n += delta; n < 0 {
				return fmt.Errorf("crdt: %w: native histogram with a negative or overflowing count", ErrRange)
			}
			if err := bs.importBucket(schema, index, uint64(n)); err != nil {
				return err
			}
			index++
		}
		deltas = deltas[s.Length:]
	}
	if len(deltas) > 0 {
		return fmt.Errorf("crdt: %w: native histogram with %d buckets outside its spans", ErrRange, len(deltas))
	}
	return nil
}
