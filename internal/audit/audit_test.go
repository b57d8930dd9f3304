package audit

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/nodetest"
	"meshd/internal/wire"
	"meshd/node"
	"meshd/replay"
)

// stopped is a hub that is stopped, with all of it in its log.
type stopped struct {
	disk *nodetest.Disk
	past *history.Store
	log  replay.Log
}

func newStopped(t *testing.T) *stopped {
	dir := t.TempDir()
	for seed := range uint64(2) { // the second process begins with a snapshot, and knows the first one's windows
		rng := rand.New(rand.NewPCG(1, seed))
		h := openHub(t, dir)
		for range 12 {
			h.count(rng, 30)
		}
		h.archived()
		h.close()
	}
	h := openHub(t, dir) // publishes what the second left open
	h.archived()
	h.close()
	store, past := openStores(t, dir)
	s := &stopped{disk: rows(t, store), past: past, log: openLog(t, dir, true)}
	t.Cleanup(func() {
		_ = s.log.Close() // it was read only
		past.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stopped) compare(t rapid.TB, change func(*Config)) *Report {
	t.Helper()
	cfg := Config{Node: diskState(s.disk, s.past), Log: s.log}
	if change != nil {
		change(&cfg)
	}
	rep, err := Compare(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// diskState is what a hub of the region eu has on a disk.
func diskState(r node.Reader, past *history.Store) *Disk {
	return &Disk{Head: Head{Mesh: "m", Region: "eu", Node: "h", Hub: true}, View: func(f func(node.Reader) error) error { return f(r) }, Past: past}
}

// cellOn is a lifetime cell on a disk.
type cellOn struct {
	origin crdt.Origin
	ref    uint32
}

// frames calls f for every frame with lifetime cells on a disk, and writes it again if f says so.
func frames(t rapid.TB, disk *nodetest.Disk, f func(*wire.Frame) bool) {
	t.Helper()
	again := func(raw []byte) ([]byte, bool) {
		fr, err := wire.ParseFrame(raw)
		if err != nil {
			t.Fatal(err)
		}
		if fr.Stream != crdt.StreamLifetime || !f(fr) {
			return raw, false
		}
		out, err := wire.AppendFrame(nil, fr)
		if err != nil {
			t.Fatal(err)
		}
		return out, true
	}
	var ops []node.Op
	if err := disk.Scan(nil, func(k, v []byte) error {
		if strings.HasPrefix(string(k), "o/") {
			if out, ok := again(v); ok {
				ops = append(ops, node.Op{Key: append([]byte(nil), k...), Value: out})
			}
		}
		if strings.HasPrefix(string(k), "l/") {
			out, changed := eachLogged(t, v, again)
			if changed {
				ops = append(ops, node.Op{Key: append([]byte(nil), k...), Value: out})
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := disk.Commit(ops); err != nil {
		t.Fatal(err)
	}
}

// eachLogged does that for a record of a node's log: frames, each behind its length.
func eachLogged(t rapid.TB, value []byte, again func([]byte) ([]byte, bool)) (out []byte, changed bool) {
	t.Helper()
	for len(value) > 0 {
		n, k := binary.Uvarint(value)
		if k <= 0 || n > uint64(len(value)-k) {
			t.Fatal("record ends early")
		}
		raw, is := again(value[k : k+int(n)])
		out, changed = append(binary.AppendUvarint(out, uint64(len(raw))), raw...), changed || is
		value = value[k+int(n):]
	}
	return out, changed
}

// counters returns the counters on a disk, with their series.
func (s *stopped) counters(t rapid.TB) (cells []cellOn, series map[cellOn]crdt.Series, most map[cellOn]crdt.Fixed) {
	t.Helper()
	series, most = map[cellOn]crdt.Series{}, map[cellOn]crdt.Fixed{}
	frames(t, s.disk, func(f *wire.Frame) bool {
		for i := range f.Defs {
			series[cellOn{f.Origin, f.Defs[i].Ref}] = f.Defs[i].Series
		}
		for i := range f.Cells {
			at := cellOn{f.Origin, f.Cells[i].Ref}
			if f.Cells[i].Value.Kind != crdt.KindCounter {
				continue
			}
			if _, known := most[at]; !known {
				cells = append(cells, at)
			}
			if was := most[at]; was.Less(f.Cells[i].Value.P) {
				most[at] = f.Cells[i].Value.P
			}
		}
		return false
	})
	return cells, series, most
}

// TestAnySingleChangeIsFound: what was copied is equal; one cell or window that is changed is named, whichever it is, with what is
// wrong about it, and nothing else is. It does not matter whether all of it is in memory.
func TestAnySingleChangeIsFound(t *testing.T) {
	s := newStopped(t)
	plain := s.compare(t, nil)
	if plain.Differs > 0 || len(plain.Lags) > 0 || plain.Cells < 20 || plain.Windows < 100 || plain.Unnamed > 0 {
		t.Fatalf("a disk and its log: %+v", plain)
	}
	cells, series, most := s.counters(t)
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SampledFrom(cells).Draw(t, "cell")
		more := rapid.Bool().Draw(t, "more")
		one := crdt.FixedFromUint(1)
		disk := &nodetest.Disk{}
		var ops []node.Op
		_ = s.disk.Scan(nil, func(k, v []byte) error {
			ops = append(ops, node.Op{Key: append([]byte(nil), k...), Value: append([]byte(nil), v...)})
			return nil
		})
		_ = disk.Commit(ops)
		frames(t, disk, func(f *wire.Frame) (changed bool) {
			for i := range f.Cells {
				c := &f.Cells[i]
				if f.Origin != at.origin || c.Ref != at.ref {
					continue
				}
				changed = true
				if more {
					c.Value.P, _ = most[at].Add(one)
				} else if low := most[at].Sub(one); low.Less(c.Value.P) {
					c.Value.P = low
				}
			}
			return changed
		})
		rep := s.compare(t, func(cfg *Config) {
			cfg.Node = diskState(disk, s.past)
			cfg.MemoryBytes = rapid.SampledFrom([]int64{0, 20 * itemBytes, 1000 * itemBytes}).Draw(t, "memory")
		})
		how := NodeLacks
		if more {
			how = OtherLacks
		}
		if rep.Differs != 1 || len(rep.Differences) != 1 {
			t.Fatalf("%d differences: %+v", rep.Differs, rep.Differences)
		}
		d := rep.Differences[0]
		if d.Origin != at.origin || d.Series.Name != series[at].Name || d.Window != (crdt.Window{}) || d.How != how {
			t.Fatalf("found %+v, want %s of %s: %s", d, series[at].Name, at.origin, how)
		}
		if rep.Cells != plain.Cells || rep.Windows != plain.Windows || len(rep.Lags) > 0 {
			t.Fatalf("%+v, without the change %+v", rep, plain)
		}
	})
}

// tampered changes publications on their way from a log.
type tampered struct {
	replay.Log
	change func(*wire.Frame) bool
}

func (l tampered) Read(ctx context.Context, from replay.Position, f func(*replay.Entry) error) (replay.Position, error) {
	return l.Log.Read(ctx, from, func(e *replay.Entry) error {
		if e.Kind != replay.KindPublication {
			return f(e)
		}
		d, err := node.Decode(append([]byte(nil), e.Value...))
		if err != nil {
			return err
		}
		if l.change(d.Frame) {
			raw, err := wire.AppendFrame(nil, d.Frame)
			if err != nil {
				return err
			}
			if e.Value, err = wire.AppendMessage(nil, &wire.FrameMsg{Raw: raw}); err != nil {
				return err
			}
		}
		return f(e)
	})
}

// windowsOf returns whose windows a publication has.
func windowsOf(f *wire.Frame) crdt.Origin {
	o := f.Owner()
	if o.Class == crdt.ClassRegion {
		o = crdt.Origin{Class: o.Class, Region: o.Region}
	}
	return o
}

// TestAWindowThatDiffersIsNamed: with its owner, be that a process or a region, and its time.
func TestAWindowThatDiffersIsNamed(t *testing.T) {
	s := newStopped(t)
	plain := s.compare(t, nil)
	for _, class := range []crdt.Class{crdt.ClassNode, crdt.ClassRegion} {
		var origin crdt.Origin
		var series crdt.Series
		var window crdt.Window
		found := false
		change := func(f *wire.Frame) (changed bool) {
			for i := range f.Cells {
				c := &f.Cells[i]
				owner := windowsOf(f)
				if c.Value.Kind != crdt.KindCounter || f.Owner().Class != class {
					continue
				}
				name := crdt.Series{}
				for _, d := range f.Defs {
					if d.Ref == c.Ref {
						name = d.Series
					}
				}
				if !found && name.Name == "m3" && c.Window.Width == crdt.FineMillis {
					origin, series, window, found = owner, name, c.Window, true
				}
				if found && owner == origin && name.Name == series.Name && c.Window == window {
					c.Value.P, _ = c.Value.P.Add(crdt.FixedFromUint(1_000_000))
					changed = true
				}
			}
			return changed
		}
		rep := s.compare(t, func(cfg *Config) { cfg.Log = tampered{s.log, change} })
		if rep.Differs != 1 {
			t.Fatalf("class %v: %d differences: %+v", class, rep.Differs, rep.Differences)
		}
		if d := rep.Differences[0]; d.Origin != origin || d.Series.Name != series.Name || d.Window != window || d.How != NodeLacks {
			t.Errorf("class %v: found %+v, want %s of %s at %v", class, d, series.Name, origin, window)
		}
		if rep.Windows != plain.Windows {
			t.Errorf("class %v: %d windows are compared, without the change %d", class, rep.Windows, plain.Windows)
		}
		lower := func(f *wire.Frame) (changed bool) {
			for i := range f.Cells {
				c := &f.Cells[i]
				for _, d := range f.Defs {
					if d.Ref == c.Ref && windowsOf(f) == origin && d.Series.Name == series.Name && c.Window == window {
						c.Value.P, changed = crdt.Fixed{}, true
					}
				}
			}
			return changed
		}
		rep = s.compare(t, func(cfg *Config) { cfg.Log = tampered{s.log, lower} })
		if rep.Differs != 1 || rep.Differences[0].How != OtherLacks || rep.Differences[0].Window != window {
			t.Errorf("class %v: the log has less: %d differences: %+v", class, rep.Differs, rep.Differences)
		}
	}
}

// TestLagIsNoDamage: a log that ends early, and a node that was put back to an earlier state, lack what they do not claim.
func TestLagIsNoDamage(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(3, 3))
	h := openHub(t, dir)
	for range 10 {
		h.count(rng, 30)
	}
	h.archived()
	early := rows(t, h.store)
	for range 10 {
		h.count(rng, 30)
	}
	h.archived()
	h.quiet()
	behind := rows(t, h.store)
	for range 10 {
		h.count(rng, 30)
	}
	if err := h.node.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.close()
	store, past := openStores(t, dir)
	defer func() {
		past.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	}()
	log := openLog(t, dir, true)
	defer func() { _ = log.Close() }() // it was read only
	for _, c := range []struct {
		name      string
		disk      *nodetest.Disk
		node, log bool
	}{
		{"node of before", early, true, false},
		{"as far as each other", behind, false, false},
		{"log of before", rows(t, store), false, true},
	} {
		rep, err := Compare(t.Context(), Config{Node: diskState(c.disk, nil), Log: log})
		if err != nil {
			t.Fatal(err)
		}
		var nodeLag, logLag int64
		for _, l := range rep.Lags {
			nodeLag, logLag = nodeLag+l.Node, logLag+l.Other
		}
		if rep.Differs > 0 || rep.Cells == 0 || nodeLag > 0 != c.node || logLag > 0 != c.log {
			t.Errorf("%s: %d differences in %d cells, the node is behind in %d and the log in %d: %+v", c.name, rep.Differs, rep.Cells, nodeLag, logLag, rep.Differences)
		}
	}
}

// TestRanges: numbers in any order are a set.
func TestRanges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var rs ranges
		have := map[uint64]bool{}
		for _, n := range rapid.SliceOf(rapid.Uint64Range(1, 30)).Draw(t, "numbers") {
			rs.add(n)
			have[n] = true
		}
		for n := uint64(0); n <= 31; n++ {
			want := true
			for m := uint64(1); m <= n; m++ {
				want = want && have[m]
			}
			if rs.all(n) != want {
				t.Fatalf("%v: all up to %d: %v", rs, n, !want)
			}
		}
		for i := 1; i < len(rs); i++ {
			if rs[i-1][1]+1 >= rs[i][0] {
				t.Fatalf("%v: ranges touch", rs)
			}
		}
	})
}
