package client

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"meshd/crdt"
)

// narrow is the greatest amount that is added without a lock: 2^44 of them fit between two reports.
const narrow = 1 << 20

// Counter counts what only goes up.
type Counter struct {
	c    *Client
	n    atomic.Uint64
	mu   sync.Mutex
	wide crdt.Fixed
}

// Inc adds 1.
func (c *Counter) Inc() { c.n.Add(1) }

// Add adds n.
func (c *Counter) Add(n uint64) {
	if n <= narrow {
		c.n.Add(n)
		return
	}
	c.mu.Lock()
	c.c.grow(&c.wide, crdt.FixedFromUint(n))
	c.mu.Unlock()
}

// AddFloat adds f, rounded once to a multiple of 2^-48. Negative amounts, NaN and those beyond 2^63 are not counted and
// appear in Stats as Refused.
func (c *Counter) AddFloat(f float64) {
	amount, err := crdt.FixedFromFloat(f)
	if err != nil {
		c.c.refused.Add(1)
		return
	}
	c.mu.Lock()
	c.c.grow(&c.wide, amount)
	c.mu.Unlock()
}

func (c *Counter) take(v *crdt.Value) {
	c.mu.Lock()
	wide := c.wide
	c.wide = crdt.Fixed{}
	c.mu.Unlock()
	c.c.grow(&v.P, wide)
	c.c.grow(&v.P, crdt.FixedFromUint(c.n.Swap(0)))
}

// UpDown counts what goes up and down: what was added and what was removed are kept apart.
type UpDown struct{ up, down Counter }

// Add adds n, or removes -n.
func (u *UpDown) Add(n int64) {
	if n < 0 {
		u.down.Add(-uint64(n))
	} else {
		u.up.Add(uint64(n))
	}
}

// AddFloat adds f, or removes -f. What is out of range is refused as by Counter.AddFloat.
func (u *UpDown) AddFloat(f float64) {
	if f < 0 {
		u.down.AddFloat(-f)
	} else {
		u.up.AddFloat(f)
	}
}

func (u *UpDown) take(v *crdt.Value) {
	down := crdt.Value{P: v.N}
	u.up.take(v)
	u.down.take(&down)
	v.N = down.P
}

// Gauge is the last of the values that it is set to. All processes that set a series through one node set one gauge: give
// them a label each to see them apart.
type Gauge struct {
	c    *Client
	bits atomic.Uint64
	set  atomic.Bool
}

// Set sets the value. NaN and infinities are refused.
func (g *Gauge) Set(f float64) {
	if f-f != 0 {
		g.c.refused.Add(1)
		return
	}
	g.bits.Store(math.Float64bits(f))
	g.set.Store(true)
}

func (g *Gauge) take(v *crdt.Value) {
	if g.set.Swap(false) {
		v.X = &crdt.Gauge{Time: 1, Value: math.Float64frombits(g.bits.Load())} // the node that takes it dates it
	}
}

// Distribution is a histogram whose quantiles are right to 0.55%.
type Distribution struct {
	c  *Client
	mu sync.Mutex
	d  *crdt.Distribution
}

// Observe adds one sample. NaN, infinities and what is beyond 2^63 are refused.
func (d *Distribution) Observe(f float64) { d.ObserveN(f, 1) }

// ObserveN adds n samples of one value.
func (d *Distribution) ObserveN(f float64, n uint64) {
	if n == 0 {
		return
	}
	d.mu.Lock()
	if d.d == nil {
		d.d = new(crdt.Distribution)
	}
	err := d.d.Observe(f, n)
	d.mu.Unlock()
	if err != nil {
		d.c.refused.Add(n)
	}
}

func (d *Distribution) take(v *crdt.Value) {
	d.mu.Lock()
	x := d.d
	d.d = nil
	d.mu.Unlock()
	if x != nil && x.Count() > 0 {
		v.X = x
	}
}

// Timer is a Distribution of durations in seconds.
type Timer struct{ d *Distribution }

// Observe adds one duration.
func (t *Timer) Observe(d time.Duration) { t.d.Observe(d.Seconds()) }

// Start begins a measurement that its Stop ends.
func (t *Timer) Start() Stopwatch { return Stopwatch{t.d, time.Now()} }

// Stopwatch is a measurement that runs.
type Stopwatch struct {
	d     *Distribution
	begun time.Time
}

// Stop adds the time since Start and returns it.
func (s Stopwatch) Stop() time.Duration {
	took := time.Since(s.begun)
	s.d.Observe(took.Seconds())
	return took
}

