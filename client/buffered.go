package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"meshd/internal/mutant"
	"meshd/internal/report"
)

const (
	// bufferAfter is how long no node takes anything before it is written down, and then again between two writes: files of a
	// second each would be many, and most failures are over sooner. It is what a crash of the process loses.
	bufferAfter = 10 * time.Second
	// reserveFor is how long a session that nothing was sent under is kept for the buffer. Nodes forget one after 25 hours:
	// so there is always one with a day left.
	reserveFor = time.Hour
)

// reports is how many wait on disk for their node.
func (s *spool) reports() (n int) {
	if s == nil {
		return 0
	}
	for _, c := range s.chains {
		n += len(c.pending)
	}
	return n
}

// wake lets chains be sent again at once.
func (s *spool) wake() {
	if s != nil {
		for _, c := range s.chains {
			c.until = time.Time{}
		}
	}
}

// open returns the chain under which reports for a node are written down, nil if there is none.
func (s *spool) open(url string) *chain {
	for _, c := range s.chains {
		if c.url == url && len(c.bad) == 0 {
			return c
		}
	}
	return nil
}

// hold writes down a report that has just got into doubt, release forgets it. A failure is told: the report is then in memory
// alone, as without a buffer.
func (s *sender) hold(n *home) {
	if s.spool == nil {
		return
	}
	err := s.spool.hold(n, n.doubt)
	if n.held = err == nil; err != nil {
		s.unkept(err)
	}
}

func (s *sender) release(n *home) {
	if !n.held {
		return
	}
	n.held = false
	if err := s.spool.release(n, n.last+1); err != nil {
		s.c.failed(fmt.Errorf("client: %w", err)) // sent again by the next process, which the node takes for a duplicate
	}
}

func (s *sender) unkept(err error) {
	s.c.bufferFull.Add(1)
	s.c.failed(fmt.Errorf("client: %w", err))
}

// drain sends what is on disk, each chain to its node and in order.
func (s *sender) drain(ctx context.Context) {
	if s.spool == nil {
		return
	}
	for _, c := range slices.Clone(s.spool.chains) {
		for len(c.pending) > 0 && !s.now().Before(c.until) {
			s.resend(ctx, c)
		}
		if len(c.pending) == 0 && s.spool.open(c.url) != c {
			s.forget(c)
			s.closeSession(ctx, c.url, c.session)
		}
	}
}

// resend sends the first pending report of a chain and does what follows from the answer.
func (s *sender) resend(ctx context.Context, c *chain) {
	f, err := s.spool.read(c.name(c.pending[0].seq, pendingSuffix))
	var r *report.Report
	if err == nil {
		r, err = report.Parse(f.body)
	}
	if err != nil {
		s.giveUp(c, err)
		return
	}
	if mutant.On("buffer sent under a new session") {
		if r.Session, err = s.openSession(ctx, c.url); err == nil {
			r.Prev, r.Seq = 0, 1
			f.body, err = report.Append(nil, r)
		}
		if err != nil {
			c.until = s.now().Add(longestPause)
			return
		}
	}
	s.c.tries.Add(1)
	err = s.countBody(ctx, c.url, &batch{items: r.Items, at: f.at}, f.body)
	switch {
	case err == nil:
		if err = s.spool.acknowledged(c); err == nil {
			s.c.acknowledged.Add(1)
			c.fails, c.until = 0, time.Time{}
			return
		}
	case errors.Is(err, errChain), errors.Is(err, errNever):
		s.giveUp(c, err)
		return
	}
	c.until = s.now().Add(jitter(min(firstPause<<min(c.fails, 16), longestPause)))
	c.fails++
	s.c.failed(fmt.Errorf("client: %s: %w", c.url, err))
}

// giveUp lets go of a chain whose node does not know it any more: nobody can say how much of it counted.
func (s *sender) giveUp(c *chain, why error) {
	s.c.unknown.Add(uint64(len(c.pending)))
	s.c.failed(fmt.Errorf("client: %s: %d buffered reports are given up, totals may lack them: %w", c.url, len(c.pending), why))
	s.forget(c)
}

func (s *sender) forget(c *chain) {
	if err := s.spool.drop(c); err != nil {
		s.c.failed(fmt.Errorf("client: %w", err))
	}
}

// reserve opens sessions for the buffer with nodes that answer, so that there is one when none does.
func (s *sender) reserve(ctx context.Context) {
	if s.spool == nil {
		return
	}
	for _, n := range s.nodes {
		old := s.spool.open(n.url)
		if !n.open || n.fails > 0 || old != nil && (len(old.pending) > 0 || s.now().Sub(old.born) < reserveFor) {
			continue
		}
		session, err := s.openSession(ctx, n.url)
		if err == nil {
			_, err = s.spool.begin(n.url, session, s.now())
		}
		if err != nil {
			s.c.failed(fmt.Errorf("client: %s: a session for the buffer: %w", n.url, err))
			continue
		}
		if old != nil {
			s.forget(old)
			s.closeSession(ctx, old.url, old.session)
		}
	}
}

// keep writes down what no node has taken for some time.
func (s *sender) keep(end int, after time.Duration) {
	if s.spool == nil || s.head == nil && s.at >= end {
		s.stuck = time.Time{}
		return
	}
	if s.stuck.IsZero() {
		s.stuck = s.now()
	}
	if s.now().Sub(s.stuck) < after {
		return
	}
	s.stuck = s.now()
	for {
		if s.head == nil {
			if s.head = s.seal(end); s.head == nil {
				return
			}
		}
		switch err := s.put(s.head); {
		case err == nil:
			s.head = nil
		case errors.Is(err, errNever):
			s.reject(len(s.head.items))
			s.head = nil
		default:
			s.unkept(err)
			return
		}
	}
}

// put binds a report to the first node with a session for that.
func (s *sender) put(b *batch) error {
	for _, n := range s.nodes {
		if c := s.spool.open(n.url); c != nil {
			return s.spool.put(c, b)
		}
	}
	return errors.New("nothing can be written to the buffer before a node was reached once: what is counted adds up in memory")
}

// keepAll writes down all that is left when the process ends, and tells whether all of it is on disk.
func (s *sender) keepAll() bool {
	defer s.countDoubts()
	if s.spool == nil {
		return false
	}
	s.at = 0
	end := s.entries()
	s.keep(end, 0)
	for _, n := range s.nodes {
		if n.doubt != nil && !n.held {
			return false
		}
	}
	return s.head == nil && s.at >= end
}
