package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/node"
)

// TestWhatIsCountedArrivesOnce counts while requests and answers are lost and repeated and nodes restart: no total is ever
// above what was counted, and all of it is there once the network is well and the client says so.
func TestWhatIsCountedArrivesOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newMesh(t, 3)
		defer m.close()
		m.fault = func(string) fault {
			return fault(rapid.IntRange(0, int(numFaults)-1).Draw(rt, "fault"))
		}
		c, k := m.client(Config{})
		clicks, load, size, users := c.Counter("clicks"), c.UpDown("load"), c.Distribution("size"), c.Unique("users")
		var counted uint64
		check := func() {
			v := m.total("clicks")
			if got := v.P; crdt.FixedFromUint(counted).Less(got) {
				rt.Fatalf("total %s, counted %d", got, counted)
			}
		}
		for i := range rapid.IntRange(1, 25).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				m.restart(fmt.Sprintf("node%d", rapid.IntRange(0, 2).Draw(rt, "node")), false)
			case 1, 2:
				clicks.Inc()
				load.Add(int64(1 - 2*(i%2)))
				size.Observe(float64(i))
				users.Add(fmt.Sprint(counted))
				counted++
			default:
				k.at = k.at.Add(longestPause)
				_ = c.sender.round(context.Background(), false) // lost requests are errors
				check()
			}
		}
		m.fault = nil
		k.at = k.at.Add(longestPause)
		if err := c.sender.round(context.Background(), false); err != nil {
			rt.Fatalf("all is well, and: %v", err)
		}
		if st := c.Stats(); st.InDoubt > 0 || st.Unknown > 0 || st.Rejected > 0 || st.Refused > 0 {
			rt.Fatalf("%+v", st)
		}
		for metric, get := range map[string]func(v crdt.Value) uint64{
			"clicks": func(v crdt.Value) uint64 { return uint64(v.P.Float64()) },
			"load":   func(v crdt.Value) uint64 { return uint64(v.P.Float64() + v.N.Float64()) },
			"size":   func(v crdt.Value) uint64 { return v.X.(*crdt.Distribution).Count() },
			"users":  func(v crdt.Value) uint64 { return uint64(math.Round(v.X.(*crdt.Unique).Estimate())) },
		} {
			if v := m.total(metric); v.Kind != 0 && get(v) != counted || v.Kind == 0 && counted > 0 {
				rt.Fatalf("%s: %+v, want %d", metric, v, counted)
			}
		}
	})
}

// TestANodeThatForgotCountsNothingTwice: a report is in doubt at a node whose disk is lost, and a copy of it arrives there
// after the session has begun again.
func TestANodeThatForgotCountsNothingTwice(t *testing.T) {
	m := newMesh(t, 1)
	defer m.close()
	c, k := m.client(Config{})
	clicks := c.Counter("clicks")
	clicks.Inc()
	if err := c.sender.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	clicks.Add(10)
	m.fault = func(string) fault { return unanswered }
	if err := c.sender.round(t.Context(), false); !errors.Is(err, ErrUnacknowledged) {
		t.Fatalf("without an answer: %v", err)
	}
	if st := c.Stats(); st.InDoubt != 1 {
		t.Fatalf("%+v", st)
	}
	m.restart("node0", true)
	m.fault = nil
	clicks.Add(100)
	for range 2 {
		k.at = k.at.Add(longestPause)
		_ = c.sender.round(t.Context(), false)
	}
	if v, st := m.total("clicks"), c.Stats(); v.P.String() != "100" || st.Unknown != 1 || st.InDoubt != 0 || !errors.Is(st.LastError, errChain) {
		t.Errorf("total %s, %+v: want the 100 that were counted since, and one report unknown", v.P, st)
	}
}

// TestAnotherNodeTakesWhatIsCountedSince: one report waits for the node that may have it, the others go on.
func TestAnotherNodeTakesWhatIsCountedSince(t *testing.T) {
	m := newMesh(t, 2)
	defer m.close()
	c, k := m.client(Config{})
	clicks := c.Counter("clicks")
	clicks.Inc()
	requests := 0
	m.fault = func(string) fault {
		if requests++; requests == 2 { // the first session is open: its first report gets no answer
			return unanswered
		}
		return delivered
	}
	if err := c.sender.round(t.Context(), false); !errors.Is(err, ErrUnacknowledged) {
		t.Fatal(err)
	}
	clicks.Add(10)
	if err := c.sender.round(t.Context(), false); !errors.Is(err, ErrUnacknowledged) {
		t.Fatal("one report is in doubt")
	}
	if v := m.total("clicks"); v.P.String() != "11" || c.Stats().Reports != 1 {
		t.Fatalf("total %s, %+v", v.P, c.Stats())
	}
	k.at = k.at.Add(longestPause)
	if err := c.sender.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if v := m.total("clicks"); v.P.String() != "11" || c.Stats().Reports != 2 {
		t.Errorf("total %s, %+v", v.P, c.Stats())
	}
}

