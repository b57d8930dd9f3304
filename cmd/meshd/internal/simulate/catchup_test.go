package simulate

import (
	"flag"
	"strings"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/node"
	"meshd/reconcile"
	"meshd/simulations"
)

// edges is how many edges each of the two regions of TestCatchUpCostsWhatChanged has.
var edges = flag.Int("edges", catchUpEdges, "edges of each region that catches up")

// TestCatchUpCostsWhatChanged cuts a region off for an hour.
func TestCatchUpCostsWhatChanged(t *testing.T) { catchUp(t, *edges) }

// catchUp cuts one of two regions off, each with so many edges that count 1,000 series, and compares the bytes that
// cross after the heal with the size of the cells that changed meanwhile: one frame stream per hub entry and hub that
// lacks it.
func catchUp(t *testing.T, edges int) {
	s, err := ParseSchedule(strings.NewReader("faults:\n  - {fault: cut, at: 3m, for: 1h, who: amsterdam}\n"))
	if err != nil {
		t.Fatal(err)
	}
	m := Mesh{
		Nodes: 2 * (2 + edges), Regions: 2, Series: 1000, Change: 200, Every: time.Minute, Flush: 10 * time.Second, Duration: time.Hour + 3*time.Minute + time.Second,
		Seed: 2, Reads: 0.1, Schedule: s,
	}
	p, err := m.Plan()
	if err != nil {
		t.Fatal(err)
	}
	cut := time.Duration(p.Faults[0].At) * time.Millisecond
	heal := cut + time.Hour
	from := map[crdt.Origin]uint64{} // what everybody has of each entry when the cut begins
	var before, after, changed int64
	p.Watch = &simulations.Watch{Every: 100, Look: func(w *simulations.World) {
		between := w.Stats().Links[simulations.Between].Bytes
		switch {
		case w.Now() < cut:
			entries(w, p, func(r *reconcile.Replica) { from[r.Origin] = r.Progress[crdt.StreamLifetime].Covered })
		case w.Now() < heal:
			before = between
			return
		}
		after, changed = between, 0
		entries(w, p, func(r *reconcile.Replica) { changed += sizeSince(t, r, from[r.Origin]) })
	}}
	rep := simulations.Run(p)
	for _, v := range rep.Violations {
		t.Fatal(v)
	}
	ratio := float64(after-before) / float64(changed)
	t.Logf("%d bytes to catch up, %d of changed cells: %.3f", after-before, changed, ratio)
	if changed == 0 || ratio > 1.2 {
		t.Errorf("%d bytes crossed after the heal for %d bytes of changed cells: %.2f times as many, want 1.2", after-before, changed, ratio)
	}
}

// entries calls f for every entry of the other region that a hub holds.
func entries(w *simulations.World, p *simulations.Plan, f func(*reconcile.Replica)) {
	for i, spec := range p.Nodes {
		c := w.Core(i)
		if c == nil || spec.Role != node.RoleHub {
			continue
		}
		for _, r := range c.Replicas() {
			if r.Origin.Class == crdt.ClassRegion && r.Origin.Region != spec.Region {
				f(r)
			}
		}
	}
}

// sizeSince is the size of the frames that carry what changed in r after a seq.
func sizeSince(t *testing.T, r *reconcile.Replica, from uint64) (n int64) {
	for from < r.Progress[crdt.StreamLifetime].Cursor {
		f, ok := r.Build(crdt.StreamLifetime, from, wire.TargetFrameBytes)
		if !ok {
			break
		}
		raw, err := wire.AppendFrame(nil, f)
		if err != nil {
			t.Fatal(err)
		}
		n, from = n+int64(len(raw)), f.To
	}
	return n
}
