package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"meshd/crdt"
)

// exposition reads what one target says, scrape after scrape: it knows the series of the last one, so that the same
// line costs a lookup.
type exposition struct {
	target *target
	known  map[string]*exposedSeries // by form, family and the text of the series
	round  uint64

	symbols *labels.SymbolTable
	builder *labels.Builder
	key     []byte
}

// exposedSeries is what a series of the target is here.
type exposedSeries struct {
	series *crdt.Series // nil: the rules drop it, or bad says why it is refused
	bad    error
	round  uint64 // of the last scrape that had it
}

// exposedSample is one value of a body. h is set for a native histogram.
type exposedSample struct {
	of    *exposedSeries
	value float64
	at    int64 // ms, 0: when it was scraped
	start int64 // ms, 0: unknown
	h     *rwHistogram
}

// exposed is what one body said.
type exposed struct {
	samples []exposedSample // those that the rules keep
	total   int             // with those that they drop
	added   int             // series that the scrape before did not have
	process int64           // process_start_time_seconds in ms, 0 if it is not there
}

func newExposition(t *target) *exposition {
	return &exposition{
		target: t, known: make(map[string]*exposedSeries),
		symbols: labels.NewSymbolTable(), builder: labels.NewBuilder(labels.EmptyLabels()),
	}
}

// read takes a body apart. On an error nothing of it counts: a body cut short may say half of what it should.
func (e *exposition) read(body []byte, contentType string) (out exposed, err error) {
	const fallback = "text/plain"
	p, err := textparse.New(body, contentType, e.symbols, textparse.ParserOptions{
		KeepClassicOnClassicAndNativeHistograms: e.target.job.Classic, OpenMetricsSkipSTSeries: true, FallbackContentType: fallback,
	})
	if p == nil {
		return out, err
	}
	e.round++
	var family exposedFamily
	for {
		entry, err := p.Next()
		switch {
		case errors.Is(err, io.EOF):
			e.forget()
			return out, nil
		case err != nil:
			return out, fmt.Errorf("not what its Content-Type %.64q says: %w", contentType, err)
		case entry == textparse.EntryType:
			name, typ := p.Type()
			family = exposedFamily{name: string(name), typ: rwTypeOf(typ)}
		case entry == textparse.EntrySeries, entry == textparse.EntryHistogram:
			if err := e.sample(p, entry, &family, &out); err != nil {
				return out, err
			}
		}
	}
}

// forget lets go of series that the last scrape did not have.
func (e *exposition) forget() {
	for key, s := range e.known {
		if s.round != e.round {
			delete(e.known, key)
		}
	}
}

// sample takes one entry of a body.
func (e *exposition) sample(p textparse.Parser, entry textparse.Entry, family *exposedFamily, out *exposed) error {
	job := e.target.job
	if out.total++; out.total > job.SampleLimit {
		return fmt.Errorf("more than %d samples (sample_limit)", job.SampleLimit)
	}
	var s exposedSample
	var text []byte
	var at *int64
	form := rwFloats
	if entry == textparse.EntryHistogram {
		var h *histogram.Histogram
		var f *histogram.FloatHistogram
		form = rwNative
		if text, at, h, f = p.Histogram(); h != nil {
			s.h = rwHistogramOf(h)
		} else {
			s.h = rwFloatHistogramOf(f)
		}
	} else {
		text, at, s.value = p.Series()
	}
	if at != nil && *job.HonorTimestamps {
		s.at = *at
	}
	if name := "process_start_time_seconds"; job.CountersBeginWithProcess && string(text) == name && s.value > 0 && s.value < math.MaxInt64/1000 {
		out.process = int64(s.value * 1000)
	}
	var err error
	if s.of, err = e.find(p, form, text, family, out); err != nil {
		return err
	}
	s.start = p.StartTimestamp() // looks ahead: what the parser stood at is gone
	if s.of.series != nil || s.of.bad != nil {
		out.samples = append(out.samples, s)
	}
	return nil
}

// find returns the series that the parser stands at.
func (e *exposition) find(p textparse.Parser, form rwForm, text []byte, family *exposedFamily, out *exposed) (*exposedSeries, error) {
	e.key = append(append(e.key[:0], byte(form), byte(family.typ)), family.name...)
	e.key = append(append(e.key, 0), text...)
	if s := e.known[string(e.key)]; s != nil {
		s.round = e.round
		return s, nil
	}
	var ls labels.Labels
	p.Labels(&ls)
	name := ls.Get(model.MetricNameLabel) // what the series is follows from what the target calls it, not the rules
	s := &exposedSeries{round: e.round}
	ls, keep := e.labels(ls)
	if keep {
		if err := e.target.job.checkLabels(ls); err != nil {
			return nil, err
		}
		kind := crdt.KindHistogram
		if form == rwFloats {
			kind = rwKindOf(name, family.typeOf(name))
		}
		s.series, s.bad = seriesOf(ls, kind)
		out.added++
	}
	e.known[string(e.key)] = s
	return s, nil
}

