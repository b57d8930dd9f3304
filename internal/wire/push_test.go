package wire

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawPush(t *rapid.T) *Push {
	m := &Push{Frame: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "frame")}
	kinds := slices.DeleteFunc(slices.Clone(nodeKinds), func(k crdt.Kind) bool { return k == crdt.KindGauge })
	for range rapid.IntRange(0, 4).Draw(t, "yours") {
		y := Yours{Inc: drawID(t), Whole: rapid.Bool().Draw(t, "whole")}
		if !y.Whole {
			indices := rapid.SliceOfNDistinct(rapid.Uint32Range(0, MaxFrameCells-1), 0, 30, rapid.ID[uint32]).Draw(t, "indices")
			slices.Sort(indices)
			of := rapid.SliceOfN(rapid.SampledFrom(kinds), len(indices), len(indices)).Draw(t, "kinds")
			slices.Sort(of)
			for i, index := range indices {
				y.Cells = append(y.Cells, YoursCell{Index: index, Value: stored(t, drawInc(t, of[i]), 1)})
			}
		}
		m.Yours = append(m.Yours, y)
	}
	return m
}

// TestPushOfBottom holds that a part may be bottom: a hub's copy can lack all the buckets that a total changed.
func TestPushOfBottom(t *testing.T) {
	m := &Push{Yours: []Yours{{Cells: []YoursCell{{Index: 4, Value: crdt.Bottom(crdt.KindDistribution)}}}}}
	b, err := AppendMessage(nil, m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := ParseMessage(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Message(m), got, cmpopts.EquateEmpty()); diff != "" {
		t.Error(diff)
	}
}

func TestPushRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawPush(t)) })
}

func TestPushRefused(t *testing.T) {
	counter := func(index uint32) YoursCell {
		return YoursCell{Index: index, Value: crdt.Bottom(crdt.KindCounter)}
	}
	many := make([]YoursCell, MaxFrameCells)
	for i := range many {
		many[i] = counter(uint32(i))
	}
	tests := []struct {
		name string
		m    Push
		want error
	}{
		{"whole with cells", Push{Yours: []Yours{{Whole: true, Cells: []YoursCell{counter(0)}}}}, ErrInvalid},
		{"index beyond a frame", Push{Yours: []Yours{{Cells: []YoursCell{counter(MaxFrameCells)}}}}, ErrInvalid},
		{"kinds out of order", Push{Yours: []Yours{{Cells: []YoursCell{
			{Index: 0, Value: crdt.Bottom(crdt.KindUpDown)}, counter(1),
		}}}}, ErrInvalid},
		{"gauge", Push{Yours: []Yours{{Cells: []YoursCell{
			{Index: 0, Value: crdt.Value{Kind: crdt.KindGauge, X: new(crdt.Gauge)}},
		}}}}, ErrInvalid},
		{"above the bound of a cell", Push{Yours: []Yours{{Cells: []YoursCell{
			{Index: 0, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.Fixed{Hi: 1 << 50}}},
		}}}}, ErrInvalid},
		{"too many incarnations", Push{Yours: make([]Yours, MaxYours+1)}, ErrLimit},
		{"too many parts", Push{Yours: []Yours{{Cells: many}, {Cells: many}, {Cells: many}}}, ErrLimit},
		{"frame too long", Push{Frame: make([]byte, MaxFrameBytes+1)}, ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := AppendMessage(nil, &test.m)
			wantError(t, err, test.want)
		})
	}
	b, err := AppendMessage(nil, &Push{Yours: []Yours{{Cells: many}, {Cells: many}}})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := ParseMessage(b); err != nil || partsOf(m.(*Push).Yours) != MaxPushParts {
		t.Errorf("the most parts of a push are refused: %v", err)
	}
	_, err = AppendMessage(nil, &Push{Yours: []Yours{{Cells: []YoursCell{counter(1), counter(1)}}}})
	wantError(t, err, ErrInvalid)
}

// TestPushHostile sends columns of Yours that no sender writes.
func TestPushHostile(t *testing.T) {
	tests := []struct {
		name  string
		cells []byte
		want  error
	}{
		{"no cells", []byte{0}, ErrLimit},
		{"more cells than bytes allow", []byte{0xff, 0xff, 3, 0}, ErrLimit},
		{"kind 0", []byte{1, 0, 0, 0, 0, 0}, ErrInvalid},
		{"kind 300", []byte{1, 16, 44, 1, 0, 0, 0, 0}, ErrInvalid},
		{"index", []byte{1, 1, 1, 24, 0, 0, 255, 0, 0, 0}, ErrInvalid},
		{"values missing", []byte{1, 1, 1, 0}, ErrMalformed},
		{"bytes left over", []byte{1, 1, 1, 0, 0, 0, 0, 0}, ErrMalformed},
		{"a gauge", []byte{1, 2, 3, 0, 5, 0, 0, 0, 0}, ErrInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := newWriter([]byte{typePush})
			w.array(pushFields)
			w.bytes(nil)
			w.array(1)
			w.array(yoursFields)
			w.bytes(make([]byte, 16))
			w.bool(false)
			w.bytes(test.cells)
			b, err := w.done()
			if err != nil {
				t.Fatal(err)
			}
			_, err = ParseMessage(b)
			wantError(t, err, test.want)
		})
	}
}
