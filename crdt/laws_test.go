package crdt

import (
	"reflect"
	"testing"

	"pgregory.net/rapid"
)

func TestJoinIsALeastUpperBound(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		a, b, c := s.drawValue(t, "a"), s.drawValue(t, "b"), s.drawValue(t, "c")
		ab, ba := joined(t, a, b), joined(t, b, a)
		if bytesOf(ab) != bytesOf(ba) {
			t.Fatalf("not commutative: %x and %x", bytesOf(ab), bytesOf(ba))
		}
		if l, r := joined(t, ab, c), joined(t, a, joined(t, b, c)); bytesOf(l) != bytesOf(r) {
			t.Fatalf("not associative: %x and %x", bytesOf(l), bytesOf(r))
		}
		if !atMost(t, a, ab) || !atMost(t, b, ab) {
			t.Fatalf("%x is not above %x and %x", bytesOf(ab), bytesOf(a), bytesOf(b))
		}
		if mustJoin(t, ab, a, 0) || mustJoin(t, ab, b, 0) || mustJoin(t, ab, ab, 0) {
			t.Fatalf("not idempotent: joining %x again rose", bytesOf(a))
		}
	})
}

func TestJoinReportsWhetherAnythingRose(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		a, b := s.drawValue(t, "a"), s.drawValue(t, "b")
		before := bytesOf(a)
		if rose := mustJoin(t, a, b, 0); rose != (bytesOf(a) != before) {
			t.Fatalf("rose = %v, bytes %x before and %x after", rose, before, bytesOf(a))
		}
	})
}

func TestBytesAreCanonical(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		a, b := s.drawValue(t, "a"), s.drawValue(t, "b")
		if same := reflect.DeepEqual(s.contents(a), s.contents(b)); same != (bytesOf(a) == bytesOf(b)) {
			t.Fatalf("equal states: %v, bytes %x and %x", same, bytesOf(a), bytesOf(b))
		}
		ab, ba := joined(t, a, b), joined(t, b, a)
		if !reflect.DeepEqual(s.contents(ab), s.contents(ba)) {
			t.Fatalf("bytes %x of different states", bytesOf(ab))
		}
	})
}

func TestParseIsTheInverseOfAppend(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		v := s.drawValue(t, "v")
		b := v.AppendBinary([]byte("prefix"))[len("prefix"):]
		got, err := ParseValue(s.kind, b, 7)
		if err != nil {
			t.Fatalf("parse %x: %v", b, err)
		}
		if !reflect.DeepEqual(s.contents(&got), s.contents(v)) {
			t.Fatalf("parsed %+v, want %+v", s.contents(&got), s.contents(v))
		}
		if got.X != nil && s.kind != KindGauge { // a gauge's stamp is in its bytes
			got.X.Stamps(0, func(stamp uint64, _ int) {
				if stamp != 7 {
					t.Fatalf("parsed part has stamp %d, want 7", stamp)
				}
			})
		}
		if _, err := ParseValue(s.kind, append(b, 0), 7); err == nil {
			t.Fatalf("trailing byte after %x accepted", b)
		}
		cut := rapid.IntRange(0, len(b)-1).Draw(t, "cut")
		if _, err := ParseValue(s.kind, b[:cut], 7); err == nil {
			t.Fatalf("%x cut to %d bytes accepted", b, cut)
		}
	})
}

func TestCloneIsIndependent(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		a, b := s.drawValue(t, "a"), s.drawValue(t, "b")
		before := bytesOf(a)
		c := a.Clone()
		mustJoin(t, &c, b, 9)
		if err := c.Combine(b); err != nil {
			t.Fatalf("combine: %v", err)
		}
		c.Remove(b)
		if bytesOf(a) != before {
			t.Fatalf("changing the clone changed %x to %x", before, bytesOf(a))
		}
		c = a.Clone()
		mustJoin(t, a, b, 9)
		if bytesOf(&c) != before {
			t.Fatalf("changing the original changed the clone %x to %x", before, bytesOf(&c))
		}
	})
}

func TestJoinKeepsNoReference(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		a, b, c, sum := s.drawValue(t, "a"), s.drawValue(t, "b"), s.drawValue(t, "c"), Bottom(s.kind)
		if _, err := a.Join(b, 1, &sum, 2); err != nil {
			t.Fatalf("join: %v", err)
		}
		wantA, wantSum := bytesOf(a), bytesOf(&sum)
		mustJoin(t, b, c, 3)
		b.Remove(c)
		if bytesOf(a) != wantA || bytesOf(&sum) != wantSum {
			t.Fatalf("changing the delta changed what it was joined to")
		}
	})
}

