package archive

import (
	"bytes"
	"context"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"meshd/buffer"
	"meshd/crdt"
	"meshd/history"
	"meshd/internal/audit"
	"meshd/internal/bridge"
	"meshd/node"
	"meshd/replay"
)

// written is a log, and what the hub that wrote it holds.
type written struct {
	dir      string // of the log
	hub      string // the data directory of the hub
	segments [][]replay.Record
	totals   map[string]string
	windows  map[string]string // that ended before to
	to       int64
	old      map[crdt.Window]crdt.Fixed
	opening  sync.Mutex // hub, which one at a time may open
}

// writeLog lets four processes of a hub write a log of many segments, with a snapshot each and something that an operator dropped. The last
// process counts nothing: all it writes is its snapshot.
func writeLog(t *testing.T, seed uint64) *written {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, seed))
	w := &written{dir: filepath.Join(t.TempDir(), "log"), hub: t.TempDir(), old: map[crdt.Window]crdt.Fixed{}}
	for process := range 4 {
		h := openHub(t, w.hub)
		h.old = w.old
		stop := writing(t, h, func(context.Context) (replay.Log, error) {
			return replay.OpenEmbedded(replay.EmbeddedConfig{Dir: w.dir, Mesh: "m", SegmentBytes: 1, KeepFor: time.Hour})
		})
		for range 3 {
			if process == 3 {
				break
			}
			h.countOf("dropped")
			h.count(rng, 80)
			h.whole() // what is counted until it looks again is in few records
		}
		if process == 1 {
			if err := h.node.DropSeries(t.Context(), "dropped", nil); err != nil {
				t.Fatal(err)
			}
			h.whole()
		}
		h.whole()
		if process == 2 {
			h.published(w.old)
			h.whole()
			w.to = time.Now().Add(-30 * time.Second).UnixMilli()
			w.totals, w.windows = h.totals(), h.windows(w.to)
		}
		stop()
		h.close()
	}
	w.segments = segmentsOf(t, w.dir)
	if len(w.segments) < 8 {
		t.Fatalf("%d segments: there is little to put into another order", len(w.segments))
	}
	return w
}

// countOf counts one of a counter.
func (h *hub) countOf(metric string) {
	h.t.Helper()
	b := &node.Batch{Items: []node.Item{{
		Series: &crdt.Series{Name: metric, Kind: crdt.KindCounter}, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)},
	}}}
	if res := h.node.Submit(h.t.Context(), b); res.Err != nil {
		h.t.Fatal(res.Err)
	}
}

