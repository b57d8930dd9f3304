package prom

import (
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"meshd/crdt"
	"meshd/history"
)

// Labels that say where something was counted. Ingest renames a client's own to exported_*.
const (
	labelRegion = "region"
	labelNode   = "node"
	labelKind   = "kind" // where one name has several kinds, and in conditions
)

type matcher = labels.Matcher

// conditions are the matchers of one selector, sorted by what each can be tested against.
type conditions struct {
	names  []*matcher
	equal  []crdt.Label        // labels of the series with one value, which an index can look up
	where  []history.LabelTest // labels of the series that it must have
	labels []*matcher          // other conditions on labels of the series
	kind   []*matcher
	region []*matcher
	node   []*matcher
}

func conditionsOf(ms []*matcher) *conditions {
	c := new(conditions)
	for _, m := range ms {
		switch {
		case m.Name == model.MetricNameLabel:
			c.names = append(c.names, m)
		case m.Name == labelRegion:
			c.region = append(c.region, m)
		case m.Name == labelNode:
			c.node = append(c.node, m)
		case m.Name == labelKind:
			c.kind = append(c.kind, m)
		case m.Type == labels.MatchEqual:
			c.equal = append(c.equal, crdt.Label{Name: m.Name, Value: m.Value})
		case !m.Matches(""):
			c.where = append(c.where, history.LabelTest{Name: m.Name, Test: m.Matches})
		default:
			c.labels = append(c.labels, m)
		}
	}
	return c
}

// none reports whether everything is wanted.
func (c *conditions) none() bool {
	return len(c.names)+len(c.equal)+len(c.where)+len(c.labels)+len(c.kind)+len(c.region)+len(c.node) == 0
}

// labelNames returns the labels of series that they test.
func (c *conditions) labelNames() (names []string) {
	for _, l := range c.equal {
		names = append(names, l.Name)
	}
	for _, w := range c.where {
		names = append(names, w.Name)
	}
	for _, m := range c.labels {
		names = append(names, m.Name)
	}
	return names
}

// byNode reports whether the conditions name nodes. node="" asks for what has no node: the regions' totals.
func (c *conditions) byNode() bool {
	for _, m := range c.node {
		if m.Type != labels.MatchEqual || m.Value != "" {
			return true
		}
	}
	return false
}

// named returns the one metric that the conditions name, nil if they name none or several.
func (c *conditions) named() []string {
	for _, m := range c.names {
		if m.Type == labels.MatchEqual {
			return []string{m.Value}
		}
	}
	return nil
}

// series tests all that a series itself can tell. It is safe for concurrent use.
func (c *conditions) series(s *crdt.Series) bool {
	for _, l := range c.equal {
		if s.Get(l.Name) != l.Value {
			return false
		}
	}
	for _, w := range c.where {
		if !w.Test(s.Get(w.Name)) {
			return false
		}
	}
	return matchesAll(c.names, s.Name) && c.rest(s)
}

// rest tests what Names, Equal and Where of a selection do not.
func (c *conditions) rest(s *crdt.Series) bool {
	for _, m := range c.labels {
		if !m.Matches(s.Get(m.Name)) {
			return false
		}
	}
	for _, m := range c.kind { // a label of the client's own goes before the kind
		own := s.Get(labelKind)
		if !m.Matches(own) && (own != "" || !m.Matches(s.Kind.String())) {
			return false
		}
	}
	return true
}

// owner tests where something was counted.
func (c *conditions) owner(o history.Owner) bool {
	return matchesAll(c.region, o.Region) && matchesAll(c.node, o.Node)
}

func matchesAll(ms []*matcher, value string) bool {
	for _, m := range ms {
		if !m.Matches(value) {
			return false
		}
	}
	return true
}

// selection asks a source for the series. The caller sets the range.
func (c *conditions) selection() history.Selection {
	sel := history.Selection{Equal: c.equal, Where: c.where}
	if len(c.names) > 0 {
		sel.Names = func(name string) bool { return matchesAll(c.names, name) }
	}
	if len(c.labels)+len(c.kind) > 0 {
		sel.Match = c.rest
	}
	sel.Tests = c.tests()
	for _, m := range c.region {
		if m.Type == labels.MatchEqual && m.Value != "" {
			sel.Regions = []string{m.Value}
		}
	}
	return sel
}

// tests tells the conditions to another node.
func (c *conditions) tests() []history.Test {
	var out []history.Test
	for _, l := range c.equal {
		out = append(out, history.Test{Label: l.Name, Op: history.Equals, Value: l.Value})
	}
	for _, ms := range [][]*matcher{c.names, c.labels, c.kind, c.region, c.node} {
		for _, m := range ms {
			out = append(out, history.Test{Label: m.Name, Op: opOf[m.Type], Value: m.Value})
		}
	}
	return out
}

var opOf = map[labels.MatchType]history.TestOp{
	labels.MatchEqual: history.Equals, labels.MatchNotEqual: history.EqualsNot, labels.MatchRegexp: history.Matches, labels.MatchNotRegexp: history.MatchesNot,
}

// labeller makes the labels of series. The zero labeller is ready.
type labeller struct{ b labels.ScratchBuilder }

// of returns the labels of a series at an owner. Empty values are the same as none.
func (l *labeller) of(s *crdt.Series, o history.Owner, kind bool) labels.Labels {
	l.b.Reset()
	add := func(name, value string) {
		if value != "" {
			l.b.Add(name, value)
		}
	}
	add(model.MetricNameLabel, s.Name)
	for _, x := range s.Labels {
		add(x.Name, x.Value)
	}
	add(labelRegion, o.Region)
	add(labelNode, o.Node)
	if kind && s.Get(labelKind) == "" {
		add(labelKind, s.Kind.String())
	}
	l.b.Sort()
	return l.b.Labels()
}
