package wire

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"meshd/crdt"
)

func drawQuery(t *rapid.T) *Query {
	q := &Query{
		Ask: Ask(rapid.IntRange(1, 6).Draw(t, "ask")), ByNode: rapid.Bool().Draw(t, "by node"),
		From: rapid.Int64().Draw(t, "from"), To: rapid.Int64().Draw(t, "to"), Width: rapid.Uint64Range(0, 86_400_000).Draw(t, "width"),
		MaxBytes: rapid.Uint64().Draw(t, "bytes"), MaxFound: rapid.Uint64().Draw(t, "found"), WithinMs: rapid.Uint64().Draw(t, "within"),
		Newest: rapid.Bool().Draw(t, "newest"), After: rapid.SliceOfN(rapid.Byte(), 0, 100).Draw(t, "after"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "regions") {
		q.Regions = append(q.Regions, drawName(t, "region"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "tests") {
		q.Tests = append(q.Tests, Test{
			Label: rapid.StringN(0, 20, 200).Draw(t, "label"), Op: TestOp(rapid.IntRange(0, 3).Draw(t, "op")), Value: rapid.StringN(0, 20, 1024).Draw(t, "value"),
		})
	}
	for range rapid.IntRange(0, 3).Draw(t, "kinds") {
		q.Kinds = append(q.Kinds, crdt.Kind(rapid.IntRange(1, 9).Draw(t, "kind")))
	}
	return q
}

func drawAnswer(t *rapid.T) *Answer {
	return &Answer{
		State: AnswerState(rapid.IntRange(0, 5).Draw(t, "state")), Text: rapid.StringN(0, 20, 1024).Draw(t, "text"),
		Regions: drawCoverage(t).Regions, Body: rapid.SliceOfN(rapid.Byte(), 0, 2000).Draw(t, "body"),
		Since: rapid.Int64().Draw(t, "since"),
	}
}

func TestQueryRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := drawQuery(t)
		b, err := AppendQuery(nil, q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseQuery(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(q, got, same); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestAnswerRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAnswer(t)
		b, err := AppendAnswer(nil, a)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseAnswer(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(a, got, same); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestQueryRefused(t *testing.T) {
	long := string(make([]byte, crdt.MaxValueBytes+1))
	for _, test := range []struct {
		name string
		q    Query
		want error
	}{
		{"no question", Query{}, ErrInvalid},
		{"unknown question", Query{Ask: AskPieces + 1}, ErrInvalid},
		{"windows of two days", Query{Ask: AskCurves, Width: 2 * 86_400_000}, ErrInvalid},
		{"a region without a name", Query{Ask: AskCurves, Regions: []string{""}}, ErrInvalid},
		{"unknown comparison", Query{Ask: AskCurves, Tests: []Test{{Op: TestMatchesNo + 1}}}, ErrInvalid},
		{"too many tests", Query{Ask: AskCurves, Tests: make([]Test, MaxTests+1)}, ErrLimit},
		{"a long test", Query{Ask: AskCurves, Tests: []Test{{Value: long}}}, ErrLimit},
		{"a place longer than any", Query{Ask: AskPieces, After: make([]byte, MaxPlaceBytes+1)}, ErrLimit},
		{"unknown kind", Query{Ask: AskCurves, Kinds: []crdt.Kind{0}}, ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := AppendQuery(nil, &test.q)
			wantError(t, err, test.want)
		})
	}
	_, err := ParseQuery(append([]byte{typeQuery}, make([]byte, MaxQueryBytes)...))
	wantError(t, err, ErrLimit)
	_, err = ParseQuery([]byte{typeAnswer, 0x90})
	wantError(t, err, ErrMalformed)
}

func TestAnswerRefused(t *testing.T) {
	_, err := AppendAnswer(nil, &Answer{State: AnswerFailed + 1})
	wantError(t, err, ErrInvalid)
	_, err = AppendAnswer(nil, &Answer{Body: make([]byte, MaxAnswerBytes)})
	wantError(t, err, ErrLimit)
	_, err = ParseAnswer(make([]byte, MaxAnswerBytes+2))
	wantError(t, err, ErrLimit)
	_, err = ParseAnswer([]byte{typeQuery, 0x90})
	wantError(t, err, ErrMalformed)
	_, err = ParseAnswer([]byte{typeAnswer, 0x95, 6, 0xa0, 0x90, 0xc4, 0, 0})
	wantError(t, err, ErrInvalid)
}

func FuzzParseQuery(f *testing.F) {
	for _, list := range [][][]byte{examples(5, drawQuery, AppendQuery), examples(5, drawAnswer, AppendAnswer)} {
		for _, b := range list {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		checkBytes(t, b, ParseQuery, AppendQuery)
		checkBytes(t, b, ParseAnswer, AppendAnswer)
	})
}
