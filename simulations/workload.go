package simulations

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"meshd/crdt"
	"meshd/node"
)

// tokenOf is a token as clients name it.
type tokenOf struct {
	source string
	seq    uint64
	key    string
}

// String names the token for people.
func (t tokenOf) String() string {
	if t.key != "" {
		return "key " + t.key
	}
	return fmt.Sprintf("item %d of %s", t.seq, t.source)
}

func (t tokenOf) node() node.Token { return node.Token{Source: t.source, Seq: t.seq, Key: t.key} }

// client writes to one machine and remembers what it asked for.
type client struct {
	m      *machine
	seq    uint64
	recent []*item // with tokens, to be sent again
	serial uint64
}

// request is a batch that waits for its answer.
type request struct {
	id      uint64
	at      int64
	wall    int64 // by the machine's clock
	items   []*item
	entries []*entry
	again   bool
	ackHub  bool
}

func newClient(m *machine) *client { return &client{m: m} }

// drawSeries returns what is counted. Names are unique; some have labels.
func drawSeries(p *Plan) []*crdt.Series {
	r := stream(p.Seed, "series")
	var out []*crdt.Series
	for i := range p.Load.Series + p.Load.Probes {
		k := crdt.KindCounter
		if i < p.Load.Series {
			k = p.Load.Kinds[i%len(p.Load.Kinds)]
		}
		s := &crdt.Series{Name: fmt.Sprintf("%s.%d", k, i), Kind: k}
		for j := range r.IntN(3) {
			s.Labels = append(s.Labels, crdt.Label{Name: fmt.Sprintf("l%d", j), Value: fmt.Sprint(r.IntN(9))})
		}
		out = append(out, s)
	}
	return out
}

// act sends one request of the machine's clients, unless writes have stopped.
func (w *World) act(m *machine) {
	if w.healed {
		return
	}
	r, l, c := w.rng.work, &w.plan.Load, m.client
	w.push(event{at: w.now + 1000 + r.Int64N(2000*l.Pause), kind: evClient, m: m, gen: m.gen})
	if len(c.recent) > 0 && r.Float64() < l.Again {
		it := c.recent[r.IntN(len(c.recent))]
		it.again = w.now
		w.submit(m, &request{items: []*item{it}, again: true})
		return
	}
	rq := &request{}
	tokens := r.Float64() < l.Tokens
	for _, series := range w.drawSeriesOf(m, r) {
		it := &item{write: w.drawWrite(m, r, series), machine: m}
		if tokens {
			c.serial++
			if r.IntN(2) == 0 {
				c.seq++
				it.token = tokenOf{source: "till-" + m.spec.Name, seq: c.seq}
				if m.spec.Copy >= 0 {
					it.token.source += "-copy"
				}
			} else {
				it.token = tokenOf{key: fmt.Sprintf("%d-%d", m.index, c.serial)}
			}
			c.recent = append(c.recent, it)
			if len(c.recent) > 30 {
				c.recent = c.recent[1:]
			}
		}
		rq.items = append(rq.items, it)
	}
	if len(rq.items) > 0 {
		w.submit(m, rq)
	}
}

// drawSeriesOf draws which series a request changes.
func (w *World) drawSeriesOf(m *machine, r *rand.Rand) []int {
	l := &w.plan.Load
	var out []int
	if l.Batch > 0 {
		out = r.Perm(l.Series)[:min(l.Batch, l.Series)]
	} else if l.Series > 0 {
		out = make([]int, 1+r.IntN(l.Items))
		for i := range out {
			out[i] = r.IntN(l.Series)
		}
	}
	if m.ordinal < l.Probes {
		out = append(out, l.Series+m.ordinal)
	}
	return out
}

// drawWrite draws an increment. Amounts are large and differ, so that a partial sum tells which is missing.
func (w *World) drawWrite(m *machine, r *rand.Rand, series int) write {
	wr := write{series: series, fine: w.plan.Core.Window}
	if wr.fine != 0 {
		wr.at = w.drawTime(m)
	}
	amount := func() crdt.Fixed {
		n := 1 + r.Uint64N(cmp.Or(w.plan.Load.Amount, 1<<40))
		v := crdt.FixedFromUint(n)
		if w.plan.Load.Amount == 0 { // with a fraction that no sum of floats keeps
			part, _ := crdt.FixedFromFloat(float64(n%4096) / 4096)
			v, _ = v.Add(part)
		}
		return v
	}
	switch w.truth.series[wr.series].Kind {
	case crdt.KindCounter:
		wr.sums.P = amount()
	case crdt.KindUpDown:
		if r.IntN(2) == 0 {
			wr.sums.P = amount()
		} else {
			wr.sums.N = amount()
		}
	case crdt.KindDistribution:
		for range 1 + r.IntN(3) {
			at, n := r.IntN(numSamples), 1+r.Uint64N(5)
			wr.sums.B[at] += n
			v, _ := crdt.FixedFromFloat(max(sample(at), -sample(at)))
			v, _ = v.MulUint(n)
			if sample(at) > 0 {
				wr.sums.P, _ = wr.sums.P.Add(v)
			} else {
				wr.sums.N, _ = wr.sums.N.Add(v)
			}
		}
	case crdt.KindUnique:
		wr.unique = new(crdt.Unique)
		for range 1 + r.IntN(w.plan.Load.Uniques) {
			wr.unique.InsertHash(r.Uint64())
		}
	case crdt.KindGauge:
		wr.gauge = 1 + float64(r.IntN(1_000_000))
	default: // no series of other kinds is drawn
	}
	return wr
}

