package node

import (
	"errors"
	"fmt"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestARecordOfManyNodesOfManyRegions: each region has fewer nodes than a record may name, all together have more.
func TestARecordOfManyNodesOfManyRegions(t *testing.T) {
	r := Correction{ID: correctionA, Metric: "*", From: 1, To: 2}
	inc := fmt.Sprintf("%032x", 1)
	for _, region := range []string{"eu", "us", "ap"} {
		p := CorrectedRegion{Region: region, Hub: "h", Inc: inc}
		for i := range wire.MaxCorrectedNodes * 2 / 3 {
			p.Nodes = append(p.Nodes, fmt.Sprintf("n%04d", i))
		}
		r.Regions = append(r.Regions, p)
	}
	out, err := r.record()
	if err != nil {
		t.Fatal(err)
	}
	out.Number = 1
	if err := out.Check(); err != nil {
		t.Fatal(err)
	}
	named := 0
	for i := range out.Regions {
		named += len(out.Regions[i].Nodes)
	}
	if want := wire.MaxCorrectedNodes * 2 / 3; named != want {
		t.Errorf("%d nodes are named, want the %d of one region", named, want)
	}
}

func TestNoProcessOfACorrection(t *testing.T) {
	for _, inc := range []string{"", "0", "zz", fmt.Sprintf("%0128x", 1)} {
		r := Correction{ID: correctionA, Metric: "*", From: 1, To: 2, Regions: []CorrectedRegion{{Region: "eu", Hub: "h", Inc: inc}}}
		if _, err := r.record(); !errors.Is(err, ErrCorrection) {
			t.Errorf("%q: %v", inc, err)
		}
	}
}

// TestARecordThatCannotBeTold is refused, and the hub goes on.
func TestARecordThatCannotBeTold(t *testing.T) {
	w := newWindowWorld(t, 21)
	mesh(w)
	w.run(3000)
	origin := w.procs["east-hub0"].core.totalOrigin()
	for what, p := range map[string]wire.CorrectedRegion{
		"a node": {Totals: wire.WindowMark{Origin: origin}, Nodes: []string{"no name"}},
		"a hub":  {Totals: wire.WindowMark{Origin: crdt.Origin{Class: origin.Class, Region: origin.Region, Node: "no name"}}},
		"region": {Totals: wire.WindowMark{Origin: crdt.Origin{Class: origin.Class, Region: "no name", Node: "h"}}},
	} {
		if err := w.correct("east-hub0", wire.Correction{ID: correctionA, Regions: []wire.CorrectedRegion{p}}); !errors.Is(err, ErrCorrection) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
