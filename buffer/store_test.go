package buffer

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"
)

func set(k, v string) Op { return Op{Key: []byte(k), Value: []byte(v)} }
func del(k string) Op    { return Op{Key: []byte(k), Delete: true} }

func commit(tb testing.TB, s *Store, ops ...Op) {
	tb.Helper()
	if err := s.Commit(ops); err != nil {
		tb.Fatal(err)
	}
}

// contents returns what Scan shows under prefix, in order, as "key=value".
func contents(tb testing.TB, s *Store, prefix string) []string {
	tb.Helper()
	var got []string
	err := s.Scan([]byte(prefix), func(k, v []byte) error {
		got = append(got, string(k)+"="+string(v))
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

// rawKeys counts the keys of Badger's in one of our spaces.
func rawKeys(tb testing.TB, s *Store, space byte) (n int) {
	tb.Helper()
	err := s.db.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.IteratorOptions{Prefix: []byte{space}})
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			n++
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return n
}

func TestScanOrderAndBounds(t *testing.T) {
	s := mustOpen(t, testConfig(t.TempDir()))
	commit(t, s, set("b/2", "v"), set("a", "v"), set("b/\xff\xff", "v"), set("b/", "v"), set("c", ""), set("b/10", "v"), set("b", "v"), set("b/9", "gone"))
	commit(t, s, del("b/9"), del("absent"))
	for _, tt := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"a=v", "b=v", "b/=v", "b/10=v", "b/2=v", "b/\xff\xff=v", "c="}},
		{"b/", []string{"b/=v", "b/10=v", "b/2=v", "b/\xff\xff=v"}},
		{"b/\xff", []string{"b/\xff\xff=v"}},
		{"c", []string{"c="}},
		{"h", nil},
		{"j", nil},
		{"\xff", nil},
	} {
		if diff := cmp.Diff(tt.want, contents(t, s, tt.prefix)); diff != "" {
			t.Errorf("prefix %q (-want +got):\n%s", tt.prefix, diff)
		}
	}
	stop := errors.New("stop")
	calls := 0
	err := s.Scan(nil, func(_, _ []byte) error { calls++; return stop })
	if err != stop || calls != 1 { //nolint:errorlint // promised as it is, not wrapped
		t.Errorf("scan after an error of fn: %v after %d calls, want it back as it is after 1", err, calls)
	}
}

