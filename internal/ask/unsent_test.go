package ask

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/history/historytest"
	"meshd/node"
)

func wide(start, width int64, n uint64) history.Point {
	return history.Point{Window: crdt.Window{Start: start, Width: width}, Value: counter(n)}
}

// Own windows are joined where the hub has the same, put between its own where it has none, and left out where it has wider or
// narrower ones: they never count twice.
func TestOwnWindowsAreJoined(t *testing.T) {
	for _, row := range []struct {
		name           string
		hub, own, want []history.Point
	}{
		{"the hub has more", []history.Point{fine(0, 5)}, []history.Point{fine(0, 3)}, []history.Point{fine(0, 5)}},
		{"the hub has less", []history.Point{fine(0, 5)}, []history.Point{fine(0, 7)}, []history.Point{fine(0, 7)}},
		{"behind it", []history.Point{fine(0, 5)}, []history.Point{fine(10_000, 3)}, []history.Point{fine(0, 5), fine(10_000, 3)}},
		{
			"between",
			[]history.Point{fine(0, 1), fine(20_000, 3)},
			[]history.Point{fine(10_000, 2), fine(30_000, 4)},
			[]history.Point{fine(0, 1), fine(10_000, 2), fine(20_000, 3), fine(30_000, 4)},
		},
		{"inside a wide one", []history.Point{wide(0, 60_000, 9)}, []history.Point{fine(0, 3), fine(50_000, 3)}, []history.Point{wide(0, 60_000, 9)}},
		{
			"around narrow ones",
			[]history.Point{fine(20_000, 1), fine(50_000, 1)},
			[]history.Point{wide(0, 60_000, 9)},
			[]history.Point{fine(20_000, 1), fine(50_000, 1)},
		},
		{"nothing at the hub", nil, []history.Point{fine(0, 3)}, []history.Point{fine(0, 3)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := joined(row.hub, row.own)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(row.want) {
				t.Errorf("%v, %v, want %v", got, err, row.want)
			}
		})
	}
}

// Of a gauge's window who has more samples knows more, also of a sum over nodes, whose stamp is not their count.
func TestGaugesOfAHubAreNotReplacedByOwnOnes(t *testing.T) {
	of := func(stamp uint64, count uint32) crdt.Value {
		return crdt.Value{Kind: crdt.KindRollup, X: &crdt.Rollup{Stamp: crdt.HLC(stamp), Count: count}}
	}
	for _, row := range []struct{ hub, own, want uint32 }{{9, 2, 9}, {2, 9, 9}} {
		v, own := of(1, row.hub), of(5, row.own)
		if err := join(&v, &own); err != nil || v.X.(*crdt.Rollup).Count != row.want {
			t.Errorf("%v, %v, want %d samples", v, err, row.want)
		}
	}
}

func TestSinceWhenOwnWindowsMayBeUnsent(t *testing.T) {
	at := time.UnixMilli(10_000_000)
	long := at.Add(-time.Hour)
	for _, row := range []struct {
		name string
		of   []node.Coverage
		want int64
	}{
		{"all are heard", []node.Coverage{{Region: "eu", NodesExpected: 3, NodesHeard: 3, CompleteUntil: at}}, at.Add(-slack).UnixMilli()},
		{"one is missing", []node.Coverage{{Region: "eu", NodesExpected: 3, NodesHeard: 2, CompleteUntil: at, OldestMissing: long, Missing: []string{"e1"}}}, long.Add(-slack).UnixMilli()},
		{"one was never heard", []node.Coverage{{Region: "eu", NodesExpected: 3, NodesHeard: 2, CompleteUntil: at}}, 0},
		{"nothing is known", []node.Coverage{{Region: "us", NodesExpected: 3, NodesHeard: 3, CompleteUntil: at}}, 0},
	} {
		if got := since(row.of, self); got != row.want {
			t.Errorf("%s: since %d, want %d", row.name, got, row.want)
		}
	}
}

// What is at the hub already is not counted once more, what is not there yet is seen.
func TestOwnUnsentWindowsAreSeenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, a, past, _ := world(t, 1)
		recent := int64(10_000_000) // complete_until
		for _, o := range []history.Owner{{Region: "eu"}, self} {
			past.Add(o, series("clicks1"), fine(recent-10_000, 10)) // both know it
		}
		own := new(historytest.Source)
		for _, o := range []history.Owner{{Region: "eu"}, self} {
			own.Add(o, series("clicks1"), fine(0, 10)) // sent long ago
			own.Add(o, series("clicks1"), fine(recent-10_000, 10))
			own.Add(o, series("clicks1"), fine(recent, 7))
			own.Add(o, series("new3"), fine(recent, 1))
		}
		late := history.Selection{From: 1_000_000, To: 20_000_000}
		p := a.Open(own)
		wantRead(t, p, late, map[string]string{"clicks1 of eu/": "17", "new3 of eu/": "1"})
		late.ByNode = true
		wantRead(t, p, late, map[string]string{"clicks1 of eu/e1": "17", "new3 of eu/e1": "1"})
		names := map[string]int{}
		if err := p.Series(t.Context(), late, func(s *crdt.Series) error { names[s.Name]++; return nil }); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(names) != fmt.Sprint(map[string]int{"clicks1": 1, "new3": 1}) {
			t.Errorf("series %v", names)
		}
	})
}
