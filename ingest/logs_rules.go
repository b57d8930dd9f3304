package ingest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cespare/xxhash/v2"
	"gopkg.in/yaml.v3"

	"meshd/crdt"
	"meshd/node"
)

// LogRule says which lines of which files are events.
type LogRule struct {
	// Path names files: a path, or a pattern as filepath.Match has it.
	Path string `yaml:"path"`
	// Pattern is a regular expression (RE2). Lines that it does not match are not the rule's.
	Pattern string `yaml:"pattern"`
	// Event, Value and the values of Labels are templates: $name or ${name} stands for what a group matched. Value is by
	// default 1; type unique needs one.
	Event  string            `yaml:"event"`
	Type   string            `yaml:"type"` // as of POST /v1/events; default count
	Value  string            `yaml:"value"`
	Labels map[string]string `yaml:"labels"`
	// Time is a template of the line's time and Layout how it is written, as package time has it, in UTC unless it
	// names a zone. Without them an event is stamped when it is read.
	Time   string `yaml:"time"`
	Layout string `yaml:"layout"`
}

// maxLogRules bounds the rules: each line is matched with all rules of its file.
const maxLogRules = 100

// maxRuleBytes bounds the file of rules.
const maxRuleBytes = 1 << 20

// LoadLogRules reads a YAML list of rules. Unknown keys are refused.
func LoadLogRules(file string) ([]LogRule, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("ingest: log rules: %w", err)
	}
	if len(b) > maxRuleBytes {
		return nil, fmt.Errorf("ingest: log rules: %s has %d bytes, want at most %d", file, len(b), maxRuleBytes)
	}
	var rules []LogRule
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&rules); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("ingest: log rules: %s: %w", file, err)
	}
	if _, err := compileLogRules(rules); err != nil {
		return nil, fmt.Errorf("%w (in %s)", err, file)
	}
	return rules, nil
}

// logRule is a LogRule made ready.
type logRule struct {
	LogRule
	re    *regexp.Regexp
	names []string // of labels, sorted
	id    uint64   // in tokens: another rule counts the same line again
}

func compileLogRules(rules []LogRule) ([]*logRule, error) {
	if len(rules) > maxLogRules {
		return nil, fmt.Errorf("ingest: log rules: %d of them, want at most %d", len(rules), maxLogRules)
	}
	var out []*logRule
	for i, r := range rules {
		c, err := r.compile()
		if err != nil {
			return nil, fmt.Errorf("ingest: log rules: rule %d: %w", i+1, err)
		}
		if slices.ContainsFunc(out, func(o *logRule) bool { return o.id == c.id }) {
			return nil, fmt.Errorf("ingest: log rules: rule %d repeats another: its lines would be duplicates", i+1)
		}
		out = append(out, c)
	}
	return out, nil
}

func (r LogRule) compile() (*logRule, error) {
	re, err := regexp.Compile(r.Pattern)
	if err != nil {
		return nil, fmt.Errorf("pattern: %w", err)
	}
	if _, err := filepath.Match(r.Path, ""); err != nil || r.Path == "" {
		return nil, fmt.Errorf("path %q: want a path, or a pattern of paths", r.Path)
	}
	c := &logRule{LogRule: r, re: re}
	switch {
	case r.Pattern == "" || r.Event == "":
		return nil, errors.New("pattern and event are required")
	case (r.Time == "") != (r.Layout == ""):
		return nil, errors.New("time and layout go together")
	}
	if _, err := (&event{name: "x", typ: r.Type}).kind(); err != nil {
		return nil, err
	}
	templates := []string{r.Event, r.Value, r.Time}
	for name, value := range r.Labels {
		c.names = append(c.names, name)
		templates = append(templates, value)
	}
	slices.Sort(c.names)
	for _, t := range templates {
		if err := checkTemplate(re, t); err != nil {
			return nil, err
		}
	}
	h := xxhash.New()
	for _, text := range append([]string{r.Pattern, r.Event, r.Type, r.Value}, c.names...) {
		hashText(h, text)
		hashText(h, r.Labels[text])
	}
	c.id = h.Sum64()
	return c, nil
}

var templateName = regexp.MustCompile(`\$(?:\{(\w+)\}|(\w+)|\$)`)

// checkTemplate refuses a name that is no group of re: it would always be empty.
func checkTemplate(re *regexp.Regexp, template string) error {
	for _, m := range templateName.FindAllStringSubmatch(template, -1) {
		name := cmp.Or(m[1], m[2])
		numbered := strings.Trim(name, "0123456789") == "" && name <= fmt.Sprint(re.NumSubexp()) && len(name) < 3
		if name != "" && !numbered && re.SubexpIndex(name) < 0 {
			return fmt.Errorf("%q names the group %q, which the pattern does not have", template, name)
		}
	}
	return nil
}

// item returns the event that a line is. matched: it is one of this rule.
func (r *logRule) item(line string, now time.Time, token node.Token) (it node.Item, clamped, matched bool, err error) {
	m := r.re.FindStringSubmatchIndex(line)
	if m == nil {
		return it, false, false, nil
	}
	expand := func(template string) []byte { return r.re.ExpandString(nil, template, line, m) }
	e := event{name: string(expand(r.Event)), typ: r.Type, plain: true}
	if r.Value != "" {
		e.value = expand(r.Value)
		e.give("value")
	}
	for _, name := range r.names {
		e.labels = append(e.labels, crdt.Label{Name: name, Value: string(expand(r.Labels[name]))})
	}
	if len(e.labels) > crdt.MaxLabels {
		return it, false, true, refuse(reasonTooLong, "more than %d labels", crdt.MaxLabels)
	}
	if r.Time != "" {
		at, err := time.Parse(r.Layout, string(expand(r.Time)))
		if err != nil {
			return it, false, true, refuse(reasonRange, "time: %v", err)
		}
		e.ts = at.UnixMilli()
		e.give("ts")
	}
	it, clamped, err = e.item(now)
	it.Token = token
	it.Token.Source = fmt.Sprintf("%s:%x", token.Source, r.id)
	return it, clamped, true, err
}
