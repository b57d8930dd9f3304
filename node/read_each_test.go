package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
)

// walk returns the rows of a walk, with what happens between its steps.
func (w *world) walk(name string, sel Select, between func()) (rows []string, steps int, err error) {
	core := w.procs[name].core
	sel.Each = func(r *Row) error {
		rows = append(rows, rowText(r))
		return nil
	}
	x, err := core.Walk(w.at(), sel)
	for done := false; err == nil && !done; steps++ {
		if steps > 0 {
			between()
		}
		done, err = x.Next(core)
	}
	slices.Sort(rows)
	return rows, steps, err
}

func rowText(r *Row) string {
	return fmt.Sprintf("%s %s/%s %x", r.Series, r.Region, r.Node, r.Value.AppendBinary(nil))
}

func (w *world) rowsOf(name string, sel Select) (rows []string) {
	t, err := w.procs[name].core.Totals(w.at(), sel)
	if err != nil {
		w.t.Fatal(err)
	}
	for i := range t.Rows {
		rows = append(rows, rowText(&t.Rows[i]))
	}
	slices.Sort(rows)
	return rows
}

// countMany makes a node count on more series than a walk looks at in one step.
func (w *world) countMany(name string, from, n int) {
	var items []Item
	for i := from; i < from+n; i++ {
		items = append(items, Item{
			Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "ad", Value: fmt.Sprint(i)}}},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(i + 1))},
		})
	}
	w.ids++
	w.step(w.procs[name], Submit{ID: w.ids, Batch: &Batch{Items: items}})
	w.run(3000)
}

func TestAWalkHandsOnWhatTotalsKeep(t *testing.T) {
	w := newWorld(t, 5)
	mesh(w)
	w.run(3000)
	w.countMany("east-hub1", 0, walkSeries+100)
	for _, name := range []string{"east-hub1", "west-hub1", "east-edge1"} {
		for _, sel := range []Select{{}, {ByNode: true}, {Match: func(s *crdt.Series) bool { return s.Get("ad") > "9" }}} {
			got, steps, err := w.walk(name, sel, func() {})
			if err != nil || steps < 2 {
				t.Fatalf("%s: %d steps, %v", name, steps, err)
			}
			if diff := cmp.Diff(w.rowsOf(name, sel), got); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
		}
	}
	// What was there when it began is handed on at least as great, and series that come meanwhile do no harm.
	before := w.procs["east-hub1"].core.cat.Len()
	rows, _, err := w.walk("east-hub1", Select{}, func() { w.countMany("east-hub1", walkSeries+100, 50) })
	if err != nil || len(rows) < before {
		t.Errorf("%d rows of %d series, %v", len(rows), before, err)
	}
	enough := errors.New("enough")
	x, err := w.procs["east-hub1"].core.Walk(w.at(), Select{Each: func(*Row) error { return enough }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Next(w.procs["east-hub1"].core); !errors.Is(err, enough) {
		t.Errorf("%v, want the error of Each", err)
	}
}

// Versions of a metric count instead of each other: which ones may not change in the middle.
func TestAWalkEndsWhereRulesTakeEffect(t *testing.T) {
	w := newWorld(t, 6)
	mesh(w)
	w.run(3000)
	w.countMany("east-hub1", 0, walkSeries+100)
	rules := []byte(`{"rollup":[{"match":"clicks","drop":["ad"]}]}`)
	_, _, err := w.walk("west-hub1", Select{}, func() {
		w.ids++
		w.step(w.procs["east-hub1"], SetConfig{ID: w.ids, Doc: rules})
		w.run(20_000)
	})
	if !errors.Is(err, ErrMoved) {
		t.Fatalf("%v, want ErrMoved", err)
	}
	got, steps, err := w.walk("west-hub1", Select{}, func() {})
	if err != nil || steps != 1 {
		t.Fatalf("with versions: %d steps, %v", steps, err)
	}
	if diff := cmp.Diff(w.rowsOf("west-hub1", Select{}), got); diff != "" {
		t.Fatal(diff)
	}
}
