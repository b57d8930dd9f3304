package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"meshd/crdt"
)

// GraphiteConfig configures the Graphite listener.
type GraphiteConfig struct {
	Addr    string // host:port for TCP and UDP; "" or "off": none
	Series  int    // as StatsDConfig.Series
	Submit  Submitter
	Metrics *Metrics
	Logger  *slog.Logger
}

// Graphite receives the plaintext protocol of Graphite's carbon over TCP and UDP:
//
//	path[;tag=value...] value timestamp
//
// Every path is a gauge of that name, stamped with the timestamp in seconds; -1, N and what is more than 10 minutes ahead
// stand for the time of arrival. Tags are labels. The protocol does not say what counts up, so nothing does. A line
// that is refused is counted by reason in meshd_ingest_rejected_total and does not touch the others.
type Graphite struct{ listeners }

// NewGraphite opens the sockets. What comes waits in them until Run.
func NewGraphite(cfg GraphiteConfig) (*Graphite, error) {
	if cfg.Series == 0 {
		cfg.Series = defaultSeries
	}
	g := &Graphite{newListeners("graphite", cfg.Metrics.meter("graphite"), cfg.Submit, cfg.Series, cfg.Logger)}
	g.reader = g.newReader
	if cfg.Addr == "" || cfg.Addr == "off" {
		return g, nil
	}
	err := g.listenTCP(cfg.Addr)
	if err == nil {
		// The port that TCP got, should any have been asked for.
		err = g.listenUDP(g.streams[0].ln.Addr().String(), 0)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ingest: graphite: %w: choose another address with --graphite, or off", err), g.Close())
	}
	return g, nil
}

func (g *Graphite) newReader(*counts) func(packets [][]byte) {
	p := &graphiteParser{acc: g.flush.acc, examples: g.examples}
	return func(packets [][]byte) {
		now := crdt.HLCFrom(time.Now().UnixMilli(), 0)
		for _, b := range packets {
			p.packet(b, now)
		}
		g.publish(&p.tally)
	}
}

// graphiteParser turns lines into samples in accumulators. It belongs to one goroutine.
type graphiteParser struct {
	acc   *accumulators
	tally tally
	one   [1]sample

	examples *examples // of lines that are refused
}

// packet takes in lines, each counted or refused on its own.
func (p *graphiteParser) packet(b []byte, now crdt.HLC) {
	p.tally.packets++
	p.tally.bytes += uint64(len(b))
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		p.tally.lines++
		if r := p.line(line, now); r != reasonNone {
			p.tally.rejected[r]++
			p.examples.note(r, line)
		}
	}
}

func (p *graphiteParser) line(b []byte, now crdt.HLC) reason {
	path, b := cutField(b)
	value, b := cutField(b)
	at, rest := cutField(b)
	if len(at) == 0 || len(rest) > 0 {
		return reasonSyntax
	}
	name, tags, _ := bytes.Cut(path, []byte(";"))
	if len(name) == 0 {
		return reasonName
	}
	if len(name) > crdt.MaxMetricBytes {
		return reasonTooLong
	}
	d, form := parseDecimal(value)
	if form == notNumber {
		return reasonNumber
	}
	v, ok := floatOf(value, d, form)
	if !ok {
		return reasonRange
	}
	stamp, dated, r := p.stamp(at, now)
	if r != reasonNone {
		return r
	}
	p.one[0] = sample{value: v, stamp: stamp, dated: dated}
	sp := spelling{kind: 'g', name: name, tags: tags}
	_, n, r := p.acc.add(p.acc.hash(&sp), &sp, p.one[:], graphiteSeries)
	p.tally.samples += uint64(n)
	if r == reasonLimit {
		p.tally.overflow++
	}
	return r
}

// cutField cuts off the first field of a line, and the blanks behind it.
func cutField(b []byte) (field, rest []byte) {
	i := bytes.IndexAny(b, " \t")
	if i < 0 {
		return b, nil
	}
	return b[:i], bytes.TrimLeft(b[i:], " \t")
}

// stamp reads a timestamp in seconds, whose fraction says nothing.
func (p *graphiteParser) stamp(b []byte, now crdt.HLC) (stamp crdt.HLC, dated bool, r reason) {
	if string(b) == "-1" || string(b) == "N" {
		return now, false, reasonNone
	}
	whole, _, _ := bytes.Cut(b, []byte("."))
	s, ok := parseSeconds(whole)
	if !ok {
		return 0, false, reasonRange
	}
	if stamp, dated = stampAt(s*1000, now); !dated {
		p.tally.clamped++
	}
	return stamp, dated, reasonNone
}

func graphiteSeries(name, tags string) (*crdt.Series, reason) {
	if !utf8.ValidString(name) || !utf8.ValidString(tags) {
		return nil, reasonUTF8
	}
	var ls []crdt.Label
	for len(tags) > 0 {
		var tag string
		tag, tags, _ = strings.Cut(tags, ";")
		key, value, ok := strings.Cut(tag, "=")
		if !ok || len(key) == 0 {
			return nil, reasonTag
		}
		if len(ls) == crdt.MaxLabels {
			return nil, reasonTooLong
		}
		ls = append(ls, crdt.Label{Name: key, Value: value})
	}
	s, err := newSeries(name, crdt.KindGauge, ls)
	if err != nil {
		return nil, reasonTooLong // Check's other reasons are excluded above
	}
	return s, reasonNone
}