func TestKeysBeginWhereTheyAreTold(t *testing.T) {
	s := mustOpen(t, testConfig(t.TempDir()))
	commit(t, s, set("a", "v"), set("b/1", "v"), set("b/2", "v"), set("b/3", "gone"), set("b/4", "v"), set("c", "v"))
	commit(t, s, del("b/3"))
	for _, tt := range []struct {
		prefix, from string
		want         []string
	}{
		{"b/", "", []string{"b/1", "b/2", "b/4"}},
		{"b/", "b/2", []string{"b/2", "b/4"}},
		{"b/", "b/2\x00", []string{"b/4"}},
		{"b/", "c", nil},
		{"", "b/4", []string{"b/4", "c"}},
	} {
		var got []string
		if err := s.Keys([]byte(tt.prefix), []byte(tt.from), func(k []byte) error {
			got = append(got, string(k))
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("prefix %q from %q (-want +got):\n%s", tt.prefix, tt.from, diff)
		}
	}
	stop := errors.New("enough")
	if err := s.Keys(nil, nil, func([]byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the call", err)
	}
}

func TestScanIsASnapshotAndMayCommit(t *testing.T) {
	s := mustOpen(t, testConfig(t.TempDir()))
	commit(t, s, set("k1", "old"), set("k2", "old"))
	big := make([]byte, 3*s.lim.bytes) // through the journal
	var seen []string
	err := s.Scan([]byte("k"), func(k, v []byte) error {
		seen = append(seen, string(k)+"="+string(v))
		return s.Commit([]Op{set("k2", "new"), set("k3", "new"), {Key: []byte("big"), Value: big}})
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"k1=old", "k2=old"}, seen); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"k1=old", "k2=new", "k3=new"}, contents(t, s, "k")); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedOps(t *testing.T) {
	s := mustOpen(t, testConfig(t.TempDir()))
	for name, op := range map[string]Op{
		"empty key":    {Value: []byte("v")},
		"long key":     {Key: make([]byte, MaxKeyBytes+1)},
		"huge value":   {Key: []byte("k"), Value: make([]byte, MaxValueBytes+1)},
		"negative TTL": {Key: []byte("k"), TTL: -1},
	} {
		if err := s.Commit([]Op{set("x", "v"), op}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got := contents(t, s, ""); got != nil {
		t.Errorf("refused batches left %q", got)
	}
	commit(t, s) // nothing to do
	if _, err := s.Get([]byte("x")); !errors.Is(err, ErrNotFound) {
		t.Errorf("get of an absent key: %v", err)
	}
}

func TestClosed(t *testing.T) {
	s := mustOpen(t, testConfig(t.TempDir()))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit([]Op{set("k", "v")}); !errors.Is(err, ErrClosed) {
		t.Errorf("commit: %v", err)
	}
	if _, err := s.Get([]byte("k")); !errors.Is(err, ErrClosed) {
		t.Errorf("get: %v", err)
	}
	if err := s.Scan(nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("scan: %v", err)
	}
}

// TestLargestEntries holds the limits that tune derives against Badger's own, at both ends of the budget: no entry may
// reach the value log, and nothing that fit accepts may be refused.
func TestLargestEntries(t *testing.T) {
	t.Parallel()
	for _, memory := range []int64{1, 0, 2 << 30} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			t.Parallel()
			cfg := testConfig(t.TempDir())
			cfg.MemoryBytes = memory
			s := mustOpen(t, cfg)
			if got, limit := int64(s.lim.count), s.db.MaxBatchCount(); got >= limit {
				t.Errorf("%d entries a transaction, Badger takes %d", got, limit)
			}
			key := bytes.Repeat([]byte("k"), MaxKeyBytes)
			for i, n := range []int{s.lim.value, s.lim.value + 1, min(40*s.lim.value, MaxValueBytes)} {
				key[0] = byte(i)
				v := randomBytes(rand.New(rand.NewPCG(1, uint64(n))), n)
				commit(t, s, Op{Key: key, Value: v}, set("beside", "v"))
				got, err := s.Get(key)
				if err != nil || !bytes.Equal(got, v) {
					t.Fatalf("value of %d bytes came back as %d bytes, %v", n, len(got), err)
				}
			}
			many := make([]Op, s.lim.count)
			for i := range many {
				many[i] = set(fmt.Sprint(i), "")
			}
			commit(t, s, many...)
			logs, err := filepath.Glob(filepath.Join(cfg.Dir, storeDir, "*.vlog"))
			if err != nil || len(logs) != 1 {
				t.Fatalf("value logs %q, %v", logs, err)
			}
			info, err := os.Stat(logs[0])
			if err != nil {
				t.Fatal(err)
			}
			if got := blockBytes(info); got > 4<<10 { // its header
				t.Errorf("%d bytes in the value log", got)
			}
		})
	}
}

// TestModel compares random batches, large values and reopenings with a map.
func TestModel(t *testing.T) {
	t.Parallel()
	big := randomBytes(rand.New(rand.NewPCG(3, 3)), 100<<10)
	rapid.Check(t, func(rt *rapid.T) {
		cfg := testConfig(t.TempDir())
		cfg.MemoryBytes = 1 // the smallest: chunks and journals begin early
		s, err := Open(cfg)
		if err != nil {
			rt.Fatal(err)
		}
		defer func() { _ = s.Close() }()
		model := map[string]string{}
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		for range rapid.IntRange(1, 6).Draw(rt, "steps") {
			var ops []Op
			for range rapid.IntRange(0, 4).Draw(rt, "ops") {
				k := key.Draw(rt, "key")
				if rapid.Bool().Draw(rt, "delete") {
					ops = append(ops, del(k))
					delete(model, k)
					continue
				}
				v := string(big[:rapid.SampledFrom([]int{0, 1, 1000, 40 << 10, 100 << 10}).Draw(rt, "size")])
				ops = append(ops, set(k, v))
				model[k] = v
			}
			if err := s.Commit(ops); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 5).Draw(rt, "reopen") == 0 {
				if err := s.Close(); err != nil {
					rt.Fatal(err)
				}
				if s, err = Open(cfg); err != nil {
					rt.Fatal(err)
				}
			}
		}
		got := map[string]string{}
		err = s.Scan(nil, func(k, v []byte) error { got[string(k)] = string(v); return nil })
		if err != nil {
			rt.Fatal(err)
		}
		chunks := 0
		for k, v := range model {
			if got[k] != v {
				rt.Fatalf("%s: %d bytes, want %d", k, len(got[k]), len(v))
			}
			if len(v) > s.lim.value {
				chunks += (len(v) + s.lim.value - 1) / s.lim.value
			}
		}
		if len(got) != len(model) {
			rt.Fatalf("%d keys, want %d", len(got), len(model))
		}
		if n := rawKeys(t, s, spaceChunk); n != chunks {
			rt.Fatalf("%d chunks on disk, %d are in use", n, chunks)
		}
		if n := rawKeys(t, s, spaceJournal) + rawKeys(t, s, spaceHead); n != 0 {
			rt.Fatalf("%d keys of journals on disk", n)
		}
	})
}

