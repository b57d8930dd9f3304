package ask

import (
	"regexp"
	"regexp/syntax"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/wire"
	"meshd/node"
)

// queryOf puts a selection into a question. What a test does not fit is left out: who asked tests again.
func queryOf(ask wire.Ask, sel *history.Selection) *wire.Query {
	q := &wire.Query{
		Ask: ask, ByNode: sel.ByNode, Regions: sel.Regions, From: sel.From, To: sel.To, Width: uint64(min(sel.Width, crdt.HourMillis)), Kinds: sel.Kinds,
		MaxBytes: maxBytes, MaxFound: maxCurves, Newest: sel.Newest,
	}
	if ask == wire.AskSeries {
		q.MaxFound = maxSeries
	}
	for _, t := range sel.Tests {
		if len(q.Tests) < wire.MaxTests && len(t.Label) <= crdt.MaxLabelBytes && len(t.Value) <= crdt.MaxValueBytes {
			q.Tests = append(q.Tests, wire.Test{Label: t.Label, Op: wire.TestOp(t.Op), Value: t.Value})
		}
	}
	return q
}

// The numbers of comparisons are those of the protocol.
const (
	_ = uint(wire.TestEqual) - uint(history.Equals)
	_ = uint(wire.TestNotEqual) - uint(history.EqualsNot)
	_ = uint(wire.TestMatches) - uint(history.Matches)
	_ = uint(wire.TestMatchesNo) - uint(history.MatchesNot)
)

// The labels that name what a series and its owner are called by.
const (
	labelRegion = "region"
	labelNode   = "node"
	labelKind   = "kind"
)

// condition is a test that can be asked.
type condition struct {
	wire.Test
	re *regexp.Regexp // nil: compare with Value
}

// maxSteps bounds the program of an expression, which runs for every series: four for each byte of the longest.
const maxSteps = 4096

// conditionOf returns false if the test is passed over: it is no expression, or one that costs too much.
func conditionOf(t wire.Test) (condition, bool) {
	c := condition{Test: t}
	if t.Op == wire.TestEqual || t.Op == wire.TestNotEqual {
		return c, true
	}
	tree, err := syntax.Parse(t.Value, syntax.Perl)
	if err != nil {
		return c, false
	}
	if prog, err := syntax.Compile(tree.Simplify()); err != nil || len(prog.Inst) > maxSteps {
		return c, false
	}
	c.re, err = regexp.Compile(`(?s)\A(?:` + t.Value + `)\z`)
	return c, err == nil
}

func (c *condition) holds(value string) bool {
	no := c.Op == wire.TestNotEqual || c.Op == wire.TestMatchesNo
	if c.re != nil {
		return c.re.MatchString(value) != no
	}
	return (value == c.Value) != no
}

// wanted is what a question asks for, ready to be tested.
type wanted struct {
	names, labels, kind, region, node []condition
	kinds                             map[crdt.Kind]bool // nil: all
	equal                             []crdt.Label
}

func wantedOf(q *wire.Query) *wanted {
	var w wanted
	for _, t := range q.Tests {
		c, ok := conditionOf(t)
		switch {
		case !ok:
		case t.Label == history.NameLabel:
			w.names = append(w.names, c)
		case t.Label == labelRegion:
			w.region = append(w.region, c)
		case t.Label == labelNode:
			w.node = append(w.node, c)
		case t.Label == labelKind:
			w.kind = append(w.kind, c)
		case t.Op == wire.TestEqual:
			w.equal = append(w.equal, crdt.Label{Name: t.Label, Value: t.Value})
		default:
			w.labels = append(w.labels, c)
		}
	}
	for _, k := range q.Kinds {
		if w.kinds == nil {
			w.kinds = map[crdt.Kind]bool{}
		}
		w.kinds[k] = true
	}
	return &w
}

// selection asks a history for what the question wants.
func (w *wanted) selection(q *wire.Query) history.Selection {
	sel := history.Selection{
		Equal: w.equal, Match: w.series, Regions: q.Regions, ByNode: q.ByNode, From: q.From, To: q.To, Width: int64(q.Width), Newest: q.Newest,
	}
	if len(w.names) > 0 {
		sel.Names = func(name string) bool { return all(w.names, name) }
	}
	return sel
}

func (w *wanted) series(s *crdt.Series) bool {
	if w.kinds != nil && !w.kinds[s.Kind] {
		return false
	}
	for i := range w.labels {
		if !w.labels[i].holds(s.Get(w.labels[i].Label)) {
			return false
		}
	}
	for i := range w.kind {
		if own := s.Get(labelKind); !w.kind[i].holds(own) && (own != "" || !w.kind[i].holds(s.Kind.String())) {
			return false
		}
	}
	return true
}

func (w *wanted) owner(o history.Owner) bool { return all(w.region, o.Region) && all(w.node, o.Node) }

func all(cs []condition, value string) bool {
	for i := range cs {
		if !cs[i].holds(value) {
			return false
		}
	}
	return true
}

// statementsOf puts what a hub knows of the regions into an answer.
func statementsOf(of []node.Coverage, hub string, now time.Time) []wire.RegionCoverage {
	out := make([]wire.RegionCoverage, 0, len(of))
	for i := range of {
		c := &of[i]
		rc := wire.RegionCoverage{
			Region: c.Region, Hub: hub, Expected: uint32(c.NodesExpected), Heard: uint32(c.NodesHeard), CompleteUntilMs: millis(c.CompleteUntil),
			AtMs: now.UnixMilli(), OldestMissingMs: millis(c.OldestMissing), Missing: c.Missing, Lost: c.Lost, ClocksOff: uint32(c.ClocksOff),
		}
		for _, o := range c.Clocks {
			rc.Clocks = append(rc.Clocks, wire.ClockOffset{Node: o.Node, OffsetMs: o.Offset.Milliseconds()})
		}
		out = append(out, rc)
	}
	return out
}

// coverageOf is the inverse of statementsOf.
func coverageOf(of []wire.RegionCoverage) []node.Coverage {
	out := make([]node.Coverage, 0, len(of))
	for i := range of {
		rc := &of[i]
		c := node.Coverage{
			Region: rc.Region, NodesExpected: int(rc.Expected), NodesHeard: int(rc.Heard), CompleteUntil: instant(rc.CompleteUntilMs),
			OldestMissing: instant(rc.OldestMissingMs), Missing: rc.Missing, Lost: rc.Lost, ClocksOff: int(rc.ClocksOff),
		}
		if rc.CompleteUntilMs != 0 {
			c.Age = time.Duration(rc.AtMs-rc.CompleteUntilMs) * time.Millisecond
		}
		for _, o := range rc.Clocks {
			c.Clocks = append(c.Clocks, node.ClockOffset{Node: o.Node, Offset: time.Duration(o.OffsetMs) * time.Millisecond})
		}
		out = append(out, c)
	}
	return out
}

// millis and instant have 0 for the zero time.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}
