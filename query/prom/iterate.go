package prom

import (
	"slices"
	"sort"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/util/annotations"
)

// millis is a time in ms since the Unix epoch. (It has a name so that Seek is not taken for that of io.Seeker.)
type millis = int64

// sample is one value at one time; h is nil for a number.
type sample struct {
	t int64 // ms since the Unix epoch
	f float64
	h *histogram.FloatHistogram // never changed
}

// series is what the engine gets: labels and samples ascending by time.
type series struct {
	labels  labels.Labels
	samples []sample
}

var _ storage.Series = (*series)(nil)

// Labels implements storage.Series.
func (s *series) Labels() labels.Labels { return s.labels }

// Iterator implements storage.Series. An iterator of ours is used again.
func (s *series) Iterator(it chunkenc.Iterator) chunkenc.Iterator {
	if old, ok := it.(*iterator); ok {
		*old = iterator{samples: s.samples, at: -1}
		return old
	}
	return &iterator{samples: s.samples, at: -1}
}

// iterator walks over samples. at is -1 before the first.
type iterator struct {
	samples []sample
	at      int
}

// Next implements chunkenc.Iterator.
func (i *iterator) Next() chunkenc.ValueType {
	i.at = min(i.at+1, len(i.samples))
	return i.kind()
}

// Seek implements chunkenc.Iterator.
func (i *iterator) Seek(t millis) chunkenc.ValueType {
	i.at = max(i.at, 0)
	if i.at < len(i.samples) && i.samples[i.at].t < t {
		rest := i.samples[i.at:]
		i.at += sort.Search(len(rest), func(k int) bool { return rest[k].t >= t })
	}
	return i.kind()
}

func (i *iterator) kind() chunkenc.ValueType {
	switch {
	case i.at >= len(i.samples):
		return chunkenc.ValNone
	case i.samples[i.at].h != nil:
		return chunkenc.ValFloatHistogram
	}
	return chunkenc.ValFloat
}

// At implements chunkenc.Iterator.
func (i *iterator) At() (int64, float64) { return i.samples[i.at].t, i.samples[i.at].f }

// AtHistogram implements chunkenc.Iterator. Histograms here have counts that are floats: the engine asks for those.
func (i *iterator) AtHistogram(*histogram.Histogram) (int64, *histogram.Histogram) {
	return i.samples[i.at].t, nil
}

// AtFloatHistogram implements chunkenc.Iterator. It hands out a copy: functions of the engine change what they get.
func (i *iterator) AtFloatHistogram(into *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	s := &i.samples[i.at]
	if into == nil {
		return s.t, s.h.Copy()
	}
	s.h.CopyTo(into)
	return s.t, into
}

// AtT implements chunkenc.Iterator.
func (i *iterator) AtT() int64 { return i.samples[i.at].t }

// AtST implements chunkenc.Iterator.
func (i *iterator) AtST() int64 { return 0 }

// Err implements chunkenc.Iterator.
func (i *iterator) Err() error { return nil }

// seriesSet is a list of series, or an error.
type seriesSet struct {
	list     []*series
	at       int
	err      error
	warnings annotations.Annotations
}

var _ storage.SeriesSet = (*seriesSet)(nil)

func newSeriesSet(list []*series) *seriesSet {
	slices.SortFunc(list, func(a, b *series) int { return labels.Compare(a.labels, b.labels) })
	return &seriesSet{list: list, at: -1}
}

// Next implements storage.SeriesSet.
func (s *seriesSet) Next() bool {
	s.at++
	return s.err == nil && s.at < len(s.list)
}

// At implements storage.SeriesSet.
func (s *seriesSet) At() storage.Series { return s.list[s.at] }

// Err implements storage.SeriesSet.
func (s *seriesSet) Err() error { return s.err }

// Warnings implements storage.SeriesSet.
func (s *seriesSet) Warnings() annotations.Annotations { return s.warnings }