func TestNextIsAbsoluteAndLeavesTheCell(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		w := newWriter(s, 0)
		for range rapid.IntRange(0, 3).Draw(t, "writes") {
			w.write(t)
		}
		before := bytesOf(&w.cell)
		d, err := w.cell.Next(s.drawInc(t, w.inc))
		if err != nil {
			t.Fatalf("next: %v", err)
		}
		if bytesOf(&w.cell) != before {
			t.Fatalf("Next changed the cell")
		}
		mustJoin(t, &w.cell, &d, w.head+1)
		if mustJoin(t, &w.cell, &d, w.head+1) {
			t.Fatalf("the delta %x rose twice: it is not absolute", bytesOf(&d))
		}
	})
}

// Stamps and Delta are two views of the same bookkeeping.
func TestStampsAgreeWithDelta(t *testing.T) {
	forEachKind(t, func(s *subject) bool { return s.inc != nil }, func(t *rapid.T, s *subject) {
		w := newWriter(s, 0)
		for range rapid.IntRange(1, 6).Draw(t, "writes") {
			w.write(t)
		}
		if w.cell.X == nil {
			return
		}
		from := rapid.Uint64Range(0, w.head).Draw(t, "from")
		to := rapid.Uint64Range(from, w.head).Draw(t, "to")
		var within, highest uint64
		w.cell.X.Stamps(from, func(stamp uint64, size int) {
			if stamp <= from || stamp > w.head || size <= 0 {
				t.Fatalf("Stamps(%d) gave stamp %d, size %d at head %d", from, stamp, size, w.head)
			}
			if stamp <= to {
				within++
				highest = max(highest, stamp)
			}
		})
		d, tag := w.cell.X.Delta(from, to)
		if (d != nil) != (within > 0) || tag != highest {
			t.Fatalf("Delta(%d, %d) = %v tagged %d, want %d parts tagged %d", from, to, d, tag, within, highest)
		}
		if d != nil && !atMost(t, &Value{Kind: s.kind, X: d}, &w.cell) {
			t.Fatalf("the delta is above the cell")
		}
	})
}

// A part that rises through an old frame keeps its later stamp: peers that asked beyond the old one still get it.
func TestStampsNeverFall(t *testing.T) {
	// A gauge's stamp is part of its value.
	keep := func(s *subject) bool { return s.inc != nil && s.kind != KindGauge }
	forEachKind(t, keep, func(t *rapid.T, s *subject) {
		v, err := ParseValue(s.kind, s.drawValue(t, "v").AppendBinary(nil), 9)
		if err != nil {
			t.Fatalf("parse: %v", err)
		}
		before := v.Clone()
		mustJoin(t, &v, s.drawValue(t, "old"), 5)
		if v.X == nil {
			return
		}
		want := v.Restrict(&before)
		got := Value{Kind: s.kind}
		got.X, _ = v.X.Delta(8, 9)
		if !atMost(t, &want, &got) {
			t.Fatalf("parts stamped 9 are now %+v, want %+v", s.contents(&got), s.contents(&want))
		}
	})
}

func TestRestrictKeepsExactlyTheParts(t *testing.T) {
	forEachKind(t, nil, func(t *rapid.T, s *subject) {
		w := newWriter(s, 0)
		for range rapid.IntRange(1, 6).Draw(t, "writes") {
			w.write(t)
		}
		d, _, ok := w.cell.Delta(rapid.Uint64Range(0, w.head-1).Draw(t, "from"), w.head, w.seq)
		if !ok {
			return
		}
		later := w.cell.Clone()
		for range rapid.IntRange(0, 3).Draw(t, "later writes") {
			w.write(t)
		}
		r := w.cell.Restrict(&d)
		if !atMost(t, &d, &r) || !atMost(t, &r, &w.cell) {
			t.Fatalf("Restrict = %x, want between %x and %x", bytesOf(&r), bytesOf(&d), bytesOf(&w.cell))
		}
		same := later.Restrict(&d)
		if bytesOf(&same) != bytesOf(&d) {
			t.Fatalf("Restrict to a delta of the same value = %x, want %x", bytesOf(&same), bytesOf(&d))
		}
	})
}