func TestTTL(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(testConfig(dir))
		if err != nil {
			t.Fatal(err)
		}
		big := string(make([]byte, 2*s.lim.bytes))
		time.Sleep(300 * time.Millisecond) // off the whole second
		commit(t, s, Op{Key: []byte("half"), Value: []byte("v"), TTL: 500 * time.Millisecond},
			Op{Key: []byte("ten"), Value: []byte(big), TTL: 10 * time.Second}, set("always", "v"))
		alive := func(want ...bool) {
			t.Helper()
			for i, k := range []string{"half", "ten", "always"} {
				_, err := s.Get([]byte(k))
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Fatal(err)
				}
				if (err == nil) != want[i] {
					t.Errorf("after %v: %s is there: %v", time.Now().UTC().Format("05.000"), k, err == nil)
				}
			}
			n := 0
			for _, w := range want {
				if w {
					n++
				}
			}
			if got := len(contents(t, s, "")); got != n {
				t.Errorf("scan shows %d keys, want %d", got, n)
			}
		}
		time.Sleep(499 * time.Millisecond)
		alive(true, true, true) // never less than was asked for
		time.Sleep(time.Second)
		alive(false, true, true)
		time.Sleep(8500 * time.Millisecond)
		alive(false, true, true)
		time.Sleep(time.Second)
		alive(false, false, true)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestConcurrentCommits lets several goroutines commit small and journaled batches of their own keys beside readers
// that must see each batch whole or not at all.
func TestConcurrentCommits(t *testing.T) {
	t.Parallel()
	const writers, rounds, keys = 6, 12, 40
	s := mustOpen(t, testConfig(t.TempDir()))
	pad := make([]byte, s.lim.bytes/keys+1) // a round of keys with it takes the journal
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for r := range rounds {
				ops := make([]Op, keys)
				for i := range ops {
					ops[i] = set(fmt.Sprintf("w%d/%02d", w, i), fmt.Sprintf("%04d", r))
					if r%2 == 1 {
						ops[i].Value = append(ops[i].Value, pad...)
					}
				}
				if err := s.Commit(ops); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 3 {
		wg.Go(func() {
			for i := range 40 {
				rounds := map[string]int{}
				err := s.Scan(fmt.Appendf(nil, "w%d/", i%writers), func(_, v []byte) error { rounds[string(v[:4])]++; return nil })
				if err != nil {
					t.Error(err)
				}
				for r, n := range rounds {
					if n != keys {
						t.Errorf("a reader saw %d of %d keys of round %s", n, keys, r)
					}
				}
			}
		})
	}
	wg.Wait()
	if got, want := len(contents(t, s, "w")), writers*keys; got != want {
		t.Errorf("%d keys, want %d", got, want)
	}
}

// TestLogStaysBounded writes and trims a log in order, as a node does all the time: the directory must not grow with
// what was ever written.
func TestLogStaysBounded(t *testing.T) {
	t.Parallel()
	commits, keep := 600, 20
	if slow {
		commits = 3000
	}
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	v := randomBytes(rand.New(rand.NewPCG(5, 5)), 100<<10)
	for i := range commits {
		commit(t, s, Op{Key: logKey(uint64(i)), Value: v}, Op{Key: logKey(uint64(i - keep)), Delete: true})
	}
	if n := len(contents(t, s, "l/")); n != keep {
		t.Errorf("%d records kept, want %d", n, keep)
	}
	// Kept: 2 MB. Beside it stand what one compaction has not reached yet: logs, L0 and a level.
	if size, limit := s.Size(), 2*tune(cfg.MemoryBytes).workspace(); size > limit {
		t.Errorf("%d bytes on disk after %d bytes were written, want at most %d", size, commits*len(v), limit)
	}
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	cfg := testConfig(t.TempDir())
	cfg.Registerer = reg
	s := mustOpen(t, cfg)
	commit(t, s, set("k", "v"))
	commit(t, s, Op{Key: []byte("k"), Value: make([]byte, 1<<20)})
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		m := f.GetMetric()[0]
		got[f.GetName()] = m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
	}
	if got["meshd_buffer_commit_seconds"] != 2 || got["meshd_buffer_journaled_commits_total"] != 1 ||
		got["meshd_buffer_committed_bytes_total"] < 1<<20 || got["meshd_buffer_reserve_bytes"] == 0 || got["meshd_buffer_size_bytes"] == 0 {
		t.Errorf("metrics: %v", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, cfg) // registers again
}
