package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/config"
	"meshd/internal/audit"
	"meshd/query"
	"meshd/replay"
)

const verifyUsage = `verify [--data DIR | --at HOST:PORT] [--from LOG | --with HOST:PORT] [flags]

Compares what a node holds, one that is stopped (--data) or one that runs (--at), with a durable log (--from) or with another node that
runs (--with): every cell of every process, and every window that both have, in canonical form. What differs is named by process, series
and window. What one side does not claim to hold yet is lag, which is counted and is no difference. Nothing is changed. Exit code 1
if something differs.`

// verifyCall is a call of `meshd verify`.
type verifyCall struct {
	from     string // the log
	at, with string // nodes that run; "": the one on disk, and the log
	token    string
	wait     time.Duration // for what is on its way to a node that runs, or to its log
	named    int
	strict   bool
	json     bool
	cfg      *config.Config
	log      *replay.Location // nil: compare with a node
}

// verifyPause is what nodes get to bring on what is on its way: a hub compares itself with its peers, and appends to its log, once a second.
const verifyPause = time.Second

// errDiffers ends a verification that found something.
var errDiffers = errors.New("the two differ")

// runVerify is `meshd verify`.
func runVerify(args []string, out io.Writer) error {
	c, err := newVerifyCall(args, out)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	limitMemory(c.cfg.Memory)
	rep, err := c.settled(ctx)
	if err != nil {
		return err
	}
	if c.json {
		err = query.RenderJSON(out, newVerifyAnswer(rep))
	} else {
		renderReport(out, rep, cmp.Or(c.at, "node"), cmp.Or(c.with, "log"))
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
	fs.StringVar(&c.at, "at", "", "`host:port` of the HTTP API of the node, if it runs")
	fs.StringVar(&c.from, "from", "", "`log` to compare with, as --archive of meshd run names it (default that of the --config file)")
	fs.StringVar(&c.with, "with", "", "`host:port` of the HTTP API of another node, to compare with that instead of a log")
	tokenFile := fs.String("token-file", "", "`file` with the bearer token of role admin that nodes demand")
	fs.DurationVar(&c.wait, "wait", 10*time.Second, "with a node that runs, how long to compare again while one of the two is behind")
	fs.IntVar(&c.named, "most", audit.DefaultNamed, "name at most `n` differences; all are counted")
	fs.BoolVar(&c.strict, "strict", false, "lag is a difference, too: for after a replay, when nothing is behind")
	fs.BoolVar(&c.json, "json", false, "answer in JSON")
	pass := newPassed(fs, "config", "data", "node", "region", "mesh", "role", "memory", "retention", "log-level")
	if err := parse(fs, verifyUsage, args, out); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, usagef("verify: unexpected argument %q", fs.Arg(0))
	}
	var err error
	if c.cfg, err = pass.load(); err != nil {
		return nil, usagef("verify: %w", err)
	}
	if c.token, err = config.ReadToken(*tokenFile); err != nil {
		return nil, usagef("verify: --token-file: %w", err)
	}
	switch {
	case c.named < 1:
		return nil, usagef("verify: --most %d: want 1 at least", c.named)
	case c.at != "" && fs.Changed("data"):
		return nil, usagef("verify: --at is a node that runs, --data one that is stopped: choose one")
	case c.with != "" && c.from != "":
		return nil, usagef("verify: --with is a node, --from a log: choose one")
	case c.with != "":
		return c, nil
	case c.at == "" && c.cfg.Role != "hub":
		return nil, usagef("verify: an edge has no log: verify its hubs, or name one to compare it with (--with)")
	}
	from := cmp.Or(c.from, c.cfg.Archive)
	if from == "off" {
		return nil, usagef("verify: name what to compare with: --from LOG, as --archive of the hub names it, --config with the hub's file, or --with HOST:PORT, a node that runs")
	}
	if c.log, err = replay.ParseLocation(from); err != nil {
		return nil, usagef("verify: --from: %w", err)
	}
	return c, nil
}

// settled compares until neither is behind, something differs, or the time is up. Of two that are stopped nothing is on its way.
func (c *verifyCall) settled(ctx context.Context) (*audit.Report, error) {
	deadline := time.Now().Add(c.wait)
	for {
		rep, err := c.compare(ctx)
		behind := err == nil && (len(rep.Lags) > 0 || rep.Early > 0)
		if !behind || rep.Differs > 0 || c.at == "" && c.with == "" || time.Now().After(deadline) {
			return rep, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("verify: %w", ctx.Err())
		case <-time.After(verifyPause):
		}
	}
}

// compare reads both.
func (c *verifyCall) compare(ctx context.Context) (rep *audit.Report, err error) {
	cfg := audit.Config{MemoryBytes: c.cfg.Memory / 2, Named: c.named}
	mesh := c.cfg.Mesh
	if c.at == "" {
		disk, closeDisk, failed := c.openDisk()
		if failed != nil {
			return nil, failed
		}
		defer func() { err = errors.Join(err, closeDisk()) }()
		cfg.Node = disk
	} else {
		client, err := query.NewClient(c.at, c.token)
		if err != nil {
			return nil, usagef("verify: --at: %w", err)
		}
		if mesh, err = (stateAt{client}).mesh(ctx); err != nil {
			return nil, err
		}
		cfg.Node = stateAt{client}
	}
	if c.log == nil {
		client, err := query.NewClient(c.with, c.token)
		if err != nil {
			return nil, usagef("verify: --with: %w", err)
		}
		cfg.Peer = stateAt{client}
		return audit.Compare(ctx, cfg)
	}
	if cfg.Log, err = c.log.Open(ctx, replay.Options{Mesh: mesh, ReadOnly: true}); err != nil {
		return nil, err
	}
	defer func() { _ = cfg.Log.Close() }() // it was read only
	return audit.Compare(ctx, cfg)
}

// openDisk opens the disk of a node that is stopped as it is, without a node that would work on it.
func (c *verifyCall) openDisk() (audit.State, func() error, error) {
	if _, err := os.Stat(c.cfg.Data); err != nil {
		return nil, nil, fmt.Errorf("--data %s: there is nothing to verify: %w", c.cfg.Data, err)
	}
	store, past, err := openStopped(c.cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: max(c.cfg.LogLevel, slog.LevelWarn)})))
	if err != nil {
		return nil, nil, err
	}
	return diskState(c.cfg, store, past, nil), func() error {
		past.Close()
		return store.Close()
	}, nil
}

// stateAt is what a node that runs holds. It is asked when it is read.
type stateAt struct{ *query.Client }

// Parts implements audit.State.
func (s stateAt) Parts(ctx context.Context, f func(audit.Part) error) error {
	body, err := s.State(ctx)
	if err != nil {
		return err
	}
	defer body.Close()
	return audit.Told{From: body}.Parts(ctx, f)
}

func (s stateAt) mesh(ctx context.Context) (string, error) {
	st, err := s.Status(ctx)
	if err != nil {
		return "", err
	}
	return st.Mesh, nil
}
