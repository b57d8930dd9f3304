// Package glob matches metric names against patterns, as the totals API and the rules of the mesh's configuration write
// them. It is pure, and quick whatever the pattern: anybody who may ask or configure gives one.
package glob

import (
	"fmt"
	"regexp"
	"strings"
)

// MaxBytes bounds a pattern. It runs inside the core loop against every series held, so what one costs is bounded by its
// length: 1 KiB is the longest label value there is to compare with.
const MaxBytes = 1024

const special = `*?{}\`

// Literal reports whether a pattern matches one name only, which it is.
func Literal(glob string) bool { return glob != "" && !strings.ContainsAny(glob, special) }

// Compile returns a test for metric names: '*' is any number of characters, dots included, '?' is one, '{a,b}' is one
// of the alternatives, which may nest, and '\' takes the next character as it is. All else stands for itself.
//
// Globs are run as regular expressions because Go's take linear time: a matcher that backtracks needs 2 s for 24 times
// "{a,aa}", and anybody who may ask could stop the core loop with it.
func Compile(glob string) (func(string) bool, error) {
	if glob == "" || len(glob) > MaxBytes {
		return nil, fmt.Errorf("a name pattern has 1 to %d bytes, this one has %d", MaxBytes, len(glob))
	}
	if Literal(glob) {
		return func(s string) bool { return s == glob }, nil
	}
	if prefix, ok := strings.CutSuffix(glob, "*"); ok && !strings.ContainsAny(prefix, special) {
		return func(s string) bool { return strings.HasPrefix(s, prefix) }, nil // most patterns, at a tenth of the cost
	}
	expr, err := Expression(glob)
	if err != nil {
		return nil, err
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return nil, fmt.Errorf("name pattern %q: %w", glob, err)
	}
	return re.MatchString, nil
}

// Expression translates a glob into an anchored regular expression.
func Expression(glob string) (string, error) {
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
