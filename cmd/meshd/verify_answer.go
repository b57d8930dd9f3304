package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"time"

	"meshd/crdt"
	"meshd/internal/audit"
)

// verifyAnswer is a report as JSON tells it.
type verifyAnswer struct {
	Cells       int64              `json:"cells"`   // compared
	Windows     int64              `json:"windows"` // compared
	Differs     int64              `json:"differs"`
	Differences []verifyDifference `json:"differences"`
	Lags        []verifyLag        `json:"lags"`
	EarlyFrames int64              `json:"early_publications"` // in the log, and have not reached the node yet
	NotCompared map[string]int64   `json:"not_compared"`       // cells and windows, by why
}

type verifyOrigin struct {
	Class       string `json:"class"`
	Region      string `json:"region"`
	Node        string `json:"node,omitempty"`
	Incarnation string `json:"incarnation,omitempty"`
}

type verifyWindow struct {
	Start   time.Time `json:"start"`
	WidthMs int64     `json:"width_ms"`
}

type verifyDifference struct {
	Origin verifyOrigin      `json:"origin"`
	Metric string            `json:"metric"`
	Kind   string            `json:"kind"`
	Labels map[string]string `json:"labels"`
	Window *verifyWindow     `json:"window,omitempty"`
	How    audit.How         `json:"how"`
	Node   string            `json:"node"`
	Other  string            `json:"other"`
}

type verifyLag struct {
	Origin verifyOrigin `json:"origin"`
	Node   int64        `json:"node_lacks"`
	Other  int64        `json:"other_lacks"`
}

func newVerifyAnswer(rep *audit.Report) *verifyAnswer {
	a := &verifyAnswer{
		Cells: rep.Cells, Windows: rep.Windows, Differs: rep.Differs, Differences: []verifyDifference{}, Lags: []verifyLag{}, EarlyFrames: rep.Early,
		NotCompared: map[string]int64{
			"forgotten": rep.Forgotten, "entries": rep.Entries, "dropped": rep.Dropped, "unnamed": rep.Unnamed, "expired": rep.Expired, "unclaimed": rep.Unclaimed, "alone": rep.Alone,
		},
	}
	for i := range rep.Differences {
		d := &rep.Differences[i]
		out := verifyDifference{
			Origin: newVerifyOrigin(d.Origin), Metric: d.Series.Name, Kind: d.Series.Kind.String(), Labels: map[string]string{}, How: d.How,
			Node: valueText(d.Node), Other: valueText(d.Other),
		}
		for _, l := range d.Series.Labels {
			out.Labels[l.Name] = l.Value
		}
		if d.Window != (crdt.Window{}) {
			out.Window = &verifyWindow{Start: time.UnixMilli(d.Window.Start).UTC(), WidthMs: d.Window.Width}
		}
		a.Differences = append(a.Differences, out)
	}
	for _, l := range rep.Lags {
		a.Lags = append(a.Lags, verifyLag{newVerifyOrigin(l.Origin), l.Node, l.Other})
	}
	return a
}

func newVerifyOrigin(o crdt.Origin) verifyOrigin {
	out := verifyOrigin{Class: o.Class.String(), Region: o.Region, Node: o.Node}
	if o.Inc != (crdt.Incarnation{}) {
		out.Incarnation = o.Inc.String()
	}
	return out
}

// valueText shows counters as they are, and of all else a print of the canonical bytes: what counts is that two differ.
func valueText(v *crdt.Value) string {
	switch {
	case v == nil:
		return "nothing"
	case v.Kind == crdt.KindCounter:
		return v.P.String()
	case v.Kind == crdt.KindUpDown:
		return fmt.Sprintf("+%s -%s", v.P, v.N)
	}
	raw := v.AppendBinary(nil)
	sum := sha256.Sum256(raw)
	return fmt.Sprintf("%d bytes %x", len(raw), sum[:6])
}

// saying is what a way to differ means.
func saying(how audit.How, node, other string) string {
	if how == audit.Contradict {
		return "each has something that the other lacks, though one process wrote both"
	}
	if how == audit.OtherLacks {
		node, other = other, node
	}
	return fmt.Sprintf("%s lacks what %s has", node, other)
}

// renderReport writes a report about a node and what it was compared with for people.
func renderReport(out io.Writer, rep *audit.Report, node, other string) {
	verdict := "all are equal"
	switch {
	case rep.Cells+rep.Windows == 0:
		verdict = "the two have nothing in common"
	case rep.Differs > 0:
		verdict = fmt.Sprintf("%d DIFFER", rep.Differs)
	}
	fmt.Fprintf(out, "%d cells and %d windows compared: %s\n", rep.Cells, rep.Windows, verdict)
	for i := range rep.Differences {
		d := &rep.Differences[i]
		when := "lifetime"
		if d.Window != (crdt.Window{}) {
			when = fmt.Sprintf("%s of %s", time.Duration(d.Window.Width)*time.Millisecond, time.UnixMilli(d.Window.Start).UTC().Format(time.RFC3339))
		}
		fmt.Fprintf(out, "  %s  %s  %s: %s: %s and %s\n", d.Origin, &d.Series, when, saying(d.How, node, other), valueText(d.Node), valueText(d.Other))
	}
	if more := rep.Differs - int64(len(rep.Differences)); more > 0 {
		fmt.Fprintf(out, "  and %d more\n", more)
	}
	for _, l := range rep.Lags {
		fmt.Fprintf(out, "behind, which is no difference: %s: %s in %d cells, %s in %d\n", l.Origin, node, l.Node, other, l.Other)
	}
	for _, n := range []struct {
		n   int64
		why string
	}{
		{rep.Early, "publications of windows in the log have not reached the node yet"},
		{rep.Forgotten, "cells not compared: there are only sums of processes of long ago"},
		{rep.Entries, "cells not compared: of hub processes of which nothing is needed"},
		{rep.Alone, "cells not compared: of processes that only one of the two nodes has to hold"},
		{rep.Dropped, "cells and windows not compared: an operator dropped the series"},
		{rep.Unnamed, "cells not compared: what said what they are of is not in the log any more"},
		{rep.Expired, "windows not compared: they are kept no longer"},
		{rep.Unclaimed, "windows not compared: one side has them, and the other does not claim to: a log that began later, a node that is behind"},
	} {
		if n.n > 0 {
			fmt.Fprintf(out, "%d %s\n", n.n, n.why)
		}
	}
}
