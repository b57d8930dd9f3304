package node

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"meshd/crdt"
)

// world runs cores on one thread in virtual time, joined by links that keep order and may be cut. It is the smallest
// of its kind, for the tests of this package; package simulations has the one that judges.
type world struct {
	t     testing.TB
	now   int64
	rng   *rand.Rand
	procs map[string]*proc
	ids   uint64
	links map[[2]string]*link
	cut   map[[2]string]bool
	delay int64
	cfg   CoreConfig
	each  func(name string, cfg *CoreConfig) // of the next processes; may be nil
	tap   func(to string, raw []byte)
	skew  map[string]int64   // by how much wall clocks are ahead
	slow  map[string]int64   // by how much disks take longer than 2 ms
	full  map[string]bool    // disks that take no write
	busy  func(c *Core) bool // whether something waits for each peer of a core; may be nil
	limit int                // of the bytes that wait for one peer; beyond it the session ends; 0 = none
	ended int                // sessions that ended so
}

type proc struct {
	name, region string
	role         Role
	core         *Core
	disk         map[string][]byte
	wake         int64
	persist      *Persist
	persistAt    int64
	peers        map[uint64]string // session -> name
	replies      map[uint64]Result
	gen          int
	past         past // its history
}

type link struct {
	a, b   string
	ia, ib uint64
	queue  []msg
}

type msg struct {
	to  string
	at  int64
	raw []byte
}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{
		t: t, now: 1_700_000_000_000, rng: rand.New(rand.NewPCG(seed, 1)), procs: map[string]*proc{},
		links: map[[2]string]*link{}, cut: map[[2]string]bool{}, delay: 20,
	}
}

func (w *world) start(name, region string, role Role) *proc {
	p := w.procs[name]
	if p == nil {
		p = &proc{name: name, region: region, role: role, disk: map[string][]byte{}}
		w.procs[name] = p
	}
	p.gen++
	cfg := w.cfg
	cfg.Region, cfg.Node, cfg.Role = region, name, role
	if w.each != nil {
		w.each(name, &cfg)
	}
	for i := range cfg.Inc {
		cfg.Inc[i], cfg.Nonce[i] = byte(w.rng.Uint32()), byte(w.rng.Uint32())
	}
	c, err := NewCore(cfg)
	if err == nil {
		err = c.Recover(p, w.clock(p))
	}
	if err != nil {
		w.t.Fatal(err)
	}
	p.core, p.peers, p.replies, p.persist, p.wake = c, map[uint64]string{}, map[uint64]Result{}, nil, w.now
	return p
}

