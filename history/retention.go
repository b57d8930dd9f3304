package history

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"meshd/crdt"
	"meshd/internal/glob"
)

// Retention is how long windows are kept after they ended. 0 is the default; a negative duration keeps for ever.
type Retention struct {
	Fine   time.Duration // narrower than a minute; default 7 days
	Minute time.Duration // from a minute to less than an hour; default 30 days
	Hour   time.Duration // an hour and wider; default 366 days
}

// Rule keeps the series that its pattern names for other times; fields that are 0 are as for all series.
type Rule struct {
	Match string // glob of metric names, see package glob
	Retention
}

var defaultRetention = Retention{Fine: 7 * day, Minute: 30 * day, Hour: 366 * day}

// or fills fields that are 0.
func (r Retention) or(d Retention) Retention {
	return Retention{Fine: cmp.Or(r.Fine, d.Fine), Minute: cmp.Or(r.Minute, d.Minute), Hour: cmp.Or(r.Hour, d.Hour)}
}

// of returns how long windows of that width are kept.
func (r Retention) of(width int64) time.Duration {
	switch {
	case width < time.Minute.Milliseconds():
		return r.Fine
	case width < time.Hour.Milliseconds():
		return r.Minute
	}
	return r.Hour
}

// horizon returns the time before which windows of that width that have ended are gone.
func (r Retention) horizon(width int64, now time.Time) int64 {
	keep := r.of(width)
	if keep < 0 {
		return math.MinInt64 / 2
	}
	return now.Add(-keep).UnixMilli()
}

// Keeping is how long a history keeps its windows, in a form that others can be told.
type Keeping struct {
	All   Retention `json:"all"`
	Rules []Rule    `json:"rules,omitempty"`
}

// Compile returns whether a window of a metric is kept at some time, if it was ever known.
func (k Keeping) Compile(now time.Time) (func(metric string, w crdt.Window) bool, error) {
	keep, err := newRetentions(k.All, k.Rules)
	if err != nil {
		return nil, fmt.Errorf("history: %w", err)
	}
	return func(metric string, w crdt.Window) bool { return w.End() > keep.of(metric).horizon(w.Width, now) }, nil
}

// retentions are Retention and Rules, compiled. It is never changed.
type retentions struct {
	all   Retention
	rules []compiledRule
}

type compiledRule struct {
	match string
	names func(string) bool
	keep  Retention
}

// keeping returns what they were made of.
func (r retentions) keeping() Keeping {
	k := Keeping{All: r.all}
	for _, rule := range r.rules {
		k.Rules = append(k.Rules, Rule{Match: rule.match, Retention: rule.keep})
	}
	return k
}

// CheckRules refuses rules with a pattern that is none.
func CheckRules(rules []Rule) error {
	_, err := newRetentions(Retention{}, rules)
	return err
}

func newRetentions(all Retention, rules []Rule) (retentions, error) {
	out := retentions{all: all.or(defaultRetention)}
	for i, r := range rules {
		names, err := glob.Compile(r.Match)
		if err != nil {
			return out, fmt.Errorf("retention rule %d: %w", i+1, err)
		}
		out.rules = append(out.rules, compiledRule{match: r.Match, names: names, keep: r.or(out.all)})
	}
	return out, nil
}

// of returns how long the series of a name are kept.
func (r retentions) of(name string) Retention {
	for _, rule := range r.rules {
		if rule.names(name) {
			return rule.keep
		}
	}
	return r.all
}

// shortest returns the latest horizon that any series may have for that width: nothing younger needs to be looked at.
func (r retentions) shortest(width int64, now time.Time) int64 {
	latest := r.all.horizon(width, now)
	for _, rule := range r.rules {
		latest = max(latest, rule.keep.horizon(width, now))
	}
	return latest
}

// longest returns the earliest horizon that any series may have for that width: nothing older is of use to any.
func (r retentions) longest(width int64, now time.Time) int64 {
	earliest := r.all.horizon(width, now)
	for _, rule := range r.rules {
		earliest = min(earliest, rule.keep.horizon(width, now))
	}
	return earliest
}
