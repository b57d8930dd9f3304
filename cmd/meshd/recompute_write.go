package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"meshd/crdt"
	"meshd/internal/recompute"
	"meshd/node"
	"meshd/query"
)

// countsEvery is how often hubs are asked whether they answer with a correction.
const countsEvery = 500 * time.Millisecond

// choose finds which corrections the new one replaces: those that overlap it. It has to have all that they had.
func (c *recomputeCall) choose() error {
	mine := node.Correction{Metric: c.metric, From: c.begin.UnixMilli(), To: c.end.UnixMilli()}
	replaced := map[string]bool{}
	for _, known := range c.known {
		for _, r := range known.Corrections {
			for _, id := range r.Replaces {
				replaced[id] = true
			}
		}
	}
	seen := map[string]bool{}
	for _, known := range c.known {
		for i := range known.Corrections {
			r := &known.Corrections[i]
			if seen[r.ID] || !node.Overlap(&mine, r) {
				continue
			}
			seen[r.ID] = true
			c.replaces = append(c.replaces, r.ID)
			within := mine.From <= r.From && mine.To >= r.To && (mine.Metric == r.Metric || mine.Metric == "*")
			if !within && !replaced[r.ID] && len(r.Regions) > 0 {
				return fmt.Errorf("recompute: correction %s of %s from %s to %s overlaps this one: choose times and metrics that contain it, or undo it first",
					r.ID, r.Metric, moment(r.From), moment(r.To))
			}
		}
	}
	slices.Sort(c.replaces)
	return nil
}

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.RFC3339) }

// fewer reports which correction that would be replaced was made of more events than there are now.
func (c *recomputeCall) fewer() error {
	for _, known := range c.known {
		for _, r := range known.Corrections {
			if slices.Contains(c.replaces, r.ID) && r.Answered && r.Events > c.sums.Events {
				return fmt.Errorf("recompute: correction %s was made of %d events and the logs have %d now: give all logs; if some of what they had is gone, undo it first and correct what is left",
					r.ID, r.Events, c.sums.Events)
			}
		}
	}
	return nil
}

// print shows what changes.
func (c *recomputeCall) print(out io.Writer) error {
	changes, err := c.sums.Changes()
	if err != nil {
		return err
	}
	st := c.reader.Done()
	fmt.Fprintf(out, "%d events happened in that time, %d of them are counted otherwise", c.sums.Events, c.sums.Changed)
	if st.Missing > 0 {
		fmt.Fprintf(out, "; %d are missing in the logs", st.Missing)
	}
	fmt.Fprintln(out)
	for _, k := range slices.Sorted(maps.Keys(c.sums.Left)) {
		fmt.Fprintf(out, "%d of kind %s stay as they were counted: nothing can be taken back from it\n", c.sums.Left[k], k)
	}
	if c.sums.Refused > 0 {
		fmt.Fprintf(out, "%d stay as they were counted: the new rules refuse them\n", c.sums.Refused)
	}
	if len(changes) == 0 {
		return nil
	}
	fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "SERIES\tOF THESE EVENTS\tCOUNTED ANEW\tDIFFERENCE")
	shown := changes
	if !c.all {
		shown = changes[:min(len(changes), shownChanges)]
	}
	for i := range shown {
		ch := &shown[i]
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", ch.Series, sumText(&ch.Was), sumText(&ch.Is), differenceText(ch))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if n := len(changes) - len(shown); n > 0 {
		fmt.Fprintf(out, "and %d more: --all shows them\n", n)
	}
	return nil
}

func differenceText(ch *recompute.Change) string {
	if ch.Series.Kind == crdt.KindCounter {
		return crdt.Net{P: ch.Is.P, N: ch.Was.P}.String()
	}
	return "-"
}

// write writes the differences through a hub of each region and lets them count.
func (c *recomputeCall) write(ctx context.Context, out io.Writer) error {
	if err := c.fewer(); err != nil {
		return err
	}
	all := c.sums.Differences()
	if len(all) == 0 && len(c.replaces) == 0 {
		_, err := fmt.Fprintln(out, "nothing to correct")
		return err
	}
	for region := range all {
		if c.clients[region] == nil {
			return fmt.Errorf("recompute: counts of region %s change: give a hub of it with --at", region)
		}
	}
	id := newCorrectionID()
	r := node.Correction{
		ID: id, Metric: c.metric, From: c.begin.UnixMilli(), To: c.end.UnixMilli(), Events: c.sums.Events, Replaces: c.replaces,
	}
	ctx, cancel := context.WithTimeout(ctx, c.wait)
	defer cancel()
	for _, region := range slices.Sorted(maps.Keys(all)) {
		ds := all[region]
		fmt.Fprintf(os.Stderr, "%d differences in region %s\n", len(ds), region)
		at, err := c.writeRegion(ctx, id, region, ds)
		if err != nil {
			return fmt.Errorf("recompute: region %s: %w; nothing is answered otherwise, what was written stays unused: call it again", region, err)
		}
		r.Regions = append(r.Regions, at)
	}
	if err := c.first.MakeCorrection(ctx, r); err != nil {
		return err
	}
	fmt.Fprintf(out, "\ncorrection %s is made", id)
	if len(c.replaces) > 0 {
		fmt.Fprintf(out, ", and replaces %s", strings.Join(c.replaces, ", "))
	}
	fmt.Fprintln(out)
	return c.follow(ctx, out, id)
}

