package simulations

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"meshd/crdt"
	"meshd/node"
)

// rollupLabel tells, in plans with rollup rules, which machine wrote a series: other regions get sums without it when a
// rule says so. Gauges have none: of one that several nodes set, the oracle knows what there is to say.
const rollupLabel = "at"

// seriesOf returns what a machine counts on.
func (w *World) seriesOf(m *machine, i int) *crdt.Series {
	if !w.plan.Load.Rollups {
		return w.truth.series[i]
	}
	if m.series == nil {
		for _, s := range w.truth.series {
			own := *s
			if s.Kind != crdt.KindGauge {
				own.Labels = append([]crdt.Label{{Name: rollupLabel, Value: fmt.Sprint(m.index)}}, s.Labels...)
			}
			m.series = append(m.series, &own)
		}
	}
	return m.series[i]
}

// rulesOf are the rollup rules of a configuration as the oracle reads them.
type rulesOf []rollupRule

type rollupRule struct {
	Match string   `json:"match"`
	Scope string   `json:"scope,omitempty"`
	Drop  []string `json:"drop,omitempty"`
}

// find returns the rule of a metric, nil if there is none.
func (rules rulesOf) find(name string) *rollupRule {
	for i, r := range rules {
		if prefix, all := strings.CutSuffix(r.Match, "*"); r.Match == name || all && strings.HasPrefix(name, prefix) {
			return &rules[i]
		}
	}
	return nil
}

// drawRules draws rollup rules: about one metric, one kind or all; scopes, and labels that are dropped.
func (w *World) drawRules() (rules rulesOf) {
	r := w.rng.conf
	for range r.IntN(3) {
		s := w.truth.series[r.IntN(len(w.truth.series))]
		rules = append(rules, rollupRule{Match: pick(r, s.Name, s.Kind.String()+".*", "*")})
		rule := &rules[len(rules)-1]
		switch r.IntN(4) {
		case 0:
			if rule.Scope = "region"; len(w.settings.docs)%2 == 0 {
				rule.Scope = "node"
			}
		case 1:
			rule.Scope, rule.Drop = "global", []string{rollupLabel, "l0"}
		default:
			rule.Drop = []string{pick(r, rollupLabel, rollupLabel, "l1")}
		}
	}
	return rules
}

// stays reports whether, by the configuration that a machine has, totals of a series of a region are not sent to it: of another
// region, or of its own to an edge.
func (w *World) stays(m *machine, region, i int) bool {
	if region == m.region && m.spec.Role == node.RoleHub || !w.plan.Load.Rollups || m.proc == nil {
		return false
	}
	r := w.rules(m.proc.core.ConfigDoc())[i]
	return r != nil && (r.Scope == "node" || r.Scope == "region" && region != m.region)
}

// ruleBook has the rule of each series by a configuration, nil where there is none.
type ruleBook []*rollupRule

// rules returns the rollup rules of a configuration. It is asked for every series at every read.
func (w *World) rules(doc []byte) ruleBook {
	if book := w.settings.rules[string(doc)]; book != nil {
		return *book
	}
	var c struct {
		Rollup rulesOf `json:"rollup"`
	}
	if err := json.Unmarshal(doc, &c); err != nil {
		w.fail("I6", "a configuration is not JSON: %s", doc)
	}
	book := make(ruleBook, len(w.truth.series))
	for i, s := range w.truth.series {
		book[i] = c.Rollup.find(s.Name)
	}
	w.settings.rules[string(doc)] = &book
	return book
}

// ruled takes note of the rules that a machine has now. By them it answers nothing for what stays in another region, and
// lets go of it: so what it answers once they are lifted begins anew (I4). It is no matter whether somebody reads in between.
func (w *World) ruled(m *machine) {
	if !w.plan.Load.Rollups || m.proc == nil || m.proc.last == nil {
		return
	}
	for region := range w.regions {
		for i := range w.truth.series {
			if w.stays(m, region, i) {
				m.proc.last[region][i] = amounts{}
				if region == m.region {
					m.proc.fresh[i] = m.acked[i]
				}
				delete(m.proc.uniques, [2]int{region, i})
			}
		}
	}
}

// checkStays holds a machine to its rules: what stays in another region is not answered for, and that is said. It reports
// whether series i of a region stays there.
func (w *World) checkStays(m *machine, a *answers, region, i int) bool {
	if !w.stays(m, region, i) {
		return false
	}
	if region == m.region {
		w.checkAlone(m, a, i)
		return true
	}
	w.saw(sawStays)
	if a.values[region][i] != nil {
		w.fail("I13", "%s answers for %s of %s, which stays there", m.spec.Name, w.truth.series[i], w.regions[region])
	}
	if !slices.Contains(a.short, w.regions[region]) && w.covers(a, region) {
		w.fail("I13", "%s does not say that it lacks %s of %s", m.spec.Name, w.truth.series[i], w.regions[region])
	}
	delete(m.proc.uniques, [2]int{region, i})
	return true
}

// checkAlone holds an edge to what it answers for a series of its own region that stays at its node: what its processes accepted, at
// once (I5), nothing that others did, and that it says so.
func (w *World) checkAlone(m *machine, a *answers, i int) {
	w.saw(sawAlone)
	got, most := &a.sums[m.region][i], amounts{}
	for _, by := range w.truth.order {
		if by.m.spec.Name == m.spec.Name && by.m.region == m.region {
			most.add(&by.asked.sums[i])
		}
	}
	switch {
	case !got.within(&most):
		w.failSum("I3", m, m.region, i, "alone more than it was asked for", got, &most)
	case !m.acked[i].within(got):
		w.failSum("I5", m, m.region, i, "alone less than it accepted itself", got, &m.acked[i])
	case !slices.Contains(a.short, w.regions[m.region]):
		w.fail("I13", "%s does not say that it answers for %s alone", m.spec.Name, w.truth.series[i])
	}
	m.proc.fresh[i] = m.acked[i] // what it accepts from now on comes on top of this answer
	delete(m.proc.uniques, [2]int{m.region, i})
}

// covers reports whether a node knows of a region.
func (w *World) covers(a *answers, region int) bool {
	for i := range a.coverage {
		if a.coverage[i].Region == w.regions[region] {
			return true
		}
	}
	return false
}

// insiders returns the answers of one hub of each region if there are rollup rules: for what stays there.
func (w *World) insiders() []told {
	if !w.plan.Load.Rollups {
		return nil
	}
	out := make([]told, len(w.regions))
	for _, m := range w.machines {
		if out[m.region].m == nil && !m.dormant && m.spec.Role == node.RoleHub {
			out[m.region] = told{m, w.ask(m)}
		}
	}
	return out
}