func TestAReportOfManySeriesIsCut(t *testing.T) {
	m := newMesh(t, 1)
	defer m.close()
	c, _ := m.client(Config{Series: 30_000})
	for i := range 25_000 {
		c.Counter("clicks", "id", fmt.Sprint(i)).Inc()
	}
	if err := c.sender.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if v := m.total("clicks"); v.P.String() != "25000" || c.Stats().Reports != 3 {
		t.Errorf("total %s in %d reports", v.P, c.Stats().Reports)
	}
}

func TestBeyondTheLimitAllIsCountedTogether(t *testing.T) {
	m := newMesh(t, 1)
	defer m.close()
	c, _ := m.client(Config{Series: 3})
	for i := range 10 {
		c.Counter("clicks", "id", fmt.Sprint(i)).Add(2)
		c.Counter("clicks", "id", fmt.Sprint(i)).Add(1) // the same one
	}
	if err := c.sender.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if v, o := m.total("clicks"), m.total(node.OverflowMetric); v.P.String() != "9" || o.P.String() != "21" {
		t.Errorf("total %s, overflow %s", v.P, o.P)
	}
	c.Distribution("size").Observe(1)
	if st := c.Stats(); st.Series != 5 || st.Overflowed != 15 || overflowMetric != node.OverflowMetric {
		t.Errorf("%+v", st)
	}
}

func TestWhatCannotBeCountedIsRefused(t *testing.T) {
	m := newMesh(t, 1)
	defer m.close()
	var heard []error
	c, _ := m.client(Config{Labels: map[string]string{"app": "shop"}, OnError: func(err error) { heard = append(heard, err) }})
	c.Counter("odd", "label").Inc()
	c.Counter("").Inc()
	c.Gauge("long", "l", strings.Repeat("x", crdt.MaxValueBytes+1)).Set(1)
	c.Counter("f").AddFloat(-1)
	c.Counter("f").AddFloat(math.NaN())
	c.Gauge("g").Set(math.Inf(1))
	c.Distribution("d").Observe(math.NaN())
	c.Distribution("d").ObserveN(1, 0)
	if st := c.Stats(); st.RefusedSeries != 3 || st.Refused != 4 || len(heard) != 3 {
		t.Errorf("%+v, %d errors", st, len(heard))
	}
	if err := c.sender.round(t.Context(), false); err != nil || len(m.sent) != 0 {
		t.Errorf("%v, %d reports of nothing", err, len(m.sent))
	}
	c.Counter("huge").Add(math.MaxUint64)
	c.Counter("huge").Add(math.MaxUint64)
	c.UpDown("level").Add(math.MinInt64)
	c.Gauge("g", "app", "own").Set(-2.5)
	if err := c.sender.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if v := m.total("huge"); v.P != crdt.MaxCell || c.Stats().Refused != 5 {
		t.Errorf("%s, %+v", v.P, c.Stats())
	}
	if v := m.total("level"); v.N != crdt.MaxSample {
		t.Errorf("%s", v.N)
	}
}

// TestABadReportDoesNotJam: what every node refuses is let go and counted.
func TestABadReportDoesNotJam(t *testing.T) {
	m := newMesh(t, 1)
	defer m.close()
	c, k := m.client(Config{})
	c.Counter("clicks").Inc()
	c.entries[0].series.Kind = crdt.KindSet // no report may say that
	for range 2 {
		_ = c.sender.round(t.Context(), false)
		k.at = k.at.Add(longestPause)
	}
	c.Counter("views").Inc()
	if err := c.sender.round(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if v := m.total("views"); v.P.String() != "1" || c.Stats().Rejected != 1 {
		t.Errorf("total %s, %+v", v.P, c.Stats())
	}
}

func TestConfigsThatCannotBe(t *testing.T) {
	for want, cfg := range map[string]Config{
		"no nodes":         {},
		"want an address":  {Nodes: []string{"localhost:8946"}},
		"named twice":      {Nodes: []string{"http://a", "http://a/"}},
		"want an interval": {Nodes: []string{"http://a"}, Interval: 1},
		"want at most 16":  {Nodes: make([]string, 17)},
		"check: ":          {Nodes: []string{"http://a"}, Labels: map[string]string{"": "x"}},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m := newMesh(t, 1)
	defer m.close()
	c, _ := m.client(Config{})
	counter, updown, gauge, size, took, users := c.Counter("a"), c.UpDown("b"), c.Gauge("c"), c.Distribution("d"), c.Timer("e"), c.Unique("f")
	if n := testing.AllocsPerRun(1000, func() {
		counter.Inc()
		counter.Add(1 << 40)
		counter.AddFloat(0.5)
		updown.Add(-3)
		gauge.Set(7)
		size.Observe(1.5)
		took.Start().Stop()
		users.Add("user-1")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