func (c *recomputeCall) writeRegion(ctx context.Context, id, region string, ds []node.Difference) (node.CorrectedRegion, error) {
	client := c.clients[region]
	if err := client.WriteDifferences(ctx, id, ds); err != nil {
		return node.CorrectedRegion{}, err
	}
	said := 0
	var last query.SettleAnswer
	at, err := client.SettleDifferences(ctx, id, c.begin.UnixMilli(), c.end.UnixMilli(), func(a query.SettleAnswer) {
		if last = a; a.Uncovered > 0 && a.Uncovered != said {
			said = a.Uncovered
			fmt.Fprintf(os.Stderr, "waiting for %d windows of region %s that are not there yet\n", a.Uncovered, region)
		}
	})
	switch {
	case errors.Is(err, context.DeadlineExceeded) && last.Uncovered > 0:
		return at, fmt.Errorf("%d windows have less than is to be taken off, after %s: nodes that are cut off have not told them yet, or their series were dropped since", last.Uncovered, c.wait)
	case err != nil:
		return at, err
	}
	for i := range ds {
		at.Nodes = append(at.Nodes, ds[i].Node)
	}
	slices.Sort(at.Nodes)
	at.Nodes = slices.Compact(at.Nodes)
	return at, nil
}

func newCorrectionID() string {
	var b [8]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}

// follow waits until the hubs that were named count a correction.
func (c *recomputeCall) follow(ctx context.Context, out io.Writer, id string) error {
	for {
		var missing []string
		for _, region := range slices.Sorted(maps.Keys(c.clients)) {
			known, err := c.clients[region].Corrections(ctx)
			if err != nil && ctx.Err() == nil {
				return err
			}
			if err != nil || !slices.ContainsFunc(known.Corrections, func(r node.Correction) bool { return r.ID == id && r.Counts }) {
				missing = append(missing, region)
			}
		}
		if len(missing) == 0 {
			_, err := fmt.Fprintln(out, "the hubs answer with it; each other node does from when it holds all of it")
			return err
		}
		select {
		case <-ctx.Done():
			_, err := fmt.Fprintf(out, "not yet in %s: a hub answers with it once all nodes whose events are corrected are heard; --list shows it\n", strings.Join(missing, ", "))
			return err
		case <-time.After(countsEvery):
		}
	}
}

// runUndo lets a correction count no more.
func (c *recomputeCall) runUndo(ctx context.Context, out io.Writer) error {
	for _, known := range c.known {
		for _, r := range known.Corrections {
			if r.ID != c.undo {
				continue
			}
			undo := node.Correction{ID: newCorrectionID(), Metric: r.Metric, From: r.From, To: r.To, Replaces: []string{r.ID}}
			if err := c.first.MakeCorrection(ctx, undo); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, c.wait)
			defer cancel()
			fmt.Fprintf(out, "correction %s is undone by %s\n", r.ID, undo.ID)
			return c.follow(ctx, out, undo.ID)
		}
	}
	return fmt.Errorf("recompute: no hub that was asked knows a correction %s: --list shows what there is", c.undo)
}

// printList shows the corrections that a hub knows.
func (c *recomputeCall) printList(out io.Writer) error {
	known := c.known[0]
	if len(known.Corrections) == 0 {
		_, err := fmt.Fprintln(out, "no corrections")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tFROM\tTO\tMETRIC\tEVENTS\tREGIONS\tSTATE")
	for i := range known.Corrections {
		r := &known.Corrections[i]
		var regions []string
		for _, p := range r.Regions {
			regions = append(regions, p.Region)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", r.ID, moment(r.From), moment(r.To), r.Metric, r.Events, strings.Join(regions, ","), stateOf(r))
	}
	return w.Flush()
}

func stateOf(r *node.Correction) string {
	switch {
	case !r.Counts:
		return "waits for nodes"
	case len(r.Regions) == 0:
		return "undoes " + strings.Join(r.Replaces, ", ")
	case r.Answered:
		return "answered"
	}
	return "replaced"
}
