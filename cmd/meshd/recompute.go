package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/config"
	"meshd/crdt"
	"meshd/internal/archive"
	"meshd/internal/eventlog"
	"meshd/internal/glob"
	"meshd/internal/recompute"
	"meshd/query"
	"meshd/replay"
)

const recomputeUsage = `recompute --from TIME --to TIME --log LOG --at HUB [flags]
       meshd recompute --list --at HUB
       meshd recompute --undo ID --at HUB

Counts the raw events that happened in [--from, --to) anew, by the rules of --relabel or as they were received, and corrects
what they were counted as, lifetimes and windows: each node of the mesh answers with it, as a whole, from when it holds all
of it. With --dry-run it shows what would change and writes nothing. Another call for the same time replaces the one before. Give a hub of each region,
and every log that nodes of the mesh keep events in, see --archive-events of meshd run.`

// shownChanges is how many changes are printed unless all are wanted.
const shownChanges = 20

// appendedBefore is how much earlier than it happened an event may have been appended: nodes take what is early by ten minutes, and clocks
// differ.
const appendedBefore = time.Hour

// recomputeCall is a call of `meshd recompute`.
type recomputeCall struct {
	from, to    string
	logs, hubs  []string
	metric      string
	rules       []string
	mesh, token string
	undo        string
	dry, list   bool
	holes, all  bool
	wait        time.Duration
	begin, end  time.Time
	at          []*replay.Location
	wanted      func(string) bool
	clients     map[string]*query.Client // by region
	known       []*query.CorrectionsAnswer
	first       *query.Client // who takes orders
	width       int64         // of windows, ms
	reader      archive.EventsReader
	sums        *recompute.Recompute
	replaces    []string
}

// runRecompute is `meshd recompute`.
func runRecompute(args []string, out io.Writer) error {
	c, err := newRecomputeCall(args, out)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := c.connect(ctx); err != nil {
		return err
	}
	switch {
	case c.list:
		return c.printList(out)
	case c.undo != "":
		return c.runUndo(ctx, out)
	}
	if err := c.choose(); err != nil {
		return err
	}
	if err := c.read(ctx); err != nil {
		return err
	}
	if err := c.print(out); err != nil || c.dry {
		return err
	}
	return c.write(ctx, out)
}

