package wire

import (
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawColdMarks(t *rapid.T) *ColdMarks {
	m := new(ColdMarks)
	for range rapid.IntRange(0, 6).Draw(t, "buckets") {
		b := ColdBucket{Bucket: rapid.Uint32Range(0, ColdBuckets-1).Draw(t, "bucket"), Sum: rapid.Uint64().Draw(t, "sum"), Listed: rapid.Bool().Draw(t, "listed")}
		for range rapid.IntRange(0, 4).Draw(t, "marks") {
			b.Marks = append(b.Marks, ColdMark{
				Node: drawName(t, "node"), Inc: drawID(t),
				Covered: [crdt.NumStreams]uint64{rapid.Uint64().Draw(t, "lifetime"), rapid.Uint64().Draw(t, "windows")},
			})
		}
		m.Buckets = append(m.Buckets, b)
	}
	return m
}

func TestColdMarksRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkMessage(t, drawColdMarks(t)) })
}

func TestColdMarksRefused(t *testing.T) {
	_, err := AppendMessage(nil, &ColdMarks{Buckets: []ColdBucket{{Bucket: ColdBuckets}}})
	wantError(t, err, ErrInvalid)
	_, err = AppendMessage(nil, &ColdMarks{Buckets: make([]ColdBucket, ColdBuckets+1)})
	wantError(t, err, ErrLimit)
	many := make([]ColdMark, MaxColdMarks/2+1)
	for i := range many {
		many[i].Node = "n"
	}
	_, err = AppendMessage(nil, &ColdMarks{Buckets: []ColdBucket{{Marks: many}, {Marks: many}}})
	wantError(t, err, ErrLimit)
	_, err = AppendMessage(nil, &ColdMarks{Buckets: []ColdBucket{{Marks: []ColdMark{{}}}}})
	wantError(t, err, ErrInvalid)
}
