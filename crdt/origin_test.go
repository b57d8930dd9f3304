package crdt

import (
	"slices"
	"strings"
	"testing"
)

func TestOriginsAreOrdered(t *testing.T) {
	sorted := []Origin{
		{Class: ClassNode, Region: "eu", Node: "a", Inc: incarnation(1)},
		{Class: ClassNode, Region: "eu", Node: "a", Inc: incarnation(2)},
		{Class: ClassNode, Region: "eu", Node: "b", Inc: incarnation(1)},
		{Class: ClassNode, Region: "us", Node: "a", Inc: incarnation(1)},
		{Class: ClassRegion, Region: "eu", Node: "a", Inc: incarnation(1)},
		{Class: ClassView, Region: "eu", Node: "a", Inc: incarnation(1)},
	}
	for i := range sorted {
		for j := range sorted {
			if got, want := sorted[i].Compare(sorted[j]), min(max(i-j, -1), 1); got != want {
				t.Errorf("%v against %v: %d, want %d", sorted[i], sorted[j], got, want)
			}
		}
	}
	if got, want := sorted[4].String(), "region/eu/a/01000000"; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
	if got, want := incarnation(1).String(), "01000000000000000000000000000001"; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
}

func TestClasses(t *testing.T) {
	var names []string
	for c := Class(0); c <= ClassView+1; c++ {
		if c.Valid() {
			names = append(names, c.String())
		}
	}
	if want := []string{"node", "region", "view"}; !slices.Equal(names, want) {
		t.Errorf("classes %v, want %v", names, want)
	}
	if got := Class(9).String(); got != "class(9)" {
		t.Errorf("String = %s", got)
	}
}

func TestCheckName(t *testing.T) {
	for name, ok := range map[string]bool{
		"node-1.eu_West": true, strings.Repeat("n", MaxNameBytes): true,
		"": false, strings.Repeat("n", MaxNameBytes+1): false, "a b": false, "a/b": false, "é": false, "a\x00": false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

func TestKinds(t *testing.T) {
	for k := KindCounter; k.Valid(); k++ {
		if got, err := ParseKind(k.String()); got != k || err != nil {
			t.Errorf("ParseKind(%s) = %v, %v", k, got, err)
		}
	}
	for _, name := range []string{"", "timer", "kind(10)"} {
		if k, err := ParseKind(name); err == nil {
			t.Errorf("ParseKind(%q) = %v", name, k)
		}
	}
	if Kind(0).Valid() || Kind(10).Valid() || Kind(10).String() != "kind(10)" {
		t.Errorf("kinds 0 and 10 must not exist")
	}
	for _, row := range []struct {
		k    Kind
		c    Class
		want Kind
	}{
		{KindGauge, ClassNode, KindGauge},
		{KindGauge, ClassRegion, KindRollup},
		{KindGauge, ClassView, KindRollup},
		{KindCounter, ClassRegion, KindCounter},
	} {
		if got := row.k.CellKind(row.c); got != row.want {
			t.Errorf("cells of a %s at a %s origin are %s, want %s", row.k, row.c, got, row.want)
		}
	}
}

func TestWhatAProcessWritesAnewReplacesWhatWasBefore(t *testing.T) {
	i := Incarnation{15: 0xfe, 14: 0xff, 13: 0xff, 12: 0xff} // the count begins anywhere
	o := i
	o[3]++
	for n := range uint32(4) {
		a := i.Anew(n)
		if !a.SameProcess(i) || a.SameProcess(o) || a.Replaces(i) != (n > 0) || i.Replaces(a) || a.Replaces(o) {
			t.Errorf("the %d-th: %s after %s", n, a, i)
		}
	}
	if i.Anew(0) != i {
		t.Error("the first is not the process' own")
	}
}
