package crdt

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

// parcel is a delta as it travels.
type parcel struct {
	origin int
	tag    uint64
	d      Value
}

// history lets a few writers write and cuts parcels from their cells along the way: any (from, to] at any time.
// The last parcels of each writer cover (0, head] in pieces of its final cell.
func history(t *rapid.T, s *subject, writers int) ([]*writer, []parcel) {
	ws := make([]*writer, writers)
	var parcels []parcel
	cut := func(i int, from, to uint64) {
		if d, tag, ok := ws[i].cell.Delta(from, to, ws[i].seq); ok {
			parcels = append(parcels, parcel{origin: i, tag: tag, d: d.Clone()})
		}
	}
	for i := range ws {
		ws[i] = newWriter(s, i)
	}
	for range rapid.IntRange(0, 10).Draw(t, "steps") {
		i := rapid.IntRange(0, writers-1).Draw(t, "writer")
		ws[i].write(t)
		from := rapid.Uint64Range(0, ws[i].head).Draw(t, "from")
		cut(i, from, rapid.Uint64Range(from, ws[i].head).Draw(t, "to"))
	}
	for i, w := range ws {
		for from := uint64(0); from < w.head; {
			to := rapid.Uint64Range(from+1, w.head).Draw(t, "piece")
			cut(i, from, to)
			from = to
		}
	}
	return ws, parcels
}

// schedule returns parcels in any order, some of them twice.
func schedule(t *rapid.T, parcels []parcel) []parcel {
	if len(parcels) == 0 {
		return nil
	}
	twice := rapid.SliceOfN(rapid.SampledFrom(parcels), 0, 3).Draw(t, "repeated")
	return rapid.Permutation(append(twice, parcels...)).Draw(t, "order")
}

func TestDeltasInAnyOrderRepeatedAndGroupedGiveTheWhole(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		ws, parcels := history(t, s, 1)
		direct, relay, relayed := Bottom(s.kind), Bottom(s.kind), Bottom(s.kind)
		var relaySeq uint64
		for _, p := range schedule(t, parcels) {
			mustJoin(t, &direct, &p.d, p.tag)
			if mustJoin(t, &relay, &p.d, p.tag) {
				relaySeq = max(relaySeq, p.tag)
			}
			if rapid.Bool().Draw(t, "relay now") {
				if d, tag, ok := relay.Delta(0, relaySeq, relaySeq); ok {
					mustJoin(t, &relayed, &d, tag)
				}
			}
		}
		if d, tag, ok := relay.Delta(0, relaySeq, relaySeq); ok {
			mustJoin(t, &relayed, &d, tag)
		}
		for _, got := range []*Value{&direct, &relayed} {
			if bytesOf(got) != bytesOf(&ws[0].cell) {
				t.Fatalf("got %+v, want %+v", s.contents(got), s.contents(&ws[0].cell))
			}
		}
	})
}

// A replica never holds more than the writer wrote (I6), whatever has arrived.
func TestReplicasStayBelowTheWriter(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		ws, parcels := history(t, s, 1)
		replica := Bottom(s.kind)
		for _, p := range schedule(t, parcels) {
			before := replica.Clone()
			mustJoin(t, &replica, &p.d, p.tag)
			if !atMost(t, &before, &replica) || !atMost(t, &replica, &ws[0].cell) {
				t.Fatalf("%+v after %+v, the writer has %+v", s.contents(&replica), s.contents(&before), s.contents(&ws[0].cell))
			}
		}
	})
}

// combined is the reader's view over origins. The seq of a gauge is its writer's and says nothing over origins.
func combined(t failer, s *subject, cells []Value) *Value {
	t.Helper()
	out := Bottom(s.kind)
	for i := range cells {
		if err := out.Combine(&cells[i]); err != nil {
			t.Fatalf("combine: %v", err)
		}
	}
	return withoutSeq(&out)
}

func withoutSeq(v *Value) *Value {
	out := v.Clone()
	if g, ok := out.X.(*Gauge); ok {
		g.stamp = 0
	}
	return &out
}

// A rollup is replaced whole, so no sum of rollups can be kept running.
func hasRunningSum(s *subject) bool { return s.kind != KindRollup }

func TestRunningSumEqualsCombineAfterAnySchedule(t *testing.T) {
	forEachKind(t, hasRunningSum, func(t *rapid.T, s *subject) {
		const origins = 3
		_, parcels := history(t, s, origins)
		cells, sum := make([]Value, origins), Bottom(s.kind)
		for i := range cells {
			cells[i] = Bottom(s.kind)
		}
		for n, p := range schedule(t, parcels) {
			stamp := uint64(n + 1)
			before := withoutSeq(&sum)
			if _, err := cells[p.origin].Join(&p.d, p.tag, &sum, stamp); err != nil {
				t.Fatalf("join: %v", err)
			}
			want := combined(t, s, cells)
			if bytesOf(withoutSeq(&sum)) != bytesOf(want) {
				t.Fatalf("running sum %+v, want %+v", s.contents(&sum), s.contents(want))
			}
			if sum.X == nil {
				continue
			}
			d, _ := sum.X.Delta(stamp-1, stamp)
			if rose := bytesOf(before) != bytesOf(want); rose != (d != nil) {
				t.Fatalf("sum rose: %v, but its delta at stamp %d is %v", rose, stamp, d)
			}
		}
	})
}

