package bridge

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"meshd/crdt"
	"meshd/history"
)

// crashDir names the directory in which the test's own program is to write until it is killed.
const crashDir = "MESHD_TEST_HISTORY_DIR"

var crashBegin = time.Date(2026, 3, 14, 0, 0, 0, 0, time.UTC)

// crashCells are what is applied under a tag: every tag adds windows, and raises one of an earlier tag.
func crashCells(tag uint64) (crdt.Origin, []history.Cell) {
	from := crdt.Origin{Class: crdt.ClassNode, Region: "r", Node: "n", Inc: crdt.Incarnation{byte(tag % 3)}}
	var cells []history.Cell
	for i := range uint64(20) {
		series := &crdt.Series{Name: fmt.Sprintf("m%d", i), Kind: crdt.KindCounter}
		for _, at := range []uint64{tag, tag / 2} {
			w := crdt.Window{Start: crashBegin.UnixMilli() + int64(at)*10_000, Width: 10_000}
			cells = append(cells, history.Cell{Series: series, Window: w, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1000*tag + i)}})
		}
	}
	return from, cells
}

// TestHelperWritesUntilItIsKilled is not a test: it is the process that TestKillLosesNoWindow kills.
func TestHelperWritesUntilItIsKilled(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("runs as a process of TestKillLosesNoWindow only")
	}
	s, _ := openHistory(t, dir, crashBegin.Add(day))
	for tag := s.Folded() + 1; ; tag++ {
		from, cells := crashCells(tag)
		if err := s.Apply(tag, from, cells); err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Println("tag", tag); err != nil {
			t.Fatal(err)
		}
		if tag%25 == 0 {
			if err := s.Fold(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

const day = 24 * time.Hour

// A process is killed over and over while it folds, on a real disk. The frames (the tags that it printed) above its mark and
// the chunks are together all that was applied, and nothing twice.
func TestKillLosesNoWindow(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	applied := uint64(0)
	for round := range 4 {
		applied = max(applied, runUntilKilled(t, dir, applied+uint64(60+37*round)))
		s, disk := openStore(t, dir, crashBegin.Add(day))
		mark := s.Folded()
		for tag := mark + 1; tag <= applied; tag++ {
			from, cells := crashCells(tag)
			if err := s.Apply(tag, from, cells); err != nil {
				t.Fatal(err)
			}
		}
		checkCrashed(t, s, applied)
		s.Close()
		if err := disk.Close(); err != nil {
			t.Fatal(err)
		}
		if round > 0 && mark == 0 {
			t.Errorf("round %d: nothing was folded", round)
		}
	}
}

// runUntilKilled runs the helper, kills it once it said that it applied the tag, and returns the last one that it said.
func runUntilKilled(t *testing.T, dir string, tag uint64) (last uint64) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperWritesUntilItIsKilled$", "-test.v")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		n, found := cutTag(lines.Text())
		if !found {
			continue
		}
		if last = n; n == tag {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || last < tag {
		t.Fatalf("the process ended by itself at tag %d of %d: %v", last, tag, err)
	}
	return last
}

func cutTag(line string) (uint64, bool) {
	const word = "tag "
	if len(line) <= len(word) || line[:len(word)] != word {
		return 0, false
	}
	n, err := strconv.ParseUint(line[len(word):], 10, 64)
	return n, err == nil
}

// checkCrashed compares all windows with what the tags up to last come to.
func checkCrashed(t *testing.T, s *history.Store, last uint64) {
	t.Helper()
	type cell struct {
		name  string
		start int64
		inc   byte
	}
	truth := make(map[cell]crdt.Fixed)
	for tag := uint64(1); tag <= last; tag++ {
		from, cells := crashCells(tag)
		for _, c := range cells {
			k := cell{c.Series.Name, c.Window.Start, from.Inc[0]}
			truth[k] = truth[k].Max(c.Value.P)
		}
	}
	sums := make(map[cell]crdt.Fixed)
	for k, v := range truth {
		k.inc = 0
		sums[k], _ = sums[k].Add(v)
	}
	n := 0
	if err := s.Curves(t.Context(), history.Selection{ByNode: true, To: crashBegin.Add(day).UnixMilli()}, func(c *history.Curve) error {
		for _, p := range c.Points {
			n++
			if want := sums[cell{c.Series.Name, p.Window.Start, 0}]; p.Value.P != want {
				t.Errorf("%s at %d: %s, want %s", c.Series, p.Window.Start, p.Value.P, want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if n != len(sums) {
		t.Errorf("%d windows, want %d", n, len(sums))
	}
}
