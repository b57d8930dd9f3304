package wire

// Removals says which nodes operators stopped expecting. Records are joined: of each node the highest turn counts.
type Removals struct{ Nodes []Removal }

// Removal is what is known of one node. An odd turn: it was removed; an even one: it was heard again after that.
type Removal struct {
	Region, Node string
	Turn         uint64 // from 1
}

const (
	removalsFields  = 1
	removalFields   = 3
	removalBytesMin = 1 + 2 + 2 + 1
)

func (m *Removals) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("removals", len(m.Nodes), MaxRemovals)
	w.array(removalsFields)
	w.array(len(m.Nodes))
	for i := range m.Nodes {
		w.removal(&m.Nodes[i])
	}
	return w.done()
}

func (w *writer) removal(n *Removal) {
	if n.Turn == 0 {
		w.fail(ErrInvalid, "removal of %s without a turn", n.Node)
	}
	w.array(removalFields)
	w.name(n.Region)
	w.name(n.Node)
	w.uint(n.Turn)
}

func parseRemovals(b []byte) (*Removals, error) {
	var m Removals
	r := newReader(b)
	extra := r.array(removalsFields)
	if n := r.list("removals", MaxRemovals, removalBytesMin); n > 0 {
		m.Nodes = make([]Removal, n)
	}
	for i := range m.Nodes {
		m.Nodes[i] = r.removal()
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) removal() (n Removal) {
	extra := r.array(removalFields)
	n.Region, n.Node, n.Turn = r.name(), r.name(), r.uint()
	if r.err == nil && n.Turn == 0 {
		r.fail(ErrInvalid, "removal of %s without a turn", n.Node)
	}
	r.skip(extra)
	return n
}
