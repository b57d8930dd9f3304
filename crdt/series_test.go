package crdt

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSeriesCheck(t *testing.T) {
	labels := func(n int) (ls []Label) {
		for i := range n {
			ls = append(ls, Label{Name: fmt.Sprintf("l%03d", i)})
		}
		return ls
	}
	for _, row := range []struct {
		name string
		s    Series
		ok   bool
	}{
		{"plain", Series{Name: "http.requests", Kind: KindCounter}, true},
		{"longest name", Series{Name: strings.Repeat("n", MaxMetricBytes), Kind: KindSet}, true},
		{"most labels", Series{Name: "n", Kind: KindGauge, Labels: labels(MaxLabels)}, true},
		{"longest label", Series{Name: "n", Kind: KindGauge, Labels: []Label{{strings.Repeat("l", MaxLabelBytes), strings.Repeat("v", MaxValueBytes)}}}, true},
		{"no name", Series{Kind: KindCounter}, false},
		{"long name", Series{Name: strings.Repeat("n", MaxMetricBytes+1), Kind: KindCounter}, false},
		{"name not UTF-8", Series{Name: "\xff", Kind: KindCounter}, false},
		{"no kind", Series{Name: "n"}, false},
		{"kind of cells only", Series{Name: "n", Kind: KindRollup}, false},
		{"too many labels", Series{Name: "n", Kind: KindGauge, Labels: labels(MaxLabels + 1)}, false},
		{"label without name", Series{Name: "n", Kind: KindGauge, Labels: []Label{{"", "v"}}}, false},
		{"long label name", Series{Name: "n", Kind: KindGauge, Labels: []Label{{strings.Repeat("l", MaxLabelBytes+1), ""}}}, false},
		{"long label value", Series{Name: "n", Kind: KindGauge, Labels: []Label{{"l", strings.Repeat("v", MaxValueBytes+1)}}}, false},
		{"value not UTF-8", Series{Name: "n", Kind: KindGauge, Labels: []Label{{"l", "\xff"}}}, false},
		{"repeated label", Series{Name: "n", Kind: KindGauge, Labels: []Label{{"l", "1"}, {"l", "2"}}}, false},
		{"labels not sorted", Series{Name: "n", Kind: KindGauge, Labels: []Label{{"m", "1"}, {"l", "2"}}}, false},
	} {
		if err := row.s.Check(); (err == nil) != row.ok || err != nil && !errors.Is(err, ErrSeries) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
}

func TestSortLabels(t *testing.T) {
	got := SortLabels([]Label{{"b", "1"}, {"a", "1"}, {"b", "2"}, {"a", ""}, {"c", "1"}})
	if want := []Label{{"a", ""}, {"b", "2"}, {"c", "1"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("SortLabels = %v, want %v", got, want)
	}
}

func TestSeriesForPeople(t *testing.T) {
	s := Series{Name: "hits", Kind: KindCounter, Labels: []Label{{"code", "200"}, {"path", `/"x"`}}}
	if got, want := s.String(), `counter:hits{code="200",path="/\"x\""}`; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
	bare := Series{Name: "hits", Kind: KindUnique}
	if got, want := bare.String(), "unique:hits"; got != want {
		t.Errorf("String = %s, want %s", got, want)
	}
	if s.Get("code") != "200" || s.Get("method") != "" {
		t.Errorf("Get = %q and %q", s.Get("code"), s.Get("method"))
	}
}

func TestSeriesKeysAreEqualForEqualSeriesOnly(t *testing.T) {
	text := rapid.StringOfN(rapid.RuneFrom([]rune{0, 1, 2, 'a'}), 0, 3, -1)
	series := rapid.Custom(func(t *rapid.T) *Series {
		s := &Series{Name: text.Draw(t, "name"), Kind: Kind(rapid.IntRange(0, 1).Draw(t, "kind")), Gen: rapid.SampledFrom([]uint32{0, 1, 128}).Draw(t, "gen")}
		for range rapid.IntRange(0, 2).Draw(t, "labels") {
			s.Labels = append(s.Labels, Label{Name: text.Draw(t, "label"), Value: text.Draw(t, "value")})
		}
		return s
	})
	rapid.Check(t, func(t *rapid.T) {
		drawn := rapid.SliceOfN(series, 30, 30).Draw(t, "series")
		byKey := make(map[string]*Series)
		for _, s := range drawn {
			key := string(s.AppendKey(nil))
			if other, ok := byKey[key]; ok && !reflect.DeepEqual(s, other) {
				t.Fatalf("%#v and %#v have the key %x", s, other, key)
			}
			byKey[key] = s
		}
	})
	// Neighbours that a key without lengths, or without the kind, would confuse.
	apart := []*Series{
		{Name: "a"},
		{Name: "a", Kind: 1},
		{Name: "a", Gen: 1},
		{Name: "ab"},
		{Name: "a", Labels: []Label{{"b", ""}}},
		{Name: "a", Labels: []Label{{"", "b"}}},
		{Name: "a\x01b"},
		{Name: "", Labels: []Label{{"a", "b"}}},
		{Name: "a", Labels: []Label{{"b", "c"}, {"d", ""}}},
		{Name: "a", Labels: []Label{{"b", "c\x01d"}}},
	}
	keys := make(map[string]bool)
	for _, s := range apart {
		keys[string(s.AppendKey(nil))] = true
	}
	if len(keys) != len(apart) {
		t.Errorf("%d keys for %d series", len(keys), len(apart))
	}
}

// FuzzSeriesKey looks for two different series with one key.
func FuzzSeriesKey(f *testing.F) {
	f.Add(uint8(1), uint32(0), "a", "b", "c", 1, uint8(1), uint32(0), "ab", "", "c", 1)
	f.Add(uint8(1), uint32(1), "a\x01b", "", "", 0, uint8(1), uint32(1), "a", "b", "", 1)
	f.Add(uint8(2), uint32(128), "a", "b", "c", 2, uint8(2), uint32(1), "\x01a", "b", "c", 2)
	f.Fuzz(func(t *testing.T, k1 uint8, g1 uint32, n1, l1, v1 string, c1 int, k2 uint8, g2 uint32, n2, l2, v2 string, c2 int) {
		build := func(k uint8, g uint32, n, l, v string, c int) *Series {
			s := &Series{Name: n, Kind: Kind(k), Gen: g}
			for i := range min(max(c, 0), 3) {
				s.Labels = append(s.Labels, Label{Name: l + strings.Repeat("x", i), Value: v})
			}
			return s
		}
		a, b := build(k1, g1, n1, l1, v1, c1), build(k2, g2, n2, l2, v2, c2)
		same := string(a.AppendKey(nil)) == string(b.AppendKey(nil))
		if same != reflect.DeepEqual(a, b) {
			t.Fatalf("%v and %v: keys equal %v", a, b, same)
		}
	})
}
