package historytest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"meshd/crdt"
	"meshd/history"
)

// Hosts are CPU series of hosts: gauges of whole numbers from 0 to 100 in random walks, set once in every fine window, and the
// minutes and hours that their writers keep beside them. It is the data of the figures of disk and queries.
type Hosts struct {
	Hosts, Series int           // hosts, and series of each
	Fine          time.Duration // width of the fine windows
	From          time.Time     // of the first window, aligned to an hour
	Length        time.Duration
	Seed          uint64
	Kind          crdt.Kind // KindGauge, or KindCounter: the same numbers as amounts
	Region        string
}

// names of the series, as Prometheus' benchmark suites have them.
var cpuModes = [...]string{"user", "system", "idle", "nice", "iowait", "irq", "softirq", "steal", "guest", "guest_nice"}

// Define returns the definition of series i of host h.
func (l *Hosts) Define(h, i int) *crdt.Series {
	return &crdt.Series{Name: "cpu_usage_" + cpuModes[i%len(cpuModes)], Kind: l.Kind, Labels: []crdt.Label{
		{Name: "cpu", Value: fmt.Sprint(i / len(cpuModes))},
		{Name: "host", Value: fmt.Sprintf("host-%d", h)},
	}}
}

// Owner returns whose windows those of host h are.
func (l *Hosts) Owner(h int) crdt.Origin {
	o := crdt.Origin{Class: crdt.ClassNode, Region: l.Region, Node: fmt.Sprintf("host-%d", h)}
	o.Inc[0], o.Inc[1], o.Inc[2] = 1, byte(h), byte(h>>8)
	return o
}

// Load applies all windows of all hosts, one series after the other, and folds now and then. It returns the number of fine
// windows.
func (l *Hosts) Load(s *history.Store, fold func() error) (samples int, err error) {
	tag := s.Folded()
	for h := range l.Hosts {
		for i := range l.Series {
			cells := l.Cells(h, i)
			tag++
			if err := s.Apply(tag, l.Owner(h), cells); err != nil {
				return samples, err
			}
			samples += int(l.Length / l.Fine)
		}
		if h%10 == 9 || h == l.Hosts-1 {
			if err := fold(); err != nil {
				return samples, err
			}
		}
	}
	return samples, nil
}

// Cells returns the windows of series i of host h, fine ones first.
func (l *Hosts) Cells(h, i int) []history.Cell {
	rnd := rand.New(rand.NewPCG(l.Seed, uint64(h)<<16|uint64(i)))
	series := l.Define(h, i)
	value := float64(rnd.IntN(101))
	phase := rnd.Int64N(l.Fine.Milliseconds() - 3)
	fine := make([]history.Cell, 0, l.Length/l.Fine)
	for at := int64(0); at < l.Length.Milliseconds(); at += l.Fine.Milliseconds() {
		value = min(max(value+rnd.NormFloat64(), 0), 100)
		w := crdt.Window{Start: l.From.UnixMilli() + at, Width: l.Fine.Milliseconds()}
		fine = append(fine, history.Cell{Series: series, Window: w, Value: l.value(math.Floor(value), w.Start+phase+rnd.Int64N(3))})
	}
	cells := fine
	for _, width := range [...]time.Duration{time.Minute, time.Hour} {
		cells = append(cells, Widen(fine, width)...)
	}
	return cells
}

func (l *Hosts) value(v float64, at int64) crdt.Value {
	if l.Kind == crdt.KindCounter {
		return crdt.Value{Kind: l.Kind, P: crdt.FixedFromUint(uint64(v))}
	}
	r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at, 0), Value: v}})
	r.Stamp = crdt.HLC(r.Count)
	return crdt.Value{Kind: crdt.KindRollup, X: r}
}

// Widen adds up windows of one series to wider ones, as their writer does.
func Widen(fine []history.Cell, by time.Duration) (out []history.Cell) {
	width := by.Milliseconds()
	for _, c := range fine {
		w := crdt.Window{Start: c.Window.Start - c.Window.Start%width, Width: width}
		if len(out) == 0 || out[len(out)-1].Window != w {
			out = append(out, history.Cell{Series: c.Series, Window: w, Value: crdt.Bottom(c.Value.Kind)})
		}
		v := &out[len(out)-1].Value
		if err := v.Combine(&c.Value); err != nil {
			panic(err) // no sum of these is near a limit
		}
		if r, ok := v.X.(*crdt.Rollup); ok {
			r.Stamp = crdt.HLC(r.Count)
		}
	}
	return out
}
