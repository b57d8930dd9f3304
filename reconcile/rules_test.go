package reconcile

import (
	"slices"
	"strings"
	"testing"

	"meshd/crdt"
)

func TestTheFirstRuleThatMatchesCounts(t *testing.T) {
	r, err := ParseRules([]Rule{
		{Match: "host.cpu", Drop: []string{"core", "core"}},
		{Match: "host.*", Scope: ScopeRegion},
		{Match: "{a,b}.hits", Scope: ScopeGlobal, Drop: []string{"user", "ad"}},
		{Match: "seen.all", Observed: ObservedSum},
		{Match: "seen.*", Drop: []string{"job"}, Observed: ObservedSum},
		{Match: "proc.*", Scope: ScopeNode},
		{Match: "*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		metric  string
		kind    crdt.Kind
		number  int
		version string
		travels bool
	}{
		{"host.cpu", crdt.KindGauge, 1, "sum-core", true},
		{"host.disk", crdt.KindGauge, 2, "", false},
		{"a.hits", crdt.KindCounter, 3, "sum-ad,user", true},
		{"a.hits", crdt.KindObserved, 3, "sum-ad,user", false}, // its parts need their labels
		{"a.hits", crdt.KindSet, 3, "sum-ad,user", false},
		{"seen.all", crdt.KindObserved, 4, "sum-", true},
		{"seen.all", crdt.KindCounter, 4, "", true},
		{"seen.jobs", crdt.KindObserved, 5, "sum-job", true},
		{"seen.jobs", crdt.KindCounter, 5, "sum-job", true},
		{"seen.jobs", crdt.KindHistogram, 5, "sum-job", false},
		{"proc.cpu", crdt.KindGauge, 6, "", false},
		{"c.hits", crdt.KindObserved, 7, "", true},
		{"meshd.lost", crdt.KindCounter, 0, "", true},
	} {
		version, travels := r.Version(c.metric, c.kind)
		if _, n := r.Find(c.metric); n != c.number || version != c.version || travels != c.travels {
			t.Errorf("%s %s: rule %d, version %q, travels %v; want %d, %q, %v", c.kind, c.metric, n, version, travels, c.number, c.version, c.travels)
		}
	}
	if r.Alone("host.disk") || !r.Alone("proc.cpu") || !r.AnyAlone() || rulesFor(t, Rule{Match: "a", Scope: ScopeRegion}).AnyAlone() || (*Rules)(nil).AnyAlone() {
		t.Error("only proc.cpu stays at its node")
	}
	if got, want := r.May(nil, true), []int{1, 2, 3, 4, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("rules that keep something of windows: %v, want %v", got, want)
	}
	apart := r.Apart()
	for _, k := range []crdt.Kind{crdt.KindCounter, crdt.KindObserved} { // sums over sources have no windows
		if got := apart.Windows("seen.all", k); got != (k == crdt.KindCounter) || apart.Windows("host.disk", k) || !apart.Windows("c.hits", k) {
			t.Errorf("windows of seen.all travel: %v", got)
		}
	}
	if apart.of != nil || apart.Sum() != r.Sum() || (*Rules)(nil).Apart() != nil || !(*Rules)(nil).Windows("a", crdt.KindObserved) {
		t.Error("rules apart remember names, or are others")
	}
	for _, c := range []struct {
		names []string
		want  []int
	}{{nil, []int{1, 2, 3, 5, 6}}, {[]string{"c.hits", "seen.all"}, nil}, {[]string{"host.disk", "b.hits"}, []int{2, 3}}} {
		if got := r.May(c.names, false); !slices.Equal(got, c.want) {
			t.Errorf("rules that keep something of %v: %v, want %v", c.names, got, c.want)
		}
		for _, n := range c.want {
			if rule := r.Rule(n); rule.Scope == ScopeGlobal && len(rule.Drop) == 0 {
				t.Errorf("rule %d keeps nothing: %+v", n, rule)
			}
		}
	}
}

func TestRulesAreChecked(t *testing.T) {
	many := make([]string, maxDropLabels+1)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for _, bad := range []Rule{
		{},
		{Match: "a{"},
		{Match: "a", Scope: "mesh"},
		{Match: "a", Observed: "max"},
		{Match: "a", Scope: ScopeRegion, Observed: ObservedSum},
		{Match: "a", Scope: ScopeNode, Observed: ObservedSum},
		{Match: "a", Drop: []string{""}},
		{Match: "a", Drop: []string{"a,b"}},
		{Match: "a", Drop: []string{crdt.RollupLabel}},
		{Match: "a", Drop: many},
	} {
		if _, err := ParseRules([]Rule{bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if _, err := ParseRules(make([]Rule, MaxRules+1)); err == nil {
		t.Error("more rules than there may be are taken")
	}
	a, _ := ParseRules([]Rule{{Match: "a"}})
	b, _ := ParseRules([]Rule{{Match: "a", Drop: []string{"x"}}})
	var none *Rules
	if a.Sum() == b.Sum() || a.Sum() == 0 || none.Sum() != 0 {
		t.Errorf("sums of rules: %d, %d, %d", a.Sum(), b.Sum(), none.Sum())
	}
}
