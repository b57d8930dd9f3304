package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"meshd/internal/mutant"
	"meshd/internal/report"
)

// sender turns what instruments have into reports and gets each of them to one node. It is used by one goroutine.
//
// A report belongs to nobody until a node may have it: it goes to one node after another as long as each says for certain
// that it did not count it. Once that is not certain it belongs to that node, which is asked until it answers, and no
// other gets it. A node with a report in doubt gets no other one, so its session's reports come in the order of their
// numbers, as node.Chain wants them.
type sender struct {
	c     *Client
	nodes []*home
	head  *batch // belongs to nobody
	at    int    // entries before this one are in reports of the pass that runs
	now   func() time.Time
	spool *spool    // nil: none
	stuck time.Time // since when no node takes what there is, or when it was last written down; zero: one does
}

// batch is the contents of a report, without a number.
type batch struct {
	items []report.Item
	at    time.Time // when it was taken
}

// home is one node, as the sender sees it.
type home struct {
	url     string
	session [16]byte
	open    bool   // session is one
	last    uint64 // number of the last report that it answered
	doubt   *batch // went there as number last+1
	fails   int    // in a row
	held    bool   // doubt is on disk, too
	until   time.Time
}

// The pause after failures in a row doubles up to the longest one: a node that hangs then costs a sixth of the time.
const (
	firstPause   = 100 * time.Millisecond
	longestPause = 30 * time.Second
)

func newSender(c *Client) *sender {
	s := &sender{c: c, now: time.Now}
	for _, n := range c.cfg.Nodes {
		s.nodes = append(s.nodes, &home{url: n})
	}
	return s
}

// round sends what was counted before it began, and what is in doubt. It returns nil if all of it is acknowledged. With eager
// nodes are tried that failed just now.
func (s *sender) round(ctx context.Context, eager bool) error {
	defer s.countDoubts()
	if eager {
		for _, n := range s.nodes {
			n.until = time.Time{}
		}
		s.spool.wake()
	}
	end := s.entries()
	s.at = 0
	s.report(ctx, end)
	for _, n := range s.nodes {
		if n.doubt != nil && !s.now().Before(n.until) {
			s.deliver(ctx, n, n.doubt)
		}
	}
	s.report(ctx, end) // what had no node before
	s.drain(ctx)
	s.reserve(ctx)
	s.keep(end, bufferAfter)
	return s.left(end)
}

// left says what is not acknowledged of what the entries up to end had.
func (s *sender) left(end int) error {
	if s.at >= end && s.head == nil && s.inDoubt() == 0 && s.spool.reports() == 0 {
		return nil
	}
	return fmt.Errorf("client: %w: %d reports in doubt, %d on disk: %w", ErrUnacknowledged, s.inDoubt(), s.spool.reports(), s.c.lastError())
}

// report sends what the entries from s.at to end have, as long as a node takes it. What none takes stays where it is.
func (s *sender) report(ctx context.Context, end int) {
	for {
		n := s.pick()
		if n == nil {
			return
		}
		if s.head == nil {
			if s.head = s.seal(end); s.head == nil {
				return
			}
		}
		s.deliver(ctx, n, s.head)
	}
}

func (s *sender) inDoubt() (n int) {
	for _, h := range s.nodes {
		if h.doubt != nil {
			n++
		}
	}
	return n
}

func (s *sender) countDoubts() {
	s.c.doubts.Store(uint64(s.inDoubt()))
	s.c.buffered.Store(uint64(s.spool.reports()))
}

func (s *sender) entries() int {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return len(s.c.entries)
}

// pick returns the first node that may get a report.
func (s *sender) pick() *home {
	for _, n := range s.nodes {
		if n.doubt == nil && !s.now().Before(n.until) {
			return n
		}
	}
	return nil
}

// seal takes what was added to the entries from s.at to end, as many as a report may have. nil: nothing was.
func (s *sender) seal(end int) *batch {
	s.c.mu.Lock()
	entries := s.c.entries[:end]
	s.c.mu.Unlock()
	b := &batch{at: s.now()}
	for size := 0; s.at < end && len(b.items) < report.MaxItems && size < report.TargetBytes; s.at++ {
		e := entries[s.at]
		v := e.increment(s.c)
		if empty(&v) {
			continue
		}
		size += e.size
		if v.X != nil {
			size += v.X.Size()
		}
		b.items = append(b.items, report.Item{Series: e.series, Inc: v})
	}
	if len(b.items) == 0 {
		return nil
	}
	return b
}

// deliver sends a report to a node that it belongs to, or to nobody yet, and does what follows from the answer.
func (s *sender) deliver(ctx context.Context, n *home, b *batch) {
	doubted := n.doubt == b
	if !n.open {
		session, err := s.openSession(ctx, n.url)
		if err != nil {
			s.failed(n, err)
			return
		}
		n.session, n.open, n.last = session, true, 0
	}
	s.c.tries.Add(1)
	err := s.count(ctx, n, b)
	if mutant.On("doubt moves to another node") && err != nil && !errors.Is(err, errNever) {
		err = errNot
	}
	switch {
	case err == nil:
		s.acknowledged(n, b)
		return
	case errors.Is(err, errChain) && doubted:
		s.settle(n, b) // the node does not know it any more: nobody can say whether it counted
		n.open = false
		s.c.unknown.Add(1)
		err = fmt.Errorf("%w: a report of %d series is given up, totals may lack it", err, len(b.items))
	case errors.Is(err, errChain):
		n.open = false
	case errors.Is(err, errNever) && !doubted:
		s.settle(n, b)
		s.reject(len(b.items))
	case errors.Is(err, errNot) || doubted:
	case mutant.On("doubt is given up"):
		s.settle(n, b)
	default:
		n.doubt, s.head = b, nil
		s.hold(n)
	}
	s.failed(n, err)
}

// acknowledged notes that a node has a report on its disk.
func (s *sender) acknowledged(n *home, b *batch) {
	s.settle(n, b)
	n.last++
	n.fails, n.until = 0, time.Time{}
	s.c.acknowledged.Add(1)
}

// settle lets go of a report.
func (s *sender) settle(n *home, b *batch) {
	if n.doubt == b {
		n.doubt = nil
		s.release(n)
	} else {
		s.head = nil
	}
}

// failed lets a node rest.
func (s *sender) failed(n *home, err error) {
	pause := min(firstPause<<min(n.fails, 16), longestPause)
	n.fails++
	n.until = s.now().Add(jitter(pause))
	s.c.failed(fmt.Errorf("client: %s: %w", n.url, err))
}

func (s *sender) reject(n int) {
	s.c.mu.Lock()
	s.c.rejected += uint64(n)
	s.c.mu.Unlock()
}

func (c *Client) lastError() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.last
}
