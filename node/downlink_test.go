package node

import (
	"errors"
	"strings"
	"testing"

	"meshd/crdt"
)

// downlinkMesh has an edge that asked for some series only.
func downlinkMesh(t *testing.T, patterns ...string) *world {
	w := newWorld(t, 81)
	w.each = func(name string, cfg *CoreConfig) {
		if name == "east-edge1" {
			cfg.Downlink = patterns
		}
	}
	mesh(w)
	w.run(3000)
	for _, name := range []string{"east-edge0", "east-edge1", "west-edge0"} {
		w.count(name, "web.hits", 10, Token{})
		w.count(name, "tills.sales", 1, Token{})
	}
	w.run(5000)
	return w
}

func (w *world) ask(name, metric string, names ...string) (*Totals, error) {
	return w.procs[name].core.Totals(w.at(), Select{Match: func(s *crdt.Series) bool { return metric == "*" || s.Name == metric }, Names: names})
}

func TestAnEdgeHoldsWhatItAskedFor(t *testing.T) {
	w := downlinkMesh(t, "web.*")
	if got := w.total("east-edge1", "web.hits"); got != "30" {
		t.Errorf("web.hits: %s, want 30", got)
	}
	_, err := w.ask("east-edge1", "tills.sales", "tills.sales")
	if !errors.Is(err, ErrNotHeld) || !strings.Contains(err.Error(), "web.*") {
		t.Errorf("tills.sales by name: %v, want an error that names web.*", err)
	}
	all, err := w.ask("east-edge1", "*")
	if err != nil || !strings.Contains(all.Withheld, "web.*") {
		t.Errorf("all: withheld %q, %v", all.Withheld, err)
	}
	for _, r := range all.Rows {
		if r.Series.Name == "tills.sales" {
			t.Errorf("all: %s of %s is %s, a part of what it is", r.Series, r.Region, r.Value.P)
		}
	}
	if held, err := w.ask("east-edge1", "web.hits", "web.hits"); err != nil || held.Withheld != "" {
		t.Errorf("web.hits by name: withheld %q, %v", held.Withheld, err)
	}
	w.wholeSince("east-edge1", "west", 5, w.now-5000)
	w.wholeSince("east-edge1", "east", 5, w.now-5000)
	for _, name := range []string{"east-edge0", "east-hub0", "west-edge1"} {
		if got := w.total(name, "tills.sales"); got != "3" {
			t.Errorf("%s answers %s, want 3", name, got)
		}
	}
}

func TestAnEdgeIsNotSentWhatItDidNotAskFor(t *testing.T) {
	w := downlinkMesh(t, "web.*")
	c := w.procs["east-edge1"].core
	for _, d := range c.views.All() {
		if d.Origin.Region != "west" {
			continue
		}
		if n := c.views.Region("west").Len(); n != 1 {
			t.Errorf("%s brought %d series of west, want web.hits only", d.Origin, n)
		}
	}
	w.count("west-edge0", "tills.sales", 5, Token{}) // a flush in which nothing is for it
	w.count("west-edge0", "web.hits", 5, Token{})
	w.run(3000)
	if got := w.total("east-edge1", "web.hits"); got != "35" {
		t.Errorf("web.hits: %s, want 35", got)
	}
	w.count("west-edge0", "tills.sales", 5, Token{})
	at := w.now + 500
	w.run(3000)
	w.wholeSince("east-edge1", "west", 5, at)
}

func TestAnEdgeThatWantsNothingGetsNothing(t *testing.T) {
	w := downlinkMesh(t, []string{}...)
	if w.procs["east-edge1"].core.downlink == nil {
		w.each = func(_ string, cfg *CoreConfig) { cfg.Downlink = []string{} }
	}
	w.kill("east-edge1")
	w.start("east-edge1", "east", RoleEdge)
	came := 0
	w.tap = func(to string, raw []byte) {
		if d, _ := Decode(raw); to == "east-edge1" && d.Frame != nil {
			came++
		}
	}
	w.count("east-edge1", "web.hits", 5, Token{})
	w.run(5000)
	all, err := w.ask("east-edge1", "*")
	if came != 0 || err != nil || len(all.Rows) != 0 || !strings.Contains(all.Withheld, "none") {
		t.Errorf("%d frames came; all: %+v, %v", came, all, err)
	}
	if _, err := w.ask("east-edge1", "web.hits", "web.hits"); !errors.Is(err, ErrNotHeld) {
		t.Errorf("by name: %v", err)
	}
	if got := w.total("east-hub0", "web.hits"); got != "35" {
		t.Errorf("a hub answers %s, want 35", got)
	}
}
