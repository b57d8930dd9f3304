package ingest

import (
	"math"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"

	"meshd/crdt"
)

// otlpPoints turns the data points of a request into items.
type otlpPoints struct {
	*points
	meter *meter

	source otlpSource
	metric string
	mode   otlpMode
}

// otlpMode says how the values of a metric add up.
type otlpMode uint8

const (
	modeNone       otlpMode = iota // unspecified temporality: refused
	modeDelta                      // since the last export
	modeCumulative                 // since the start time
)

func modeOf(t metricspb.AggregationTemporality) otlpMode {
	switch t {
	case metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_DELTA:
		return modeDelta
	case metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE:
		return modeCumulative
	default:
		return modeNone
	}
}

// request reads all points. Its errors answer the request as a whole.
func (p *otlpPoints) request(req *otlpRequest) error {
	for _, rm := range req.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			p.source = sourceOf(rm.GetResource(), sm.GetScope())
			for _, m := range sm.GetMetrics() {
				p.metric = m.GetName()
				if err := p.dataOf(m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// dataOf reads the points of one metric.
func (p *otlpPoints) dataOf(m *metricspb.Metric) error {
	switch d := m.GetData().(type) {
	case *metricspb.Metric_Gauge:
		p.mode = modeCumulative
		return each(p, d.Gauge.GetDataPoints(), p.setting)
	case *metricspb.Metric_Sum:
		p.mode = modeOf(d.Sum.GetAggregationTemporality())
		read := p.sum
		if !d.Sum.GetIsMonotonic() {
			read = p.change
		}
		return each(p, d.Sum.GetDataPoints(), read)
	case *metricspb.Metric_Histogram:
		p.mode = modeOf(d.Histogram.GetAggregationTemporality())
		return each(p, d.Histogram.GetDataPoints(), p.histogram)
	case *metricspb.Metric_ExponentialHistogram:
		p.mode = modeOf(d.ExponentialHistogram.GetAggregationTemporality())
		return each(p, d.ExponentialHistogram.GetDataPoints(), p.exponential)
	case *metricspb.Metric_Summary:
		p.mode = modeCumulative
		return each(p, d.Summary.GetDataPoints(), p.summary)
	}
	return p.take(func() error {
		return refuse(reasonType, "metric %.64q has no data, or of an unknown type: want sum, gauge, histogram, exponential histogram or summary", p.metric)
	})
}

// each reads points of one type. Those without a value are no points.
func each[T interface{ GetFlags() uint32 }](p *otlpPoints, all []T, read func(T) error) error {
	const noValue = uint32(metricspb.DataPointFlags_DATA_POINT_FLAGS_NO_RECORDED_VALUE_MASK)
	for _, dp := range all {
		if dp.GetFlags()&noValue != 0 {
			p.meter.ignored.WithLabelValues("no_recorded_value").Inc()
			continue
		}
		if err := p.take(func() error {
			if p.mode == modeNone {
				return refuse(reasonType, "metric %.64q has no aggregation temporality: want delta or cumulative", p.metric)
			}
			return read(dp)
		}); err != nil {
			return err
		}
	}
	return nil
}

func millis(nanos uint64) int64 { return int64(nanos / 1e6) }

// number is the value of a point, of which one form is exact.
type number struct {
	f       float64
	i       int64
	isFloat bool
}

func numberOf(dp *metricspb.NumberDataPoint) (number, error) {
	switch v := dp.GetValue().(type) {
	case *metricspb.NumberDataPoint_AsDouble:
		return number{f: v.AsDouble, isFloat: true}, nil
	case *metricspb.NumberDataPoint_AsInt:
		return number{i: v.AsInt, f: float64(v.AsInt)}, nil
	}
	return number{}, refuse(reasonNumber, "a point without a value: want a number, or a flag that it is not recorded")
}

func (n number) negative() bool { return n.f < 0 }

// magnitude returns the value without its sign: integers exactly, floats rounded once.
func (n number) magnitude() (crdt.Fixed, error) {
	if n.isFloat {
		return magnitude(n.f)
	}
	u := uint64(n.i)
	if n.i < 0 {
		u = -u
	}
	return crdt.FixedFromUint(u), nil
}

// setting reads a point of a gauge.
func (p *otlpPoints) setting(dp *metricspb.NumberDataPoint) error {
	n, err := numberOf(dp)
	if err != nil {
		return err
	}
	return p.setGauge(p.metric, dp.GetAttributes(), n.f, millis(dp.GetTimeUnixNano()))
}

// setGauge adds a gauge. Sources of one job have a series each: their settings do not add up.
func (p *otlpPoints) setGauge(name string, attributes []*commonpb.KeyValue, value float64, at int64, more ...crdt.Label) error {
	v, err := p.gauge(value, at)
	if err != nil {
		return err
	}
	return p.addTo(name, attributes, v, at, append(more, crdt.Label{Name: "instance", Value: p.source.instance})...)
}

// addTo adds an increment of the series of a point about a time.
func (p *otlpPoints) addTo(name string, attributes []*commonpb.KeyValue, v crdt.Value, at int64, more ...crdt.Label) error {
	ls, err := otlpLabels(attributes, append(more, crdt.Label{Name: "job", Value: p.source.job})...)
	if err != nil {
		return err
	}
	s, err := newSeries(name, v.Kind, ls)
	if err != nil {
		return err
	}
	p.add(s, v, at)
	return nil
}

// sum reads a point of a monotonic sum.
func (p *otlpPoints) sum(dp *metricspb.NumberDataPoint) error {
	n, err := numberOf(dp)
	if err != nil {
		return err
	}
	if n.negative() {
		return refuse(reasonNegative, "value %v of a monotonic sum: one that goes down is not monotonic", n.f)
	}
	amount, err := n.magnitude()
	if err != nil {
		return err
	}
	return p.addAmount(p.metric, dp, amount)
}

// timed is a point that says which time it is about.
type timed interface {
	GetAttributes() []*commonpb.KeyValue
	GetStartTimeUnixNano() uint64
	GetTimeUnixNano() uint64
}

// addAmount adds what only goes up, by the metric's temporality.
func (p *otlpPoints) addAmount(name string, dp timed, amount crdt.Fixed, more ...crdt.Label) error {
	v := crdt.Value{Kind: crdt.KindCounter, P: amount}
	if p.mode == modeDelta {
		if crdt.MaxSample.Less(amount) {
			return refuse(reasonRange, "value %v, want at most 2^63", amount)
		}
	} else {
		var err error
		if v, err = p.observed(p.run(dp), amount); err != nil {
			return err
		}
	}
	return p.addTo(name, dp.GetAttributes(), v, millis(dp.GetTimeUnixNano()), more...)
}

func (p *otlpPoints) run(dp timed) run {
	return run{source: p.source.name, start: millis(dp.GetStartTimeUnixNano()), at: millis(dp.GetTimeUnixNano())}
}

// change reads a point of a sum that goes down too.
func (p *otlpPoints) change(dp *metricspb.NumberDataPoint) error {
	n, err := numberOf(dp)
	if err != nil {
		return err
	}
	if p.mode == modeCumulative { // a level: what it was before says nothing about what it is
		return p.setGauge(p.metric, dp.GetAttributes(), n.f, millis(dp.GetTimeUnixNano()))
	}
	amount, err := n.magnitude()
	if err != nil {
		return err
	}
	v := crdt.Value{Kind: crdt.KindUpDown, P: amount}
	if n.negative() {
		v.P, v.N = v.N, v.P
	}
	return p.addTo(p.metric, dp.GetAttributes(), v, millis(dp.GetTimeUnixNano()))
}

// maxClassicBuckets bounds the series that one histogram makes: ten times what libraries have by default is 150.
const maxClassicBuckets = 500

// histogram reads a point with explicit buckets as the series that Prometheus has for a classic histogram.
func (p *otlpPoints) histogram(dp *metricspb.HistogramDataPoint) error {
	bounds, counts := dp.GetExplicitBounds(), dp.GetBucketCounts()
	if len(counts) > maxClassicBuckets {
		return refuse(reasonTooLong, "%d buckets, want at most %d", len(counts), maxClassicBuckets)
	}
	if len(counts) > 0 && len(counts) != len(bounds)+1 {
		return refuse(reasonRange, "%d buckets for %d bounds", len(counts), len(bounds))
	}
	for i := 1; i < len(bounds); i++ {
		if !(bounds[i-1] < bounds[i]) { // not a number is not in order either
			return refuse(reasonRange, "bounds %v and %v of buckets: want them ascending", bounds[i-1], bounds[i])
		}
	}
	var below uint64
	for i, n := range counts {
		if below += n; below < n {
			return refuse(reasonRange, "2^64 samples in the buckets")
		}
		le := math.Inf(1)
		if i < len(bounds) {
			le = bounds[i]
		}
		if err := p.addAmount(p.metric+"_bucket", dp, crdt.FixedFromUint(below), leLabel(le)); err != nil {
			return err
		}
	}
	if len(counts) > 0 && below != dp.GetCount() {
		return refuse(reasonRange, "%d samples, but %d in the buckets", dp.GetCount(), below)
	}
	if dp.Sum != nil {
		sum, err := amountOfFloat(dp.GetSum())
		if err != nil {
			return err
		}
		if err := p.addAmount(p.metric+"_sum", dp, sum); err != nil {
			return err
		}
	}
	return p.addAmount(p.metric+"_count", dp, crdt.FixedFromUint(dp.GetCount()))
}

func leLabel(bound float64) crdt.Label {
	return crdt.Label{Name: "le", Value: formatFloat(bound)}
}

// formatFloat writes a bound or a quantile as Prometheus does.
func formatFloat(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "+Inf"
	case math.IsInf(f, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// exponential reads a point with exponential buckets.
func (p *otlpPoints) exponential(dp *metricspb.ExponentialHistogramDataPoint) error {
	h := crdt.ExponentialHistogram{
		Scale: dp.GetScale(), Count: dp.GetCount(), ZeroCount: dp.GetZeroCount(), Sum: dp.GetSum(), Min: math.NaN(), Max: math.NaN(),
		Positive: crdt.ExponentialBuckets{Offset: dp.GetPositive().GetOffset(), Counts: dp.GetPositive().GetBucketCounts()},
		Negative: crdt.ExponentialBuckets{Offset: dp.GetNegative().GetOffset(), Counts: dp.GetNegative().GetBucketCounts()},
	}
	if dp.Min != nil {
		h.Min = dp.GetMin()
	}
	if dp.Max != nil {
		h.Max = dp.GetMax()
	}
	d, err := crdt.DistributionFromExponential(&h)
	if err != nil {
		return err
	}
	v := crdt.Value{Kind: crdt.KindDistribution, X: d}
	if p.mode == modeCumulative {
		if v, err = histogramOf(p.run(dp), d); err != nil {
			return err
		}
	}
	return p.addTo(p.metric, dp.GetAttributes(), v, millis(dp.GetTimeUnixNano()))
}

// summary reads a point of a summary. Its quantiles cannot be combined: they stay what each source says.
func (p *otlpPoints) summary(dp *metricspb.SummaryDataPoint) error {
	if n := len(dp.GetQuantileValues()); n > maxClassicBuckets {
		return refuse(reasonTooLong, "%d quantiles, want at most %d", n, maxClassicBuckets)
	}
	for _, q := range dp.GetQuantileValues() {
		if math.IsNaN(q.GetValue()) { // nothing measured
			continue
		}
		quantile := crdt.Label{Name: "quantile", Value: formatFloat(q.GetQuantile())}
		if err := p.setGauge(p.metric, dp.GetAttributes(), q.GetValue(), millis(dp.GetTimeUnixNano()), quantile); err != nil {
			return err
		}
	}
	sum, err := amountOfFloat(dp.GetSum())
	if err != nil {
		return err
	}
	if err := p.addAmount(p.metric+"_sum", dp, sum); err != nil {
		return err
	}
	return p.addAmount(p.metric+"_count", dp, crdt.FixedFromUint(dp.GetCount()))
}
