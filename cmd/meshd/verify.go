package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/config"
	"meshd/internal/audit"
	"meshd/internal/bridge"
	"meshd/node"
	"meshd/query"
	"meshd/replay"
)

const verifyUsage = `verify --from LOG --data DIR [flags]

Compares what a node that is stopped has on its disk with a durable log: every cell of every process, and every window that
both have, in canonical form. What differs is named by process, series and window. What one side does not claim to hold yet is lag, which
is counted and is no difference. Nothing is changed. Exit code 1 if something differs.`

// verifyCall is a call of `meshd verify`.
type verifyCall struct {
	from   string
	named  int
	strict bool
	json   bool
	cfg    *config.Config
	at     *replay.Location
}

// errDiffers ends a verification that found something.
var errDiffers = errors.New("the node and its log differ")

// runVerify is `meshd verify`.
func runVerify(args []string, out io.Writer) error {
	c, err := newVerifyCall(args, out)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	limitMemory(c.cfg.Memory)
	log, err := c.at.Open(ctx, replay.Options{Mesh: c.cfg.Mesh, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was read only
	rep, err := c.compare(ctx, log)
	if err != nil {
		return err
	}
	if c.json {
		err = query.RenderJSON(out, newVerifyAnswer(rep))
	} else {
		renderReport(out, rep)
	}
	switch {
	case err != nil:
		return err
	case rep.Differs > 0:
		return fmt.Errorf("verify: %w in %d of %d cells and windows", errDiffers, rep.Differs, rep.Cells+rep.Windows)
	case c.strict && (len(rep.Lags) > 0 || rep.Early > 0):
		return fmt.Errorf("verify: %w: one of them is behind, and --strict does not excuse that", errDiffers)
	}
	return nil
}

func newVerifyCall(args []string, out io.Writer) (*verifyCall, error) {
	c := &verifyCall{}
	fs := pflag.NewFlagSet("meshd verify", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	fs.StringVar(&c.from, "from", "", "`log` to compare with, as --archive of meshd run names it (default that of the --config file)")
	fs.IntVar(&c.named, "most", audit.DefaultNamed, "name at most `n` differences; all are counted")
	fs.BoolVar(&c.strict, "strict", false, "lag is a difference, too: for after a replay, when nothing is behind")
	fs.BoolVar(&c.json, "json", false, "answer in JSON")
	pass := []string{"config", "data", "node", "region", "mesh", "memory", "retention", "log-level"}
	given := map[string]*string{}
	for _, name := range pass {
		given[name] = fs.String(name, "", "as of meshd run")
	}
	if err := parse(fs, verifyUsage, args, out); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, usagef("verify: unexpected argument %q", fs.Arg(0))
	}
	if c.named < 1 {
		return nil, usagef("verify: --most %d: want 1 at least", c.named)
	}
	var settings []string
	for _, name := range pass {
		if fs.Changed(name) {
			settings = append(settings, "--"+name+"="+*given[name])
		}
	}
	var err error
	if c.cfg, err = config.Load(settings, os.Environ()); err != nil {
		return nil, usagef("verify: %w", err)
	}
	if c.cfg.Role != "hub" {
		return nil, usagef("verify: an edge has no log: verify its hubs")
	}
	if c.from == "" {
		c.from = c.cfg.Archive
	}
	if c.at, err = replay.ParseLocation(c.from); err != nil {
		return nil, usagef("verify: --from: %w", err)
	}
	return c, nil
}

// compare reads the disk as it is, without a node that would work on it.
func (c *verifyCall) compare(ctx context.Context, log replay.Log) (rep *audit.Report, err error) {
	if _, err := os.Stat(c.cfg.Data); err != nil {
		return nil, fmt.Errorf("--data %s: there is nothing to verify: %w", c.cfg.Data, err)
	}
	store, past, err := openStopped(c.cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: max(c.cfg.LogLevel, slog.LevelWarn)})))
	if err != nil {
		return nil, err
	}
	defer func() {
		past.Close()
		err = errors.Join(err, store.Close())
	}()
	err = bridge.Disk{Store: store}.View(func(r node.Reader) (err error) {
		rep, err = audit.Compare(ctx, audit.Config{
			Disk: r, Region: c.cfg.Region, Past: past, Log: log, MemoryBytes: c.cfg.Memory / 2, Named: c.named,
		})
		return err
	})
	return rep, err
}
