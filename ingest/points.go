package ingest

import (
	"fmt"
	"math"
	"net/http"

	"meshd/crdt"
	"meshd/node"
)

// points collects the data points of a request and what became of each. A point may make several items (a histogram
// has many series): it counts whole or not at all, but for what the node itself refuses.
type points struct {
	now   crdt.HLC
	seen  int // points so far: the number of the one that is read
	items []node.Item
	point []int // of each item

	rejected map[int]reason // points
	first    string         // why the first one was refused
	clamped  int
}

func newPoints(now crdt.HLC) *points { return &points{now: now, rejected: make(map[int]reason)} }

// take reads one point with read, which adds its items. On an error none of them stay and the point is rejected. The
// errors of take answer the request as a whole.
func (p *points) take(read func() error) error {
	if p.seen >= maxItems {
		return errTooMany()
	}
	before := len(p.items)
	err := read()
	if err == nil && len(p.items) > maxItems {
		return errTooMany()
	}
	if err != nil {
		p.items, p.point = p.items[:before], p.point[:before]
		p.reject(p.seen, err)
	}
	p.seen++
	return nil
}

func errTooMany() error {
	return &httpError{
		http.StatusRequestEntityTooLarge, reasonTooLong,
		fmt.Sprintf("more than %d samples, or series of them: send less a request", maxItems),
	}
}

func (p *points) reject(point int, err error) {
	if _, known := p.rejected[point]; known {
		return
	}
	p.rejected[point] = reasonOf(err)
	if p.first == "" {
		p.first = fmt.Sprintf("point %d: %v", point, err)
	}
}

// rejectedText says how many points were refused, by what they are called, and why the first was.
func (p *points) rejectedText(called string) string {
	return fmt.Sprintf("%d of %d %s were refused, the others are on disk; the first: %s", len(p.rejected), p.seen, called, p.first)
}

// add adds an item to the point that is read, which is about a time in milliseconds, 0 if it does not say.
func (p *points) add(s *crdt.Series, inc crdt.Value, at int64) {
	it := node.Item{Series: s, Inc: inc}
	if inc.Kind != crdt.KindGauge && inc.Kind != crdt.KindObserved { // those have it in themselves, held against the clock here
		it.At = max(at, 0)
	}
	p.items = append(p.items, it)
	p.point = append(p.point, p.seen)
}

// settle counts what became of the points once the node has answered.
func (p *points) settle(m *meter, refused []node.Rejection) {
	for _, r := range refused {
		p.reject(p.point[r.Index], r.Err)
	}
	m.lines.Add(float64(p.seen))
	m.clamped.Add(float64(p.clamped))
	for _, r := range p.rejected {
		m.rejected[r].Inc()
	}
}

// gauge returns the setting of a gauge. at is the client's time in milliseconds, 0 if it gave none.
func (p *points) gauge(value float64, at int64) (crdt.Value, error) {
	if value-value != 0 {
		return crdt.Value{}, refuse(reasonRange, "value %v of a gauge is not finite", value)
	}
	stamp, dated := p.now, false
	if at != 0 {
		if stamp, dated = stampAt(at, p.now); !dated {
			p.clamped++
		}
	}
	return crdt.Value{Kind: crdt.KindGauge, X: &crdt.Gauge{Time: stamp, Value: value + 0, Dated: dated}}, nil
}

// run names one life of a source outside the mesh whose counts are cumulative.
type run struct {
	source    string
	start, at int64 // milliseconds since 1970; start is 0 if unknown
}

// observed returns what was seen of a cumulative count.
func (p *points) observed(r run, value crdt.Fixed) (crdt.Value, error) {
	o := new(crdt.Observed)
	if err := o.Put(crdt.Sample{Source: r.source, Start: r.start, Time: p.clampTime(r.at), Value: value}); err != nil {
		return crdt.Value{}, err
	}
	return crdt.Value{Kind: crdt.KindObserved, X: o}, nil
}

// histogramOf returns what was seen of a cumulative histogram. It takes d over.
func histogramOf(r run, d *crdt.Distribution) (crdt.Value, error) {
	h := new(crdt.Histograms)
	if err := h.Put(r.source, r.start, d); err != nil {
		return crdt.Value{}, err
	}
	return crdt.Value{Kind: crdt.KindHistogram, X: h}, nil
}

// clampTime keeps a clock that runs ahead from making a reading newer than all that follow.
func (p *points) clampTime(at int64) int64 {
	stamp, dated := stampAt(at, p.now)
	if !dated && at != 0 {
		p.clamped++
	}
	return stamp.Millis()
}

// amountOfFloat returns a count or a sum, which must not be negative.
func amountOfFloat(v float64) (crdt.Fixed, error) {
	if v < 0 {
		return crdt.Fixed{}, refuse(reasonNegative, "value %v of what only goes up", v)
	}
	return magnitude(v)
}

// magnitude returns |v|, rounded once.
func magnitude(v float64) (crdt.Fixed, error) {
	f, err := crdt.FixedFromFloat(math.Abs(v))
	if err != nil {
		return f, refuse(reasonRange, "value %v is out of range", v)
	}
	return f, nil
}