// Unique counts distinct values, ±0.81%. The values themselves do not leave the process.
type Unique struct {
	mu sync.Mutex
	u  *crdt.Unique
}

// Add adds a value. One that was added before, anywhere in the mesh by any protocol, counts once.
func (u *Unique) Add(value string) {
	h := xxhash.Sum64String(value)
	u.mu.Lock()
	if u.u == nil {
		u.u = new(crdt.Unique)
	}
	u.u.InsertHash(h)
	u.mu.Unlock()
}

func (u *Unique) take(v *crdt.Value) {
	u.mu.Lock()
	x := u.u
	u.u = nil
	u.mu.Unlock()
	if x != nil {
		v.X = x
	}
}

// instrument gives what was added to it since the last time: take puts that into v, the bottom of
// its kind.
type instrument interface{ take(v *crdt.Value) }

// entry is an instrument with its series.
type entry struct {
	series *crdt.Series
	of     instrument
	size   int // bytes of the series in a report, about
}

// Counter returns the counter of a name and pairs of label and value. It is never nil: if the name or a label is refused,
// OnError hears why, Stats counts it, and what is counted into it goes nowhere.
func (c *Client) Counter(name string, labels ...string) *Counter {
	return instrumentOf(c, name, crdt.KindCounter, labels, &Counter{c: c})
}

// UpDown returns the updown of a name and labels, as Counter does.
func (c *Client) UpDown(name string, labels ...string) *UpDown {
	return instrumentOf(c, name, crdt.KindUpDown, labels, &UpDown{Counter{c: c}, Counter{c: c}})
}

// Gauge returns the gauge of a name and labels, as Counter does.
func (c *Client) Gauge(name string, labels ...string) *Gauge {
	return instrumentOf(c, name, crdt.KindGauge, labels, &Gauge{c: c})
}

// Distribution returns the distribution of a name and labels, as Counter does.
func (c *Client) Distribution(name string, labels ...string) *Distribution {
	return instrumentOf(c, name, crdt.KindDistribution, labels, &Distribution{c: c})
}

// Timer returns the distribution of a name and labels for durations, as Counter does.
func (c *Client) Timer(name string, labels ...string) *Timer {
	return &Timer{c.Distribution(name, labels...)}
}

// Unique returns the count of distinct values of a name and labels, as Counter does.
func (c *Client) Unique(name string, labels ...string) *Unique {
	return instrumentOf(c, name, crdt.KindUnique, labels, new(Unique))
}

// overflowMetric is the series that samples beyond the limit go to, of a node as of a client.
const overflowMetric = "meshd.overflow"

// instrumentOf returns the instrument of a series: the one that there is, or fresh.
func instrumentOf[T instrument](c *Client, name string, kind crdt.Kind, pairs []string, fresh T) T {
	s, err := c.cfg.series(name, kind, pairs)
	if err != nil {
		c.refusedSeries.Add(1)
		c.failed(err)
		return fresh
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.byKey[string(s.AppendKey(nil))]; ok {
		return old.of.(T) // the kind is part of the key
	}
	if len(c.entries)-c.overflows >= c.cfg.Series {
		c.overflowed++
		if old := c.overflow[kind]; old != nil {
			return old.of.(T)
		}
		s = &crdt.Series{Name: overflowMetric, Kind: kind}
		c.overflows++
		c.overflow[kind] = c.add(s, fresh)
		return fresh
	}
	c.byKey[string(s.AppendKey(nil))] = c.add(s, fresh)
	return fresh
}

func (c *Client) add(s *crdt.Series, of instrument) *entry {
	e := &entry{series: s, of: of, size: 32 + len(s.AppendKey(nil))}
	c.entries = append(c.entries, e)
	return e
}

// grow adds to an amount; what is beyond 2^80, which no node could hold, is refused.
func (c *Client) grow(to *crdt.Fixed, amount crdt.Fixed) {
	sum, ok := to.Add(amount)
	if !ok {
		c.refused.Add(1)
		return
	}
	*to = sum
}

// increment takes what was added since the last report. It is bottom if there is nothing. A cell holds 2^64 at most: more
// is refused here as it would be by every node.
func (e *entry) increment(c *Client) crdt.Value {
	v := crdt.Bottom(e.series.Kind)
	e.of.take(&v)
	for _, f := range []*crdt.Fixed{&v.P, &v.N} {
		if crdt.MaxCell.Less(*f) {
			*f = crdt.MaxCell
			c.refused.Add(1)
		}
	}
	return v
}

func empty(v *crdt.Value) bool { return v.P.IsZero() && v.N.IsZero() && v.X == nil }