func TestRemoveTakesAnOriginOutOfASum(t *testing.T) {
	forEachKind(t, func(s *subject) bool { return s.additive }, func(t *rapid.T, s *subject) {
		ws, _ := history(t, s, 2)
		sum := combined(t, s, []Value{ws[0].cell, ws[1].cell})
		sum.Remove(&ws[1].cell)
		// The least and the greatest sample of a distribution cannot be taken back.
		if d, ok := sum.X.(*Distribution); ok {
			first, _ := ws[0].cell.X.(*Distribution)
			if first == nil {
				first = new(Distribution)
			}
			d.ranged, d.least, d.greatest = first.ranged, first.least, first.greatest
		}
		if !reflect.DeepEqual(s.contents(sum), s.contents(&ws[0].cell)) {
			t.Fatalf("%+v is left, want %+v", s.contents(sum), s.contents(&ws[0].cell))
		}
	})
}

// A node adds to a hub's total what it wrote beyond what the total contains of it (I3, I5).
func TestTotalAndExcessLieBetweenOwnAndTruth(t *testing.T) {
	forEachKind(t, hasRunningSum, func(t *rapid.T, s *subject) {
		ws, parcels := history(t, s, 2)
		hub := []Value{Bottom(s.kind), Bottom(s.kind)}
		order := schedule(t, parcels)
		for _, p := range order[:rapid.IntRange(0, len(order)).Draw(t, "heard")] {
			mustJoin(t, &hub[p.origin], &p.d, p.tag)
		}
		own, part := &ws[0].cell, &hub[0]
		answer := combined(t, s, hub)
		if err := answer.AddExcess(own, part); err != nil {
			t.Fatalf("add excess: %v", err)
		}
		answer = withoutSeq(answer)
		exact := combined(t, s, []Value{*own, hub[1]})
		if bytesOf(answer) != bytesOf(exact) {
			t.Fatalf("answer %+v, want own and the others' %+v", s.contents(answer), s.contents(exact))
		}
		truth := combined(t, s, []Value{ws[0].cell, ws[1].cell})
		if !atMost(t, answer, truth) {
			t.Fatalf("answer %+v above the truth %+v", s.contents(answer), s.contents(truth))
		}
		if !atMost(t, withoutSeq(own), answer) {
			t.Fatalf("answer %+v below own %+v", s.contents(answer), s.contents(own))
		}
		// An unknown pair is read as nothing: the candidate is own cells alone.
		alone := Bottom(s.kind)
		if err := alone.AddExcess(own, &Value{Kind: s.kind}); err != nil {
			t.Fatalf("add excess: %v", err)
		}
		if bytesOf(withoutSeq(&alone)) != bytesOf(withoutSeq(own)) {
			t.Fatalf("own cells alone %+v, want %+v", s.contents(&alone), s.contents(own))
		}
	})
}

// With a frame of a total travels what that frame contains of the receiver: the same parts, read at the same instant.
func TestExcessOfRestrictedPairs(t *testing.T) {
	forEachKind(t, func(s *subject) bool { return s.additive }, func(t *rapid.T, s *subject) {
		ws, parcels := history(t, s, 2)
		hub, total := []Value{Bottom(s.kind), Bottom(s.kind)}, Bottom(s.kind)
		order := schedule(t, parcels)
		heard := rapid.IntRange(0, len(order)).Draw(t, "heard")
		for i, p := range order[:heard] {
			if _, err := hub[p.origin].Join(&p.d, p.tag, &total, uint64(i+1)); err != nil {
				t.Fatalf("join: %v", err)
			}
		}
		from := uint64(rapid.IntRange(0, heard).Draw(t, "from"))
		frame, _, ok := total.Delta(from, uint64(heard), uint64(heard))
		if !ok {
			return
		}
		yours := hub[0].Restrict(&frame)
		if !atMost(t, &yours, &frame) {
			t.Fatalf("the total %+v contains less than yours %+v", s.contents(&frame), s.contents(&yours))
		}
		own := ws[0].cell.Restrict(&frame)
		if err := frame.AddExcess(&own, &yours); err != nil {
			t.Fatalf("add excess: %v", err)
		}
		truth := combined(t, s, []Value{ws[0].cell, ws[1].cell})
		if !atMost(t, &frame, truth) {
			t.Fatalf("answer %+v above the truth %+v", s.contents(&frame), s.contents(truth))
		}
	})
}
