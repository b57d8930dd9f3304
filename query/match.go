package query

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"meshd/crdt"
)

// Bounds on patterns. A pattern runs inside the core loop against every series held, so what one costs is bounded by its
// length: 1 KiB is the longest label value there is to compare with.
const (
	maxPatternBytes = 1024
	maxMatchers     = 32   // as many as a series has labels
	maxExprSteps    = 4096 // four for each byte of the longest pattern: only repeats need more
)

// compileGlob returns a test for metric names: '*' is any number of characters, dots included, '?' is one, '{a,b}' is one
// of the alternatives, which may nest, and '\' takes the next character as it is. All else stands for itself.
//
// Globs are run as regular expressions because Go's take linear time: a matcher that backtracks needs 2 s for 24 times
// "{a,aa}", and anybody who may ask could stop the core loop with it.
func compileGlob(glob string) (func(string) bool, error) {
	if glob == "" || len(glob) > maxPatternBytes {
		return nil, fmt.Errorf("a name pattern has 1 to %d bytes, this one has %d", maxPatternBytes, len(glob))
	}
	const special = `*?{}\`
	if !strings.ContainsAny(glob, special) {
		return func(s string) bool { return s == glob }, nil
	}
	if prefix, ok := strings.CutSuffix(glob, "*"); ok && !strings.ContainsAny(prefix, special) {
		return func(s string) bool { return strings.HasPrefix(s, prefix) }, nil // most patterns, at a tenth of the cost
	}
	expr, err := globExpr(glob)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("name pattern %q: %w", glob, err)
	}
	return re.MatchString, nil
}

// globExpr translates a glob into an anchored regular expression.
func globExpr(glob string) (string, error) {
	var b strings.Builder
	b.WriteString(`(?s)\A(?:`)
	depth, escaped := 0, false
	for _, c := range glob {
		switch {
		case escaped:
			b.WriteString(regexp.QuoteMeta(string(c)))
			escaped = false
		case c == '\\':
			escaped = true
		case c == '*':
			b.WriteString(`.*`)
		case c == '?':
			b.WriteByte('.')
		case c == '{':
			depth++
			b.WriteString(`(?:`)
		case c == '}':
			if depth--; depth < 0 {
				return "", fmt.Errorf(`name pattern %q closes a '}' that it did not open: write \} for the character`, glob)
			}
			b.WriteByte(')')
		case c == ',' && depth > 0:
			b.WriteByte('|')
		default:
			b.WriteString(regexp.QuoteMeta(string(c)))
		}
	}
	switch {
	case escaped:
		return "", fmt.Errorf(`name pattern %q ends in a single '\': write \\ for the character`, glob)
	case depth > 0:
		return "", fmt.Errorf(`name pattern %q does not close a '{': write \{ for the character`, glob)
	}
	b.WriteString(`)\z`)
	return b.String(), nil
}

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
	name   func(string) bool
	kind   crdt.Kind // 0: all
	labels []matcher
	region []matcher
	node   []matcher
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
	if (s.kind != 0 && x.Kind != s.kind) || !s.name(x.Name) {
		return false
	}
	for i := range s.labels {
		if !s.labels[i].matches(x.Get(s.labels[i].label)) {
			return false
		}
	}
	return true
}

func all(ms []matcher, value string) bool {
	for i := range ms {
		if !ms[i].matches(value) {
			return false
		}
	}
	return true
}