// labels puts the target's labels to those that it exposes, and applies the rules. Of two with one name the target's
// count and the other becomes exported_NAME; the other way round, and without the copy, with honor_labels.
func (e *exposition) labels(ls labels.Labels) (labels.Labels, bool) {
	b := e.builder
	b.Reset(ls)
	if e.target.job.HonorLabels {
		e.target.labels.Range(func(l labels.Label) {
			if !ls.Has(l.Name) {
				b.Set(l.Name, l.Value)
			}
		})
	} else {
		var moved []labels.Label
		e.target.labels.Range(func(l labels.Label) {
			if v := ls.Get(l.Name); v != "" {
				moved = append(moved, labels.Label{Name: l.Name, Value: v})
			}
			b.Set(l.Name, l.Value)
		})
		slices.SortStableFunc(moved, func(a, b labels.Label) int { return cmp.Compare(len(a.Name), len(b.Name)) })
		for _, l := range moved {
			name := model.ExportedLabelPrefix + l.Name
			for b.Get(name) != "" {
				name = model.ExportedLabelPrefix + name
			}
			b.Set(name, l.Value)
		}
	}
	keep := e.target.job.MetricRelabelConfigs.apply(b)
	return b.Labels(), keep
}

// checkLabels holds a series against the job's limits, which fail a scrape as a whole.
func (j *ScrapeJob) checkLabels(ls labels.Labels) (err error) {
	if n := ls.Len(); j.LabelLimit > 0 && n > j.LabelLimit {
		return fmt.Errorf("a series of %.64q has %d labels, want at most %d (label_limit)", ls.Get(model.MetricNameLabel), n, j.LabelLimit)
	}
	if j.LabelNameLengthLimit == 0 && j.LabelValueLengthLimit == 0 {
		return nil
	}
	ls.Range(func(l labels.Label) {
		switch {
		case j.LabelNameLengthLimit > 0 && len(l.Name) > j.LabelNameLengthLimit:
			err = fmt.Errorf("the label name %.64q has %d bytes, want at most %d (label_name_length_limit)", l.Name, len(l.Name), j.LabelNameLengthLimit)
		case j.LabelValueLengthLimit > 0 && len(l.Value) > j.LabelValueLengthLimit:
			err = fmt.Errorf("the value of label %.64q has %d bytes, want at most %d (label_value_length_limit)", l.Name, len(l.Value), j.LabelValueLengthLimit)
		}
	})
	return err
}

// exposedFamily is the family whose series a body lists now.
type exposedFamily struct {
	name string
	typ  rwType
}

// familySuffixes are what the series of a family have behind its name.
var familySuffixes = map[rwType][]string{
	rwTypeCounter:        {"", "_total"},
	rwTypeGauge:          {""},
	rwTypeHistogram:      {"", "_bucket", "_sum", "_count"},
	rwTypeGaugeHistogram: {"", "_bucket", "_gsum", "_gcount"},
	rwTypeSummary:        {"", "_sum", "_count"},
	rwTypeInfo:           {"", "_info"},
	rwTypeStateSet:       {""},
}

// typeOf returns the type of a series by its name. One of another family has none.
func (f *exposedFamily) typeOf(name string) rwType {
	suffix, ok := strings.CutPrefix(name, f.name)
	if ok && slices.Contains(familySuffixes[f.typ], suffix) {
		return f.typ
	}
	return rwTypeNone
}

// rwTypeOf returns a type as remote write numbers it.
func rwTypeOf(t model.MetricType) rwType {
	switch t {
	case model.MetricTypeCounter:
		return rwTypeCounter
	case model.MetricTypeGauge:
		return rwTypeGauge
	case model.MetricTypeHistogram:
		return rwTypeHistogram
	case model.MetricTypeGaugeHistogram:
		return rwTypeGaugeHistogram
	case model.MetricTypeSummary:
		return rwTypeSummary
	case model.MetricTypeInfo:
		return rwTypeInfo
	case model.MetricTypeStateset:
		return rwTypeStateSet
	case model.MetricTypeUnknown:
	}
	return rwTypeNone
}

// rwHistogramOf returns a histogram in the form that remote write has for it.
func rwHistogramOf(h *histogram.Histogram) *rwHistogram {
	return &rwHistogram{
		native: native{
			Schema: h.Schema, ZeroThreshold: h.ZeroThreshold, Count: h.Count, ZeroCount: h.ZeroCount, Sum: h.Sum,
			PositiveSpans: spansOf(h.PositiveSpans), NegativeSpans: spansOf(h.NegativeSpans),
			PositiveBuckets: slices.Clone(h.PositiveBuckets), NegativeBuckets: slices.Clone(h.NegativeBuckets),
		},
		customValues: slices.Clone(h.CustomValues), gauge: h.CounterResetHint == histogram.GaugeType,
	}
}

func rwFloatHistogramOf(f *histogram.FloatHistogram) *rwHistogram {
	return &rwHistogram{
		native: native{
			Schema: f.Schema, ZeroThreshold: f.ZeroThreshold, Sum: f.Sum,
			PositiveSpans: spansOf(f.PositiveSpans), NegativeSpans: spansOf(f.NegativeSpans),
		},
		float: true, floatCounts: [2]float64{f.Count, f.ZeroCount},
		positive: slices.Clone(f.PositiveBuckets), negative: slices.Clone(f.NegativeBuckets),
		customValues: slices.Clone(f.CustomValues), gauge: f.CounterResetHint == histogram.GaugeType,
	}
}

func spansOf(in []histogram.Span) (out []span) {
	for _, s := range in {
		out = append(out, span{Offset: s.Offset, Length: s.Length})
	}
	return out
}
