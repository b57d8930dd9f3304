package history

import (
	"context"
	"errors"

	"meshd/crdt"
)

// Owner says whose windows: those of a node, all its incarnations together, or, with Node == "", a region's totals.
type Owner struct{ Region, Node string }

// Point is the value of one window: what was added in it, not what it came to.
//
// The value's kind is that of the series, but for gauges: theirs is crdt.KindRollup, where Count is the number of samples
// in the window (of all origins, for a region), Sum, Min and Max are over them, and Last and LastValue name the newest.
// An observed series or a histogram has the last snapshot of each run that was taken within the window.
type Point struct {
	Window crdt.Window
	Value  crdt.Value
}

// Curve is one series of one owner over a range. Points ascend by Start and do not overlap; where nothing was added there
// is none. Their widths may differ: an old part of the range may be kept in wider windows only, and the newest part
// has no wide ones yet.
type Curve struct {
	Owner  Owner
	Series *crdt.Series // shared, read-only; it may be kept
	Points []Point
}

// Selection says which curves, and of what time.
type Selection struct {
	// Names tests metric names, once a name rather than once a series; nil is all.
	Names func(name string) bool
	// Equal names labels that every wanted series has with exactly these values ("" is: does not have it). It says nothing that
	// Match does not say, but an index can look it up. Nil is no condition.
	Equal []crdt.Label
	// Where tests labels, each value once rather than once a series. A series that lacks one of them is not wanted.
	Where []LabelTest
	// Match tests a series whose name passed Names: labels, kind. It may be called from several goroutines. Nil is all.
	Match func(*crdt.Series) bool

	// Tests tell another node what Names, Equal and Match test, and by the labels node and region what the caller will pass over, as
	// far as that can be told: whatever is wanted passes them. Kinds are the kinds that may be wanted; nil is all. A source
	// that asks others narrows by them what travels; it need not heed them.
	Tests []Test
	Kinds []crdt.Kind

	Regions []string // nil is all
	ByNode  bool     // curves of nodes rather than of regions

	// From and To bound the starts of the windows: [From, To), milliseconds since the Unix epoch. A window that begins
	// before From is not read, even if it ends after. Series without any window in the range are left out of Curves.
	From, To int64
	// Width is the greatest width of use to the caller, in milliseconds: wider windows come only where narrower ones
	// are not kept any more. 0 is the finest.
	Width int64
	// Newest says that of gauges only Count, Last and LastValue are wanted: the other fields may be anything. Their columns need
	// not be read then, which are half of a chunk.
	Newest bool
}

// LabelTest is a condition on a label that every wanted series has. Test may be called from several goroutines.
type LabelTest struct {
	Name string
	Test func(value string) bool
}

// Test is a condition on a label, on what a series and its owner are called by, as PromQL has it. A label that is absent has the
// value "". NameLabel, node, region and kind stand for the metric's name, the owner and the kind of series without such a label.
type Test struct {
	Label string
	Op    TestOp
	Value string // of the expressions, one of RE2 that is to match the whole value
}

// TestOp is how a Test compares.
type TestOp uint8

// The comparisons.
const (
	Equals TestOp = iota
	EqualsNot
	Matches
	MatchesNot
)

// NameLabel is the label that Tests call the metric's name by.
const NameLabel = "__name__"

// ErrAgain says that a source which asks other nodes goes on with others, or with what is here: what it yielded for this request so
// far does not fit the rest, and has to be read again from the beginning.
var ErrAgain = errors.New("history: what was read came from a node that does not answer any more: read again")

// ErrTooMuch says that another node would have to tell more than it may for one question: select fewer series, a shorter range or
// a wider step.
var ErrTooMuch = errors.New("history: more than another node may tell for one question")

// Source answers from closed windows. Implementations are safe for concurrent use. They yield from one goroutine at a
// time, in no particular order, and end early with the error of yield, as it is, or that of ctx.
type Source interface {
	// Curves yields every curve of the selection that has a point. The curve and its points, states behind them included, are
	// valid during the call of yield only and must not be changed: a copy of a value is Value.Clone.
	Curves(ctx context.Context, sel Selection, yield func(*Curve) error) error
	// Series yields every series of the selection that may have a window in it, once. From and To narrow the answer
	// as far as that is cheap. The series are read-only and may be kept.
	Series(ctx context.Context, sel Selection, yield func(*crdt.Series) error) error
}

// Searcher is a Source that has an index of labels: what a search box asks for while somebody types.
type Searcher interface {
	Source
	// Values calls f once for every value that a label has at some series which may have a curve of regions, in no order;
	// crdt.Series.Name is the label "". It ends with the first error of f, or that of ctx.
	Values(ctx context.Context, label string, f func(value string) error) error
	// Labels does the same for the names of labels.
	Labels(ctx context.Context, f func(name string) error) error
}

// Marked is a Source that can tell what changed, so that answers can be kept.
type Marked interface {
	Source
	// Mark returns a time for Unchanged: of what was applied before, all is in what is read from now on.
	Mark() uint64
	// Unchanged reports whether the windows of one metric, or with "" of all, that begin in [from, to) are certainly those that
	// they were at mark, and still kept in every width.
	Unchanged(metric string, from, to int64, mark uint64) bool
}

// Wants reports whether the series passes the tests of the selection.
func (sel *Selection) Wants(s *crdt.Series) bool {
	if sel.Names != nil && !sel.Names(s.Name) {
		return false
	}
	for _, l := range sel.Equal {
		if s.Get(l.Name) != l.Value {
			return false
		}
	}
	for _, w := range sel.Where {
		if v := s.Get(w.Name); v == "" || !w.Test(v) {
			return false
		}
	}
	return sel.Match == nil || sel.Match(s)
}
