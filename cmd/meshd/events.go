package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"meshd/crdt"
	"meshd/internal/archive"
	"meshd/internal/eventlog"
	"meshd/internal/glob"
	"meshd/replay"
)

const eventsUsage = `events --from LOG [flags]

Prints the raw events that a log of them has, one JSON object a line: what POST /v1/events takes, and in "of" and "number"
which process counted it as which; "counted" is the series that it was counted as if rules for labels changed it, "dropped" that one dropped it. Each is printed once. At the end it says, on standard error, how many are missing.

With --sum it adds them up by series instead, with --labels as those rules for labels make them, and with --instead
prints the series that other rules would have counted otherwise.`

// eventsCall is a call of `meshd events`.
type eventsCall struct {
	from, mesh, match, since, until string
	sum                             bool
	labels, instead                 string

	at       *replay.Location
	wanted   func(string) bool
	low, top int64 // milliseconds; [low, top)
}

// printEvents is `meshd events`.
func printEvents(args []string, out io.Writer) (err error) {
	c, err := newEventsCall(args, out)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log, err := c.at.Open(ctx, replay.Options{Mesh: c.mesh, ReadOnly: true})
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // it was read only
	do, end, err := c.printer(out)
	if err != nil {
		return err
	}
	st, err := archive.ReadEvents(ctx, log, nil, func(o crdt.Origin, ev *eventlog.Event) error {
		if !c.wanted(ev.Series.Name) || ev.Time < c.low || ev.Time >= c.top {
			return nil
		}
		return do(o, ev)
	})
	if err == nil {
		err = end()
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d events read, %d of them again; %d are missing between others\n", st.Events+st.Repeated, st.Repeated, st.Missing)
	return nil
}

// printer returns what is done with each event, and at the end.
func (c *eventsCall) printer(out io.Writer) (do func(crdt.Origin, *eventlog.Event) error, end func() error, err error) {
	if !c.sum {
		w := bufio.NewWriter(out)
		enc := json.NewEncoder(w)
		return func(o crdt.Origin, ev *eventlog.Event) error { return enc.Encode(shownEvent(o, ev)) }, w.Flush, nil
	}
	was, err := newSummed(c.labels)
	if err != nil {
		return nil, nil, fmt.Errorf("--labels: %w", err)
	}
	if c.instead == "" {
		return func(_ crdt.Origin, ev *eventlog.Event) error { return was.add(ev) }, func() error {
			sayRefused("", was)
			return was.print(out)
		}, nil
	}
	is, err := newSummed(c.instead)
	if err != nil {
		return nil, nil, fmt.Errorf("--instead: %w", err)
	}
	return func(_ crdt.Origin, ev *eventlog.Event) error { return errors.Join(was.add(ev), is.add(ev)) }, func() error {
		sayRefused("", was)
		sayRefused(" instead", is)
		return was.printInstead(out, is)
	}, nil
}

func sayRefused(by string, s *summed) {
	if s.refused > 0 {
		fmt.Fprintf(os.Stderr, "%d events are in no sum%s: their series would be refused, or the sum is too large\n", s.refused, by)
	}
}

func newEventsCall(args []string, out io.Writer) (*eventsCall, error) {
	c := &eventsCall{}
	fs := pflag.NewFlagSet("meshd events", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	fs.StringVar(&c.from, "from", "", "`log` to read, as --archive-events of meshd run names it")
	fs.StringVar(&c.mesh, "mesh", "", "`name` of the mesh that the log must be of (default any)")
	fs.StringVar(&c.match, "match", "*", "`pattern` of the metrics that are wanted")
	fs.StringVar(&c.since, "since", "", "`time` such as 2026-03-14T15:00:00Z: only what happened from then on")
	fs.StringVar(&c.until, "until", "", "`time`: only what happened before it")
	fs.BoolVar(&c.sum, "sum", false, "add them up by series")
	fs.StringVar(&c.labels, "labels", "", "with --sum: YAML `file` of rules for labels, as --labels of meshd run (default as they came)")
	fs.StringVar(&c.instead, "instead", "", "with --sum: YAML `file` of other rules; only what differs is printed")
	if err := parse(fs, eventsUsage, args, out); err != nil {
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, usagef("events: unexpected argument %q", fs.Arg(0))
	}
	if !c.sum && c.labels+c.instead != "" {
		return nil, usagef("events: --labels and --instead need --sum")
	}
	var err error
	if c.at, err = replay.ParseLocation(c.from); err != nil {
		return nil, usagef("events: --from: %w", err)
	}
	if c.wanted, err = glob.Compile(c.match); err != nil {
		return nil, usagef("events: --match: %w", err)
	}
	c.top = 1<<63 - 1
	for _, t := range []struct {
		flag, text string
		to         *int64
	}{{"since", c.since, &c.low}, {"until", c.until, &c.top}} {
		if t.text == "" {
			continue
		}
		at, err := parseMoment("events", t.flag, t.text)
		if err != nil {
			return nil, err
		}
		*t.to = at.UnixMilli()
	}
	return c, nil
}

// parseMoment reads the time that a flag of a command names.
func parseMoment(command, flag, text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return at, usagef("%s: --%s %q: want a time such as 2026-03-14T15:00:00Z", command, flag, text)
	}
	return at, nil
}

// shown is an event for people and programs.
type shown struct {
	Event  string            `json:"event"`
	Type   string            `json:"type"`
	Value  string            `json:"value,omitempty"` // "" where an increment is more than a number
	TS     int64             `json:"ts"`
	Labels map[string]string `json:"labels,omitempty"`
	Source string            `json:"source,omitempty"`
	Seq    uint64            `json:"seq,omitempty"`
	Key    string            `json:"idempotency_key,omitempty"`
	State  []byte            `json:"state,omitempty"` // canonical bytes of such an increment
	Of     string            `json:"of"`
	Number uint64            `json:"number"`

	Counted *shownSeries `json:"counted,omitempty"` // as what, if not as it was received
	Dropped bool         `json:"dropped,omitempty"` // a rule dropped it: it counted nothing
}

// shownSeries is a series for people and programs.
type shownSeries struct {
	Metric string            `json:"metric"`
	Labels map[string]string `json:"labels"`
}

func labelsOf(s *crdt.Series) map[string]string {
	out := make(map[string]string, len(s.Labels))
	for _, l := range s.Labels {
		out[l.Name] = l.Value
	}
	return out
}

func shownEvent(o crdt.Origin, ev *eventlog.Event) *shown {
	s := &shown{
		Event: ev.Series.Name, Type: ev.Series.Kind.String(), TS: ev.Time, Source: ev.Token.Source, Seq: ev.Token.Seq, Key: ev.Token.Key,
		Of: o.Region + "/" + o.Node + "/" + o.Inc.String(), Number: ev.Number,
	}
	if len(ev.Series.Labels) > 0 {
		s.Labels = labelsOf(ev.Series)
	}
	s.Dropped = ev.Dropped
	if ev.Counted != nil {
		s.Counted = &shownSeries{ev.Counted.Name, labelsOf(ev.Counted)}
	}
	switch x := ev.Inc.X.(type) {
	case nil:
		s.Type, s.Value = "count", ev.Inc.P.String()
		if ev.Series.Kind == crdt.KindUpDown {
			s.Type, s.Value = "updown", crdt.Net{P: ev.Inc.P, N: ev.Inc.N}.String()
		}
	case *crdt.Gauge:
		s.Value = fmt.Sprint(x.Value)
	case *crdt.Distribution:
		if x.Count() == 1 {
			s.Type, s.Value = "length", fmt.Sprint(x.Max())
			return s
		}
		s.State = x.AppendBinary(nil)
	default:
		s.State = x.AppendBinary(nil)
	}
	return s
}
