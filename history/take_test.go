package history

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

// chunksOf returns all pieces of a store, as a chunk would hold them.
func chunksOf(t testing.TB, s *Store) (out []string) {
	t.Helper()
	var w PieceWriter
	for _, sp := range s.Spans() {
		if err := s.Pieces(t.Context(), sp, true, Place{}, func(p *Piece) error {
			b, err := w.Append(nil, sp, p, 1<<30, nil)
			out = append(out, fmt.Sprintf("%+v %x", sp, b))
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// handOver takes pieces of one store into another, as hubs do: span by span in answers of some pieces, which travel as bytes. next says
// what becomes of an answer; an error ends it all.
func handOver(ctx context.Context, from, to *Store, spans []Span, pieces int, next func(sp Span, after Place) error) error {
	errFull := errors.New("full")
	for _, sp := range spans {
		for after := (Place{}); ; {
			var w PieceWriter
			var b []byte
			n := 0
			err := from.Pieces(ctx, sp, true, after, func(p *Piece) error {
				var err error
				if b, err = w.Append(b, sp, p, 1<<30, nil); err != nil {
					return err
				}
				if after, n = PlaceOf(p), n+1; n >= pieces {
					return errFull
				}
				return nil
			})
			if err != nil && !errors.Is(err, errFull) {
				return err
			}
			if n == 0 {
				break
			}
			var r PieceReader
			if err := r.Read(b, sp, func(p *Piece) error {
				_, err := to.Take(p)
				return err
			}); err != nil {
				return err
			}
			if err := next(sp, after); err != nil {
				return err
			}
		}
	}
	return nil
}

// A hub whose disk is new has its sibling's history in the end, chunk by chunk: whatever publications it got beside, after any crash,
// in any order and as often as it was told.
func TestAHistoryIsHandedOver(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.Uint64().Draw(rt, "world"), rapid.IntRange(1, 120).Draw(rt, "publications"))
		source, kv := open(t, newFakeKV()), newFakeKV()
		for i, a := range w.log {
			if err := source.Apply(a.tag, a.from, a.cells); err != nil {
				rt.Fatal(err)
			}
			if i%25 == 24 {
				if err := source.Fold(context.Background()); err != nil {
					rt.Fatal(err)
				}
			}
		}
		kept := uint64(rapid.IntRange(0, len(w.log)).Draw(rt, "frames that are still kept")) // those behind this come as frames
		pieces := rapid.IntRange(1, 20).Draw(rt, "pieces an answer")
		spans := source.Spans()
		rnd := rand.New(rand.NewPCG(1, rapid.Uint64().Draw(rt, "order")))
		rnd.Shuffle(len(spans), func(i, j int) { spans[i], spans[j] = spans[j], spans[i] })
		for crashes := rapid.IntRange(0, 3).Draw(rt, "crashes"); ; crashes-- {
			to := open(t, kv)
			if crashes > 0 {
				kv.crashAt = kv.commits + rapid.IntRange(1, 12).Draw(rt, "crash after commits")
			}
			w.apply(t, to, max(kept, to.Folded()))
			answers := 0
			err := handOver(context.Background(), source, to, spans, pieces, func(Span, Place) error {
				if answers++; answers%3 == 0 {
					return to.Fold(context.Background())
				}
				return nil
			})
			if err == nil {
				err = to.Fold(context.Background())
			}
			if err != nil && !errors.Is(err, errCrash) {
				rt.Fatal(err)
			}
			if err == nil {
				break
			}
			kv = kv.restarted()
		}
		to := open(t, kv.restarted())
		w.apply(t, to, max(kept, to.Folded()))
		if diff := cmp.Diff(chunksOf(t, source), chunksOf(t, to)); diff != "" {
			rt.Fatal(diff)
		}
		if diff := cmp.Diff(w.want(), contents(t, to)); diff != "" {
			rt.Fatal(diff)
		}
	})
}

// What is taken again is no news and is not written again.
func TestWhatIsHeldAlreadyIsNotTakenAgain(t *testing.T) {
	source, to := open(t, newFakeKV()), open(t, newFakeKV())
	w := newWorld(t, 7, 80)
	w.apply(t, source, 0)
	for round := range 2 {
		news := 0
		for _, sp := range source.Spans() {
			if err := source.Pieces(t.Context(), sp, true, Place{}, func(p *Piece) error {
				n, err := to.Take(p)
				news += n
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		if (news > 0) != (round == 0) {
			t.Errorf("round %d: %d windows were news", round, news)
		}
		if err := to.Fold(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(chunksOf(t, source), chunksOf(t, to)); diff != "" {
		t.Error(diff)
	}
}

// What the receiver does not keep it does not take, whatever the sender keeps.
func TestRetentionOfTheReceiverCounts(t *testing.T) {
	old := counts(&crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, 10_000, now.Add(-48*time.Hour).UnixMilli(), now.Add(-47*time.Hour).UnixMilli())
	source := open(t, newFakeKV())
	to, err := Open(Config{KV: newFakeKV(), Now: clock, Retention: Retention{Fine: 24 * time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	apply(t, source, nodeB, old)
	if spans := source.Spans(); len(spans) != 1 || to.Keeps(spans[0]) {
		t.Fatalf("spans %v", spans)
	}
	if err := source.Pieces(t.Context(), source.Spans()[0], true, Place{}, func(p *Piece) error {
		if n, err := to.Take(p); n != 0 || err != nil {
			t.Errorf("took %d windows: %v", n, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := source.Spans(); len(got) == 0 || len(to.Spans()) != 0 {
		t.Errorf("spans %v and %v", got, to.Spans())
	}
}

func TestSingleNodesAreToldToWhoMayHaveThem(t *testing.T) {
	s := open(t, newFakeKV())
	newWorld(t, 7, 80).apply(t, s, 0)
	for _, sp := range s.Spans() {
		if err := s.Pieces(t.Context(), sp, false, Place{}, func(p *Piece) error {
			if p.From.Class != crdt.ClassRegion {
				t.Errorf("windows of %s", p.From)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestHostilePiecesAreRefused(t *testing.T) {
	sp := Span{Width: 10_000, Start: floor(now.UnixMilli(), spanMillis(10_000))}
	p := &Piece{Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter}, From: nodeB, Points: []Point{
		{Window: crdt.Window{Start: sp.Start, Width: 10_000}, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}},
	}}
	var w PieceWriter
	good, err := w.Append(nil, sp, p, 1<<30, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r PieceReader
	for cut := range len(good) {
		if cut == 0 {
			continue
		}
		if err := r.Read(good[:cut], sp, func(*Piece) error { return nil }); !errors.Is(err, errChunk) {
			t.Errorf("%d of %d bytes: %v", cut, len(good), err)
		}
	}
	if err := r.Read(good, Span{Width: 10_000, Start: sp.Start + 10_000}, nil); !errors.Is(err, errChunk) {
		t.Errorf("a span that is none: %v", err)
	}
	p.Series.Kind = crdt.KindUpDown
	if good, err = w.Append(nil, sp, p, 1<<30, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Read(good, sp, nil); !errors.Is(err, errChunk) {
		t.Errorf("a counter's windows under an updown: %v", err)
	}
	if _, err := ParsePlace([]byte{5, 1}); !errors.Is(err, errChunk) {
		t.Errorf("a place cut short: %v", err)
	}
}

func TestHowFarItWasTakenIsKept(t *testing.T) {
	kv := newFakeKV()
	s := open(t, kv)
	if _, known, err := s.Taking(); known || err != nil {
		t.Fatal(known, err)
	}
	want := Taking{Since: 7, Done: []string{"h1", "h2"}, Hub: "h3", Span: Span{Width: 10_000, Start: 6 * 3_600_000}, After: Place{Series: "a\x00", Owner: "b"}}
	if err := s.SetTaking(want); err != nil {
		t.Fatal(err)
	}
	got, known, err := open(t, kv.restarted()).Taking()
	if err != nil || !known {
		t.Fatal(known, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzPieces(f *testing.F) {
	s := open(f, newFakeKV())
	newWorld(f, 7, 20).apply(f, s, 0)
	sp := s.Spans()[0]
	var w PieceWriter
	if err := s.Pieces(f.Context(), sp, true, Place{}, func(p *Piece) error {
		b, err := w.Append(nil, sp, p, 1<<30, nil)
		f.Add(b)
		return err
	}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		to := open(t, newFakeKV())
		var r PieceReader
		_ = r.Read(b, sp, func(p *Piece) error {
			_, _ = to.Take(p)
			return nil
		})
	})
}
