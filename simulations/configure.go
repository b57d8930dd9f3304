package simulations

import (
	"encoding/json"
	"fmt"

	"meshd/node"
)

// settings is what operators did to the mesh's configuration, and were told.
type settings struct {
	docs  map[string]bool            // asked for
	asked map[uint64]*process        // requests without an answer yet
	acked uint64                     // the highest version at a node when it said that a document is on disk
	byVer map[uint64]map[string]bool // documents by version, as answers showed them
	rules map[string]*ruleBook       // by document
}

func newSettings() *settings {
	return &settings{docs: map[string]bool{}, asked: map[uint64]*process{}, byVer: map[uint64]map[string]bool{}, rules: map[string]*ruleBook{}}
}

// planConfigs plans when somebody sets the mesh's configuration.
func (w *World) planConfigs() {
	for range w.plan.Load.Configs {
		w.call(500_000+w.rng.conf.Int64N(max(1, 1000*w.plan.Safety-500_000)), w.configure)
	}
}

// configure lets an operator set the mesh's configuration at any node. Documents differ.
func (w *World) configure() {
	m := w.machines[w.rng.conf.IntN(len(w.machines))]
	if m.proc == nil || m.paused(w.now) || w.healed {
		return
	}
	doc := fmt.Sprintf(`{"series":%d}`, 100_000+len(w.settings.docs))
	if w.plan.Load.Rollups {
		rules, err := json.Marshal(w.drawRules())
		if err != nil {
			panic(err) // of plain strings
		}
		doc = fmt.Sprintf(`{"series":%d,"rollup":%s}`, 100_000+len(w.settings.docs), rules)
	}
	w.set(m, doc)
}

// set lets an operator make a document the mesh's configuration at a machine.
func (w *World) set(m *machine, doc string) {
	w.ids++
	w.settings.docs[doc] = true
	w.settings.asked[w.ids] = m.proc
	w.trace("%s is configured: %s", m.spec.Name, doc)
	w.step(m, node.SetConfig{ID: w.ids, Doc: []byte(doc)})
}

// configured takes a node's answer to an operator, and reports whether it was one.
func (w *World) configured(m *machine, rp *node.Reply, in node.Persisted) bool {
	s := w.settings
	if s.asked[rp.ID] != m.proc {
		return false
	}
	delete(s.asked, rp.ID)
	if rp.Result.Err != nil {
		return true
	}
	if in.Token == 0 || in.Err != nil {
		w.fail("I7", "%s says a configuration counts before it was on disk", m.spec.Name)
	}
	s.acked = max(s.acked, m.proc.core.Config().Version)
	w.checkConfig(m)
	return true
}

// checkConfig: a node's configuration is one that somebody asked for, and within a life it is never an older one.
func (w *World) checkConfig(m *machine) {
	c := m.proc.core.Config()
	doc := string(c.Doc)
	switch {
	case c.Version > 0 && !w.settings.docs[doc]:
		w.fail("I6", "%s has the configuration %s, which nobody made", m.spec.Name, doc)
	case c.Version < m.proc.config:
		w.fail("I4", "%s has version %d of the configuration after %d", m.spec.Name, c.Version, m.proc.config)
	}
	m.proc.config = c.Version
	if w.settings.byVer[c.Version] == nil {
		w.settings.byVer[c.Version] = map[string]bool{}
	}
	if w.settings.byVer[c.Version][doc] = true; len(w.settings.byVer[c.Version]) > 1 {
		w.saw(sawTwoConfigs)
	}
}

// configsDiffer says on whose configuration two machines differ after all healed, or that one was lost that was said to
// count. What a disaster took with it is not asked for.
func (w *World) configsDiffer(x, y *machine) error {
	for _, destroyed := range w.destroyed {
		if destroyed {
			return nil
		}
	}
	a, b := x.proc.core.Config(), y.proc.core.Config()
	if a.Version != b.Version || string(a.Doc) != string(b.Doc) || a.Author != b.Author || !a.Made.Equal(b.Made) {
		return &Violation{Rule: "I1", What: fmt.Sprintf("%s has configuration %d of %s: %s, %s has %d of %s: %s",
			x.spec.Name, a.Version, a.Author, a.Doc, y.spec.Name, b.Version, b.Author, b.Doc)}
	}
	if a.Version < w.settings.acked {
		return &Violation{Rule: "I2", What: fmt.Sprintf("version %d of the configuration counts, %d was said to be on disk", a.Version, w.settings.acked)}
	}
	return nil
}
