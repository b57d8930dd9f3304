package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"meshd/replay"
	"meshd/replay/replaytest"
)

type clock struct{ now time.Time }

func (c *clock) advance()        { c.now = c.now.Add(time.Second) }
func (c *clock) time() time.Time { return c.now }

func open(t testing.TB, cfg replay.EmbeddedConfig) *replay.Embedded {
	t.Helper()
	l, err := replay.OpenEmbedded(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestEmbeddedConforms(t *testing.T) {
	for _, bytes := range []int64{1, 300, 1 << 20} {
		t.Run(fmt.Sprintf("segments of %d bytes", bytes), func(t *testing.T) {
			c := &clock{time.UnixMilli(1_700_000_000_000)}
			dirs := map[string]string{}
			replaytest.Run(t, replaytest.Engine{
				Open: func(t *testing.T) replay.Log {
					if dirs[t.Name()] == "" {
						dirs[t.Name()] = t.TempDir()
					}
					return open(t, replay.EmbeddedConfig{Dir: dirs[t.Name()], Mesh: "m", SegmentBytes: bytes, Now: c.time})
				},
				Advance: c.advance,
			})
		})
	}
}

func frame(n int) replay.Record {
	return replay.Record{Kind: replay.KindFrame, Key: []byte{byte(n)}, Value: bytes.Repeat([]byte{byte(n)}, 10+n)}
}

func add(t testing.TB, l replay.Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if _, err := l.Append(t.Context(), []replay.Record{frame(n), frame(n)}); err != nil {
			t.Fatal(err)
		}
	}
}

// read returns the first byte of every key: which frames are there.
func read(t testing.TB, l replay.Log, from replay.Position) (got []int, err error) {
	t.Helper()
	_, err = l.Read(t.Context(), from, func(e *replay.Entry) error {
		want := frame(int(e.Key[0]))
		if e.Kind != want.Kind || !bytes.Equal(e.Value, want.Value) {
			t.Fatalf("record %d holds something else", e.Offset)
		}
		got = append(got, int(e.Key[0]))
		return nil
	})
	return got, err
}

func pairs(n int) (out []int) {
	for i := range n {
		out = append(out, i, i)
	}
	return out
}

// A crash leaves any part of what was written last, and bytes that were never written.
func TestATornEndIsCutOff(t *testing.T) {
	dir := t.TempDir()
	l := open(t, replay.EmbeddedConfig{Dir: dir, Mesh: "m"})
	add(t, l, 0, 3)
	whole := l.Bytes()
	add(t, l, 3, 4)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d.log", 0))
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := whole; cut < int64(len(all)); cut += 3 {
		for name, tail := range map[string][]byte{"cut": nil, "zeros": make([]byte, int64(len(all))-cut), "other": bytes.Repeat([]byte{0x5a}, 60)} {
			if err := os.WriteFile(path, append(slices.Clone(all[:cut]), tail...), 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: "m"})
			if err != nil {
				t.Fatalf("%s at %d: %v", name, cut, err)
			}
			add(t, l, 3, 5)
			if got, err := read(t, l, nil); err != nil || !slices.Equal(got, pairs(5)) {
				t.Fatalf("%s at %d: %v, %v", name, cut, got, err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// Whatever bit turns, no record is delivered wrong, and the others are still read.
func TestDamageIsReportedAndLosesNothingElse(t *testing.T) {
	dir := t.TempDir()
	cfg := replay.EmbeddedConfig{Dir: dir, Mesh: "m", SegmentBytes: 1}
	l := open(t, cfg)
	add(t, l, 0, 4) // a segment each
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d.log", 2))
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(all) {
		bad := slices.Clone(all)
		bad[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := replay.OpenEmbedded(cfg)
		if err != nil {
			t.Fatalf("bit %d: %v", bit, err)
		}
		got, err := read(t, l, nil)
		damage, ok := errors.AsType[*replay.DamageError](err)
		if !ok || !slices.Equal(got, []int{0, 0}) || damage.Lost != 2 {
			t.Fatalf("bit %d: %v, %v", bit, got, err)
		}
		if got, err := read(t, l, damage.Next); err != nil || !slices.Equal(got, []int{2, 2, 3, 3}) {
			t.Fatalf("bit %d: behind it %v, %v", bit, got, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDamageInTheLastSegmentIsNoTornEnd damages every byte before the last batch, lengths and counts of records too: in no case is what
// is whole behind it cut off.
func TestDamageInTheLastSegmentIsNoTornEnd(t *testing.T) {
	dir := t.TempDir()
	l := open(t, replay.EmbeddedConfig{Dir: dir, Mesh: "m"})
	add(t, l, 0, 2)
	before := l.Bytes()
	add(t, l, 2, 3)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%020d.log", 0))
	all, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range before {
		for _, by := range []byte{1, 0x80, 0xff} {
			damaged := slices.Clone(all)
			damaged[at] ^= by
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			l, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: "m"})
			if err != nil {
				t.Fatal(err)
			}
			if _, end, err := l.Bounds(t.Context()); err != nil || end[0] != 6 {
				t.Fatalf("byte %d changed by %#x: it ends at %v: %v", at, by, end, err)
			}
			_ = l.Close()
			if left, err := os.ReadFile(path); err != nil || !slices.Equal(left, damaged) {
				t.Fatalf("byte %d changed by %#x: the file was changed: %v", at, by, err)
			}
		}
	}
}

func TestTrimKeepsWhatItWasTold(t *testing.T) {
	c := &clock{time.UnixMilli(1_700_000_000_000)}
	for _, row := range []struct {
		name  string
		cfg   replay.EmbeddedConfig
		first int64
	}{
		{"nothing more", replay.EmbeddedConfig{}, 10},
		{"by age", replay.EmbeddedConfig{KeepFor: 7500 * time.Millisecond}, 6},
		{"by size", replay.EmbeddedConfig{KeepBytes: 1 << 20}, 0},
		{"one of both", replay.EmbeddedConfig{KeepBytes: 1, KeepFor: time.Millisecond}, 10},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := row.cfg
			cfg.Dir, cfg.Mesh, cfg.SegmentBytes, cfg.Now = t.TempDir(), "m", 1, c.time
			l := open(t, cfg)
			for n := range 10 { // two records and a second each
				add(t, l, n, n+1)
				c.advance()
			}
			if err := l.Trim(t.Context(), replay.Position{11}); err != nil { // in the middle of a segment
				t.Fatal(err)
			}
			first, end, err := l.Bounds(t.Context())
			if err != nil || first[0] != row.first || end[0] != 20 {
				t.Errorf("%v to %v, want %d to 20: %v", first, end, row.first, err)
			}
			if err := l.Trim(t.Context(), replay.Position{1000}); err != nil {
				t.Fatal(err)
			}
			if _, end, err := l.Bounds(t.Context()); err != nil || end[0] != 20 {
				t.Errorf("after giving up everything the next offset is %v: %v", end, err)
			}
		})
	}
}

func TestAReaderFollowsAWriter(t *testing.T) {
	dir := t.TempDir()
	w := open(t, replay.EmbeddedConfig{Dir: dir, Mesh: "m", SegmentBytes: 200})
	add(t, w, 0, 2)
	r := open(t, replay.EmbeddedConfig{Dir: dir, ReadOnly: true})
	if got, err := read(t, r, nil); err != nil || !slices.Equal(got, pairs(2)) {
		t.Fatalf("%v, %v", got, err)
	}
	add(t, w, 2, 9)
	if got, err := read(t, r, nil); err != nil || !slices.Equal(got, pairs(9)) {
		t.Errorf("later: %v, %v", got, err)
	}
	if _, err := r.Append(t.Context(), []replay.Record{frame(1)}); err == nil {
		t.Error("a reader appended")
	}
	if err := r.Trim(t.Context(), replay.Position{3}); err == nil {
		t.Error("a reader trimmed")
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	open(t, replay.EmbeddedConfig{Dir: dir, Mesh: "m"})
	foreign := t.TempDir()
	if err := open(t, replay.EmbeddedConfig{Dir: foreign, Mesh: "other"}).Close(); err != nil {
		t.Fatal(err)
	}
	newer := t.TempDir()
	if err := os.WriteFile(filepath.Join(newer, "LOG"), []byte(`{"format":2,"mesh":"m"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		cfg  replay.EmbeddedConfig
		want error
	}{
		{replay.EmbeddedConfig{Dir: dir, Mesh: "m"}, replay.ErrLocked},
		{replay.EmbeddedConfig{Dir: foreign, Mesh: "m"}, replay.ErrForeign},
		{replay.EmbeddedConfig{Dir: newer, Mesh: "m"}, replay.ErrNewer},
		{replay.EmbeddedConfig{Dir: t.TempDir(), ReadOnly: true}, os.ErrNotExist},
	} {
		if _, err := replay.OpenEmbedded(row.cfg); !errors.Is(err, row.want) {
			t.Errorf("got %v, want %v", err, row.want)
		}
	}
}

func TestAFullDiskRefusesAndGoesOn(t *testing.T) {
	free := uint64(50)
	l := open(t, replay.EmbeddedConfig{
		Dir: t.TempDir(), Mesh: "m", ReserveBytes: 100, FreeSpace: func(string) (uint64, uint64, error) { return free, 1000, nil },
	})
	if _, err := l.Append(t.Context(), []replay.Record{frame(0)}); !errors.Is(err, replay.ErrFull) {
		t.Errorf("full disk: %v", err)
	}
	free = 200
	add(t, l, 0, 1)
}

// The log against a slice: any order of appending, reading, trimming, opening again and tearing the end.
func TestEmbeddedModel(t *testing.T) {
	root, n := t.TempDir(), 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		cfg := replay.EmbeddedConfig{Dir: dir, Mesh: "m", SegmentBytes: rapid.Int64Range(1, 400).Draw(t, "segment")}
		l, err := replay.OpenEmbedded(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		var model [][]byte // by offset
		low := int64(0)    // what was given up ends here
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				var batch []replay.Record
				for range rapid.IntRange(1, 4).Draw(t, "records") {
					v := rapid.SliceOfN(rapid.Byte(), 0, 120).Draw(t, "value")
					batch = append(batch, replay.Record{Kind: replay.KindFrame, Value: v})
					model = append(model, v)
				}
				if pos, err := l.Append(t.Context(), batch); err != nil || pos[0] != int64(len(model)) {
					t.Fatal(pos, err)
				}
			},
			"read": func(t *rapid.T) {
				from := rapid.Int64Range(0, int64(len(model))).Draw(t, "from")
				next := from
				pos, err := l.Read(t.Context(), replay.Position{from}, func(e *replay.Entry) error {
					if e.Offset < next || (e.Offset > next && e.Offset > low) {
						t.Fatalf("offset %d after %d", e.Offset, next-1)
					}
					if !bytes.Equal(e.Value, model[e.Offset]) {
						t.Fatalf("offset %d holds something else", e.Offset)
					}
					next = e.Offset + 1
					return nil
				})
				if first, _, _ := l.Bounds(t.Context()); from > 0 && from < first[0] {
					if damage, ok := errors.AsType[*replay.DamageError](err); !ok || !errors.Is(err, replay.ErrTrimmed) || next != from || damage.Next[0] != first[0] {
						t.Fatalf("read from %d to %d of a log from %d on: %v", from, next, first[0], err)
					}
					return
				}
				if err != nil || pos[0] != int64(len(model)) || (next != pos[0] && from < pos[0]) {
					t.Fatalf("read from %d to %d, %v of %d: %v", from, next, pos, len(model), err)
				}
			},
			"trim": func(t *rapid.T) {
				before := rapid.Int64Range(0, int64(len(model))).Draw(t, "before")
				low = max(low, before)
				if err := l.Trim(t.Context(), replay.Position{before}); err != nil {
					t.Fatal(err)
				}
			},
			"open again": func(t *rapid.T) {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
				if torn := rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "torn"); len(torn) > 0 {
					names, err := filepath.Glob(filepath.Join(dir, "*.log"))
					if err != nil {
						t.Fatal(err)
					}
					f, err := os.OpenFile(slices.Max(names), os.O_WRONLY|os.O_APPEND, 0)
					if err != nil {
						t.Fatal(err)
					}
					_, err = f.Write(torn)
					if err := errors.Join(err, f.Close()); err != nil {
						t.Fatal(err)
					}
				}
				if l, err = replay.OpenEmbedded(cfg); err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
