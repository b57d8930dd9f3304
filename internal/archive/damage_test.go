package archive

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"meshd/replay"
)

// lastSnapshot returns where the records of the newest snapshot begin in a log, and where they end.
func lastSnapshot(t *testing.T, records []replay.Record) (begin, end int) {
	t.Helper()
	var last writer
	for i, r := range records {
		w, _ := parseKey(r.Key)
		if r.Kind != replay.KindSnapshotPart && r.Kind != replay.KindSnapshotEnd {
			continue
		}
		if w.Generation > last.Generation {
			last, begin = w, i
		}
		end = i + 1
	}
	if end-begin < 6 {
		t.Fatalf("%d parts of the newest snapshot", end-begin)
	}
	return begin, end
}

// TestASnapshotThatIsNotWholeReplacesNothing: the process that wrote the newest one crashed in the middle, or parts of it are gone though its
// end is there. Then the one before is used, with all that came after it, and the state is the same.
func TestASnapshotThatIsNotWholeReplacesNothing(t *testing.T) {
	t.Parallel()
	w := writeLog(t, 23)
	all := slices.Concat(w.segments...)
	begin, end := lastSnapshot(t, all)
	rng := rand.New(rand.NewPCG(24, 24))
	some := func(r []replay.Record) []replay.Record { // without half of them, and never all
		r = slices.Clone(r)
		rng.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
		return r[:len(r)/2]
	}
	for name, records := range map[string][]replay.Record{
		"crashed at its first part": all[:begin+1],
		"crashed in the middle":     all[:(begin+end)/2],
		"crashed before its end":    all[:end-1],
		"first part gone":           slices.Concat(all[:begin], all[begin+1:]),
		"half of it gone":           slices.Concat(all[:begin], some(all[begin:end-1]), all[end-1:]),
		"half of it there twice":    slices.Concat(all[:begin], slices.Repeat(some(all[begin:end-1]), 2), all[end-1:]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w.replayed(t, dir, logOf(t, records), 0)
			w.same(t, dir)
		})
	}
	t.Run("only what moves cursors is left", func(t *testing.T) { // then the hub must not say that it holds what it lacks
		t.Parallel()
		var left []replay.Record
		for _, r := range all[begin : end-1] {
			d, err := decode(&replay.Entry{Record: r})
			if err != nil {
				t.Fatal(err)
			}
			if d.Frame != nil && len(d.Frame.Cells) == 0 {
				left = append(left, r)
			}
		}
		if len(left) == 0 {
			t.Fatal("no origin was written whole")
		}
		dir := t.TempDir()
		h := openHub(t, dir)
		log := logOf(t, append(left, all[end-1]))
		if _, err := (&Rebuild{Log: log, Into: h.node}).Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.close()
		if rep := w.compared(t, dir); rep.Differs > 0 || len(rep.Lags) == 0 {
			t.Errorf("claims to hold %d cells that it lacks, and is behind of %d processes: %+v", rep.Differs, len(rep.Lags), rep.Differences)
		}
	})
}

// TestAReplayGoesOnBehindDamage turns bits in the log, in its snapshots and frames and publications. What is replayed then is less or all, the
// hub says of none of it that it has what it lacks, and all that is missing was told.
func TestAReplayGoesOnBehindDamage(t *testing.T) {
	t.Parallel()
	w := writeLog(t, 25)
	names, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(26, 26))
	for range 6 {
		copied := filepath.Join(t.TempDir(), "log")
		if err := os.CopyFS(copied, os.DirFS(w.dir)); err != nil {
			t.Fatal(err)
		}
		places := 1 + rng.IntN(3)
		for _, i := range rng.Perm(len(names) - 1)[:places] { // the end of the log may look torn
			name := filepath.Join(copied, filepath.Base(names[i]))
			raw, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			raw[rng.IntN(len(raw))] ^= 1 << rng.IntN(8)
			if err := os.WriteFile(name, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		t.Run(strings.Repeat("another ", places-1)+"place", func(t *testing.T) {
			t.Parallel()
			log := embedded(t, copied, true)
			defer func() { _ = log.Close() }() // it was read only
			dir := t.TempDir()
			h := openHub(t, dir)
			for _, refuse := range []func(*replay.DamageError) error{nil, func(*replay.DamageError) error { return errKilled }} {
				if _, err := (&Rebuild{Log: log, Into: h.node, Damaged: refuse}).Run(t.Context()); err == nil {
					t.Error("nobody agreed to go on")
				}
			}
			var damage []*replay.DamageError
			moved, err := (&Rebuild{Log: log, Into: h.node, Damaged: func(d *replay.DamageError) error {
				damage = append(damage, d)
				return nil
			}}).Run(t.Context())
			h.close()
			if err != nil || len(damage) != places {
				t.Fatalf("told of %d of %d places: %v", len(damage), places, err)
			}
			read := int64(0)
			for _, records := range w.segments {
				read += int64(len(records))
			}
			for _, d := range damage {
				read -= d.Lost
			}
			if rep := w.compared(t, dir); rep.Differs > 0 || moved.Of != read {
				t.Errorf("claims to hold %d cells and windows that it lacks; %d records read, want %d: %+v", rep.Differs, moved.Of, read, rep.Differences)
			}
		})
	}
}