// increment is a write as a door would hand it to the node.
func (w *World) increment(wr *write, at node.Time) crdt.Value {
	v := crdt.Bottom(w.truth.series[wr.series].Kind)
	switch v.Kind {
	case crdt.KindDistribution:
		d := new(crdt.Distribution)
		for i, n := range wr.sums.B {
			_ = d.Observe(sample(i), n) // within all limits
		}
		v.X = d
	case crdt.KindUnique:
		v.X = wr.unique.Clone()
	case crdt.KindGauge:
		v.X = &crdt.Gauge{Time: crdt.HLCFrom(at.Wall, 0), Value: wr.gauge}
	default:
		v.P, v.N = wr.sums.P, wr.sums.N
	}
	return v
}

func (w *World) submit(m *machine, rq *request) {
	p := m.proc
	w.ids++
	w.stats.Requests++
	at := m.clock.at(w.now)
	rq.id, rq.at, rq.wall = w.ids, w.now, at.Wall
	b := &node.Batch{}
	for _, it := range rq.items {
		e := w.truth.entryOf(it, p.by, m.region)
		e.pending++
		rq.entries = append(rq.entries, e)
		b.Items = append(b.Items, node.Item{
			Series: w.seriesOf(m, it.series), Inc: w.increment(&it.write, at), Token: it.token.node(), At: it.at,
		})
	}
	// What is followed has to be answered in the order in which it was counted, not when a hub says so.
	if m.spec.Role == node.RoleEdge && w.rng.hub.IntN(8) == 0 && w.follow == nil {
		rq.ackHub, b.AckHub = true, 2000
	}
	p.asked[w.ids] = rq
	w.step(m, node.Submit{ID: w.ids, Batch: b})
}

// answered takes an answer of a core. in is the persist that the step was about, if any.
func (w *World) answered(m *machine, rp *node.Reply, in node.Persisted) {
	if w.configured(m, rp, in) {
		return
	}
	if done := w.orders[rp.ID]; done != nil {
		delete(w.orders, rp.ID)
		if rp.Result.Err == nil {
			done()
		}
		return
	}
	rq := m.proc.asked[rp.ID]
	if rq == nil {
		w.fail("I5", "%s answers request %d a second time", m.spec.Name, rp.ID)
		return
	}
	delete(m.proc.asked, rp.ID)
	res := &rp.Result
	if rq.ackHub && (res.Err == nil || errors.Is(res.Err, node.ErrUnconfirmed)) {
		w.answeredForHub(m, rq, res)
		res.Err = nil
	} else if res.Accepted > 0 && res.Err == nil && (in.Token == 0 || in.Err != nil || m.proc.began < rq.at) {
		w.fail("I7", "%s accepted a request of %d ms before it was on disk", m.spec.Name, rq.at/1000)
		return
	}
	rejected := map[int]bool{}
	for _, rj := range res.Rejected {
		rejected[rj.Index] = true
	}
	if res.Err == nil && res.Accepted+res.Duplicates+len(rejected) != len(rq.items) || res.Duplicates > 0 && !rq.again && !w.overtaken(rq) {
		w.fail("I2", "%s answers a request of %d items with %d accepted, %d duplicates, %d rejected", m.spec.Name, len(rq.items), res.Accepted, res.Duplicates, len(rejected))
		return
	}
	if res.Accepted > 0 && w.rng.work.IntN(8) == 0 { // somebody looks at what was written
		w.push(event{at: w.now + 1, kind: evRead, m: m, arg: 1})
	}
	before := rq.before(res.Duplicates)
	for i, it := range rq.items {
		e := rq.entries[i]
		e.pending--
		var err error
		switch {
		case res.Err != nil || rejected[i]:
			w.truth.refuse(it, e, m.region)
		case before[it]:
			w.saw(sawDuplicate)
			if len(it.entries) > 1 {
				w.saw(sawDuplicateAfterRestart)
			}
			err = w.truth.duplicate(it, e, m.region)
		default:
			err = w.truth.accepted(it, e, m.region)
			e.by.set(rq, &it.write)
			w.stats.Accepted++
			m.acked[it.series].add(&it.sums)
			if rq.ackHub { // it was to be seen before it was answered
				m.proc.fresh[it.series].add(&it.sums)
			}
			if w.follow != nil {
				w.follow.wrote(w, m, it.series, it.sums.P)
			}
			m.history.add(w.now, it.series, &it.sums)
			w.accepted[m.region].add(w.now, it.series, &it.sums)
		}
		if err != nil {
			w.fail(err.Error()[:2], "%v", err)
		}
	}
}

// overtaken reports whether an item of a request was sent again before the request was answered: one that waits for its
// history lets later ones pass.
func (w *World) overtaken(rq *request) bool {
	return w.plan.Core.Window != 0 && slices.ContainsFunc(rq.items, func(it *item) bool { return it.again > rq.at })
}

// before returns the n items of a request that another one had counted before: those whose answer came already, then those
// that were sent again since.
func (rq *request) before(n int) map[*item]bool {
	out := map[*item]bool{}
	for _, answered := range []bool{true, false} {
		for i, it := range rq.items {
			counted := slices.ContainsFunc(it.entries, func(o *entry) bool { return o.ok && o.epoch == rq.entries[i].epoch })
			if len(out) < n && (counted || !answered && (rq.again || it.again > rq.at)) {
				out[it] = true
			}
		}
	}
	return out
}

// unanswered: the process of a request died. What became of it is unknown.
func (w *World) unanswered(rq *request) {
	for _, e := range rq.entries {
		if e.pending--; !e.ok && !e.refused {
			e.unknown = true
			w.saw(sawUnknown)
		}
	}
}
