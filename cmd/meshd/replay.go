package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/config"
	"meshd/cmd/meshd/internal/tty"
	"meshd/internal/archive"
	"meshd/internal/glob"
	"meshd/replay"
)

const replayUsage = `replay --from LOG --data DIR [flags]

Joins what a durable log holds into the data directory of a hub that is stopped: an empty one is rebuilt, one that lacks
something gets it, and what it has already changes nothing. Edges need none: their hubs hold what they counted. A replay
that was ended goes on where it was when it is called again.`

// replayCall is a call of `meshd replay`.
type replayCall struct {
	from, since, only string
	metric            string // only metrics that this pattern matches; "": all
	wants             func(string) bool
	cfg               *config.Config
	at                *replay.Location
	start             time.Time // zero: the oldest record
}

// resumeName is the file in a data directory that says how far a replay came.
const resumeName = "replay.json"

// resumed is what it holds. A replay of something else begins anew.
type resumed struct {
	From   string         `json:"from"`
	Since  string         `json:"since,omitempty"`
	Only   string         `json:"only,omitempty"`
	Metric string         `json:"metric,omitempty"`
	Resume archive.Resume `json:"resume"`
}

// runReplay is `meshd replay`.
func runReplay(args []string, out io.Writer) error {
	c, err := newReplayCall(args, out)
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
	hub, err := openLone(c.cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: max(c.cfg.LogLevel, slog.LevelWarn)})))
	if err != nil {
		return err
	}
	return errors.Join(c.run(ctx, log, hub, out), hub.close())
}

func newReplayCall(args []string, out io.Writer) (*replayCall, error) {
	c := &replayCall{}
	fs := pflag.NewFlagSet("meshd replay", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	fs.StringVar(&c.from, "from", "", "`log` to read, as --archive of meshd run names it (default that of the --config file)")
	fs.StringVar(&c.since, "since", "", "`time` such as 2026-03-14T15:00:00Z: only what was appended from then on")
	fs.StringVar(&c.only, "only-region", "", "only what was counted in this `region`")
	fs.StringVar(&c.metric, "only-metric", "", "only metrics that this `pattern` matches, such as 'shop.*'; windows of others may come with theirs")
	pass := []string{"config", "data", "node", "region", "mesh", "memory", "window", "retention", "log-level"}
	given := map[string]*string{}
	for _, name := range pass {
		given[name] = fs.String(name, "", "as of meshd run")
	}
	if err := parse(fs, replayUsage, args, out); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, usagef("replay: unexpected argument %q", fs.Arg(0))
	}
	var settings []string
	for _, name := range pass {
		if fs.Changed(name) {
			settings = append(settings, "--"+name+"="+*given[name])
		}
	}
	var err error
	if c.cfg, err = config.Load(settings, os.Environ()); err != nil {
		return nil, usagef("replay: %w", err)
	}
	if c.cfg.Role != "hub" {
		return nil, usagef("replay: an edge needs none: its hubs hold what it counted")
	}
	if c.from == "" {
		c.from = c.cfg.Archive
	}
	if c.at, err = replay.ParseLocation(c.from); err != nil {
		return nil, usagef("replay: --from: %w", err)
	}
	if c.metric != "" {
		if c.wants, err = glob.Compile(c.metric); err != nil {
			return nil, usagef("replay: --only-metric: %w", err)
		}
	}
	if c.since != "" {
		if c.start, err = time.Parse(time.RFC3339, c.since); err != nil {
			return nil, usagef("replay: --since %q: want a time such as 2026-03-14T15:00:00Z", c.since)
		}
	}
	return c, nil
}

// run replays the log into a hub that runs alone.
func (c *replayCall) run(ctx context.Context, log replay.Log, hub *lone, out io.Writer) error {
	before, err := sumTotals(ctx, hub.node)
	if err != nil {
		return err
	}
	r := &archive.Rebuild{Log: log, Into: hub.node, Region: c.only, Metrics: c.wants, Keep: c.keep}
	if !c.start.IsZero() {
		if r.Since, err = log.At(ctx, c.start); err != nil {
			return err
		}
	}
	if r.Resume, err = c.resume(); err != nil {
		return err
	}
	if r.Resume.Position != nil {
		fmt.Fprintln(out, "goes on where an earlier replay ended")
	}
	show := newReplayProgress(os.Stderr, tty.Is(os.Stderr))
	r.Moved = show.moved
	end, err := r.Run(ctx)
	show.end()
	if err != nil {
		return fmt.Errorf("%w; call it again to go on", err)
	}
	after, err := sumTotals(ctx, hub.node)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records read, %d of them joined as %d cells; %d were not needed; %d rounds\n\n", end.Records, end.Records-end.Skipped, end.Cells, end.Skipped, end.Round)
	if end.Unnamed > 0 {
		fmt.Fprintf(out, "%d cells were left out: what they are of is said before --since\n\n", end.Unnamed)
	}
	if err := renderTotals(out, before, after); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(c.cfg.Data, resumeName)); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// resume reads how far an earlier call for the same came.
func (c *replayCall) resume() (archive.Resume, error) {
	raw, err := os.ReadFile(filepath.Join(c.cfg.Data, resumeName))
	if errors.Is(err, os.ErrNotExist) {
		return archive.Resume{}, nil
	}
	var was resumed
	if err == nil {
		err = json.Unmarshal(raw, &was)
	}
	if err != nil {
		return archive.Resume{}, fmt.Errorf("%s: %w: delete it to replay from the beginning", resumeName, err)
	}
	if was.From != c.from || was.Since != c.since || was.Only != c.only || was.Metric != c.metric {
		return archive.Resume{}, nil
	}
	return was.Resume, nil
}

func (c *replayCall) keep(at archive.Resume) error {
	return archive.Store(c.cfg.Data, resumeName, resumed{From: c.from, Since: c.since, Only: c.only, Metric: c.metric, Resume: at})
}

// lone is a hub without peers and doors.
type lone struct {
	parts
	stop context.CancelFunc
	done chan error
}

// openLone opens a data directory and lets its hub run.
func openLone(cfg *config.Config, log *slog.Logger) (_ *lone, err error) {
	l := &lone{done: make(chan error, 2)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.parts.close())
		}
	}()
	if l.store, l.past, err = openStopped(cfg, log); err != nil {
		return nil, err
	}
	if err = l.openLoneNode(cfg, log); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	go func() { l.done <- l.node.Run(ctx) }()
	go func() { l.done <- l.past.Run(ctx) }()
	return l, nil
}

// close ends the hub. What it was told is on disk.
func (l *lone) close() error {
	l.stop()
	return errors.Join(<-l.done, <-l.done, l.parts.close())
}
