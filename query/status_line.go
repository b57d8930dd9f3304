package query

import (
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"meshd/node"
)

// Line says how an edge uses its line. Bytes are those of all packets, both ways.
type Line struct {
	IntervalMs   int64    `json:"interval_ms"` // between two flushes now
	UsualMs      int64    `json:"usual_ms"`    // between two flushes while the budget allows
	CarriedBytes uint64   `json:"carried_bytes"`
	Budget       *Spent   `json:"budget,omitempty"`   // absent: none
	Downlink     []string `json:"downlink,omitempty"` // patterns of the series that hubs send, or none; absent: all
	Feed         string   `json:"feed,omitempty"`     // the hub that sends, if only one does
}

// Spent is what of a budget was spent.
type Spent struct {
	Bytes      int64  `json:"bytes"`       // that may be spent
	PerSeconds int64  `json:"per_seconds"` // in this time
	SpentBytes uint64 `json:"spent_bytes"` // in the current one
	LeftBytes  int64  `json:"left_bytes"`  // that may be spent at once; below 0: overspent
	BurstBytes int64  `json:"burst_bytes"` // the most that LeftBytes can be
}

func newLine(from *node.LineStatus) Line {
	l := Line{
		IntervalMs: from.Interval.Milliseconds(), UsualMs: from.Usual.Milliseconds(), CarriedBytes: from.Carried,
		Downlink: from.Downlink, Feed: from.Feed,
	}
	if from.Downlink != nil && len(from.Downlink) == 0 {
		l.Downlink = []string{"none"}
	}
	if b := from.Budget; b.Bytes > 0 {
		l.Budget = &Spent{
			Bytes: b.Bytes, PerSeconds: int64(b.Per.Seconds()), SpentBytes: from.Spent, LeftBytes: from.Left, BurstBytes: from.Burst,
		}
	}
	return l
}

func millis(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// text describes the line in one row of a table.
func (l *Line) text() string {
	parts := []string{"flushed every " + ageText(millis(l.IntervalMs))}
	if l.IntervalMs > l.UsualMs {
		parts[0] += ", STRETCHED from " + ageText(millis(l.UsualMs))
	}
	if l.CarriedBytes > 0 {
		parts = append(parts, humanize.Bytes(l.CarriedBytes)+" carried")
	}
	if b := l.Budget; b != nil {
		left := humanize.Bytes(uint64(max(0, b.LeftBytes)))
		if b.LeftBytes < 0 {
			left = "-" + humanize.Bytes(uint64(-b.LeftBytes))
		}
		parts = append(parts, fmt.Sprintf("%s of %s spent in this %s", humanize.Bytes(b.SpentBytes), humanize.Bytes(uint64(b.Bytes)), ageText(millis(b.PerSeconds*1000))),
			fmt.Sprintf("%s of %s left at once", left, humanize.Bytes(uint64(b.BurstBytes))))
	}
	if len(l.Downlink) > 0 {
		parts = append(parts, "downlink "+printable(strings.Join(l.Downlink, ",")))
	}
	if l.Feed != "" {
		parts = append(parts, "fed by "+printable(l.Feed))
	}
	return strings.Join(parts, "; ")
}