func newRecomputeCall(args []string, out io.Writer) (*recomputeCall, error) {
	c := &recomputeCall{clients: map[string]*query.Client{}}
	fs := pflag.NewFlagSet("meshd recompute", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	fs.StringVar(&c.from, "from", "", "`time` such as 2026-03-14T15:00:00Z: what happened from then on; at most 7 days ago")
	fs.StringVar(&c.to, "to", "", "`time`: what happened before it")
	fs.StringArrayVar(&c.logs, "log", nil, "`log` of raw events, as --archive-events of meshd run names it; may repeat")
	fs.StringArrayVar(&c.hubs, "at", nil, "`host:port` of the HTTP API of a hub; one of each region whose counts change")
	fs.StringArrayVar(&c.rules, "relabel", nil, "YAML `[REGION[/NODE]=]file` of rules for labels, as --labels of meshd run; may repeat, the most exact one counts (default: as events were received)")
	fs.StringVar(&c.metric, "metric", "*", "`pattern` of the metrics, as they were received")
	fs.BoolVar(&c.dry, "dry-run", false, "show what would change, and write nothing; needs no hub")
	fs.BoolVar(&c.all, "all", false, fmt.Sprintf("show all series that change, not %d", shownChanges))
	fs.BoolVar(&c.holes, "holes", false, "go on if events are missing in a log: these stay as they were counted")
	fs.DurationVar(&c.wait, "wait", 2*time.Minute, "`time` to wait for windows to be where they belong, and then for the hubs to answer with it")
	fs.BoolVar(&c.list, "list", false, "list the corrections that there are")
	fs.StringVar(&c.undo, "undo", "", "`id` of a correction that is to count no more: what was counted first is answered again")
	fs.StringVar(&c.mesh, "mesh", "", "`name` of the mesh that the logs must be of (default any)")
	token := fs.String("token-file", "", "`file` with the bearer token of role admin that the hubs demand")
	if err := parse(fs, recomputeUsage, args, out); err != nil {
		return nil, err
	}
	var err error
	if c.token, err = config.ReadToken(*token); err != nil {
		return nil, usagef("recompute: --token-file: %w", err)
	}
	switch {
	case fs.NArg() > 0:
		return nil, usagef("recompute: unexpected argument %q", fs.Arg(0))
	case (c.list || c.undo != "") && len(c.hubs) == 0:
		return nil, usagef("recompute: --at is needed: which hub is asked?")
	case c.list || c.undo != "":
		return c, nil
	case len(c.logs) == 0:
		return nil, usagef("recompute: --log is needed: where are the raw events?")
	case len(c.hubs) == 0 && !c.dry:
		return nil, usagef("recompute: --at is needed: a hub of each region, or --dry-run")
	}
	return c, c.parseChoice()
}

// parseChoice reads which events are wanted.
func (c *recomputeCall) parseChoice() (err error) {
	for _, text := range c.logs {
		at, err := replay.ParseLocation(text)
		if err != nil {
			return usagef("recompute: --log: %w", err)
		}
		c.at = append(c.at, at)
	}
	if c.wanted, err = glob.Compile(c.metric); err != nil {
		return usagef("recompute: --metric: %w", err)
	}
	for _, t := range []struct {
		flag, text string
		to         *time.Time
	}{{"from", c.from, &c.begin}, {"to", c.to, &c.end}} {
		if *t.to, err = parseMoment("recompute", t.flag, t.text); err != nil {
			return err
		}
	}
	switch {
	case !c.begin.Before(c.end):
		return usagef("recompute: --from must be before --to")
	case time.Since(c.begin) > crdt.MaxLateMillis*time.Millisecond-time.Hour && !c.dry:
		return usagef("recompute: --from is too long ago: windows take what is at most 7 days old, and an hour is left for the work")
	}
	return nil
}

// connect asks the hubs who they are and which corrections they know.
func (c *recomputeCall) connect(ctx context.Context) error {
	c.width = crdt.FineMillis
	for _, at := range c.hubs {
		client, err := query.NewClient(at, c.token)
		if err != nil {
			return usagef("recompute: --at: %w", err)
		}
		known, err := client.Corrections(ctx)
		switch {
		case err != nil:
			return err
		case known.Role != "hub":
			return usagef("recompute: --at %s is an edge: ask a hub", at)
		case c.clients[known.Region] != nil:
			return usagef("recompute: --at %s: there is another hub of region %s", at, known.Region)
		case len(c.known) > 0 && known.WindowMs != c.known[0].WindowMs:
			return fmt.Errorf("recompute: hubs keep windows of %d and %d ms: correct their regions one by one", c.known[0].WindowMs, known.WindowMs)
		}
		if c.first == nil {
			c.first = client
		}
		c.clients[known.Region] = client
		c.known = append(c.known, known)
		if known.WindowMs > 0 {
			c.width = known.WindowMs
		}
	}
	return nil
}

// read counts the events of all logs anew.
func (c *recomputeCall) read(ctx context.Context) error {
	rule, err := loadRules(c.rules)
	if err != nil {
		return err
	}
	c.sums = recompute.New(rule, c.width)
	from, to := c.begin.UnixMilli(), c.end.UnixMilli()
	for i, at := range c.at {
		log, err := at.Open(ctx, replay.Options{Mesh: c.mesh, ReadOnly: true})
		if err != nil {
			return err
		}
		position, err := log.At(ctx, c.begin.Add(-appendedBefore))
		if err == nil {
			err = c.reader.Read(ctx, log, position, func(o crdt.Origin, ev *eventlog.Event) error {
				if ev.Time < from || ev.Time >= to || !c.wanted(ev.Series.Name) {
					return nil
				}
				return c.sums.Add(o, ev)
			})
		}
		if err := errors.Join(err, log.Close()); err != nil {
			return fmt.Errorf("--log %s: %w", c.logs[i], err)
		}
	}
	if st := c.reader.Done(); st.Missing > 0 && !c.holes {
		return fmt.Errorf("recompute: %d events are missing between others: they found no room, or their part of the log is gone; with --holes they stay as they were counted", st.Missing)
	}
	return nil
}
