package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"meshd/cmd/meshd/internal/config"
	"meshd/crdt"
	"meshd/internal/archive"
	"meshd/internal/bridge"
	"meshd/node"
)

// nobody is the transport of a node without peers.
type nobody struct{}

var _ node.Transport = nobody{}

func (nobody) Send(uint64, bool, []byte) bool { return false }
func (nobody) Room(uint64, bool) node.Room {
	return node.Room{Peer: math.MaxInt, All: math.MaxInt, Empty: true}
}
func (nobody) Disconnect(uint64, string)                            {}
func (nobody) Link(uint64) (rtt, offset time.Duration, addr string) { return 0, 0, "" }

// openLoneNode makes a hub under an identity of its own, which forgets nothing while it is told what was.
func (l *lone) openLoneNode(cfg *config.Config, log *slog.Logger) (err error) {
	core := node.CoreConfig{
		Region: cfg.Region, Node: cfg.Node, Role: node.RoleHub, Inc: node.NewIncarnation(), Window: cfg.Window.Milliseconds(), ForgetAfter: -1,
	}
	rand.Read(core.Nonce[:])
	l.node, err = node.New(node.Config{
		Mesh: cfg.Mesh, Version: version, Core: core, Store: bridge.Disk{Store: l.store}, History: bridge.History{Store: l.past},
		Transport: nobody{}, Logger: log,
	})
	return err
}

// metricSum is what is told of one metric in one region.
type metricSum struct {
	series int
	amount crdt.Fixed // of counters, and of what goes up of those that go both ways
	down   crdt.Fixed
}

type metricIn struct{ metric, region string }

func sumTotals(ctx context.Context, n *node.Node) (map[metricIn]metricSum, error) {
	out := map[metricIn]metricSum{}
	_, err := n.Totals(ctx, node.Select{Each: func(r *node.Row) error {
		k := metricIn{r.Series.Name, r.Region}
		s := out[k]
		s.series++
		s.amount, _ = s.amount.Add(r.Value.P) // what does not fit is shown too small, and only here
		s.down, _ = s.down.Add(r.Value.N)
		out[k] = s
		return nil
	}})
	return out, err
}

// renderTotals writes what a replay changed, by metric and region.
func renderTotals(out io.Writer, before, after map[metricIn]metricSum, series bool) error {
	keys := slices.SortedFunc(maps.Keys(after), func(a, b metricIn) int {
		return cmp.Or(cmp.Compare(a.metric, b.metric), cmp.Compare(a.region, b.region))
	})
	count := func(string) string { return "" }
	if series {
		count = func(s string) string { return fmt.Sprintf(" %8s", s) }
	}
	if _, err := fmt.Fprintf(out, "%-32s %-12s %18s %18s %18s%s\n", "METRIC", "REGION", "BEFORE", "AFTER", "DIFFERENCE", count("SERIES")); err != nil {
		return err
	}
	same := 0
	for _, k := range keys {
		b, a := before[k], after[k]
		if b == a {
			same++
			continue
		}
		if _, err := fmt.Fprintf(out, "%-32s %-12s %18s %18s %18s%s\n", k.metric, k.region, b.text(), a.text(), difference(b, a),
			count(fmt.Sprintf("%+d", a.series-b.series))); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(out, "%d metrics as before\n", same)
	return err
}

func (s metricSum) text() string { return signed(s.amount, s.down) }

func difference(b, a metricSum) string {
	up, _ := a.amount.Add(b.down)
	down, _ := b.amount.Add(a.down)
	return signed(up, down)
}

func signed(up, down crdt.Fixed) string {
	if up.Less(down) {
		return "-" + down.Sub(up).String()
	}
	return up.Sub(down).String()
}

// replayProgress shows how far a replay is: on a terminal in one line, else now and then.
type replayProgress struct {
	out   io.Writer
	live  bool
	begun time.Time
	next  time.Time
	first archive.Moved // where this round began
	drawn bool
}

func newReplayProgress(out io.Writer, live bool) *replayProgress {
	return &replayProgress{out: out, live: live, begun: time.Now()}
}

func (p *replayProgress) moved(m archive.Moved) {
	now := time.Now()
	if m.Round != p.first.Round {
		p.first, p.begun = m, now
	}
	if now.Before(p.next) {
		return
	}
	pause, begin, end := 10*time.Second, "", "\n"
	if p.live {
		pause, begin, end = 200*time.Millisecond, "\r\x1b[K", ""
	}
	p.next, p.drawn = now.Add(pause), true
	took := max(now.Sub(p.begun), time.Millisecond).Seconds()
	rate := float64(m.Records-p.first.Records) / took
	left := "?"
	switch {
	case m.Records >= m.Of:
		left = "nothing"
	case rate > 0:
		left = time.Duration(float64(m.Of-m.Records) / rate * float64(time.Second)).Round(time.Second).String()
	}
	const width = 30
	full := int(min(width, width*m.Records/max(1, m.Of)))
	fmt.Fprintf(p.out, "%s[%-*s] %d of %d records, round %d, %.0f/s, %.0f cells/s, %s left%s", begin, width, bar[:full], m.Records, m.Of, m.Round,
		rate, float64(m.Cells-p.first.Cells)/took, left, end)
}

const bar = "=============================="

func (p *replayProgress) end() {
	if p.live && p.drawn {
		fmt.Fprintln(p.out)
	}
}
