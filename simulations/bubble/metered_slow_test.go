//go:build slow

package bubble

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/gossip"
	"meshd/node"
)

// The mesh that a metered edge is measured in, and for how long.
const (
	meteredRegions = 20
	meteredSeries  = 200
	meteredWarm    = 2 * time.Minute
	meteredTime    = 10 * time.Minute
	month          = 30 * 24 * time.Hour
)

// What takes long and has no bar is measured on demand.
var measure = flag.Bool("measure", false, "measure a metered line with other kinds, too, and what a dictionary would save")

// active returns what is counted in a second: some of the series rise, so that all do in every interval. The first time they get
// what a mesh of some age has.
func active(t *testing.T, random *rand.Rand, kinds []crdt.Kind, first bool) *node.Batch {
	b := &node.Batch{}
	for i, kind := range kinds {
		if !first && random.IntN(5) != 0 {
			continue
		}
		inc := crdt.Value{Kind: kind}
		switch kind {
		case crdt.KindCounter:
			inc.P = crdt.FixedFromUint(1 + random.Uint64N(200))
			if first {
				inc.P = crdt.FixedFromUint(random.Uint64N(1_000_000_000))
			}
		case crdt.KindGauge:
			inc.X = &crdt.Gauge{Time: crdt.HLCFrom(time.Now().UnixMilli(), 0), Value: float64(random.IntN(10_000)) / 100}
		case crdt.KindDistribution:
			d := new(crdt.Distribution)
			for range 5 {
				if err := d.Observe(20+random.ExpFloat64()*40, 1); err != nil {
					t.Fatal(err)
				}
			}
			inc.X = d
		default:
			t.Fatalf("nobody counts a %v here", kind)
		}
		b.Items = append(b.Items, node.Item{Inc: inc, Series: &crdt.Series{
			Name: "shop.requests." + kind.String(), Kind: kind, Labels: []crdt.Label{{Name: "path", Value: fmt.Sprintf("/articles/%d", i)}},
		}})
	}
	return b
}

// kindsOf returns the kinds of a node's series: so many gauges and distributions, the rest counters.
func kindsOf(gauges, distributions int) []crdt.Kind {
	kinds := make([]crdt.Kind, meteredSeries)
	for i := range kinds {
		switch {
		case i < gauges:
			kinds[i] = crdt.KindGauge
		case i < gauges+distributions:
			kinds[i] = crdt.KindDistribution
		default:
			kinds[i] = crdt.KindCounter
		}
	}
	return kinds
}

// traffic counts the messages that come to a machine, by what they are.
type traffic struct {
	to string
	in [128]struct{ messages, bytes atomic.Uint64 }
}

func (w *traffic) note(msg []byte) {
	c := &w.in[msg[0]&0x7f]
	c.messages.Add(1)
	c.bytes.Add(uint64(len(msg)))
}

func (w *traffic) forget() {
	for i := range w.in {
		w.in[i].messages.Store(0)
		w.in[i].bytes.Store(0)
	}
}

func (w *traffic) log(t *testing.T, scale float64) {
	for i := range w.in {
		if n, bytes := w.in[i].messages.Load(), float64(w.in[i].bytes.Load()); n > 0 {
			t.Logf("  to %s, type %d: %d, %.0f bytes each, %.0f MB a month", w.to, i, n, bytes/float64(n), bytes*scale/1e6)
		}
	}
}

// TestMeteredEdgeMonth measures what the line of a metered edge carries in a month: 200 series that it and every region of
// 20 count all the time, a hub in each region, two in its own.
func TestMeteredEdgeMonth(t *testing.T) {
	for _, c := range []struct {
		name                  string
		gauges, distributions int
		downlink              []string
		bar                   float64 // bytes a month; 0: none
	}{
		{name: "counters", bar: 1e9},
		{name: "mixed", gauges: 40, distributions: 10},
		{name: "downlink of nothing that is counted", downlink: []string{"nothing"}, bar: 0.5e9},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.bar == 0 && !*measure {
				t.Skip("no bar is set for it: give -args -measure")
			}
			bubble(t, func(t *testing.T, m *mesh) {
				measureMetered(t, m, kindsOf(c.gauges, c.distributions), c.downlink, c.bar)
			})
		})
	}
}

func measureMetered(t *testing.T, m *mesh, kinds []crdt.Kind, downlink []string, bar float64) {
	var meter gossip.Meter
	for _, name := range []string{"r00-h1", "r00-h2", "r00-e1"} {
		m.newMachine(name).keeps = true
	}
	m.start("r00-h1", "r00-h2")
	var others []*distant
	for r := 1; r < meteredRegions; r++ {
		d := m.newDistant(fmt.Sprintf("r%02d", r), time.Second)
		d.meet(m.machines["r00-h1"])
		d.meet(m.machines["r00-h2"])
		others = append(others, d)
	}
	edge := m.machines["r00-e1"]
	edge.change = func(c *gossip.Config) { c.Link, c.Meter, c.Join = gossip.Metered, &meter, m.at("r00-h1") }
	edge.core = func(c *node.CoreConfig) { c.Flush, c.OneFeed, c.Downlink = 30_000, true, downlink }
	var ways []*traffic // down to the edge, up to each home
	for _, name := range []string{"r00-e1", "r00-h1", "r00-h2"} {
		w := &traffic{to: name}
		ways = append(ways, w)
		m.machines[name].heard = w.note
	}
	var down kept
	dictionary := *measure && downlink == nil && bar > 0
	if dictionary {
		edge.heard = func(msg []byte) { ways[0].note(msg); down.note(msg) }
	}
	m.start(edge.name)
	random := rand.New(rand.NewPCG(1, 1))
	second := func(first bool) {
		for _, name := range []string{"r00-h1", "r00-e1"} {
			if r := m.machines[name].proc.Load().node.Submit(context.Background(), active(t, random, kinds, first)); r.Err != nil || len(r.Rejected) > 0 {
				t.Fatalf("count at %s: %v, %v", name, r.Err, r.Rejected)
			}
		}
		for _, d := range others {
			d.step(node.Submit{Batch: active(t, random, kinds, first)})
			d.step(node.Tick{})
		}
		time.Sleep(time.Second)
	}
	run := func(d time.Duration) {
		for range int(d / time.Second) {
			second(false)
		}
	}
	second(true)
	run(meteredWarm)
	connect := meter.Bytes()
	payload, packets := meter.Payload()
	for _, w := range ways {
		w.forget()
	}
	run(meteredTime)
	now, packetsNow := meter.Payload()
	scale := float64(month) / float64(meteredTime)
	t.Logf("UDP payload %.0f MB a month, with headers %.0f MB, %.1f packets a minute; the first %v: %d KB",
		float64(now-payload)*scale/1e6, float64(meter.Bytes()-connect)*scale/1e6, float64(packetsNow-packets)/meteredTime.Minutes(), meteredWarm, connect/1000)
	for _, w := range ways {
		w.log(t, scale)
	}
	if dictionary {
		down.measureDictionary(t)
	}
	c, err := m.machines["r00-e1"].proc.Load().node.Totals(context.Background(), node.Select{})
	if err != nil || len(c.Coverage) != meteredRegions {
		t.Fatalf("coverage of %d regions, %v", len(c.Coverage), err)
	}
	for _, r := range c.Coverage {
		if r.NodesHeard != r.NodesExpected || r.Age > 65*time.Second {
			t.Errorf("%+v", r)
		}
	}
	if carried := float64(now-payload) * scale; bar > 0 && carried > bar {
		t.Errorf("%.0f bytes a month, want at most %.0f", carried, bar)
	}
}
