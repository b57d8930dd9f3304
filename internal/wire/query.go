package wire

import (
	"fmt"
	"math"

	"meshd/crdt"
)

// Query asks a hub for what the sender does not hold. It travels on a stream of its own, where Answers come back: on a session it
// is ignored.
type Query struct {
	Ask     Ask
	ByNode  bool     // of nodes rather than of regions
	Regions []string // none is all

	// From and To bound the starts of windows: [From, To), milliseconds since the Unix epoch. Width is the greatest width of use,
	// in milliseconds, 0 the finest.
	From, To int64
	Width    uint64

	// MaxBytes and MaxFound are how much of an answer, and how many curves, series or rows of it, the sender takes; WithinMs how
	// long it waits. A hub has limits of its own.
	MaxBytes, MaxFound, WithinMs uint64

	// Tests are conditions on what is wanted, all of which hold for it. They may let through more than is wanted: who asked
	// tests again. Kinds are those that are wanted; none is all.
	Tests []Test
	Kinds []crdt.Kind

	Newest bool   // of gauges only the newest sample of each window is wanted, and how many there are
	After  []byte // AskPieces: the place in package history that the answer begins behind; it aliases what was parsed
}

// Ask is what a Query asks for. Each answer begins with the hub's coverage.
type Ask uint8

// The questions. Their numbers are part of the protocol.
const (
	AskCoverage Ask = 1 // nothing else
	AskCurves   Ask = 2 // windows: Answer.Body has curves as package history writes them
	AskSeries   Ask = 3 // series that may have a window: Answer.Body has their keys, each behind its length
	AskTotals   Ask = 4 // lifetimes of counters, updowns and distributions: curves with one window, the first hour of 1970

	// What a hub asks whose history is not whole: how much of it the other has, and which spans of time it holds; and the pieces of one
	// span of Width that begins at From, as package history writes them, with ByNode those of single nodes among them. An
	// answer of no piece says that there are no more.
	AskSpans  Ask = 5
	AskPieces Ask = 6
)

// Test is a condition on a label; absent labels have the value "". The labels __name__, node, region and kind are what a series and
// its owner are called by, unless it has a label of that name of its own.
type Test struct {
	Label string
	Op    TestOp
	Value string
}

// TestOp is how a Test compares. Expressions are RE2 and match the whole value.
type TestOp uint8

// The comparisons. Their numbers are part of the protocol.
const (
	TestEqual     TestOp = 0
	TestNotEqual  TestOp = 1
	TestMatches   TestOp = 2
	TestMatchesNo TestOp = 3
)

const (
	queryFields  = 13
	testFields   = 3
	testBytesMin = 1 + 1 + 1 + 1
)

// AppendQuery appends q. It refuses what ParseQuery would refuse. On error dst is returned unchanged.
func AppendQuery(dst []byte, q *Query) ([]byte, error) {
	w := newWriter(append(dst, typeQuery))
	if err := q.check(); err != nil {
		w.keep(err)
	}
	w.array(queryFields)
	w.uint(uint64(q.Ask))
	w.bool(q.ByNode)
	w.limit("regions", len(q.Regions), MaxRegions)
	w.array(len(q.Regions))
	for _, r := range q.Regions {
		w.name(r)
	}
	w.int(q.From)
	w.int(q.To)
	w.uint(q.Width)
	w.uint(q.MaxBytes)
	w.uint(q.MaxFound)
	w.uint(q.WithinMs)
	w.limit("tests", len(q.Tests), MaxTests)
	w.array(len(q.Tests))
	for _, t := range q.Tests {
		w.array(testFields)
		w.text("label", t.Label, crdt.MaxLabelBytes)
		w.uint(uint64(t.Op))
		w.text("value", t.Value, crdt.MaxValueBytes)
	}
	w.array(len(q.Kinds))
	for _, k := range q.Kinds {
		w.uint(uint64(k))
	}
	w.limit("place", len(q.After), MaxPlaceBytes)
	w.bytes(q.After)
	w.bool(q.Newest)
	b, err := w.done()
	if err != nil {
		return dst, fmt.Errorf("wire: append query: %w", err)
	}
	return b, nil
}

// ParseQuery reads a query, the whole of b.
func ParseQuery(b []byte) (*Query, error) {
	q, err := parseQuery(b)
	if err != nil {
		return nil, fmt.Errorf("wire: parse query: %w", err)
	}
	return q, nil
}

func parseQuery(b []byte) (*Query, error) {
	if len(b) > MaxQueryBytes {
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrLimit, len(b), MaxQueryBytes)
	}
	if len(b) == 0 || b[0] != typeQuery {
		return nil, fmt.Errorf("%w: not a query", ErrMalformed)
	}
	var q Query
	r := newReader(b[1:])
	extra := r.array(queryFields)
	q.Ask, q.ByNode = Ask(r.small("question", math.MaxUint8)), r.bool()
	for range r.list("regions", MaxRegions, 2) {
		q.Regions = append(q.Regions, r.name())
	}
	q.From, q.To, q.Width = r.int(), r.int(), r.uint()
	q.MaxBytes, q.MaxFound, q.WithinMs = r.uint(), r.uint(), r.uint()
	for range r.list("tests", MaxTests, testBytesMin) {
		extra := r.array(testFields)
		q.Tests = append(q.Tests, Test{
			Label: r.text("label", crdt.MaxLabelBytes), Op: TestOp(r.small("comparison", math.MaxUint8)), Value: r.text("value", crdt.MaxValueBytes),
		})
		r.skip(extra)
	}
	for range r.list("kinds", math.MaxUint8, 1) {
		q.Kinds = append(q.Kinds, crdt.Kind(r.small("kind", math.MaxUint8)))
	}
	if q.After = r.raw(); len(q.After) > MaxPlaceBytes {
		return nil, fmt.Errorf("%w: place of %d bytes", ErrLimit, len(q.After))
	}
	q.Newest = r.bool()
	r.skip(extra)
	if err := r.end(); err != nil {
		return nil, err
	}
	return &q, q.check()
}

func (q *Query) check() error {
	if q.Ask < AskCoverage || q.Ask > AskPieces || q.Width > maxWindowSeconds*1000 {
		return fmt.Errorf("%w: question %d, width %d ms", ErrInvalid, q.Ask, q.Width)
	}
	for _, t := range q.Tests {
		if t.Op > TestMatchesNo {
			return fmt.Errorf("%w: comparison %d", ErrInvalid, t.Op)
		}
	}
	for _, k := range q.Kinds {
		if !k.Valid() {
			return fmt.Errorf("%w: kind %d", ErrInvalid, k)
		}
	}
	return nil
}
