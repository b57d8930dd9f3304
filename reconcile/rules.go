package reconcile

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	"meshd/crdt"
	names "meshd/internal/glob"
)

// Bounds of rollup rules. Each series that is exported for the first time is compared with all of them.
const (
	MaxRules       = 100
	maxDropLabels  = 16
	maxVersionText = 1000 // a label's value holds 1,024 bytes
)

// Scopes of a rule.
const (
	ScopeGlobal = "global" // totals go to hubs and edges of all regions
	ScopeRegion = "region" // to hubs and edges of their own region
	ScopeNode   = "node"   // to hubs of their own region: an edge knows its own cells
)

// ObservedSum of a rule lets observed counters travel as one sum over all their sources.
const ObservedSum = "sum"

// Rule says of the metrics that it matches how far a region's totals travel, and with which labels.
type Rule struct {
	Match string   `json:"match"`           // pattern of metric names, see package glob
	Scope string   `json:"scope,omitempty"` // "" is ScopeGlobal
	Drop  []string `json:"drop,omitempty"`  // labels that other regions do not see: they get sums without them
	// Observed says what other regions get of observed counters: "" is every source's count, nothing if labels are dropped;
	// ObservedSum is a sum over sources, and over dropped labels.
	Observed string `json:"observed,omitempty"`
}

// Rules are the rollup rules of a mesh, in the order of their configuration: of a metric the first that matches counts.
type Rules struct {
	list []parsedRule
	sum  uint64
	of   map[string]int // by name of a metric: number of its rule, 0 for none
}

type parsedRule struct {
	Rule
	matches func(string) bool
	version string // of the series that it makes sums of
	sources string // of those that are sums over sources
}

// ParseRules checks rules. It returns nil for none.
func ParseRules(list []Rule) (*Rules, error) {
	if len(list) == 0 {
		return nil, nil
	}
	if len(list) > MaxRules {
		return nil, fmt.Errorf("%d rollup rules, at most %d", len(list), MaxRules)
	}
	r := &Rules{of: map[string]int{}}
	for i, rule := range list {
		p, err := parseRule(rule)
		if err != nil {
			return nil, fmt.Errorf("rollup rule %d: %w", i+1, err)
		}
		r.list = append(r.list, p)
	}
	text, err := json.Marshal(list)
	sum := fnv.New64a()
	sum.Write(text)
	r.sum = max(sum.Sum64(), 1)
	return r, err
}

func parseRule(rule Rule) (p parsedRule, err error) {
	p.Rule = rule
	if p.matches, err = names.Compile(rule.Match); err != nil {
		return p, fmt.Errorf("match: %w", err)
	}
	switch rule.Scope {
	case "", ScopeGlobal:
		p.Scope = ScopeGlobal
	case ScopeRegion, ScopeNode:
	default:
		return p, fmt.Errorf("scope %q: want %s, %s or %s", rule.Scope, ScopeGlobal, ScopeRegion, ScopeNode)
	}
	switch {
	case rule.Observed != "" && rule.Observed != ObservedSum:
		return p, fmt.Errorf("observed %q: want %s, or nothing", rule.Observed, ObservedSum)
	case rule.Observed != "" && p.Scope != ScopeGlobal:
		return p, fmt.Errorf("observed %q with scope %s: a sum is for other regions, which get nothing", rule.Observed, p.Scope)
	case rule.Observed != "":
		p.sources = versionSum
	}
	if len(rule.Drop) == 0 {
		return p, nil
	}
	p.Drop = slices.Clone(rule.Drop)
	slices.Sort(p.Drop)
	p.Drop = slices.Compact(p.Drop)
	for _, name := range p.Drop {
		if name == "" || strings.Contains(name, ",") || strings.HasPrefix(name, ownMetrics) || len(name) > crdt.MaxLabelBytes {
			return p, fmt.Errorf("drop %q: want names of labels, without commas", name)
		}
	}
	p.version = versionSum + strings.Join(p.Drop, ",")
	if p.sources != "" {
		p.sources = p.version
	}
	if len(p.Drop) > maxDropLabels || len(p.version) > maxVersionText {
		return p, fmt.Errorf("drop names %d labels in %d bytes, at most %d in %d", len(p.Drop), len(p.version), maxDropLabels, maxVersionText)
	}
	return p, nil
}

