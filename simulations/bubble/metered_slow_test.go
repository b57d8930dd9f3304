//go:build slow

package bubble

import (
	"context"
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
		{name: "downlink of nothing that is counted", downlink: []string{"nothing"}, bar: 0.4e9},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, m *mesh) {
				measureMetered(t, m, kindsOf(c.gauges, c.distributions), c.downlink, c.bar)
			})
		})
	}
}

func measureMetered(t *testing.T, m *mesh, kinds []crdt.Kind, downlink []string, bar float64) {
	var meter gossip.Meter
	m.start("r00-h1", "r00-h2")
	var others []*distant
	for r := 1; r < meteredRegions; r++ {
		d := m.newDistant(fmt.Sprintf("r%02d", r), time.Second)
		d.meet(m.machines["r00-h1"])
		d.meet(m.machines["r00-h2"])
		others = append(others, d)
	}
	edge := m.newMachine("r00-e1")
	edge.change = func(c *gossip.Config) { c.Link, c.Meter, c.Join = gossip.Metered, &meter, m.at("r00-h1") }
	edge.core = func(c *node.CoreConfig) { c.Flush, c.OneFeed, c.Downlink = 30_000, true, downlink }
	var in [256]struct{ messages, bytes atomic.Uint64 }
	edge.heard = func(msg []byte) {
		in[msg[0]&0x7f].messages.Add(1)
		in[msg[0]&0x7f].bytes.Add(uint64(len(msg)))
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
	for i := range in {
		in[i].messages.Store(0)
		in[i].bytes.Store(0)
	}
	run(meteredTime)
	now, packetsNow := meter.Payload()
	scale := float64(month) / float64(meteredTime)
	t.Logf("UDP payload %.0f MB a month, with headers %.0f MB, %.1f packets a minute; the first %v: %d KB",
		float64(now-payload)*scale/1e6, float64(meter.Bytes()-connect)*scale/1e6, float64(packetsNow-packets)/meteredTime.Minutes(), meteredWarm, connect/1000)
	for i := range in {
		if n := in[i].messages.Load(); n > 0 {
			t.Logf("  messages of type %d: %d, %.0f bytes each, %.0f MB a month", i, n, float64(in[i].bytes.Load())/float64(n), float64(in[i].bytes.Load())*scale/1e6)
		}
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
