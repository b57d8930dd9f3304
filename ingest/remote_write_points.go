package ingest

import (
	"cmp"
	"math"
	"slices"

	"meshd/crdt"
)

type (
	native = crdt.NativeHistogram
	span   = crdt.NativeSpan
)

// rwPoints turns the samples of a message into items.
type rwPoints struct {
	*points
	cache  *rwSeriesCache
	series rwSeries
	key    rwKey

	histogram []bool // of each point: is it one
	exemplars int    // of series that are what they should be
	ignored   map[string]int
}

// takeSeries takes all samples of p.series. name sets p.key to what the series is called in a form.
func (p *rwPoints) takeSeries(name func(rwForm) error) error {
	find := func(form rwForm) (*crdt.Series, error) {
		if err := name(form); err != nil {
			return nil, err
		}
		return p.cache.find(p.key)
	}
	s := &p.series
	if len(s.samples) > 0 || len(s.histograms) == 0 && s.exemplars > 0 {
		series, bad := find(rwFloats)
		for i := range s.samples {
			if err := p.takeOne(false, bad, func() error { return p.sample(series, &s.samples[i]) }); err != nil {
				return err
			}
		}
		if bad == nil {
			p.exemplars += s.exemplars
		}
	}
	if len(s.histograms) == 0 {
		return nil
	}
	series, bad := find(rwNative)
	for _, b := range s.histograms {
		h := new(rwHistogram)
		if !h.parse(b) {
			return errBadMessage
		}
		if err := p.takeOne(true, bad, func() error { return p.native(series, h) }); err != nil {
			return err
		}
	}
	if bad == nil && len(s.samples) == 0 {
		p.exemplars += s.exemplars
	}
	return nil
}

// takeOne takes a sample or a histogram of a series that is bad if bad is set.
func (p *rwPoints) takeOne(histogram bool, bad error, read func() error) error {
	p.histogram = append(p.histogram, histogram)
	return p.take(func() error {
		if bad != nil {
			return bad
		}
		return read()
	})
}

// staleMarker is how Prometheus says that a series has ended.
const staleMarker = 0x7ff0000000000002

// skip reports whether v says nothing that is kept, and counts it.
func (p *rwPoints) skip(v float64) bool {
	switch {
	case math.Float64bits(v) == staleMarker:
		p.ignored["stale_marker"]++
	case v-v != 0:
		p.ignored["not_finite"]++
	default:
		return false
	}
	return true
}

func (p *rwPoints) sample(s *crdt.Series, in *rwSample) error {
	if p.skip(in.value) {
		return nil
	}
	if s.Kind == crdt.KindGauge {
		v, err := p.gauge(in.value, in.at)
		if err == nil {
			p.add(s, v, in.at)
		}
		return err
	}
	amount, err := amountOfFloat(in.value)
	if err != nil {
		return err
	}
	v, err := p.observed(run{start: cmp.Or(in.start, p.series.created), at: in.at}, amount)
	if err == nil {
		p.add(s, v, in.at)
	}
	return err
}

// customSchema is that of native histograms whose buckets have bounds of their own.
const customSchema = -53

func (p *rwPoints) native(s *crdt.Series, h *rwHistogram) error {
	if p.skip(h.Sum) {
		return nil
	}
	if h.gauge {
		return refuse(reasonType, "a gauge histogram: its buckets go down")
	}
	h.start = cmp.Or(h.start, p.series.created)
	if h.float {
		if err := h.whole(); err != nil {
			return err
		}
	}
	if h.Schema == customSchema {
		return p.custom(s, h)
	}
	d, err := crdt.DistributionFromNative(&h.native)
	if err != nil {
		return err
	}
	v, err := histogramOf(run{start: h.start}, d)
	if err == nil {
		p.add(s, v, h.at)
	}
	return err
}