// Sum names rules among all: it is 0 for none.
func (r *Rules) Sum() uint64 {
	if r == nil {
		return 0
	}
	return r.sum
}

// find returns the rule of a metric and its number from 1; nil and 0 if there is none. What coverage reads has none.
func (r *Rules) find(metric string) (*parsedRule, int) {
	if r == nil || strings.HasPrefix(metric, ownMetrics) {
		return nil, 0
	}
	n, ok := r.of[metric]
	if !ok {
		n = 1 + slices.IndexFunc(r.list, func(p parsedRule) bool { return p.matches(metric) })
		if r.of == nil { // Apart
			return r.numbered(n)
		}
		if len(r.of) >= MaxSeries {
			clear(r.of)
		}
		r.of[metric] = n
	}
	return r.numbered(n)
}

func (r *Rules) numbered(n int) (*parsedRule, int) {
	if n == 0 {
		return nil, 0
	}
	return &r.list[n-1], n
}

// Apart returns the same rules for readers beside the owner of r: they remember nothing, so that any number of goroutines may ask
// them. It costs a comparison with every rule each time.
func (r *Rules) Apart() *Rules {
	if r == nil {
		return nil
	}
	return &Rules{list: r.list, sum: r.sum}
}

// Windows returns whether other regions answer over time for series of a metric. It is as for totals, but that observed counters have
// no sum over time: a curve of it is the difference of two readings, and falls where a source is first seen late.
func (r *Rules) Windows(metric string, k crdt.Kind) bool {
	p, _ := r.find(metric)
	_, travels := r.Version(metric, k)
	return travels && (p == nil || k != crdt.KindObserved || p.Observed == "")
}

// Find returns the rule of a metric and its number from 1, or 0 if it has none.
func (r *Rules) Find(metric string) (Rule, int) {
	p, n := r.find(metric)
	if p == nil {
		return Rule{Scope: ScopeGlobal}, 0
	}
	return p.Rule, n
}

// Version returns whether other regions get totals of a metric, and in which version.
func (r *Rules) Version(metric string, k crdt.Kind) (version string, travels bool) {
	p, _ := r.find(metric)
	switch {
	case p == nil:
		return "", true
	case p.Scope != ScopeGlobal:
		return "", false
	case k == crdt.KindObserved && p.sources != "":
		return p.sources, true
	case p.version == "":
		return "", true
	}
	return p.version, addsUp(k)
}

// Alone reports whether edges of their own region get no totals of a metric either.
func (r *Rules) Alone(metric string) bool {
	p, _ := r.find(metric)
	return p != nil && p.Scope == ScopeNode
}

// AnyAlone reports whether there is a rule of scope node.
func (r *Rules) AnyAlone() bool {
	return r != nil && slices.ContainsFunc(r.list, func(p parsedRule) bool { return p.Scope == ScopeNode })
}

// addsUp reports whether series of a kind that differ in a label have a sum. The parts of the others have names that are
// unique within a series only: they need all their labels.
func addsUp(k crdt.Kind) bool {
	switch k {
	case crdt.KindCounter, crdt.KindUpDown, crdt.KindDistribution, crdt.KindUnique, crdt.KindGauge:
		return true
	case crdt.KindSet, crdt.KindObserved, crdt.KindRollup, crdt.KindHistogram:
	}
	return false
}

// May returns the numbers of the rules that keep something of some metrics from other regions, in order: of all metrics if none
// is named. Questions about windows lack observed counters that travel as sums.
func (r *Rules) May(metrics []string, windows bool) (numbers []int) {
	if r == nil {
		return nil
	}
	for i := range r.list {
		p := &r.list[i]
		asked := len(metrics) == 0 || slices.ContainsFunc(metrics, func(m string) bool { _, n := r.find(m); return n == i+1 })
		if asked && (p.Scope != ScopeGlobal || len(p.Drop) > 0 || windows && p.Observed != "") {
			numbers = append(numbers, i+1)
		}
	}
	return numbers
}

// Rule returns the rule with a number from 1.
func (r *Rules) Rule(number int) Rule { return r.list[number-1].Rule }
