package ingest

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"meshd/crdt"
)

// Kinds of StatsD lines in a spelling: the line's own, and 'u' for counts of metrics that go down too.
const kindUpDown = 'u'

// packetParser turns packets into samples in accumulators. It belongs to one goroutine: what it counts it keeps to
// itself until publish.
type packetParser struct {
	acc    *accumulators
	own    *counts // what it counts by itself; nil: nothing
	updown patterns
	tally  tally

	examples *examples // of lines that are refused

	line    line
	samples []sample // of one line
}

// tally counts what a parser met since the last publish.
type tally struct {
	packets, bytes, lines, samples uint64
	events, checks                 uint64
	rejected                       [numReasons]uint64
	clamped                        uint64 // stamps
	overflow                       uint64 // samples refused for want of an accumulator: lost, though well-formed
}

// packets takes in packets, during which what it counts by itself stands still for others.
func (p *packetParser) packets(packets [][]byte, now crdt.HLC) {
	if p.own != nil {
		p.own.mu.Lock()
		defer p.own.mu.Unlock()
	}
	for _, b := range packets {
		p.packet(b, now)
	}
}

// packet takes in one packet: lines separated by newlines, each counted or refused on its own. now stamps gauges.
func (p *packetParser) packet(b []byte, now crdt.HLC) {
	p.tally.packets++
	p.tally.bytes += uint64(len(b))
	for len(b) > 0 {
		one := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			one, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		if n := len(one); n > 0 && one[n-1] == '\r' {
			one = one[:n-1]
		}
		if len(one) == 0 {
			continue
		}
		p.tally.lines++
		if r := p.takeLine(one, now); r != reasonNone {
			p.tally.rejected[r]++
			p.examples.note(r, one)
		}
	}
}

func (p *packetParser) takeLine(b []byte, now crdt.HLC) reason {
	if b[0] == '_' {
		if bytes.HasPrefix(b, []byte("_e{")) {
			p.tally.events++
			return reasonNone
		}
		if bytes.HasPrefix(b, []byte("_sc|")) {
			p.tally.checks++
			return reasonNone
		}
	}
	l := &p.line
	if r := l.parseLine(b); r != reasonNone {
		return r
	}
	kind, crdtKind := l.kind, crdt.KindCounter
	switch l.kind {
	case 'c':
		if p.updown.match(l.name) {
			kind, crdtKind = kindUpDown, crdt.KindUpDown
		}
	case 'g':
		crdtKind = crdt.KindGauge
	case 'd':
		crdtKind = crdt.KindDistribution
	case 's':
		crdtKind = crdt.KindUnique
	}
	s := spelling{kind: kind, name: l.name, tags: l.tags}
	if kind != 'g' { // whose time is in its stamp
		s.at = l.time
	}
	h := p.acc.hash(&s)
	own := p.own != nil && kind == 'c' && s.at == 0
	var known *count
	if own {
		if known = p.own.find(h, &s); known != nil && p.takeCount(known) {
			p.tally.samples++
			return reasonNone
		}
	}
	if r := p.takeValues(kind, now); r != reasonNone {
		return r
	}
	c, n, r := p.acc.add(h, &s, p.samples, func(name, tags string) (*crdt.Series, reason) { return statsdSeries(name, tags, crdtKind) })
	if own && known == nil && c != nil {
		p.own.enter(c)
	}
	p.tally.samples += uint64(n)
	if r == reasonLimit {
		p.tally.overflow += uint64(len(p.samples) - n)
	}
	return r
}

// takeCount adds a line that is one plain count to what the reader counts by itself. All else it leaves to takeValues, which
// has a word for each fault.
func (p *packetParser) takeCount(c *count) bool {
	d, form := p.line.number(p.line.values)
	if form != shortNumber || d.neg {
		return false
	}
	amount, ok := divide(d, p.line.rate)
	return ok && !crdt.MaxSample.Less(amount) && c.grow(amount)
}

// takeValues reads all values of the line into p.samples before any is counted: a line counts whole or not at all.
func (p *packetParser) takeValues(kind byte, now crdt.HLC) reason {
	p.samples = p.samples[:0]
	stamp, dated := now, false
	if kind == 'g' && p.line.time > 0 {
		if stamp, dated = stampAt(p.line.time*1000, now); !dated {
			p.tally.clamped++
		}
	}
	var v []byte
	for rest, more := p.line.values, true; more; {
		v, rest, more = p.line.nextValue(rest)
		p.samples = append(p.samples, sample{stamp: stamp, dated: dated})
		if r := p.takeValue(&p.samples[len(p.samples)-1], kind, v); r != reasonNone {
			return r
		}
	}
	return reasonNone
}

// takeValue reads one value of the line into s.
func (p *packetParser) takeValue(s *sample, kind byte, v []byte) reason {
	if kind == 's' {
		switch {
		case len(v) == 0:
			return reasonNumber
		case len(v) > crdt.MaxValueBytes:
			return reasonTooLong
		case !utf8.Valid(v):
			return reasonUTF8
		}
		s.hash = hashOf(v)
		return reasonNone
	}
	d, form := p.line.number(v)
	if form == notNumber {
		return reasonNumber
	}
	ok := false
	switch kind {
	case 'c', kindUpDown:
		s.amount, ok = amountOf(v, d, form, p.line.rate)
		s.minus = d.neg && !s.amount.IsZero()
		if s.minus && kind == 'c' {
			return reasonNegative
		}
	case 'g':
		s.value, ok = floatOf(v, d, form)
		s.adjust = v[0] == '+' || v[0] == '-'
	case 'd':
		s.value, ok = floatOf(v, d, form)
		ok = ok && s.value >= -1<<63 && s.value <= 1<<63
		s.weight = 1 / p.line.rate.float()
	}
	if !ok {
		return reasonRange
	}
	return reasonNone
}

// publish moves the tally to the metrics and returns how many samples were lost.
func (t *tally) publish(m *meter) (lost uint64) {
	m.packets.Add(float64(t.packets))
	m.bytes.Add(float64(t.bytes))
	m.lines.Add(float64(t.lines))
	m.samples.Add(float64(t.samples))
	for r, n := range t.rejected {
		if n > 0 {
			m.rejected[r].Add(float64(n))
		}
	}
	m.clamped.Add(float64(t.clamped))
	if t.events > 0 {
		m.ignored.WithLabelValues("event").Add(float64(t.events))
	}
	if t.checks > 0 {
		m.ignored.WithLabelValues("service_check").Add(float64(t.checks))
	}
	if t.overflow > 0 {
		m.lost.WithLabelValues("overflow").Add(float64(t.overflow))
	}
	lost = t.overflow
	*t = tally{}
	return lost
}

// patterns are metric names; one that ends in '*' stands for all names with that beginning.
type patterns []string

func (ps patterns) match(name []byte) bool {
	for _, p := range ps {
		prefix, open := strings.CutSuffix(p, "*")
		if open && len(name) >= len(prefix) && string(name[:len(prefix)]) == prefix || !open && string(name) == p {
			return true
		}
	}
	return false
}
