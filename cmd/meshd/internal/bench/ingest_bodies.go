package bench

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

// bodies makes the requests of one client about series of its own. They are laid out once; a round of them is written by
// filling in what changes, so that whoever sends them leaves the processors to who is measured.
type bodies struct {
	path, kind, encoding string

	laid    []laidBody
	next    int
	round   uint64 // of the body that next returns, from 1
	scratch []byte
}

// laidBody is a body and where the samples' values and times are in it.
type laidBody struct {
	raw           []byte
	samples       int
	values, times []int
}

// newBodies lays out requests of a door for so many series.
func newBodies(door, metric string, client, series, batch int) *bodies {
	b := &bodies{round: 1}
	var lay func(metric string, client, from, to int) laidBody
	switch door {
	case "remote-write":
		b.path, b.kind, b.encoding, lay = "/api/v1/write", "application/x-protobuf", "snappy", layRemoteWrite
	case "otlp":
		b.path, b.kind, lay = "/v1/metrics", "application/x-protobuf", layOTLP
	default:
		b.path, b.kind, lay = "/v1/events", "application/x-ndjson", layEvents
	}
	for _, span := range evenly(series, batch) {
		b.laid = append(b.laid, lay(metric, client, span[0], span[1]))
	}
	return b
}

// evenly cuts so many series into as few requests as hold them with at most batch each, of sizes that differ by one at most.
func evenly(series, batch int) (spans [][2]int) {
	requests := (series + batch - 1) / batch
	for i := range requests {
		spans = append(spans, [2]int{i * series / requests, (i + 1) * series / requests})
	}
	return spans
}

// take returns the next body, which is valid until the next call, and what an answer to it adds to the metric's total.
func (b *bodies) take(now time.Time) (body []byte, samples int, adds int64) {
	l := &b.laid[b.next]
	round := b.round
	if b.next++; b.next == len(b.laid) {
		b.next = 0
		b.round++
	}
	switch b.path {
	case "/api/v1/write":
		for i := range l.values {
			binary.LittleEndian.PutUint64(l.raw[l.values[i]:], math.Float64bits(float64(round)))
			binary.PutUvarint(l.raw[l.times[i]:], uint64(now.UnixMilli()))
		}
		b.scratch = snappy.Encode(b.scratch[:cap(b.scratch)], l.raw)
		return b.scratch, l.samples, int64(l.samples)
	case "/v1/metrics":
		for i := range l.values {
			binary.LittleEndian.PutUint64(l.raw[l.values[i]:], round)
			binary.LittleEndian.PutUint64(l.raw[l.times[i]:], uint64(now.UnixNano()))
		}
	}
	return l.raw, l.samples, int64(l.samples)
}

// labelsOf are the three labels of a series.
func labelsOf(client, i int) [3][2]string {
	return [3][2]string{
		{"instance", fmt.Sprintf("10.0.%d.%d:9100", client, i/1000)}, {"path", fmt.Sprintf("/v1/items/%d", i%1000/3)}, {"status", fmt.Sprint(200 + i%3)},
	}
}

// layRemoteWrite lays out a prometheus.WriteRequest: one sample of each series.
func layRemoteWrite(metric string, client, from, to int) (l laidBody) {
	for i := from; i < to; i++ {
		var series []byte
		label := func(name, value string) {
			m := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), name)
			m = protowire.AppendString(protowire.AppendTag(m, 2, protowire.BytesType), value)
			series = protowire.AppendBytes(protowire.AppendTag(series, 1, protowire.BytesType), m)
		}
		label("__name__", metric)
		for _, kv := range labelsOf(client, i) {
			label(kv[0], kv[1])
		}
		sample := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 0)
		sample = protowire.AppendVarint(protowire.AppendTag(sample, 2, protowire.VarintType), uint64(localStart)) // as many bytes as now takes
		series = protowire.AppendBytes(protowire.AppendTag(series, 2, protowire.BytesType), sample)
		l.raw = protowire.AppendBytes(protowire.AppendTag(l.raw, 1, protowire.BytesType), series)
		at := len(l.raw) - len(sample)
		l.values, l.times = append(l.values, at+1), append(l.times, at+1+8+1)
	}
	l.samples = to - from
	return l
}

// layOTLP lays out an ExportMetricsServiceRequest: a cumulative sum with a point of each series.
func layOTLP(metric string, client, from, to int) (l laidBody) {
	var points []byte
	for i := from; i < to; i++ {
		var p []byte
		for _, kv := range labelsOf(client, i) {
			value := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), kv[1])
			m := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), kv[0])
			m = protowire.AppendBytes(protowire.AppendTag(m, 2, protowire.BytesType), value)
			p = protowire.AppendBytes(protowire.AppendTag(p, 7, protowire.BytesType), m)
		}
		p = protowire.AppendFixed64(protowire.AppendTag(p, 2, protowire.Fixed64Type), localStart*1e6) // start
		p = protowire.AppendFixed64(protowire.AppendTag(p, 3, protowire.Fixed64Type), 0)              // time
		p = protowire.AppendFixed64(protowire.AppendTag(p, 6, protowire.Fixed64Type), 0)              // as_int
		points = protowire.AppendBytes(protowire.AppendTag(points, 1, protowire.BytesType), p)
		l.values, l.times = append(l.values, len(points)-8), append(l.times, len(points)-8-1-8)
	}
	points = protowire.AppendVarint(protowire.AppendTag(points, 2, protowire.VarintType), 2) // cumulative
	points = protowire.AppendVarint(protowire.AppendTag(points, 3, protowire.VarintType), 1) // monotonic
	const sum, metrics, scopeMetrics, resourceMetrics = 7, 2, 2, 1
	m := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), metric)
	for _, field := range []protowire.Number{sum, metrics, scopeMetrics, resourceMetrics} {
		before := len(points)
		points = protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), points)
		m = nil
		for i := range l.values { // what now stands before them
			l.values[i] += len(points) - before
			l.times[i] += len(points) - before
		}
	}
	l.raw, l.samples = points, to-from
	return l
}

// layEvents lays out JSON events, one a line, each of which counts one.
func layEvents(metric string, client, from, to int) (l laidBody) {
	for i := from; i < to; i++ {
		kv := labelsOf(client, i)
		l.raw = fmt.Appendf(l.raw, "{\"event\":%q,\"value\":1,\"labels\":{%q:%q,%q:%q,%q:%q}}\n", metric, kv[0][0], kv[0][1], kv[1][0], kv[1][1], kv[2][0], kv[2][1])
	}
	l.samples = to - from
	return l
}
