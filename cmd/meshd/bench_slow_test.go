//go:build slow && unix

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"meshd/cmd/meshd/internal/bench"
)

// wantEmpty fails if a measurement left something in dir.
func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestInterruptedBenchLeavesNothing presses Ctrl-C while ten nodes run.
func TestInterruptedBenchLeavesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cmd := exec.Command(meshd(), "bench", "truth", "--scenario", "cut", "--dir", dir)
	progress, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		text.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "hear each other") {
			if err := cmd.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(text.String(), "interrupt") {
		t.Errorf("an interrupted measurement ended with %v\n%s", err, text.String())
	}
	wantEmpty(t, dir)
}

// TestEveryBenchCountsRight runs every measurement briefly. What it asserts are counts; times are figures, and no test.
func TestEveryBenchCountsRight(t *testing.T) {
	t.Parallel()
	var runs [][]string
	for _, b := range bench.List() {
		if b.Name != "truth" && b.Name != "ingest" {
			runs = append(runs, []string{b.Name})
		}
	}
	for _, scenario := range []string{"faults", "cut", "kill", "disks"} {
		runs = append(runs, []string{"truth", "--scenario", scenario})
	}
	for _, door := range []string{"statsd", "remote-write", "otlp", "events"} {
		runs = append(runs, []string{"ingest", "--door", door})
	}
	for _, args := range runs {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			cmd := exec.Command(meshd(), append(append([]string{"bench"}, args...), "--quick", "--dir", dir)...)
			var progress bytes.Buffer
			cmd.Stderr = &progress
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v\n%s", err, progress.Bytes())
			}
			var rep bench.Report
			if err := json.Unmarshal(out, &rep); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if rep.Bench != args[0] || len(rep.Wrong) > 0 || rep.Machine.CPUs == 0 || !strings.HasPrefix(rep.Command, "meshd bench "+args[0]) {
				t.Errorf("report %s", out)
			}
			if args[0] == "truth" && (rep.Figure.Value != 0 || rep.RawLimit.Of == "") {
				t.Errorf("the largest error of any node is %v, want 0\n%s", rep.Figure, progress.Bytes())
			}
			wantEmpty(t, dir)
		})
	}
}