// whole turns the counts of a float histogram into integers, if they are.
func (h *rwHistogram) whole() error {
	counts := [2]*uint64{&h.Count, &h.ZeroCount}
	for i, f := range h.floatCounts {
		n, err := wholeCount(f)
		if err != nil {
			return err
		}
		*counts[i] = uint64(n)
	}
	for _, side := range []struct {
		from []float64
		to   *[]int64
	}{{h.positive, &h.PositiveBuckets}, {h.negative, &h.NegativeBuckets}} {
		last := int64(0)
		for _, f := range side.from {
			n, err := wholeCount(f)
			if err != nil {
				return err
			}
			*side.to = append(*side.to, n-last)
			last = n
		}
	}
	return nil
}

func wholeCount(f float64) (int64, error) {
	if f != math.Trunc(f) || f < 0 || f > 1<<53 {
		return 0, refuse(reasonNumber, "a float histogram that counts %v samples: only whole ones can be kept", f)
	}
	return int64(f), nil
}

// custom adds the series that a classic histogram has: the bounds are the same for both.
func (p *rwPoints) custom(s *crdt.Series, h *rwHistogram) error {
	counts, err := h.customCounts()
	if err != nil {
		return err
	}
	add := func(suffix string, amount crdt.Fixed, more ...crdt.Label) error {
		series, err := newSeries(s.Name+suffix, crdt.KindObserved, append(more, s.Labels...))
		if err != nil {
			return err
		}
		v, err := p.observed(run{start: h.start, at: h.at}, amount)
		if err == nil {
			p.add(series, v, h.at)
		}
		return err
	}
	var below uint64
	for i, n := range counts {
		if below += n; below < n {
			return refuse(reasonRange, "2^64 samples in the buckets")
		}
		le := math.Inf(1)
		if i < len(h.customValues) {
			le = h.customValues[i]
		}
		if err := add("_bucket", crdt.FixedFromUint(below), leLabel(le)); err != nil {
			return err
		}
	}
	if below != h.Count {
		return refuse(reasonRange, "%d samples, but %d in the buckets", h.Count, below)
	}
	sum, err := amountOfFloat(h.Sum)
	if err != nil {
		return err
	}
	if err := add("_sum", sum); err != nil {
		return err
	}
	return add("_count", crdt.FixedFromUint(h.Count))
}

// customCounts returns the counts of all buckets, the one up to infinity last.
func (h *rwHistogram) customCounts() ([]uint64, error) {
	switch {
	case len(h.customValues) >= maxClassicBuckets:
		return nil, refuse(reasonTooLong, "%d buckets, want at most %d", len(h.customValues)+1, maxClassicBuckets)
	case !slices.IsSorted(h.customValues) || slices.ContainsFunc(h.customValues, func(f float64) bool { return f-f != 0 }):
		return nil, refuse(reasonRange, "custom bounds that are not finite and ascending")
	case len(h.NegativeBuckets) > 0 || h.ZeroCount > 0:
		return nil, refuse(reasonRange, "custom buckets with zeros or negative buckets beside them")
	}
	counts := make([]uint64, len(h.customValues)+1)
	index, n, deltas := int64(0), int64(0), h.PositiveBuckets
	for _, s := range h.PositiveSpans {
		for index += int64(s.Offset); s.Length > 0; s.Length-- {
			if index < 0 || index >= int64(len(counts)) || len(deltas) == 0 || n+deltas[0] < 0 {
				return nil, refuse(reasonRange, "spans and buckets of a native histogram that do not agree")
			}
			n += deltas[0]
			counts[index] = uint64(n)
			deltas = deltas[1:]
			index++
		}
	}
	if len(deltas) > 0 {
		return nil, refuse(reasonRange, "%d buckets outside the spans of a native histogram", len(deltas))
	}
	return counts, nil
}

// written returns what became of the samples once the node has answered.
func (p *rwPoints) written() rwWritten {
	w := rwWritten{exemplars: p.exemplars, refused: len(p.rejected), why: p.first}
	for i, histogram := range p.histogram {
		switch _, refused := p.rejected[i]; {
		case refused:
		case histogram:
			w.histograms++
		default:
			w.samples++
		}
	}
	return w
}
