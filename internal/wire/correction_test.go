package wire

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawCorrections(t *rapid.T) *Corrections {
	m := new(Corrections)
	id := rapid.StringMatching(`[0-9a-f]{16}`)
	for range rapid.IntRange(0, 3).Draw(t, "corrections") {
		c := Correction{
			ID: id.Draw(t, "id"), Number: rapid.Uint64Min(1).Draw(t, "number"), Metric: rapid.StringMatching(`[a-z.*]{1,20}`).Draw(t, "metric"),
			From: rapid.Int64Range(0, 1<<40).Draw(t, "from"), Events: rapid.Uint64().Draw(t, "events"), AgeMs: rapid.Uint64().Draw(t, "age"),
		}
		c.To = c.From + rapid.Int64Range(1, 1<<40).Draw(t, "length")
		for _, region := range []string{"eu", "us"}[:rapid.IntRange(0, 2).Draw(t, "regions")] {
			o := crdt.Origin{Class: crdt.ClassRegion, Region: region, Node: drawName(t, "hub"), Inc: crdt.Incarnation{rapid.Byte().Draw(t, "inc")}}
			r := CorrectedRegion{Totals: WindowMark{Origin: o, Cursor: rapid.Uint64().Draw(t, "cursor")}}
			for range rapid.IntRange(0, 3).Draw(t, "nodes") {
				r.Nodes = append(r.Nodes, drawName(t, "node"))
			}
			slices.Sort(r.Nodes)
			c.Regions = append(c.Regions, r)
		}
		for range rapid.IntRange(0, 2).Draw(t, "replaces") {
			if other := id.Draw(t, "replaced"); other != c.ID {
				c.Replaces = append(c.Replaces, other)
			}
		}
		m.Records = append(m.Records, c)
	}
	return m
}

func TestCorrectionsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawCorrections(t)) })
}

func TestCorrectionsRefused(t *testing.T) {
	region := func(name string, nodes ...string) CorrectedRegion {
		return CorrectedRegion{Totals: WindowMark{Origin: crdt.Origin{Class: crdt.ClassRegion, Region: name, Node: "n"}}, Nodes: nodes}
	}
	many := make([]string, MaxCorrectedNodes+1)
	for i := range many {
		many[i] = fmt.Sprintf("n%05d", i)
	}
	for what, change := range map[string]func(*Correction){
		"no id":              func(c *Correction) { c.ID = "ABCDEF0123456789" },
		"no number":          func(c *Correction) { c.Number = 0 },
		"no metric":          func(c *Correction) { c.Metric = "" },
		"no time":            func(c *Correction) { c.To = c.From },
		"before all time":    func(c *Correction) { c.From = -1 },
		"a region twice":     func(c *Correction) { c.Regions = []CorrectedRegion{region("eu"), region("eu")} },
		"regions not sorted": func(c *Correction) { c.Regions = []CorrectedRegion{region("us"), region("eu")} },
		"nodes not sorted":   func(c *Correction) { c.Regions = []CorrectedRegion{region("eu", "b", "a")} },
		"too many nodes":     func(c *Correction) { c.Regions = []CorrectedRegion{region("eu", many...)} },
		"replaces itself":    func(c *Correction) { c.Replaces = []string{c.ID} },
		"no totals": func(c *Correction) {
			c.Regions = []CorrectedRegion{{Totals: WindowMark{Origin: crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "n"}}}}
		},
	} {
		c := Correction{ID: "0123456789abcdef", Number: 1, Metric: "*", From: 1, To: 2}
		if _, err := AppendMessage(nil, &Corrections{Records: []Correction{c}}); err != nil {
			t.Fatal(err)
		}
		change(&c)
		_, err := AppendMessage(nil, &Corrections{Records: []Correction{c}})
		if err == nil {
			t.Errorf("%s was accepted", what)
			continue
		}
		wantError(t, err, ErrInvalid)
	}
	if _, err := AppendMessage(nil, &Corrections{Records: make([]Correction, MaxCorrections+1)}); err == nil {
		t.Error("257 corrections were accepted")
	}
}
