//go:build mutants

package mutant

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

// String is the test as the table of kills shows it.
func (t Test) String() string { return fmt.Sprintf("`%s` %s", t.Package, t.Name) }

// Bench runs single tests with a mutant planted, each in a process of its own. It builds the tests of a package when
// the first of them is wanted. It may be used by several goroutines.
type Bench struct {
	Root, Dir string // of the module, and where the programs go: the caller removes it

	programs once[string]
	sound    once[Test] // whether a test passes without a mutant: one that fails anyway kills nothing
}

// once does something once for each key, and remembers how it ended.
type once[K comparable] struct {
	mu sync.Mutex
	of map[K]func() error
}

func (o *once[K]) do(key K, f func() error) error {
	o.mu.Lock()
	if o.of == nil {
		o.of = map[K]func() error{}
	}
	if o.of[key] == nil {
		o.of[key] = sync.OnceValue(f)
	}
	f = o.of[key]
	o.mu.Unlock()
	return f()
}

// ErrTimedOut says that a test did not end with a mutant. That is no kill: it may have been a machine that was busy, and who
// waits for a time-out learns nothing of what the mutant broke.
var ErrTimedOut = errors.New("the test did not end in time, which is no kill: it must fail by what it checks")

// Kills reports whether a test fails with a mutant and passes without one. An error says why nothing is known.
func (b *Bench) Kills(ctx context.Context, t Test, name string) (bool, error) {
	if err := b.programs.do(t.Package, func() error { return b.build(ctx, t.Package) }); err != nil {
		return false, err
	}
	err := b.sound.do(t, func() error {
		out, err := b.run(ctx, t, "")
		if err != nil || !strings.Contains(out, "--- PASS: "+t.Name) {
			return fmt.Errorf("mutant: %s does not pass without one: %w\n%s", t, err, out)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	out, err := b.run(ctx, t, name)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	return t.failed(out, err)
}

// failed reports whether the test failed, by what its process wrote and how it ended.
func (t Test) failed(out string, err error) (bool, error) {
	if strings.Contains(out, "panic: test timed out after ") {
		return false, fmt.Errorf("mutant: %s: %w", t, ErrTimedOut)
	}
	return err != nil && strings.Contains(out, t.Name), nil
}

func (b *Bench) program(pkg string) string {
	return filepath.Join(b.Dir, strings.ReplaceAll(pkg, "/", "-")+".test")
}

func (b *Bench) build(ctx context.Context, pkg string) error {
	out, err := exec.CommandContext(ctx, "go", "test", "-c", "-tags=mutants", "-o", b.program(pkg), "meshd/"+pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("mutant: build the tests of %s: %w\n%s", pkg, err, out)
	}
	return nil
}

func (b *Bench) run(ctx context.Context, t Test, name string) (string, error) {
	cmd := exec.CommandContext(ctx, b.program(t.Package), "-test.run=^"+t.Name+"$", "-test.v", "-test.timeout=4m")
	cmd.Env = append(os.Environ(), Variable+"="+name)
	cmd.Dir = filepath.Join(b.Root, t.Package)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
