package prom

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/prometheus/prometheus/util/annotations"

	"meshd/crdt"
	"meshd/history"
)

// hint tells who asked for a name that nothing has by which one it was perhaps meant: Prometheus writes underscores where
// applications write dots, and totals call the aggregates of a gauge NAME:sum. Notes, not errors: an empty answer is an answer.
func (v *view) hint(ctx context.Context) error {
	names := v.conditions.named()
	if v.plain || len(v.out) > 0 || len(names) == 0 {
		return nil
	}
	name := names[0]
	if base, ask := aggregate(name); ask != "" {
		v.notes.Add(fmt.Errorf("%w: nothing is named %q; /v1/total calls an aggregate of the gauge %q so, in PromQL it is %s", annotations.PromQLInfo, name, base, ask))
		return nil
	}
	if !strings.Contains(name, "_") {
		return nil
	}
	found, err := v.spelled(ctx, name)
	if err == nil && found != "" {
		v.notes.Add(fmt.Errorf("%w: nothing is named %q, but {%q} is: names with dots are quoted, in braces", annotations.PromQLInfo, name, found))
	}
	return err
}

// aggregate returns what the totals API takes a name for: an aggregate of a gauge over nodes, and how PromQL asks for it.
func aggregate(name string) (base, ask string) {
	i := strings.LastIndexByte(name, ':')
	if i <= 0 {
		return "", ""
	}
	base = name[:i]
	selector := fmt.Sprintf(`{%q,node=~".+"}`, base)
	switch fn := name[i+1:]; fn {
	case "sum", "count", "min", "max", "avg":
		return base, fn + " by (region) (" + selector + ")"
	case "newest":
		return base, fmt.Sprintf("{%q}", base)
	}
	return "", ""
}

// errFound ends a search.
var errFound = errors.New("found")

// spelled returns the first name that differs from one in what stands for its underscores, "" if there is none.
func (v *view) spelled(ctx context.Context, name string) (found string, err error) {
	expr := strings.ReplaceAll(regexp.QuoteMeta(name), "_", "[^a-zA-Z0-9]")
	pattern, err := regexp.Compile("^(?:" + expr + ")$")
	if err != nil {
		return "", fmt.Errorf("prom: %w", err)
	}
	sel := history.Selection{
		Names: func(n string) bool { return n != name && pattern.MatchString(n) }, From: v.hints.Start, To: v.hints.End,
		Tests: []history.Test{{Label: history.NameLabel, Op: history.Matches, Value: expr}},
	}
	err = v.cfg.History.Series(ctx, sel, func(s *crdt.Series) error {
		found = s.Name
		return errFound
	})
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// noSamples says of a kind that it has no number at a time.
func (v *view) noSamples(s *crdt.Series) {
	v.notes.Add(fmt.Errorf("%q is %s, which has no number for PromQL: ask /v1/total?metric=%s&kind=%s", s.Name, article(s.Kind), s.Name, s.Kind))
}
