package buffer

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestRefusedDirectories(t *testing.T) {
	write := func(name, text string) func(testing.TB, string) {
		return func(tb testing.TB, dir string) {
			tb.Helper()
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				tb.Fatal(err)
			}
		}
	}
	used := func(tb testing.TB, dir string) {
		tb.Helper()
		s, err := Open(testConfig(dir))
		if err != nil {
			tb.Fatal(err)
		}
		commit(tb, s, set("k", "v"))
		if err := s.Close(); err != nil {
			tb.Fatal(err)
		}
	}
	meta := func(version string) string {
		return `{"format_version":` + version + `,"mesh":"m","region":"r","node":"n","memtable_bytes":1048576}`
	}
	for _, tt := range []struct {
		name    string
		prepare func(testing.TB, string)
		change  func(*Config)
		want    error // nil = any error
		says    []string
	}{
		{"other mesh", used, func(c *Config) { c.Mesh = "prod" }, ErrForeign, []string{`"m"`, `"prod"`, "--mesh m", "empty directory"}},
		{"other region", used, func(c *Config) { c.Region = "eu" }, ErrForeign, []string{`"r"`, "--region r"}},
		{"other node", used, func(c *Config) { c.Node = "n2" }, ErrForeign, []string{`"n"`, "--node n"}},
		{"newer format", write(metaFile, meta("2")), nil, ErrNewer, []string{"2", "run that version"}},
		{"format zero", write(metaFile, meta("0")), nil, ErrCorrupt, []string{"META"}},
		{"META is no JSON", write(metaFile, "{"), nil, ErrCorrupt, []string{"META"}},
		{"someone's files", write("thesis.tex", "x"), nil, ErrForeign, []string{"thesis.tex", "empty"}},
		{"no directory given", nil, func(c *Config) { c.Dir = "" }, nil, []string{"--data"}},
		{"a file", write("f", ""), func(c *Config) { c.Dir = filepath.Join(c.Dir, "f") }, nil, []string{"choose a directory"}},
		{"locked", func(tb testing.TB, dir string) { tb.Helper(); mustOpen(tb, testConfig(dir)) }, nil, ErrLocked, []string{"another process", "stop it"}},
		{"not writable", func(tb testing.TB, dir string) {
			tb.Helper()
			if os.Geteuid() == 0 {
				tb.Skip("root may write everywhere")
			}
			if err := os.Chmod(dir, 0o500); err != nil {
				tb.Fatal(err)
			}
		}, nil, nil, []string{"write access"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			if tt.prepare != nil {
				tt.prepare(t, cfg.Dir)
			}
			if tt.change != nil {
				tt.change(&cfg)
			}
			s, err := Open(cfg)
			if err == nil {
				t.Fatal(errors.Join(errors.New("opened"), s.Close()))
			}
			if tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v: not %v", err, tt.want)
			}
			for _, part := range append(tt.says, cfg.Dir) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q does not say %q", err, part)
				}
			}
		})
	}
}

// TestAcceptedDirectories: what mkfs or a crash during creation left behind is no one's data.
func TestAcceptedDirectories(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, metaFile+".tmp"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	commit(t, mustOpen(t, testConfig(dir)), set("k", "v"))
}

// TestCopiedDirectory: a copy opens beside the original that is still running, and both go their own ways.
func TestCopiedDirectory(t *testing.T) {
	cfg := testConfig(t.TempDir())
	s := mustOpen(t, cfg)
	commit(t, s, set("k", "v"))
	cfg.Dir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(cfg.Dir, os.DirFS(s.cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	c := mustOpen(t, cfg)
	commit(t, c, set("k", "copy"))
	if got := contents(t, s, ""); got[0] != "k=v" {
		t.Errorf("original: %q", got)
	}
	if got := contents(t, c, ""); got[0] != "k=copy" {
		t.Errorf("copy: %q", got)
	}
}

// TestLessMemoryAfterACrash: the logs that a process with a large budget left behind must open with a small one.
func TestLessMemoryAfterACrash(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.MemoryBytes = 512 << 20
	s := mustOpen(t, cfg)
	want := 40
	for i := range want {
		commit(t, s, Op{Key: logKey(uint64(i)), Value: make([]byte, 100<<10)})
	}
	crashed := testConfig(filepath.Join(t.TempDir(), "copy"))
	if err := os.CopyFS(crashed.Dir, os.DirFS(cfg.Dir)); err != nil {
		t.Fatal(err)
	}
	crashed.MemoryBytes = 1
	for range 2 {
		c := mustOpen(t, crashed)
		if got := len(contents(t, c, "l/")); got != want {
			t.Errorf("%d records, want %d", got, want)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReopenBesideForks: a child being forked holds copies of all open files until it runs, and with them their locks.
func TestReopenBesideForks(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	var forks sync.WaitGroup
	forks.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), childVar+"=nothing")
			if err := cmd.Run(); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer forks.Wait()
	defer close(stop)
	cfg := testConfig(t.TempDir())
	for range 30 {
		s, err := Open(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
