package crdt

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func setValue(s *Set) *Value { return &Value{Kind: KindSet, X: s} }

func change(inc int, adds, removes []string) *Value {
	return setValue(&Set{Inc: incarnation(inc), Adds: adds, Removes: removes})
}

func TestSetIncrements(t *testing.T) {
	ab, a := []string{"b", "a", "b"}, []string{"a"}
	for _, row := range []struct {
		name string
		incs []*Value
		want []string
		dots int
	}{
		{"add", []*Value{change(1, ab, nil)}, []string{"a", "b"}, 2},
		{"add again takes no dot", []*Value{change(1, ab, nil), change(1, ab, nil)}, []string{"a", "b"}, 2},
		{"remove", []*Value{change(1, ab, nil), change(1, nil, a)}, []string{"b"}, 2},
		{"remove what is not there", []*Value{change(1, ab, nil), change(1, nil, []string{"c"})}, []string{"a", "b"}, 2},
		{"add after remove", []*Value{change(1, ab, nil), change(1, nil, a), change(1, a, nil)}, []string{"a", "b"}, 3},
		{"removes come before adds", []*Value{change(1, a, nil), change(1, a, a)}, []string{"a"}, 2},
		{"empty element", []*Value{change(1, []string{""}, nil)}, []string{""}, 1},
	} {
		cell := applied(t, KindSet, row.incs...)
		s := cell.X.(*Set)
		if got := s.Elements(); !slices.Equal(got, row.want) || s.Dots() != row.dots {
			t.Errorf("%s: %q with %d dots, want %q with %d", row.name, got, s.Dots(), row.want, row.dots)
		}
	}
}

// Collected into one commit, increments lead to the same elements as one commit each.
func TestSetIncrementsCollected(t *testing.T) {
	s := &subjects[slices.IndexFunc(subjects, func(s subject) bool { return s.kind == KindSet })]
	rapid.Check(t, func(t *rapid.T) {
		w := newWriter(s, 0)
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			w.write(t)
		}
		single, acc := w.cell.Clone(), Bottom(KindSet)
		for i := range rapid.IntRange(1, 4).Draw(t, "increments") {
			inc := s.drawInc(t, w.inc)
			d, err := single.Next(inc)
			if err != nil {
				t.Fatalf("next: %v", err)
			}
			mustJoin(t, &single, &d, w.head+uint64(i)+1)
			if err := acc.Grow(inc); err != nil {
				t.Fatalf("grow: %v", err)
			}
		}
		d, err := w.cell.Next(&acc)
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		mustJoin(t, &w.cell, &d, w.head+1)
		if got, want := elements(&w.cell), elements(&single); !slices.Equal(got, want) {
			t.Fatalf("in one commit %q, in several %q", got, want)
		}
	})
}

func elements(v *Value) []string {
	if v.X == nil {
		return nil
	}
	return v.X.(*Set).Elements()
}

