package query

import (
	"strings"
	"testing"
)

func TestMatcher(t *testing.T) {
	for _, c := range []struct {
		text     string
		label    string
		yes, not []string
	}{
		{"method=GET", "method", []string{"GET"}, []string{"get", "GETS", ""}},
		{"method=", "method", []string{""}, []string{"GET"}},
		{"method!=", "method", []string{"GET"}, []string{""}},
		{"method!=GET", "method", []string{"", "POST"}, []string{"GET"}},
		{"code=~5..", "code", []string{"500", "503"}, []string{"5000", "400", ""}},
		{"code=~4|5", "code", []string{"4", "5"}, []string{"45", ""}},
		{"code!~5..", "code", []string{"200", ""}, []string{"500"}},
		{"path=/a=b!c", "path", []string{"/a=b!c"}, []string{"/a"}},
		{"x.y=1", "x.y", []string{"1"}, nil},
	} {
		m, err := parseMatcher(c.text)
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
			continue
		}
		if m.label != c.label {
			t.Errorf("%q is about label %q, want %q", c.text, m.label, c.label)
		}
		for _, s := range c.yes {
			if !m.matches(s) {
				t.Errorf("%q does not match %q", c.text, s)
			}
		}
		for _, s := range c.not {
			if m.matches(s) {
				t.Errorf("%q matches %q", c.text, s)
			}
		}
	}
}

func TestMatcherRefuses(t *testing.T) {
	for _, text := range []string{
		"", "method", "=GET", "!=GET", "method!", "method!GET", "code=~(", "code=~" + strings.Repeat("(x{1000})", 50),
		"m=" + strings.Repeat("x", maxPatternBytes+1), strings.Repeat("x", 201) + "=1",
	} {
		if _, err := parseMatcher(text); err == nil {
			t.Errorf("%.40q is accepted", text)
		}
	}
}
