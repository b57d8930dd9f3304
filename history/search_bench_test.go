package history

import (
	"fmt"
	"strings"
	"testing"

	"meshd/crdt"
)

// BenchmarkSearch looks for series among a million: 1,000 names with 100 hosts each and ten paths.
func BenchmarkSearch(b *testing.B) {
	s := open(b, newFakeKV())
	const all = 1_000_000
	for i := range all {
		series := &crdt.Series{Name: fmt.Sprintf("http.requests.%d", i%1000), Kind: crdt.KindCounter, Labels: []crdt.Label{
			{Name: "host", Value: fmt.Sprintf("host-%d", i/1000%100)}, {Name: "path", Value: fmt.Sprintf("/api/%d", i/100_000)},
		}}
		s.tables.pair(series, s.tables.owner(nodeB))
	}
	for _, q := range []struct {
		name string
		sel  Selection
	}{
		{"name", Selection{Names: func(n string) bool { return n == "http.requests.7" }}},
		{"label", Selection{Equal: []crdt.Label{{Name: "host", Value: "host-7"}}}},
		{"both", Selection{Names: func(n string) bool { return n == "http.requests.7" }, Equal: []crdt.Label{{Name: "host", Value: "host-7"}}}},
		{"names by pattern", Selection{Names: func(n string) bool { return strings.HasSuffix(n, "7") }}},
		{"label by pattern", Selection{Where: []LabelTest{{"host", func(v string) bool { return strings.HasSuffix(v, "-77") }}}}},
		{"series by test", Selection{Match: func(s *crdt.Series) bool { return strings.HasSuffix(s.Get("host"), "-77") }}},
		{"all", Selection{}},
	} {
		b.Run(q.name, func(b *testing.B) {
			q.sel.ByNode = true
			found := 0
			for b.Loop() {
				found = 0
				if err := s.Series(b.Context(), q.sel, func(*crdt.Series) error { found++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(found), "series")
		})
	}
}
