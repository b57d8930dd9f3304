package query

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"meshd/history"
)

// Bounds on totals over time.
const (
	maxPeriods   = 1000
	maxOverlap   = 200_000        // slots of all periods, which each group adds up
	maxYears     = 100            // of one request
	maxInstantMs = int64(1) << 52 // either side of 1970
)

// tiers are the widths in which windows are kept besides the finest, ms.
var tiers = []int64{60_000, 3_600_000}

// period is one answer's time: [from, to), ms since the Unix epoch.
type period struct{ from, to int64 }

// timeline is what a request says about time.
type timeline struct {
	periods []period
	steps   bool    // periods were asked for, rather than the whole range
	cuts    []int64 // every edge of a period, ascending: slots lie between
	// Some periods of a question are read in windows as wide as all of them are: sums of floats depend on it.
	widest int64
	part   bool
}

// pace is how far apart periods are.
type pace struct {
	fixed  int64 // ms
	days   int   // in the calendar of the time zone
	months int
}

func (p pace) zero() bool { return p == pace{} }

// parsePace reads 10s, 5m, 1h30m, 1d, 2w or 1mo.
func parsePace(s string) (pace, bool) {
	number := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyz")
	if n, err := strconv.Atoi(number); err == nil && n > 0 && n <= 10_000 {
		switch s[len(number):] {
		case "d":
			return pace{days: n}, true
		case "w":
			return pace{days: 7 * n}, true
		case "mo":
			return pace{months: n}, true
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second || d%time.Millisecond != 0 {
		return pace{}, false
	}
	return pace{fixed: d.Milliseconds()}, true
}

// floor returns the latest edge that is not after t, in the zone. Days begin at midnight, weeks on Monday, months on the first.
func (p pace) floor(t time.Time) time.Time {
	y, m, d := t.Date()
	switch {
	case p.months > 0:
		k := (int(m) - 1) % p.months
		if p.months > 12 {
			k = 0
		}
		return time.Date(y, m-time.Month(k), 1, 0, 0, 0, 0, t.Location())
	case p.days > 0 && p.days%7 == 0:
		return time.Date(y, m, d-(int(t.Weekday())+6)%7, 0, 0, 0, 0, t.Location())
	case p.days > 0:
		return time.Date(y, m, d, 0, 0, 0, 0, t.Location())
	}
	_, offset := t.Zone()
	ms := int64(offset) * 1000
	return time.UnixMilli(floorTo(t.UnixMilli()+ms, p.fixed) - ms).In(t.Location())
}

func (p pace) next(t time.Time) time.Time {
	if p.fixed > 0 {
		return t.Add(time.Duration(p.fixed) * time.Millisecond)
	}
	return t.AddDate(0, p.months, p.days)
}

// back returns the time one length before t.
func (p pace) back(t time.Time) time.Time {
	if p.fixed > 0 {
		return t.Add(-time.Duration(p.fixed) * time.Millisecond)
	}
	return t.AddDate(0, -p.months, -p.days)
}

func floorTo(t, step int64) int64 {
	if r := t % step; r < 0 {
		return t - r - step
	}
	return t - t%step
}

// timeline reads start, end, step, window and tz. It returns nil if none is given: the question is about lifetimes.
func (p *params) timeline(now time.Time) *timeline {
	asked := false
	for _, name := range []string{"start", "end", "step", "window", "tz"} {
		asked = asked || p.text(name) != ""
	}
	if !asked {
		return nil
	}
	zone := p.zone()
	step, window := p.pace("step"), p.pace("window")
	until := p.instant("end", now, zone, now)
	var from time.Time
	switch {
	case p.text("start") != "":
		from = p.instant("start", now, zone, now)
	case !window.zero():
		from = window.back(until)
	case !step.zero():
		from = step.back(until)
	case p.err == nil:
		p.fail("start is missing: say since when, such as start=-1h or start=2026-01-31, or a window")
	}
	if p.err != nil {
		return nil
	}
	if !from.Before(until) || until.Sub(from) > maxYears*366*24*time.Hour {
		p.fail("start must be before end, by at most %d years", maxYears)
		return nil
	}
	return p.lay(from, until, step, window)
}

// lay makes the periods.
func (p *params) lay(from, until time.Time, step, window pace) *timeline {
	fine := finestWindow.Milliseconds()
	t := &timeline{steps: !step.zero()}
	if !t.steps {
		t.periods = []period{{floorTo(from.UnixMilli(), fine), floorTo(until.UnixMilli()+fine-1, fine)}}
	} else {
		if window.zero() {
			window = step
		}
		for at := step.floor(from); at.Before(until); at = step.next(at) {
			if len(t.periods) == maxPeriods {
				p.fail("more than %d periods: widen step, or shorten the range", maxPeriods)
				return nil
			}
			end := step.next(at)
			t.periods = append(t.periods, period{window.back(end).UnixMilli(), end.UnixMilli()})
		}
	}
	t = newTimeline(t.periods, t.steps)
	sum := 0
	for _, x := range t.periods {
		a, b := t.slots(x)
		sum += b - a
	}
	if sum > maxOverlap {
		p.fail("window has so many steps in it that %d are to be added up for each group, at most %d: widen step", sum, maxOverlap)
	}
	for _, c := range t.cuts {
		if c%1000 != 0 {
			p.fail("edges of periods fall between seconds: use whole seconds")
		}
	}
	return t
}

// newTimeline finds the slots of periods.
func newTimeline(periods []period, steps bool) *timeline {
	t := &timeline{periods: periods, steps: steps}
	for _, x := range periods {
		t.cuts = append(t.cuts, x.from, x.to)
	}
	slices.Sort(t.cuts)
	t.cuts = slices.Compact(t.cuts)
	return t
}

// slots returns which slots make a period: from the first up to before the second.
func (t *timeline) slots(p period) (first, behind int) {
	first, _ = slices.BinarySearch(t.cuts, p.from)
	behind, _ = slices.BinarySearch(t.cuts, p.to)
	return first, behind
}

// slot returns the slot that holds a time, or -1.
func (t *timeline) slot(ms int64) int {
	i, found := slices.BinarySearch(t.cuts, ms)
	if !found {
		i--
	}
	if i >= len(t.cuts)-1 {
		return -1
	}
	return i
}

// width returns the widest windows that never lie across an edge, 0 for the finest.
func (t *timeline) width() int64 {
	if t.part {
		return t.widest
	}
	best := int64(0)
	for _, w := range tiers {
		if !slices.ContainsFunc(t.cuts, func(c int64) bool { return c%w != 0 }) {
			best = max(best, w)
		}
	}
	return best
}

// narrow sets the range of a selection.
func (t *timeline) narrow(sel *history.Selection) {
	sel.From, sel.To, sel.Width = t.cuts[0], t.cuts[len(t.cuts)-1], t.width()
}

// zone reads tz.
func (p *params) zone() *time.Location {
	name := p.text("tz")
	if name == "" {
		return time.UTC
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "Local" {
		return zone
	}
	p.fail("tz=%s is not known: write a name such as Europe/Berlin, or UTC", clip(name))
	return time.UTC
}

// pace reads step or window.
func (p *params) pace(name string) pace {
	s := p.text(name)
	if s == "" {
		return pace{}
	}
	x, ok := parsePace(s)
	if !ok {
		p.fail("%s=%s: want a length of time like 10s, 5m, 1h, 1d, 1w or 1mo, of whole seconds", name, clip(s))
	}
	return x
}

// instant reads a time: now, -1h (before now), seconds since 1970, 2026-01-31, 2026-01-31T12:00 in the zone, or RFC 3339.
func (p *params) instant(name string, otherwise time.Time, zone *time.Location, now time.Time) time.Time {
	s := p.text(name)
	t, ok := parseInstant(s, zone, now)
	switch {
	case s == "":
		return otherwise.In(zone)
	case !ok:
		p.fail("%s=%s: want a time like -1h, 2026-01-31, 2026-01-31T12:00:00Z or seconds since 1970", name, clip(s))
	}
	return t.In(zone)
}

func parseInstant(s string, zone *time.Location, now time.Time) (time.Time, bool) {
	if s == "now" {
		return now, true
	}
	if ago, ok := strings.CutPrefix(strings.TrimPrefix(s, "now"), "-"); ok {
		if p, ok := parsePace(ago); ok {
			return p.back(now.In(zone)), true
		}
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return time.UnixMilli(int64(math.Round(f * 1000))), math.Abs(f*1000) < float64(maxInstantMs)
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02T15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// String names a period for messages.
func (p period) String() string {
	return fmt.Sprintf("%s to %s", timeOfMillis(p.from).Format(timeLayout), timeOfMillis(p.to).Format(timeLayout))
}
