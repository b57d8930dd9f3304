package historytest

import (
	"context"
	"testing"

	"meshd/crdt"
	"meshd/history"
)

func TestSourceYieldsTheWidestThatIsOfUse(t *testing.T) {
	series := &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "host", Value: "a"}}}
	point := func(start, width int64, n uint64) history.Point {
		return history.Point{Window: crdt.Window{Start: start, Width: width}, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)}}
	}
	s := new(Source)
	eu := history.Owner{Region: "eu"}
	s.Add(eu, series, point(0, 10, 1), point(10, 10, 2), point(0, 60, 3), point(10, 10, 4))
	s.Add(history.Owner{Region: "eu", Node: "n"}, series, point(0, 10, 1))
	for _, row := range []struct {
		name string
		sel  history.Selection
		want []history.Point
	}{
		{"finest", history.Selection{To: 100}, []history.Point{point(0, 10, 1), point(10, 10, 6)}},
		{"half of it", history.Selection{From: 5, To: 100}, []history.Point{point(10, 10, 6)}},
		{"minutes", history.Selection{To: 100, Width: 60}, []history.Point{point(0, 60, 3)}},
		{"no such label", history.Selection{To: 100, Equal: []crdt.Label{{Name: "host", Value: "b"}}}, nil},
		{"no such region", history.Selection{To: 100, Regions: []string{"us"}}, nil},
		{"of the node", history.Selection{To: 100, ByNode: true}, []history.Point{point(0, 10, 1)}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []history.Point
			if err := s.Curves(context.Background(), row.sel, func(c *history.Curve) error {
				got = append(got, c.Points...)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if len(got) != len(row.want) {
				t.Fatalf("got %v, want %v", got, row.want)
			}
			for i := range got {
				if got[i] != row.want[i] {
					t.Errorf("point %d: got %v, want %v", i, got[i], row.want[i])
				}
			}
		})
	}
	found := 0
	if err := s.Series(context.Background(), history.Selection{Names: func(n string) bool { return n == "clicks" }}, func(*crdt.Series) error {
		found++
		return nil
	}); err != nil || found != 1 {
		t.Errorf("found %d series, %v", found, err)
	}
}
