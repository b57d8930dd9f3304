package gossip

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func hubNames(ts []*target) (names []string) {
	for _, t := range ts {
		names = append(names, t.Node)
	}
	return names
}

func TestChooseHomes(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	const (
		up    = 'u' // long enough
		fresh = 'f' // up, but not for long
		down  = 'd' // failed before
		idle  = '.' // never tried
		young = 'n' // up for less than minStay, longer than homeSettle
		flaps = 'x' // as young, after sessions that ended soon
	)
	tests := map[string]struct {
		states string // of hubs 0, 1, 2, ... in the edge's ranking
		dial   []string
		drop   []string
	}{
		"start":                          {states: "...", dial: []string{"0", "1"}},
		"both up":                        {states: "uu."},
		"first lost":                     {states: "du.", dial: []string{"0", "2"}},
		"first lost, replaced":           {states: "duu", dial: []string{"0"}},
		"two lost":                       {states: "dd..", dial: []string{"0", "1", "2", "3"}},
		"first back, not yet for long":   {states: "fuu"},
		"first back for long":            {states: "uuu", drop: []string{"2"}},
		"all lost":                       {states: "ddd", dial: []string{"0", "1", "2"}},
		"one hub":                        {states: "u"},
		"better ones known afterwards":   {states: "..uu", dial: []string{"0", "1"}},
		"better one known, first tried":  {states: "d.uu", dial: []string{"0", "1"}},
		"one too many, not yet for long": {states: "uun"},
		"two too many":                   {states: "uuun", drop: []string{"2"}},
		"first back again and again":     {states: "xuu"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var ranked []*target
			for i, c := range tt.states {
				x := &target{hub: hub{Node: fmt.Sprint(i)}, since: now.Add(-time.Hour)}
				switch c {
				case up:
					x.up = uint64(i + 1)
				case fresh:
					x.up, x.since = uint64(i+1), now.Add(-homeSettle/2)
				case young:
					x.up, x.since = uint64(i+1), now.Add(-minStay+time.Second)
				case flaps:
					x.up, x.since, x.flaps = uint64(i+1), now.Add(-minStay+time.Second), 2
				case down:
					x.failures = 1
				case idle:
				}
				ranked = append(ranked, x)
			}
			dial, drop := chooseHomes(ranked, 2, now)
			if !slices.Equal(hubNames(dial), tt.dial) || !slices.Equal(hubNames(drop), tt.drop) {
				t.Errorf("dial %v, drop %v, want %v and %v", hubNames(dial), hubNames(drop), tt.dial, tt.drop)
			}
		})
	}
}

func TestBackoffIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, limit := rapid.IntRange(1, 1_000_000).Draw(t, "n"), 2*time.Second
		if d := backoff(n, limit); d < 0 || d >= limit || (n == 1 && d >= 200*time.Millisecond) {
			t.Fatalf("pause %v after %d failures", d, n)
		}
	})
}

func TestBookKeepsNoDeadHubAliveByHearsay(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := Config{Role: Hub, Homes: 2, Link: LAN}
	b := newBook(identity{region: "eu", node: "h1"}, &cfg)
	dead := hub{Region: "eu", Node: "h2", Addr: "10.0.0.2:1"}
	b.learn(now, true, dead)
	for range 100 {
		now = now.Add(freshFor / 10)
		b.learn(now, false, dead)
	}
	if list := b.list(now, "eu", 10); len(list) != 0 {
		t.Errorf("still named: %v", list)
	}
	if _, _, again := b.due(now.Add(forgetAfter)); again.IsZero() || len(b.targets) != 0 {
		t.Errorf("still remembered after a day: %v", b.targets)
	}
}

func TestBookIsBoundedAndIgnoresWhatNobodyCanDial(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	cfg := Config{Role: Edge, Homes: 2, Link: LAN}
	b := newBook(identity{region: "eu", node: "e1"}, &cfg)
	b.learn(now, true, hub{Region: "eu", Node: "h", Addr: "0.0.0.0:1"}, hub{Region: "eu", Node: "h", Addr: "name:1"},
		hub{Region: "eu", Node: "a b", Addr: "10.0.0.1:1"}, hub{Region: "", Node: "h", Addr: "10.0.0.1:1"})
	if len(b.targets) != 0 {
		t.Errorf("remembers %v", b.targets)
	}
	for i := range 2 * maxTargets {
		b.learn(now, true, hub{Region: "eu", Node: "h", Addr: fmt.Sprintf("10.0.%d.%d:1", i/256, i%256)})
	}
	if len(b.targets) != maxTargets {
		t.Errorf("%d targets, limit %d", len(b.targets), maxTargets)
	}
}
