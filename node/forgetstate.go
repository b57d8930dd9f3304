package node

import (
	"maps"
	"slices"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// forgotSame reports whether a hub that makes a statement has the record that this one has.
func (n *forgotten) forgotSame(st *wire.FrozenNode) bool {
	return st.Forgotten == uint64(len(n.ids)) && st.Sum == n.sum
}

// siblings returns the sessions with hubs of the region.
func (c *Core) siblings() (out []*session) {
	for _, s := range c.order {
		if s.peer.Role == RoleHub && s.peer.Region == c.cfg.Region {
			out = append(out, s)
		}
	}
	return out
}

// agreed reports whether all hubs of the region make the statement that this one makes about a node: in a session that
// lives, or it is no word of theirs.
func (c *Core) agreed(name string, n *forgotten) bool {
	if mutant.On("forgotten alone") {
		return true
	}
	own := n.statement(name)
	siblings := c.siblings()
	hubs := c.hub.entries.Hubs(c.cfg.Region)
	for _, s := range siblings {
		hubs = append(hubs, s.peer.Node)
		hubs = append(hubs, s.forget.hubs...)
	}
	slices.Sort(hubs)
	others := 0
	for _, hub := range slices.Compact(hubs) {
		if hub == c.cfg.Node || c.removed(process{c.cfg.Region, hub}) {
			continue
		}
		others++
		word := mutant.On("absent hubs are not asked")
		for _, s := range siblings {
			if s.peer.Node != hub {
				continue
			}
			st := s.forget.stated[name]
			if !n.forgotSame(&st) || !slices.Equal(st.Frozen, own.Frozen) || st.Print != own.Print {
				return false
			}
			word = true
		}
		if !word {
			return false
		}
	}
	return others > 0 || c.cfg.ForgetAlone
}

// statement is what this hub says of a node.
func (n *forgotten) statement(name string) wire.FrozenNode {
	st := wire.FrozenNode{Node: name, Forgotten: uint64(len(n.ids)), Sum: n.sum, Frozen: n.frozen}
	if n.batch.ready() {
		st.Print = n.batch.print
	}
	return st
}

// tellForgets tells a sibling what changed in what is stated, and sends it the records that it lacks.
func (c *Core) tellForgets(s *session) {
	f := &c.hub.forget
	m := &wire.Freeze{Hubs: c.hub.entries.Hubs(c.cfg.Region)}
	m.Hubs = m.Hubs[:min(len(m.Hubs), wire.MaxHubs)]
	flush := func() {
		c.send(s, m)
		m = &wire.Freeze{Hubs: m.Hubs}
	}
	for _, name := range slices.Sorted(maps.Keys(f.nodes)) {
		n := f.nodes[name]
		if n.version != s.forget.told[name] {
			s.forget.told[name] = n.version
			m.Nodes = append(m.Nodes, n.statement(name))
			if len(m.Nodes) == wire.MaxFreezeNodes {
				flush()
			}
		}
		if s.forget.heard && c.now >= n.grown+2*c.cfg.AntiEntropy && s.forget.stated[name].Forgotten < uint64(len(n.ids)) {
			c.sendForgotten(s, name, n)
		}
	}
	if len(m.Nodes) > 0 || !s.forget.begun || !slices.Equal(m.Hubs, s.forget.said) {
		s.forget.begun, s.forget.said = true, m.Hubs
		flush()
	}
}

// gotFreeze takes a sibling's statements.
func (c *Core) gotFreeze(s *session, m *wire.Freeze) {
	if c.hub == nil || s.peer.Role != RoleHub || s.peer.Region != c.cfg.Region {
		c.Counts.Refused++
		return
	}
	s.forget.heard, s.forget.hubs = true, m.Hubs
	for i := range m.Nodes {
		st := m.Nodes[i]
		if _, known := s.forget.stated[st.Node]; !known && len(s.forget.stated) >= maxForgetNodes {
			c.Counts.Refused++
			continue
		}
		s.forget.stated[st.Node] = st
		if n := c.hub.forget.nodes[st.Node]; n != nil && len(n.ids) > 0 && st.Forgotten == uint64(len(n.ids)) && st.Sum != n.sum {
			c.Counts.ForgottenApart++
		}
	}
}
