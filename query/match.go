package query

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"meshd/crdt"
	"meshd/internal/glob"
)

// Bounds on patterns. A pattern runs inside the core loop against every series held, so what one costs is bounded by its
// length: 1 KiB is the longest label value there is to compare with.
const (
	maxPatternBytes = glob.MaxBytes
	maxMatchers     = 32   // as many as a series has labels
	maxExprSteps    = 4096 // four for each byte of the longest pattern: only repeats need more
)

// matcher is one condition on a label. A label that is absent has the value "", as in Prometheus.
type matcher struct {
	label  string
	negate bool
	value  string
	re     *regexp.Regexp // nil: compare with value
}

// parseMatcher reads k=v, k!=v, k=~regex or k!~regex. Expressions are anchored at both ends.
func parseMatcher(s string) (matcher, error) {
	var m matcher
	i := strings.IndexAny(s, "=!")
	if i <= 0 || s[i:] == "!" || (s[i] == '!' && s[i+1] != '=' && s[i+1] != '~') {
		return m, fmt.Errorf("%q is not a condition: write label=value, label!=value, label=~expression or label!~expression", s)
	}
	m.label, m.value = s[:i], s[i+1:]
	isExpr := false
	if m.negate = s[i] == '!'; m.negate {
		isExpr = m.value[0] == '~'
		m.value = m.value[1:]
	} else {
		m.value, isExpr = strings.CutPrefix(m.value, "~")
	}
	if len(m.label) > crdt.MaxLabelBytes || len(m.value) > maxPatternBytes {
		return m, fmt.Errorf("a condition has at most %d bytes of label and %d of value", crdt.MaxLabelBytes, maxPatternBytes)
	}
	if isExpr {
		re, err := compileExpr(m.value)
		if err != nil {
			return m, fmt.Errorf("condition %q: %w", s, err)
		}
		m.re = re
	}
	return m, nil
}

// compileExpr compiles an expression anchored at both ends. Repeats make programs that are far longer than the text:
// 1 KiB of "(x{1000})" is 128,000 steps for each byte compared.
func compileExpr(expr string) (*regexp.Regexp, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	if len(prog.Inst) > maxExprSteps {
		return nil, fmt.Errorf("the expression compiles to %d steps, at most %d: repeat less", len(prog.Inst), maxExprSteps)
	}
	return regexp.Compile(`(?s)\A(?:` + expr + `)\z`)
}

func (m *matcher) matches(value string) bool {
	if m.re != nil {
		return m.re.MatchString(value) != m.negate
	}
	return (value == m.value) != m.negate
}

// selection says which series, regions and nodes a request is about.
type selection struct {
	names   []string // that are asked for, if that is known without the series
	name    func(string) bool
	pattern string            // what name and gauge test, as an expression
	gauge   func(string) bool // with agg: names of gauges whose aggregate is selected by a name of its own; nil: none
	agg     string            // such as "sum" of load:sum
	kind    crdt.Kind         // 0: all
	labels  []matcher
	region  []matcher
	node    []matcher
}

// add sorts a matcher by what it can be tested against: series are chosen inside the core, regions and nodes on its rows.
func (s *selection) add(m matcher) {
	switch m.label {
	case labelRegion:
		s.region = append(s.region, m)
	case labelNode:
		s.node = append(s.node, m)
	default:
		s.labels = append(s.labels, m)
	}
}

// series is safe for concurrent use: expressions are, and nothing else changes.
func (s *selection) series(x *crdt.Series) bool {
	if (s.kind != 0 && x.Kind != s.kind) || !s.name(x.Name) && !s.aggregate(x) {
		return false
	}
	for i := range s.labels {
		if !s.labels[i].matches(x.Get(s.labels[i].label)) {
			return false
		}
	}
	return true
}

// aggregate reports whether x is a gauge that is selected by the name of its aggregate.
func (s *selection) aggregate(x *crdt.Series) bool {
	return s.gauge != nil && x.Kind == crdt.KindGauge && s.gauge(x.Name)
}

func all(ms []matcher, value string) bool {
	for i := range ms {
		if !ms[i].matches(value) {
			return false
		}
	}
	return true
}
