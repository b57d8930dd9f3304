package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"gopkg.in/yaml.v3"

	"meshd/crdt"
)

// relabelRules are rules in the syntax and with the meaning that Prometheus has for them.
type relabelRules []*relabel.Config

// maxRelabelRules bounds a list of rules: every new series passes all of them.
const maxRelabelRules = 200

// check compiles the rules. what names the list in an error.
func (r relabelRules) check(what string) error {
	if len(r) > maxRelabelRules {
		return fmt.Errorf("%s: %d rules, want at most %d", what, len(r), maxRelabelRules)
	}
	for i, rule := range r {
		if rule == nil {
			return fmt.Errorf("%s: rule %d is empty", what, i+1)
		}
		if err := rule.Validate(model.UTF8Validation); err != nil {
			return fmt.Errorf("%s: rule %d: %w", what, i+1, err)
		}
	}
	return nil
}

// apply changes the labels in b and reports whether they are kept.
func (r relabelRules) apply(b *labels.Builder) bool { return relabel.ProcessBuilder(b, r...) }

// seriesOf returns the series that Prometheus' labels name. Labels that begin with two underscores are for the rules
// only and end here.
func seriesOf(ls labels.Labels, kind crdt.Kind) (*crdt.Series, error) {
	name := ls.Get(model.MetricNameLabel)
	if name == "" {
		return nil, refuse(reasonName, "the label __name__ is missing or empty")
	}
	out := make([]crdt.Label, 0, ls.Len())
	var err error
	ls.Range(func(l labels.Label) {
		switch {
		case len(l.Name) >= 2 && l.Name[:2] == model.ReservedLabelPrefix:
		case len(out) == crdt.MaxLabels:
			err = refuse(reasonTooLong, "more than %d labels", crdt.MaxLabels)
		default:
			out = append(out, crdt.Label{Name: l.Name, Value: l.Value})
		}
	})
	if err != nil {
		return nil, err
	}
	return newSeries(name, kind, out)
}

// readYAML reads a file of settings into v. Unknown keys are refused; what names the file in errors.
func readYAML(what, file string, v any) error {
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("ingest: %s: %w", what, err)
	}
	if info.Size() > maxRuleBytes {
		return fmt.Errorf("ingest: %s: %s has %d bytes, want at most %d", what, file, info.Size(), maxRuleBytes)
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("ingest: %s: %w", what, err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("ingest: %s: %s: %w", what, file, err)
	}
	return nil
}