func (p *proc) Scan(prefix []byte, f func(k, v []byte) error) error {
	var keys []string
	for k := range p.disk {
		if bytes.HasPrefix([]byte(k), prefix) {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if err := f([]byte(k), bytes.Clone(p.disk[k])); err != nil {
			return err
		}
	}
	return nil
}

// clock is what a node reads.
func (w *world) clock(p *proc) Time { return Time{Mono: w.now, Wall: w.now + w.skew[p.name]} }

func (w *world) at() Time { return Time{Mono: w.now, Wall: w.now} }

func (w *world) kill(name string) {
	p := w.procs[name]
	p.core = nil
	for k, l := range w.links {
		if k[0] == name || k[1] == name {
			w.drop(k, l)
		}
	}
}

func (w *world) drop(k [2]string, l *link) {
	delete(w.links, k)
	for _, e := range []struct {
		n  string
		id uint64
	}{{l.a, l.ia}, {l.b, l.ib}} {
		if p := w.procs[e.n]; p.core != nil && p.peers[e.id] != "" {
			delete(p.peers, e.id)
			w.step(p, PeerDown{ID: e.id})
		}
	}
}

func pairKey(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

func (w *world) setCut(a, b string, cut bool) {
	k := pairKey(a, b)
	w.cut[k] = cut
	if l := w.links[k]; l != nil && cut {
		w.drop(k, l)
	}
}

func (w *world) wants(a, b *proc) bool {
	if a.core == nil || b.core == nil || a == b || w.cut[pairKey(a.name, b.name)] {
		return false
	}
	return a.role == RoleHub && b.role == RoleHub || a.region == b.region && a.role != b.role
}

func (w *world) connect() {
	for _, a := range w.sorted() {
		for _, b := range w.sorted() {
			if a.name >= b.name || !w.wants(a, b) || w.links[pairKey(a.name, b.name)] != nil {
				continue
			}
			l := &link{a: a.name, b: b.name, ia: w.ids + 1, ib: w.ids + 2}
			w.ids += 2
			w.links[pairKey(a.name, b.name)] = l
			a.peers[l.ia], b.peers[l.ib] = b.name, a.name
			w.step(a, PeerUp{ID: l.ia, Peer: PeerInfo{Region: b.region, Node: b.name, Role: b.role, Inc: b.core.cfg.Inc}})
			w.step(b, PeerUp{ID: l.ib, Peer: PeerInfo{Region: a.region, Node: a.name, Role: a.role, Inc: a.core.cfg.Inc}})
		}
	}
}

func (w *world) sorted() []*proc {
	var ps []*proc
	for _, p := range w.procs {
		ps = append(ps, p)
	}
	slices.SortFunc(ps, func(a, b *proc) int { return cmp.Compare(a.name, b.name) })
	return ps
}

func (w *world) step(p *proc, e Event) {
	out := Output{Room: w.room(p)}
	p.core.Step(w.clock(p), e, &out)
	for _, s := range out.Sends {
		to := p.peers[s.Peer]
		if l := w.links[pairKey(p.name, to)]; to != "" && l != nil {
			waiting := l.waiting(to)
			l.queue = append(l.queue, msg{to: to, at: w.now + w.delay, raw: s.Msg})
			if w.limit > 0 && waiting > 0 && waiting+len(s.Msg) > w.limit {
				w.ended++
				w.drop(pairKey(p.name, to), l)
			}
		}
	}
	if out.Persist != nil {
		p.persist, p.persistAt = out.Persist, w.now+2+w.slow[p.name]
	}
	for _, r := range out.Replies {
		p.replies[r.ID] = r.Result
	}
	for _, o := range out.Loads {
		in := Loaded{Origin: o}
		in.Err = p.Scan(originKey(prefixCells, o), func(_, v []byte) error {
			d, err := Decode(append([]byte{3}, v...))
			in.Snapshot = append(in.Snapshot, d.Frame)
			return err
		})
		w.step(p, in)
	}
	w.recall(p, &out)
	p.wake = out.Wake
}

// waiting is how many bytes are under way to one end.
func (l *link) waiting(to string) (n int) {
	for _, m := range l.queue {
		if m.to == to {
			n += len(m.raw)
		}
	}
	return n
}

func (w *world) room(p *proc) func(uint64, bool) Room {
	return func(peer uint64, _ bool) Room {
		to := p.peers[peer]
		l := w.links[pairKey(p.name, to)]
		if w.busy != nil && w.busy(p.core) {
			return Room{Peer: unbounded.Peer, All: unbounded.All}
		}
		if w.limit == 0 || l == nil {
			return unbounded
		}
		n := l.waiting(to)
		return Room{Peer: w.limit - n, All: 1 << 30, Empty: n == 0}
	}
}

// run lets d milliseconds pass.
func (w *world) run(d int64) {
	for end := w.now + d; w.now < end; w.now = w.next(end) {
		w.connect()
		for _, p := range w.sorted() {
			if p.core != nil && p.persist != nil && w.now >= p.persistAt {
				if tok := p.persist.Token; w.full[p.name] {
					p.persist = nil
					w.step(p, Persisted{Token: tok, Err: errors.New("no space left")})
					continue
				}
				for _, op := range p.persist.Ops {
					if op.Delete {
						delete(p.disk, string(op.Key))
					} else {
						p.disk[string(op.Key)] = bytes.Clone(op.Value)
					}
				}
				tok := p.persist.Token
				p.persist = nil
				w.step(p, Persisted{Token: tok})
			}
		}
		w.deliver()
		for _, p := range w.sorted() {
			if p.core != nil && w.now >= p.wake {
				w.step(p, Tick{})
			}
		}
	}
}

// next returns the time of the next event, at most end.
func (w *world) next(end int64) int64 {
	at := end
	for _, p := range w.procs {
		if p.core == nil {
			continue
		}
		at = min(at, p.wake)
		if p.persist != nil {
			at = min(at, p.persistAt)
		}
	}
	for _, l := range w.links {
		if len(l.queue) > 0 {
			at = min(at, l.queue[0].at)
		}
	}
	return max(at, w.now+1)
}

func (w *world) deliver() {
	var keys [][2]string
	for k := range w.links {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	for _, k := range keys {
		l := w.links[k]
		for len(l.queue) > 0 && l.queue[0].at <= w.now {
			m := l.queue[0]
			l.queue = l.queue[1:]
			if w.tap != nil {
				w.tap(m.to, m.raw)
			}
			d, err := Decode(m.raw)
			if err != nil {
				w.t.Fatalf("message of %v: %v", k, err)
			}
			id := l.ia
			if m.to == l.b {
				id = l.ib
			}
			w.step(w.procs[m.to], Received{ID: id, Msg: d})
		}
	}
}

func (w *world) count(name, metric string, n uint64, tok Token) uint64 {
	p := w.procs[name]
	w.ids++
	w.step(p, Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
		Series: &crdt.Series{Name: metric, Kind: crdt.KindCounter}, Token: tok,
		Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)},
	}}}})
	return w.ids
}

// total returns what a node answers for a counter over all regions.
func (w *world) total(name, metric string) string {
	t, err := w.procs[name].core.Totals(w.at(), Select{Match: func(s *crdt.Series) bool { return s.Name == metric }})
	if err != nil {
		w.t.Fatal(err)
	}
	sum := crdt.Bottom(crdt.KindCounter)
	for _, r := range t.Rows {
		if err := sum.Combine(&r.Value); err != nil {
			w.t.Fatal(err)
		}
	}
	return sum.P.String()
}

func (w *world) mustTotal(metric string, want uint64) {
	w.t.Helper()
	for _, p := range w.sorted() {
		if p.core == nil {
			continue
		}
		if got := w.total(p.name, metric); got != fmt.Sprint(want) {
			w.t.Errorf("at %d: %s answers %s, want %d\n%v", w.now, p.name, got, want, p.core.Counts)
		}
	}
}

// mesh starts two regions of two hubs and three edges each.
func mesh(w *world) {
	for _, r := range []string{"east", "west"} {
		for i := range 2 {
			w.start(fmt.Sprintf("%s-hub%d", r, i), r, RoleHub)
		}
		for i := range 3 {
			w.start(fmt.Sprintf("%s-edge%d", r, i), r, RoleEdge)
		}
	}
}
