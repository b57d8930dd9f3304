package prom

import (
	"encoding/json"
	"math"
	"strconv"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

// The JSON of results, as https://prometheus.io/docs/prometheus/latest/querying/api/ describes it. It is appended by hand:
// results have 100,000s of points, and encoding/json would ask each how it wants to be written.

// appendResult appends {"resultType":...,"result":...}.
func appendResult(b []byte, v parser.Value) []byte {
	b = append(b, `{"resultType":"`...)
	b = append(b, string(v.Type())...)
	b = append(b, `","result":`...)
	switch x := v.(type) {
	case promql.Vector:
		b = append(b, '[')
		for i := range x {
			b = comma(b, i)
			b = appendMetric(b, x[i].Metric)
			if x[i].H != nil {
				b = appendHistogramPoint(append(b, `,"histogram":`...), x[i].T, x[i].H)
			} else {
				b = appendPoint(append(b, `,"value":`...), x[i].T, x[i].F)
			}
			b = append(b, '}')
		}
		b = append(b, ']')
	case promql.Matrix:
		b = append(b, '[')
		for i := range x {
			b = appendSeries(comma(b, i), &x[i])
		}
		b = append(b, ']')
	case promql.Scalar:
		b = appendPoint(b, x.T, x.V)
	case promql.String:
		b = append(appendTime(append(b, '['), x.T), ',')
		b = append(appendString(b, x.V), ']')
	}
	return append(b, '}')
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		return append(b, ',')
	}
	return b
}

func appendSeries(b []byte, s *promql.Series) []byte {
	b = appendMetric(b, s.Metric)
	if len(s.Floats) > 0 {
		b = append(b, `,"values":[`...)
		for i, p := range s.Floats {
			b = appendPoint(comma(b, i), p.T, p.F)
		}
		b = append(b, ']')
	}
	if len(s.Histograms) > 0 {
		b = append(b, `,"histograms":[`...)
		for i, p := range s.Histograms {
			b = appendHistogramPoint(comma(b, i), p.T, p.H)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendMetric appends {"metric":{...} and leaves the object open.
func appendMetric(b []byte, ls labels.Labels) []byte {
	return appendLabels(append(b, `{"metric":`...), ls)
}

func appendLabels(b []byte, ls labels.Labels) []byte {
	b = append(b, '{')
	i := 0
	ls.Range(func(l labels.Label) {
		b = appendString(comma(b, i), l.Name)
		b = appendString(append(b, ':'), l.Value)
		i++
	})
	return append(b, '}')
}

func appendPoint(b []byte, t int64, f float64) []byte {
	b = append(appendTime(append(b, '['), t), ',')
	return append(appendFloat(b, f), ']')
}

func appendHistogramPoint(b []byte, t int64, h *histogram.FloatHistogram) []byte {
	b = append(appendTime(append(b, '['), t), ',')
	return append(appendHistogram(b, h), ']')
}

// appendTime appends seconds with up to three digits behind the point.
func appendTime(b []byte, ms int64) []byte {
	if ms < 0 {
		b, ms = append(b, '-'), -ms
	}
	b = strconv.AppendInt(b, ms/1000, 10)
	if ms %= 1000; ms > 0 {
		b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
	}
	return b
}

// appendFloat appends a number as a string: JSON has no infinities.
func appendFloat(b []byte, f float64) []byte {
	format := byte('f')
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		format = 'e'
	}
	return append(strconv.AppendFloat(append(b, '"'), f, format, -1, 64), '"')
}

// appendHistogram appends the buckets that count something, each with which of its bounds belong to it.
func appendHistogram(b []byte, h *histogram.FloatHistogram) []byte {
	b = appendFloat(append(b, `{"count":`...), h.Count)
	b = appendFloat(append(b, `,"sum":`...), h.Sum)
	n := 0
	for it := h.AllBucketIterator(); it.Next(); {
		k := it.At()
		if k.Count == 0 {
			continue
		}
		if n == 0 {
			b = append(b, `,"buckets":[`...)
		}
		bounds := byte('2') // neither
		switch {
		case k.LowerInclusive && k.UpperInclusive:
			bounds = '3'
		case k.LowerInclusive:
			bounds = '1'
		case k.UpperInclusive:
			bounds = '0'
		}
		b = append(comma(b, n), '[', bounds, ',')
		b = append(appendFloat(b, k.Lower), ',')
		b = append(appendFloat(b, k.Upper), ',')
		b = append(appendFloat(b, k.Count), ']')
		n++
	}
	if n > 0 {
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendString appends a string of JSON.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // strings always can
			return append(b, quoted...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
