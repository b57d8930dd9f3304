package buffer

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// crashBatch is the batch number n of the child: its keys carry n, and every seventh takes the journal.
func crashBatch(n int) []Op {
	size := 300
	if n%7 == 6 {
		size = 60 << 10
	}
	ops := make([]Op, 5)
	for i := range ops {
		ops[i] = Op{Key: fmt.Appendf(nil, "b/%08d/%d", n, i), Value: make([]byte, size)}
	}
	return ops
}

// crashChild commits batch after batch from the first that is absent, and writes each number when it is acked.
func crashChild(dir string) error {
	s, err := Open(testConfig(dir))
	if err != nil {
		return err
	}
	next := 0
	err = s.Scan([]byte("b/"), func(k, _ []byte) error {
		n, err := strconv.Atoi(string(k[2:10]))
		next = max(next, n+1)
		return err
	})
	if err != nil {
		return err
	}
	for ; ; next++ {
		if err := s.Commit(crashBatch(next)); err != nil {
			return err
		}
		fmt.Println(next)
	}
}

// TestKill kills a committing process again and again, and expects every acked batch, and no batch in part.
func TestKill(t *testing.T) {
	t.Parallel()
	rounds := 5
	if slow {
		rounds = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	dir, acked := t.TempDir(), -1
	for range rounds {
		cmd := exec.Command(os.Args[0], dir)
		cmd.Env = append(os.Environ(), childVar+"=crash")
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := 1 + rng.IntN(40)
		sc := bufio.NewScanner(out)
		for n := 0; sc.Scan(); n++ {
			if acked, err = strconv.Atoi(sc.Text()); err != nil {
				t.Fatal(err)
			}
			if n == kill { // the child goes on meanwhile; acks it still wrote count as well
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("child ended by itself: %v", err)
		}
		checkBatches(t, dir, acked)
	}
}

func checkBatches(t *testing.T, dir string, acked int) {
	t.Helper()
	s, err := Open(testConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]int{}
	err = s.Scan([]byte("b/"), func(k, v []byte) error {
		n, err := strconv.Atoi(string(k[2:10]))
		if err == nil && len(v) != len(crashBatch(n)[0].Value) {
			t.Errorf("batch %d: value of %d bytes", n, len(v))
		}
		got[n]++
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range acked + 1 {
		if got[n] == 0 {
			t.Errorf("batch %d was acked and is gone", n)
		}
	}
	for n, keys := range got {
		if keys != 5 {
			t.Errorf("%d of 5 keys of batch %d", keys, n)
		}
	}
	if len(got) > acked+2 {
		t.Errorf("%d batches, only %d were acked", len(got), acked+1)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTruncatedFiles cuts the end off each file of a store in turn. It must open with the batches of some moment, all
// of each, or be refused with ErrCorrupt. The one exception is a manifest cut off while a store is in use: a power cut
// leaves the same bytes and must open.
func TestTruncatedFiles(t *testing.T) {
	t.Parallel()
	orig := testConfig(t.TempDir())
	s := mustOpen(t, orig)
	const batches = 60
	for n := range batches { // several memtables: logs, L0 tables and the levels below
		commit(t, s, crashBatch(n)...)
	}
	live := copyLive(t, orig.Dir) // as a crash leaves it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{live, orig.Dir} {
		for _, name := range filesIn(t, from) {
			for _, cut := range []int64{1, 7, 100, 1000, 1 << 19, 1 << 40} {
				t.Run(fmt.Sprintf("%s/%s/%d", filepath.Base(from), name, cut), func(t *testing.T) {
					t.Parallel()
					dir := filepath.Join(t.TempDir(), "copy")
					if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
						t.Fatal(err)
					}
					info, err := os.Stat(filepath.Join(dir, name))
					if err != nil {
						t.Fatal(err)
					}
					if err := os.Truncate(filepath.Join(dir, name), max(info.Size()-cut, 0)); err != nil {
						t.Fatal(err)
					}
					openDamaged(t, dir, from == live && filepath.Base(name) == "MANIFEST")
				})
			}
		}
	}
}

// copyLive copies a store that is in use. A compaction that ends meanwhile changes which files there are, and a copy of
// two moments is what no crash leaves behind: it is made again.
func copyLive(t *testing.T, dir string) string {
	t.Helper()
	for {
		to := filepath.Join(t.TempDir(), "live")
		before := filesIn(t, dir)
		err := os.CopyFS(to, os.DirFS(dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		if err == nil && slices.Equal(before, filesIn(t, dir)) {
			return to
		}
	}
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			var rel string
			rel, err = filepath.Rel(dir, path)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// openDamaged opens dir in whatever state, checks what it shows, and writes and reads on.
func openDamaged(t *testing.T, dir string, mayTear bool) {
	t.Helper()
	s, err := Open(testConfig(dir))
	if err != nil {
		if !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), dir) {
			t.Errorf("refused with %v", err)
		}
		return
	}
	got := map[string]int{}
	err = s.Scan([]byte("b/"), func(k, _ []byte) error { got[string(k[2:10])]++; return nil })
	if err != nil && !errors.Is(err, ErrCorrupt) {
		t.Errorf("scan: %v", err)
	}
	for n, keys := range got {
		if keys != 5 && err == nil && !mayTear {
			t.Errorf("%d of 5 keys of batch %s", keys, n)
		}
	}
	commit(t, s, set("after", "v"))
	if _, err := s.Get([]byte("after")); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}
