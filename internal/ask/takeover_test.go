package ask

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"meshd/crdt"
	"meshd/history"
	"meshd/node"
)

// memory is a disk that loses what is committed from a moment on.
type memory struct {
	mu    sync.Mutex
	rows  map[string][]byte
	until int // commits that succeed; 0 is all
	done  int
}

var errDisk = errors.New("the disk is gone")

func (k *memory) Get(key []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.rows[string(key)]), nil
}

func (k *memory) Scan(prefix []byte, f func(key, value []byte) error) error {
	return k.Keys(prefix, nil, func(key []byte) error {
		v, _ := k.Get(key)
		return f(key, v)
	})
}

func (k *memory) Keys(prefix, from []byte, f func(key []byte) error) error {
	k.mu.Lock()
	keys := slices.Sorted(maps.Keys(k.rows))
	k.mu.Unlock()
	for _, key := range keys {
		if strings.HasPrefix(key, string(prefix)) && key >= string(from) {
			if err := f([]byte(key)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k *memory) Commit(ops []history.Op) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.done++; k.until > 0 && k.done > k.until {
		return errDisk
	}
	for _, op := range ops {
		if k.rows[string(op.Key)] = slices.Clone(op.Value); op.Delete {
			delete(k.rows, string(op.Key))
		}
	}
	return nil
}

// hub is one hub of the tests: a history, what takes over into it, and what answers from it.
type hub struct {
	disk  *memory
	past  *history.Store
	take  *Takeover
	end   *Answerer
	peers *siblings
	gaps  uint64
	m     *Metrics
}

// siblings are the sessions of one hub.
type siblings struct {
	self history.Owner
	hubs []Hub
	ends map[uint64]*hub
}

func (s *siblings) Hubs(region string) (out []Hub) {
	for _, h := range s.hubs {
		if region == "" || h.Region == region {
			out = append(out, h)
		}
	}
	return out
}

func (s *siblings) Ask(ctx context.Context, session uint64, question []byte, take func([]byte) error) error {
	var failed error
	err := s.ends[session].end.Answer(ctx, s.self.Region+"/"+s.self.Node, question, func(b []byte) error {
		failed = take(b)
		return failed
	})
	return errors.Join(failed, err)
}

func (s *siblings) meet(h *hub) {
	id := uint64(len(s.hubs) + 1)
	s.hubs = append(s.hubs, Hub{Session: id, Region: h.peers.self.Region, Node: h.peers.self.Node})
	s.ends[id] = h
}

// newHub opens a hub on a disk.
func newHub(t *testing.T, name string, disk *memory) *hub {
	t.Helper()
	h := &hub{disk: disk, m: metricsOf(t), peers: &siblings{self: history.Owner{Region: name[:2], Node: name}, ends: map[uint64]*hub{}}}
	var err error
	if h.past, err = history.Open(history.Config{KV: disk, Now: time.Now, OverlayBytes: 16 << 10}); err != nil {
		t.Fatal(err)
	}
	h.open(t)
	return h
}

func (h *hub) open(t *testing.T) {
	t.Helper()
	var err error
	if h.take, err = NewTakeover(TakeoverConfig{
		Self: h.peers.self, Inc: crdt.Incarnation{99}, Peers: h.peers, History: h.past, Now: time.Now, Metrics: h.m,
		Gaps: func(context.Context) (uint64, error) { return h.gaps, nil },
	}); err != nil {
		t.Fatal(err)
	}
	h.end = NewAnswerer(AnswererConfig{
		Correct: uncorrected,
		Node:    h.peers.self.Node, History: h.past, Pieces: h.past, Whole: h.take, Metrics: h.m,
		Coverage: func(context.Context) ([]node.Coverage, error) { return nil, nil },
	})
}

func fresh() *memory { return &memory{rows: map[string][]byte{}} }

// old gives a hub the windows of two nodes of eu, one of us and the totals of both, three days old.
func (h *hub) old(t *testing.T, series int) {
	t.Helper()
	begin := time.Now().Add(-72 * time.Hour).Truncate(24 * time.Hour).UnixMilli()
	for i, from := range []crdt.Origin{
		{Class: crdt.ClassNode, Region: "eu", Node: "a", Inc: crdt.Incarnation{1}},
		{Class: crdt.ClassNode, Region: "eu", Node: "b", Inc: crdt.Incarnation{2}},
		{Class: crdt.ClassNode, Region: "us", Node: "c", Inc: crdt.Incarnation{3}},
		{Class: crdt.ClassRegion, Region: "eu"},
		{Class: crdt.ClassRegion, Region: "us"},
	} {
		var cells []history.Cell
		for s := range series {
			for w := range int64(100) {
				cells = append(cells, history.Cell{
					Series: series3(s), Window: crdt.Window{Start: begin + w*10_000, Width: 10_000}, Value: counter(uint64(i+1)*1000 + uint64(s)*7 + uint64(w*w)),
				})
			}
		}
		if err := h.past.Apply(1, from, cells); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.past.Fold(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func series3(i int) *crdt.Series { return series(fmt.Sprintf("clicks%d", i)) }

// pieces lists what a hub holds, of owners that pass.
func (h *hub) pieces(t *testing.T, of func(crdt.Origin) bool) (out []string) {
	t.Helper()
	for _, sp := range h.past.Spans() {
		if err := h.past.Pieces(t.Context(), sp, true, history.Place{}, func(p *history.Piece) error {
			if of(p.From) {
				var w history.PieceWriter
				b, err := w.Append(nil, sp, p, 1<<30, nil)
				out = append(out, fmt.Sprintf("%v %s %s %x", sp, p.Series, p.From, b))
				return err
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func ofEU(o crdt.Origin) bool      { return o.Class == crdt.ClassRegion || o.Region == "eu" }
func ofRegions(o crdt.Origin) bool { return o.Class == crdt.ClassRegion }

// while runs takeovers of hubs for some time.
func while(t *testing.T, d time.Duration, hubs ...*hub) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context()) // as in a process, there is no deadline
	defer time.AfterFunc(d, cancel).Stop()
	var running sync.WaitGroup
	for _, h := range hubs {
		running.Go(func() { _ = h.take.Run(ctx) })
	}
	running.Wait()
}

func wantSame(t *testing.T, want, got *hub, of func(crdt.Origin) bool) {
	t.Helper()
	if diff := cmp.Diff(want.pieces(t, of), got.pieces(t, func(crdt.Origin) bool { return true })); diff != "" {
		t.Error(diff)
	}
}

// A hub on an empty disk has what its sibling has of its own region's nodes and of all totals, and of no other nodes.
func TestANewHubTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newHub(t, "eu-1", fresh()), newHub(t, "eu-2", fresh())
		a.old(t, 20)
		if err := a.take.through(); err != nil {
			t.Fatal(err)
		}
		b.peers.meet(a)
		while(t, 20*time.Second, b)
		wantSame(t, a, b, ofEU)
		if is := b.take.status(); is != isWhole || b.take.Since() != 0 {
			t.Errorf("it says it is %d, since %d", is, b.take.Since())
		}
		news := counted(t, b.m.taken, takenNews)
		if refused := counted(t, b.m.taken, takenRefused); news == 0 || refused != 2000 {
			t.Errorf("%v windows were news, %v refused, want some and 2000", news, refused)
		}
		again := newHub(t, "eu-2", b.disk) // it is known to be whole: nothing is asked
		again.peers.meet(a)
		while(t, 20*time.Second, again)
		if n := counted(t, again.m.asked, outcomeWhole); n != 0 {
			t.Errorf("%v questions after a restart", n)
		}
		wantSame(t, a, again, ofEU)
	})
}

// What is not through says so, and goes on after a crash at any commit from where it was.
func TestATakeoverGoesOnAfterACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newHub(t, "eu-1", fresh())
		a.old(t, 60)
		if err := a.take.through(); err != nil {
			t.Fatal(err)
		}
		for commits := 2; ; commits++ {
			disk := fresh()
			disk.until = commits
			b := newHub(t, "eu-2", disk)
			b.peers.meet(a)
			while(t, 11*time.Second, b)
			whole := b.take.status() == isWhole
			if !whole && b.take.Since() == 0 {
				t.Fatalf("after %d commits it answers as if it were whole", commits)
			}
			c := newHub(t, "eu-2", &memory{rows: disk.rows})
			c.peers.meet(a)
			while(t, 11*time.Second, c)
			wantSame(t, a, c, ofEU)
			if t.Failed() {
				t.Fatalf("a crash after %d commits", commits)
			}
			if whole {
				if commits < 8 {
					t.Errorf("it took %d commits, want more to crash at", commits)
				}
				return
			}
		}
	})
}

// Publications that are gone begin it anew, and nothing is written twice.
func TestAGapIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newHub(t, "eu-1", fresh()), newHub(t, "eu-2", fresh())
		b.peers.meet(a)
		a.peers.meet(b)
		while(t, 20*time.Second, a, b)
		if a.take.status() != isWhole || b.take.status() != isWhole {
			t.Fatal("two hubs of a new mesh wait for each other")
		}
		a.old(t, 3)
		b.gaps = 7
		while(t, time.Second, b)
		if b.take.Since() == 0 {
			t.Error("publications are gone, and it says nothing")
		}
		while(t, 30*time.Second, b)
		wantSame(t, a, b, ofEU)
		if b.take.Since() != 0 {
			t.Error("it is whole, and says it is not")
		}
		before := counted(t, b.m.taken, takenNews)
		b.gaps = 8
		while(t, 40*time.Second, b)
		if after := counted(t, b.m.taken, takenNews); after != before || counted(t, b.m.taken, takenHeld) == 0 {
			t.Errorf("%v windows were news, now %v", before, after)
		}
	})
}

