package audit

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/bridge"
	"meshd/internal/nodetest"
	"meshd/internal/wire"
	"meshd/node"
)

// tell returns a state as it travels.
func tell(t rapid.TB, s State) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Tell(context.Background(), &b, s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func told(b []byte) Told { return Told{bytes.NewReader(b)} }

func mustCompare(t rapid.TB, a, b State) *Report {
	t.Helper()
	rep, err := Compare(context.Background(), Config{Node: a, Peer: b})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestAnySingleChangeOfAPeerIsFound: two hubs that hold the same are equal, and one cell that is changed is named, on whichever side.
func TestAnySingleChangeOfAPeerIsFound(t *testing.T) {
	s := newStopped(t)
	here := diskState(s.disk, s.past)
	plain := mustCompare(t, here, told(tell(t, here)))
	if plain.Differs > 0 || len(plain.Lags) > 0 || plain.Cells < 20 || plain.Windows < 100 || plain.Unclaimed > 0 || plain.Alone > 0 {
		t.Fatalf("a disk and itself: %+v", plain)
	}
	cells, series, most := s.counters(t)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SampledFrom(cells).Draw(t, "cell")
		disk := &nodetest.Disk{}
		var ops []node.Op
		_ = s.disk.Scan(nil, func(k, v []byte) error {
			ops = append(ops, node.Op{Key: slices.Clone(k), Value: slices.Clone(v)})
			return nil
		})
		_ = disk.Commit(ops)
		frames(t, disk, func(f *wire.Frame) (changed bool) {
			for i := range f.Cells {
				if f.Origin == at.origin && f.Cells[i].Ref == at.ref {
					f.Cells[i].Value.P, _ = most[at].Add(crdt.FixedFromUint(1))
					changed = true
				}
			}
			return changed
		})
		there := told(tell(t, diskState(disk, s.past)))
		rep, how := (*Report)(nil), NodeLacks
		if rapid.Bool().Draw(t, "the other way round") {
			rep, how = mustCompare(t, there, here), OtherLacks
		} else {
			rep = mustCompare(t, here, there)
		}
		if rep.Differs != 1 || len(rep.Lags) > 0 || rep.Cells != plain.Cells || rep.Windows != plain.Windows {
			t.Fatalf("%+v, without the change %+v", rep, plain)
		}
		if d := rep.Differences[0]; d.Origin != at.origin || d.Series.Name != series[at].Name || d.How != how {
			t.Fatalf("found %+v, want %s of %s: %s", d, series[at].Name, at.origin, how)
		}
	})
}

// raised is a state in which one window of a counter is higher.
type raised struct {
	State
	owner  crdt.Origin
	series crdt.Series
	window crdt.Window
}

func (r *raised) Parts(ctx context.Context, f func(Part) error) error {
	return r.State.Parts(ctx, func(p Part) error {
		if p.Kind != partPieces {
			return f(p)
		}
		span, b, err := spanOf(p.Data)
		if err != nil {
			return err
		}
		out := appendSpan(nil, span)
		var pr history.PieceReader
		var pw history.PieceWriter
		err = pr.Read(b, span, func(piece *history.Piece) (err error) {
			for i := range piece.Points {
				v := &piece.Points[i].Value
				if v.Kind != crdt.KindCounter || r.series.Name != "" {
					continue
				}
				r.owner, r.series, r.window = piece.From, *piece.Series, piece.Points[i].Window
				v.P, _ = v.P.Add(crdt.FixedFromUint(1))
			}
			out, err = pw.Append(out, span, piece, 1<<30, nil)
			return err
		})
		if err != nil {
			return err
		}
		return f(Part{partPieces, out})
	})
}

func TestAWindowOfAPeerThatDiffersIsNamed(t *testing.T) {
	h := openHub(t, counted(t))
	h.archived() // publishes what is left of the process before
	here := told(tell(t, h.state()))
	r := &raised{State: h.state()}
	rep := mustCompare(t, here, r)
	h.close()
	if r.series.Name == "" || rep.Differs != 1 {
		t.Fatalf("%d differences: %+v", rep.Differs, rep.Differences)
	}
	if d := rep.Differences[0]; d.Origin != r.owner || d.Series.Name != r.series.Name || d.Window != r.window || d.How != NodeLacks {
		t.Errorf("found %+v, want %s of %s at %v", d, r.series.Name, r.owner, r.window)
	}
}

