package replay_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/replay"
)

// damagedLog writes a log of batches of two records each, some to a segment, and returns its segments.
func damagedLog(t testing.TB, batches int) (cfg replay.EmbeddedConfig, names []string) {
	t.Helper()
	cfg = replay.EmbeddedConfig{Dir: t.TempDir(), Mesh: "m", SegmentBytes: 400}
	l := open(t, cfg)
	add(t, l, 0, batches)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names, err := filepath.Glob(filepath.Join(cfg.Dir, "*.log"))
	if err != nil || len(names) < 3 {
		t.Fatal(names, err)
	}
	return cfg, names
}

// readOn reads all that can be read, and what was said to be lost.
func readOn(t testing.TB, l replay.Log, from replay.Position) (got []int, damage []*replay.DamageError, lost int64) {
	t.Helper()
	if _, err := replay.ReadOn(t.Context(), l, from, func(e *replay.Entry) error {
		want := frame(int(e.Key[0]))
		if !bytes.Equal(e.Value, want.Value) || int(e.Offset/2) != int(e.Key[0]) {
			t.Fatalf("record %d holds something else", e.Offset)
		}
		got = append(got, int(e.Key[0]))
		return nil
	}, func(d *replay.DamageError) error {
		damage, lost = append(damage, d), lost+d.Lost
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return got, damage, lost
}

// without returns pairs without those of one batch.
func without(n, batch int) []int {
	return slices.DeleteFunc(pairs(n), func(i int) bool { return i == batch })
}

// TestDamageCostsOneBatch turns bits all over every segment, the last one too: what is lost is one batch, which is said; all the others are
// read, and who appends goes on where the log ended.
func TestDamageCostsOneBatch(t *testing.T) {
	const batches = 16
	cfg, names := damagedLog(t, batches)
	reading := cfg
	reading.ReadOnly = true
	for i, name := range names {
		all, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for bit := i % 13; bit < 8*len(all); bit += 13 {
			bad := slices.Clone(all)
			bad[bit/8] ^= 1 << (bit % 8)
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			l := open(t, reading)
			got, damage, lost := readOn(t, l, nil)
			atEnd := len(damage) == 1 && damage[0].From[0] == 2*(batches-1) // of the log: how many records there were is not known
			if len(damage) != 1 || lost != 2 && !atEnd || lost < 1 || damage[0].Bytes < 44 {
				unacknowledged := i == len(names)-1 && len(damage) == 0 && slices.Equal(got, pairs(batches-1)) // a length that reaches beyond the file
				if !unacknowledged {
					t.Fatalf("%s, bit %d: %d lost, %v", name, bit, lost, damage)
				}
			} else if at := int(damage[0].From[0] / 2); !slices.Equal(got, without(batches, at)) {
				t.Fatalf("%s, bit %d: %v, batch %d is lost", name, bit, got, at)
			}
			if behind, more, _ := readOn(t, l, replay.Position{2 * (batches - 1)}); len(more) > 0 && i < len(names)-1 || len(behind) > 2 {
				t.Fatalf("%s, bit %d: read on from behind it: %v, %v", name, bit, behind, more)
			}
		}
		if err := os.WriteFile(name, all, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestWhoAppendsGoesOnBehindDamage: bits turn in the last segment, and the process that appends is told and takes what comes.
func TestWhoAppendsGoesOnBehindDamage(t *testing.T) {
	root, n := t.TempDir(), 0
	rapid.Check(t, func(rt *rapid.T) {
		const batches = 6
		n++
		dir := filepath.Join(root, fmt.Sprint(n))
		var told []error
		cfg := replay.EmbeddedConfig{Dir: dir, Mesh: "m", Damaged: func(err error) { told = append(told, err) }}
		l := open(t, cfg)
		add(t, l, 0, batches)
		if err := l.Close(); err != nil {
			rt.Fatal(err)
		}
		name := filepath.Join(dir, fmt.Sprintf("%020d.log", 0))
		all, err := os.ReadFile(name)
		if err != nil {
			rt.Fatal(err)
		}
		bit := rapid.IntRange(0, 8*len(all)-1).Draw(rt, "bit")
		all[bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(name, all, 0o600); err != nil {
			rt.Fatal(err)
		}
		l = open(t, cfg)
		_, end, err := l.Bounds(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		last := int(end[0] / 2)
		add(t, l, last, last+2)
		got, damage, lost := readOn(t, l, nil)
		switch {
		case last == batches && (len(told) != 1 || len(damage) != 1 || lost != 2 || len(got) != 2*(batches+1)):
			rt.Fatalf("%v, %v, %v", got, told, damage)
		case last == batches-1 && (len(damage) != 0 || !slices.Equal(got, pairs(batches+1))): // its last batch was cut off
			rt.Fatalf("%v, %v, %v", got, told, damage)
		case last < batches-1:
			rt.Fatalf("appended at %d of %d", last, batches)
		}
	})
}

// TestSegmentsThatEndEarlyAreTold: one is cut, between two batches and within one, and one is gone.
func TestSegmentsThatEndEarlyAreTold(t *testing.T) {
	const batches = 16
	for _, row := range []struct {
		name string
		do   func(name string) error
	}{
		{"cut between batches", func(name string) error { return os.Truncate(name, 0) }},
		{"cut within a batch", func(name string) error { return os.Truncate(name, 50) }},
		{"gone", os.Remove},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg, names := damagedLog(t, batches)
			cfg.ReadOnly = true
			if err := row.do(names[1]); err != nil {
				t.Fatal(err)
			}
			got, damage, lost := readOn(t, open(t, cfg), nil)
			if len(damage) != 1 || lost == 0 || int64(len(got))+lost != 2*batches {
				t.Errorf("%d of %d read, %d lost: %v", len(got), 2*batches, lost, damage)
			}
		})
	}
}

// TestWhoReadsWhatIsTrimmedIsTold: before it begins to, and while it reads.
func TestWhoReadsWhatIsTrimmedIsTold(t *testing.T) {
	const batches = 16
	cfg, _ := damagedLog(t, batches)
	l := open(t, cfg)
	trim := func() {
		if err := l.Trim(t.Context(), replay.Position{2 * batches}); err != nil {
			t.Fatal(err)
		}
	}
	read := 0
	pos, err := l.Read(t.Context(), nil, func(*replay.Entry) error {
		if read++; read == 1 {
			trim()
		}
		return nil
	})
	damage, ok := errors.AsType[*replay.DamageError](err)
	if !ok || !errors.Is(err, replay.ErrTrimmed) || damage.From[0] != int64(read) || damage.Lost != damage.Next[0]-int64(read) || pos[0] != int64(read) {
		t.Fatalf("%d read, to %v: %v", read, pos, err)
	}
	first, _, err := l.Bounds(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, gone, lost := readOn(t, l, pos)
	if len(gone) != 1 || lost != first[0]-pos[0] || !errors.Is(gone[0], replay.ErrTrimmed) || int64(len(got)) != 2*batches-first[0] {
		t.Errorf("from %v on, of %v: %v, %v", pos, first, got, gone)
	}
	for _, from := range []replay.Position{nil, {0}, first} {
		if _, gone, _ := readOn(t, l, from); len(gone) > 0 {
			t.Errorf("from %v on: %v", from, gone)
		}
	}
}