func TestSetRemovalConcernsWhatWasSeen(t *testing.T) {
	a, b := applied(t, KindSet, change(1, []string{"x", "y"}, nil)), applied(t, KindSet, change(2, []string{"z"}, nil))
	seen := joined(t, a, b)
	// b removes x and z as it sees them; meanwhile a removes y and adds it again.
	d, err := b.Next(setValue(seen.X.(*Set).Removal("x", "z")))
	if err != nil {
		t.Fatal(err)
	}
	mustJoin(t, b, &d, 2)
	again := applied(t, KindSet, change(1, []string{"x", "y"}, nil), change(1, []string{"x", "y"}, []string{"x", "y"}))
	if got, want := elements(joined(t, again, b)), []string{"x", "y"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q: a new dot outlives the removal of the old one", got, want)
	}
	if got, want := elements(joined(t, a, b)), []string{"y"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	// An own dot that a removal names is gone before the adds of the same increment.
	inc := a.X.(*Set).Removal("x")
	inc.Inc, inc.Adds = incarnation(1), []string{"x"}
	if d, err = a.Next(setValue(inc)); err != nil || len(d.X.(*Set).dots) != 2 {
		t.Errorf("removal and add = %+v, %v, want a removed and a new dot", d.X, err)
	}
}

func TestSetRemovedDotsCarryNoElement(t *testing.T) {
	s := applied(t, KindSet, change(1, []string{strings.Repeat("e", MaxElementBytes)}, nil), change(1, nil, []string{strings.Repeat("e", MaxElementBytes)}))
	if n := len(s.AppendBinary(nil)); n > 24 {
		t.Errorf("a removed dot takes %d bytes", n)
	}
}

func TestSetLimits(t *testing.T) {
	many := make([]string, MaxSetDots)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	empty := Bottom(KindSet)
	if _, err := empty.Next(change(1, []string{strings.Repeat("e", MaxElementBytes+1)}, nil)); !errors.Is(err, ErrLimit) {
		t.Errorf("long element: %v, want ErrLimit", err)
	}
	cell := applied(t, KindSet, change(1, many, nil))
	if _, err := cell.Next(change(1, []string{"more"}, nil)); !errors.Is(err, ErrLimit) {
		t.Errorf("one dot more: %v, want ErrLimit", err)
	}
	if _, err := cell.Next(change(1, many, nil)); err != nil {
		t.Errorf("the same elements again: %v", err)
	}
	acc := change(1, many, nil).Clone()
	if err := acc.Grow(change(1, []string{"more"}, nil)); !errors.Is(err, ErrLimit) || len(acc.X.(*Set).Adds) != MaxSetDots {
		t.Errorf("an increment of one element more: %v, want ErrLimit", err)
	}

	union, sum := Bottom(KindSet), Bottom(KindSet)
	for i := range MaxJoinedDots / MaxSetDots {
		o := Value{Kind: KindSet, X: new(Set)}
		for d, a := range cell.X.(*Set).dots {
			o.X.(*Set).put(Dot{Inc: incarnation(i), N: d.N}, a)
		}
		mustJoin(t, &union, &o, 1)
	}
	one := applied(t, KindSet, change(200, []string{"more"}, nil))
	if _, err := union.Join(one, 2, nil, 0); !errors.Is(err, ErrLimit) {
		t.Errorf("join beyond the limit: %v, want ErrLimit", err)
	}
	// If the sum is full the cell stays as it is too.
	if _, err := sum.Join(one, 1, &union, 1); !errors.Is(err, ErrLimit) || len(elements(&sum)) != 0 {
		t.Errorf("join into a full sum: %v, left %q, want ErrLimit", err, elements(&sum))
	}
}

func TestSetRefusesMalformedBytes(t *testing.T) {
	inc := string(make([]byte, 15)) + "\x01"
	later := string(make([]byte, 15)) + "\x02"
	for name, b := range map[string]string{
		"nothing":               "",
		"group without dots":    "\x01" + inc + "\x00\x00\x00",
		"number 0":              "\x01" + inc + "\x01\x00\x00",
		"number beyond 2^64":    "\x01" + inc + "\x02\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00",
		"groups not sorted":     "\x02" + later + "\x01\x01\x00" + inc + "\x01\x01\x00",
		"group repeated":        "\x02" + inc + "\x01\x01\x00" + inc + "\x01\x02\x00",
		"element cut":           "\x01" + inc + "\x01\x01\x05ab",
		"long element":          "\x01" + inc + "\x01\x01\x82\x02" + strings.Repeat("e", 257),
		"longer uvarint":        "\x01" + inc + "\x01\x81\x00\x00",
		"more groups than room": "\xff\xff\xff\x7f" + inc + "\x01\x01\x00",
	} {
		if x, err := ParseState(KindSet, []byte(b), 0); !errors.Is(err, ErrBytes) || x != nil {
			t.Errorf("%s: %v, %v, want ErrBytes", name, x, err)
		}
	}
}