// Who asks a hub that takes over itself asks it again when that is through.
func TestHalfAHistoryIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b, c := newHub(t, "eu-1", fresh()), newHub(t, "eu-2", fresh()), newHub(t, "eu-3", fresh())
		c.peers.meet(b) // and not a
		while(t, 20*time.Second, c)
		a.old(t, 3)
		if err := a.take.through(); err != nil {
			t.Fatal(err)
		}
		b.peers.meet(a)
		while(t, 20*time.Second, b, c)
		while(t, 20*time.Second, c)
		wantSame(t, a, c, ofEU)
		if c.take.status() != isWhole {
			t.Error("it is not through")
		}
	})
}

// The only hub of a region takes the totals from others, of whom it believes nothing about nodes.
func TestAHubWithoutSiblingsTakesTotals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := newHub(t, "us-1", fresh()), newHub(t, "eu-1", fresh())
		a.old(t, 3)
		if err := a.take.through(); err != nil {
			t.Fatal(err)
		}
		b.peers.meet(a)
		while(t, lonely-time.Second, b)
		if n := len(b.past.Spans()); n != 0 {
			t.Errorf("%d spans before a sibling may have come", n)
		}
		while(t, 20*time.Second, b)
		wantSame(t, a, b, ofRegions)
		if b.take.Since() != 0 {
			t.Error("it says that it waits for more, of which there is none")
		}
	})
}

// A node in the same process as a stranger's piece would be: it is refused, whoever sends it.
func TestWhoMayTellAPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t, "eu-1", fresh())
		for _, row := range []struct {
			name    string
			from    crdt.Origin
			sibling bool
			want    bool
		}{
			{"a node of the region, by a sibling", crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "a"}, true, true},
			{"a node of the region, by a stranger", crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "a"}, false, false},
			{"a node of another region", crdt.Origin{Class: crdt.ClassNode, Region: "us", Node: "a"}, true, false},
			{"this very process", crdt.Origin{Class: crdt.ClassNode, Region: "eu", Node: "eu-1", Inc: crdt.Incarnation{99}}, true, false},
			{"totals, by a stranger", crdt.Origin{Class: crdt.ClassRegion, Region: "eu"}, false, true},
			{"a view", crdt.Origin{Class: crdt.ClassView, Region: "eu"}, true, false},
		} {
			if got := h.take.mayTell(row.sibling, &history.Piece{From: row.from}); got != row.want {
				t.Errorf("%s: %t", row.name, got)
			}
		}
	})
}
