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
       meshd replay --from LOG --to HOST:PORT [flags]

Joins what a durable log holds into the data directory of a hub that is stopped, or with --to into a hub that runs, at its
pace: an empty one is rebuilt, one that lacks something gets it, and what it has already changes nothing. Edges need none: their hubs
hold what they counted. A replay that was ended goes on where it was when it is called again. Where the log is damaged it goes on behind
that, says what is missing, and ends with exit code 3.`

// replayCall is a call of `meshd replay`.
type replayCall struct {
	from, since, only string
	to, token         string // a hub that runs; "": one that is stopped
	progress          string // the file that says how far it came
	metric            string // only metrics that this pattern matches; "": all
	strict            bool   // damage ends it
	wants             func(string) bool
	cfg               *config.Config
	at                *replay.Location
	start             time.Time // zero: the oldest record
}

// resumeName is the file in a data directory that says how far a replay came, and runningName that in the current directory for a hub
// that runs.
const (
	resumeName  = "replay.json"
	runningName = "meshd-replay.json"
)

// resumed is what it holds. A replay of something else begins anew.
type resumed struct {
	From   string         `json:"from"`
	To     string         `json:"to,omitempty"`
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
	mesh := c.cfg.Mesh
	var into *replayInto
	if c.to != "" {
		if into, mesh, err = openRunning(ctx, c.to, c.token); err != nil {
			return err
		}
	}
	log, err := c.at.Open(ctx, replay.Options{Mesh: mesh, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was read only
	if into == nil {
		if into, err = c.openLone(); err != nil {
			return err
		}
	}
	return errors.Join(c.run(ctx, log, into, out), into.close())
}

// replayInto is the hub that a log is replayed into.
type replayInto struct {
	archive.Target
	totals  func(context.Context) (map[metricIn]metricSum, error)
	close   func() error
	running bool // it counts meanwhile, and how many series there are is not known
}

// openLone opens the data directory of a hub that is stopped.
func (c *replayCall) openLone() (*replayInto, error) {
	hub, err := openLone(c.cfg, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: max(c.cfg.LogLevel, slog.LevelWarn)})))
	if err != nil {
		return nil, err
	}
	return &replayInto{
		Target: hub.node, close: hub.close,
		totals: func(ctx context.Context) (map[metricIn]metricSum, error) { return sumTotals(ctx, hub.node) },
	}, nil
}

func newReplayCall(args []string, out io.Writer) (*replayCall, error) {
	c := &replayCall{}
	fs := pflag.NewFlagSet("meshd replay", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	fs.StringVar(&c.from, "from", "", "`log` to read, as --archive of meshd run names it (default that of the --config file)")
	fs.StringVar(&c.to, "to", "", "`host:port` of the HTTP API of a hub that runs, instead of a data directory")
	tokenFile := fs.String("token-file", "", "`file` with the bearer token of role admin that the hub demands")
	fs.StringVar(&c.progress, "progress", "", "`file` that says how far it came (default "+resumeName+" in --data, or with --to "+runningName+" here)")
	fs.StringVar(&c.since, "since", "", "`time` such as 2026-03-14T15:00:00Z: only what was appended from then on")
	fs.StringVar(&c.only, "only-region", "", "only what was counted in this `region`")
	fs.StringVar(&c.metric, "only-metric", "", "only metrics that this `pattern` matches, such as 'shop.*'; windows of others may come with theirs")
	fs.BoolVar(&c.strict, "stop-at-damage", false, "end where the log is damaged, instead of going on behind it")
	pass := newPassed(fs, "config", "data", "node", "region", "mesh", "memory", "window", "retention", "log-level")
	if err := parse(fs, replayUsage, args, out); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, usagef("replay: unexpected argument %q", fs.Arg(0))
	}
	var err error
	if c.cfg, err = pass.load(); err != nil {
		return nil, usagef("replay: %w", err)
	}
	if c.token, err = config.ReadToken(*tokenFile); err != nil {
		return nil, usagef("replay: --token-file: %w", err)
	}
	switch {
	case c.to != "" && fs.Changed("data"):
		return nil, usagef("replay: --to is a hub that runs, --data one that is stopped: choose one")
	case c.to == "" && c.cfg.Role != "hub":
		return nil, usagef("replay: an edge needs none: its hubs hold what it counted")
	case c.progress != "":
	case c.to != "":
		c.progress = runningName
	default:
		c.progress = filepath.Join(c.cfg.Data, resumeName)
	}
	return c, c.choose()
}

// choose reads what of which log is wanted.
func (c *replayCall) choose() (err error) {
	if c.from == "" {
		c.from = c.cfg.Archive
	}
	if c.from == "off" {
		return usagef("replay: name the log to read with --from, as --archive of the hub names it, or the hub's file with --config")
	}
	if c.at, err = replay.ParseLocation(c.from); err != nil {
		return usagef("replay: --from: %w", err)
	}
	if c.metric != "" {
		if c.wants, err = glob.Compile(c.metric); err != nil {
			return usagef("replay: --only-metric: %w", err)
		}
	}
	if c.since != "" {
		if c.start, err = parseMoment("replay", "since", c.since); err != nil {
			return err
		}
	}
	return nil
}

// run replays the log.
func (c *replayCall) run(ctx context.Context, log replay.Log, into *replayInto, out io.Writer) error {
	before, err := into.totals(ctx)
	if err != nil {
		return err
	}
	r := &archive.Rebuild{Log: log, Into: into, Region: c.only, Metrics: c.wants, Keep: c.keep}
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
	missing := &replayMissing{out: os.Stderr}
	if !c.strict {
		r.Damaged = missing.add
	}
	end, err := r.Run(ctx)
	show.end()
	if err != nil {
		return fmt.Errorf("%w; call it again to go on", err)
	}
	after, err := into.totals(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d records read, %d of them joined as %d cells; %d were not needed; rounds: %d\n\n", end.Records, end.Records-end.Skipped, end.Cells, end.Skipped, end.Round)
	if end.Unnamed > 0 {
		fmt.Fprintf(out, "%d cells were left out: what they are of is said before --since\n\n", end.Unnamed)
	}
	if err := renderTotals(out, before, after, !into.running); err != nil {
		return err
	}
	if err := os.Remove(c.progress); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return missing.err()
}

// resume reads how far an earlier call for the same came.
func (c *replayCall) resume() (archive.Resume, error) {
	raw, err := os.ReadFile(c.progress)
	if errors.Is(err, os.ErrNotExist) {
		return archive.Resume{}, nil
	}
	var was resumed
	if err == nil {
		err = json.Unmarshal(raw, &was)
	}
	if err != nil {
		return archive.Resume{}, fmt.Errorf("%s: %w: delete it to replay from the beginning", c.progress, err)
	}
	if was.From != c.from || was.To != c.to || was.Since != c.since || was.Only != c.only || was.Metric != c.metric {
		return archive.Resume{}, nil
	}
	return was.Resume, nil
}

func (c *replayCall) keep(at archive.Resume) error {
	return archive.Store(filepath.Dir(c.progress), filepath.Base(c.progress), resumed{From: c.from, To: c.to, Since: c.since, Only: c.only, Metric: c.metric, Resume: at})
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