// segmentsOf returns the records of a log, by segment.
func segmentsOf(t *testing.T, dir string) [][]replay.Record {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var begins []int64
	for _, name := range names { // sorted
		first, err := strconv.ParseInt(strings.TrimSuffix(filepath.Base(name), ".log"), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		begins = append(begins, first)
	}
	segments := make([][]replay.Record, len(begins))
	log := embedded(t, dir, true)
	defer func() { _ = log.Close() }() // it was read only
	if _, err := log.Read(t.Context(), nil, func(e *replay.Entry) error {
		i, found := slices.BinarySearch(begins, e.Offset)
		if !found {
			i--
		}
		segments[i] = append(segments[i], replay.Record{Kind: e.Kind, Key: bytes.Clone(e.Key), Value: bytes.Clone(e.Value)})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return segments
}

// logOf writes a log of records in another order.
func logOf(t *testing.T, records []replay.Record) *replay.Embedded {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	l, err := replay.OpenEmbedded(replay.EmbeddedConfig{Dir: dir, Mesh: "m", SegmentBytes: 20_000})
	if err != nil {
		t.Fatal(err)
	}
	for some := range slices.Chunk(records, 50) {
		if _, err := l.Append(t.Context(), some); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	log := embedded(t, dir, true)
	t.Cleanup(func() { _ = log.Close() }) // it was read only
	return log
}

// replayed replays a log into a directory as `meshd replay` does, from each of some offsets on, one after the other.
func (w *written) replayed(t *testing.T, dir string, log replay.Log, since ...int64) {
	t.Helper()
	h := openHub(t, dir)
	defer h.close()
	for _, from := range since {
		if _, err := (&Rebuild{Log: log, Into: h.node, Since: replay.Position{from}}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mustEqual(t, "totals", w.totals, h.totals())
	mustEqual(t, "windows", w.windows, h.windows(w.to))
}

// same compares every cell and every window of two directories, by process.
func (w *written) same(t *testing.T, dir string) {
	t.Helper()
	if rep := w.compared(t, dir); rep.Differs > 0 || len(rep.Lags) > 0 || rep.Cells == 0 || rep.Windows == 0 {
		t.Errorf("%d of %d cells and %d windows differ, %d processes are behind: %+v", rep.Differs, rep.Cells, rep.Windows, len(rep.Lags), rep.Differences)
	}
}

// compared compares the directory of the hub that wrote the log with another one.
func (w *written) compared(t *testing.T, dir string) *audit.Report {
	t.Helper()
	w.opening.Lock()
	defer w.opening.Unlock()
	var sides []audit.State
	for _, d := range []string{w.hub, dir} {
		store, err := buffer.Open(buffer.Config{Dir: d, Mesh: "m", Region: "eu", Node: "h", MemoryBytes: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		past, err := history.Open(history.Config{KV: bridge.Windows{Store: store}, Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			past.Close()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		}()
		sides = append(sides, &audit.Disk{Head: audit.Head{Mesh: "m", Region: "eu", Node: "h", Hub: true}, View: bridge.Disk{Store: store}.View, Past: past})
	}
	rep, err := audit.Compare(t.Context(), audit.Config{Node: sides[0], Peer: sides[1], TempDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// TestAnyOrderOfALogGivesTheSameState writes the records of a log in other orders, more than once and with overlaps, replays each twice into
// a new directory, and finds there what the hub holds that wrote the log, byte by byte.
func TestAnyOrderOfALogGivesTheSameState(t *testing.T) {
	t.Parallel()
	w := writeLog(t, 21)
	inOrder := slices.Concat(w.segments...)
	backwards := slices.Clone(w.segments)
	slices.Reverse(backwards)
	for _, row := range []struct {
		name    string
		records func(rng *rand.Rand) []replay.Record
	}{
		{"as it is", func(*rand.Rand) []replay.Record { return inOrder }},
		{"segments in reverse", func(*rand.Rand) []replay.Record { return slices.Concat(backwards...) }},
		{"records in reverse", func(*rand.Rand) []replay.Record {
			all := slices.Clone(inOrder)
			slices.Reverse(all)
			return all
		}},
		{"segments that overlap, in any order", func(rng *rand.Rand) (all []replay.Record) {
			const step = 40
			for _, i := range rng.Perm((len(inOrder) + step - 1) / step) {
				low, high := max(0, i*step-rng.IntN(2*step)), min(len(inOrder), (i+1)*step+rng.IntN(2*step))
				all = append(all, inOrder[low:high]...)
			}
			return all
		}},
		{"records in any order", func(rng *rand.Rand) []replay.Record {
			all := slices.Clone(inOrder)
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			return all
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			log := logOf(t, row.records(rand.New(rand.NewPCG(22, 22))))
			dir := t.TempDir()
			for range 2 { // each time by another process
				w.replayed(t, dir, log, 0)
				w.same(t, dir)
			}
		})
	}
	t.Run("from offsets that overlap", func(t *testing.T) {
		t.Parallel()
		log := embedded(t, w.dir, true)
		defer func() { _ = log.Close() }() // it was read only
		var since []int64
		for i := range int64(6) {
			since = append(since, int64(len(inOrder))*(5-i)/6)
		}
		dir := t.TempDir()
		w.replayed(t, dir, log, append(since, since[2])...)
		w.same(t, dir)
	})
}