// counted is the directory of a hub that counted and ended, with windows open.
func counted(t *testing.T) string {
	dir := t.TempDir()
	h := openHub(t, dir)
	rng := rand.New(rand.NewPCG(7, 7))
	for range 12 {
		h.count(rng, 30)
	}
	h.close()
	return dir
}

// state is what a hub that runs holds.
func (h *hub) state() *Disk {
	return &Disk{Head: Head{Region: "eu", Node: "h", Hub: true}, View: bridge.Disk{Store: h.store}.View, Past: h.past}
}

// TestWhatIsOnItsWayIsNoDamage: a hub tells its state again and again while it counts, publishes windows, and is started anew. Whichever two
// are compared, nothing differs: what one of them lacks it does not claim.
func TestWhatIsOnItsWayIsNoDamage(t *testing.T) {
	dir := counted(t)
	var states [][]byte
	for seed := range uint64(3) {
		h := openHub(t, dir)
		var counting sync.WaitGroup
		counting.Go(func() {
			rng := rand.New(rand.NewPCG(5, seed))
			for range 40 {
				h.count(rng, 20)
			}
		})
		for range 3 {
			states = append(states, tell(t, h.state()))
		}
		counting.Wait()
		h.archived()
		states = append(states, tell(t, h.state()))
		h.close()
	}
	var behind, unclaimed, windows int64
	for i := range states {
		for j := range states {
			rep := mustCompare(t, told(states[i]), told(states[j]))
			if rep.Differs > 0 {
				t.Fatalf("state %d and state %d: %d differences, such as %+v", i, j, rep.Differs, rep.Differences[0])
			}
			for _, l := range rep.Lags {
				behind += l.Node + l.Other
			}
			unclaimed, windows = unclaimed+rep.Unclaimed, windows+rep.Windows
		}
	}
	if behind == 0 || unclaimed == 0 || windows == 0 {
		t.Errorf("%d cells behind, %d windows not claimed, %d compared: want some of each", behind, unclaimed, windows)
	}
}

// TestHubsOfOtherRegionsShareTotalsAlone: what only one of them has to hold is not behind.
func TestHubsOfOtherRegionsShareTotalsAlone(t *testing.T) {
	s := newStopped(t)
	here, there := diskState(s.disk, s.past), &Disk{Head: Head{Mesh: "m", Region: "us", Node: "u", Hub: true}, View: func(f func(node.Reader) error) error { return f(&nodetest.Disk{}) }}
	rep := mustCompare(t, here, there)
	if rep.Differs > 0 || len(rep.Lags) > 0 || rep.Alone == 0 {
		t.Errorf("%+v, want cells of one alone", rep)
	}
	there.Head.Region = "eu"
	if rep = mustCompare(t, here, there); rep.Differs > 0 || len(rep.Lags) == 0 || rep.Alone > 0 {
		t.Errorf("%+v, want a hub that is behind", rep)
	}
	there.Head.Mesh = "other"
	if _, err := Compare(t.Context(), Config{Node: here, Peer: there}); err == nil {
		t.Error("hubs of two meshes are compared")
	}
}

// TestAStateThatIsCutShortIsNotCompared: it might have had what is missed.
func TestAStateThatIsCutShortIsNotCompared(t *testing.T) {
	s := newStopped(t)
	here := diskState(s.disk, s.past)
	whole := tell(t, here)
	rng := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		n := rng.IntN(len(whole))
		if _, err := Compare(t.Context(), Config{Node: here, Peer: told(whole[:n])}); !errors.Is(err, errCut) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

// FuzzTold: any bytes are a state or an error.
func FuzzTold(f *testing.F) {
	head := func(kind PartKind, data string) []byte {
		return append(binary.AppendUvarint([]byte{byte(kind)}, uint64(len(data))), data...)
	}
	f.Add(append(head(partHead, `{"region":"eu","hub":true,"time":"2026-01-01T00:00:00Z","kept":{"all":{}}}`), head(partEnd, "")...))
	f.Add(append(head(partLeast, "\x01\x02"), head(partPieces, "\x90\x4e\x00")...))
	f.Add(head(partMessage, "\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Compare(t.Context(), Config{Node: told(b), Peer: told(b)})
	})
}
