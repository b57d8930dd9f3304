package buffer

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestReserveFor(t *testing.T) {
	small := tune(0)
	for _, tt := range []struct {
		name             string
		configured, disk uint64
		want             uint64
	}{
		{"as configured", 1 << 30, 1 << 40, 1 << 30},
		{"2% of a large disk", 0, 1 << 40, 1 << 40 / 50},
		{"256 MiB of a usual one", 0, 10 << 30, 256 << 20},
		{"a tenth of a small one", 0, 1 << 30, 1 << 30 / 10},
		{"never below one compaction", 0, 64 << 20, small.workspace()},
		{"nor when configured", 1, 1 << 40, small.workspace()},
	} {
		if got := reserveFor(tt.configured, tt.disk, small); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

// TestFull takes a disk from roomy to full and back: writes are refused, reads and deletions go on.
func TestFull(t *testing.T) {
	const total = 1 << 40
	free, calls := uint64(100<<30), 0
	cfg := testConfig(t.TempDir())
	cfg.ReserveBytes = 1 << 30
	cfg.FreeSpace = func(string) (uint64, uint64, error) { calls++; return free, total, nil }
	dir := cfg.Dir
	synctest.Test(t, func(t *testing.T) {
		cfg.Dir = dir
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		calls = 0
		for range 50 {
			commit(t, s, set("k", "v"))
		}
		if calls != 0 {
			t.Errorf("%d measurements within %v and %d bytes, want none", calls, recheckEvery, recheckBytes)
		}
		free = 1<<30 + 100
		time.Sleep(2 * recheckEvery)
		if err := s.Commit([]Op{set("k", "v2")}); !errors.Is(err, ErrFull) {
			t.Fatalf("commit beside a full disk: %v", err)
		}
		if err := s.Commit([]Op{del("x"), set("k", "v2")}); !errors.Is(err, ErrFull) {
			t.Errorf("mixed commit beside a full disk: %v", err)
		}
		if got, reserve := s.Free(); got != free || reserve != cfg.ReserveBytes {
			t.Errorf("free %d, reserve %d", got, reserve)
		}
		if v, err := s.Get([]byte("k")); err != nil || string(v) != "v" {
			t.Errorf("get beside a full disk: %q, %v", v, err)
		}
		if got := contents(t, s, ""); len(got) != 1 {
			t.Errorf("scan beside a full disk: %q", got)
		}
		commit(t, s, del("k"))
		free = 2 << 30
		commit(t, s, set("k", "v3")) // a refusal is always measured afresh
		if err := s.Commit([]Op{{Key: []byte("big"), Value: make([]byte, 1<<20)}}); err != nil {
			t.Error(err)
		}
	})
}

// TestFullCountsOwnWrites: between two measurements the bytes written are taken off the last.
func TestFullCountsOwnWrites(t *testing.T) {
	g := spaceGuard{reserve: 1000, free: 1000 + 10*writeFactor, at: time.Now().Add(time.Hour)}
	g.measure = func(string) (uint64, uint64, error) { return 1000 + 2*writeFactor, 0, nil }
	for i := range 10 {
		if err := g.admit(1, false); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for i := range 2 {
		if err := g.admit(1, false); err != nil { // measured again: 2 more
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if err := g.admit(3, false); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	if err := g.admit(3, true); err != nil {
		t.Errorf("deletions: %v", err)
	}
	lost := errors.New("stale handle")
	g.measure = func(string) (uint64, uint64, error) { return 0, 0, lost }
	if err := g.admit(3, false); !errors.Is(err, lost) {
		t.Errorf("disk that cannot be measured: %v", err)
	}
}

func TestFreeSpaceOfThisDisk(t *testing.T) {
	free, total, err := FreeSpace(t.TempDir())
	if err != nil || total == 0 || free > total {
		t.Errorf("free %d of %d, %v", free, total, err)
	}
}
