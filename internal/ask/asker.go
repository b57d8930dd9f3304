package ask

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"meshd/history"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/node"
)

// Hub is a session with a hub that can be asked.
type Hub struct {
	Session uint64
	Region  string
	Node    string
	RTT     time.Duration
}

// Peers is the transport as questions need it.
type Peers interface {
	// Hubs returns the sessions with hubs of a region that are up, of all regions if it is "", nearest first.
	Hubs(region string) []Hub
	// Ask sends a question and calls take with every message of the answer, which take owns, until the last. It returns early with
	// the error of take, as it is, or that of ctx or of the transport.
	Ask(ctx context.Context, session uint64, question []byte, take func([]byte) error) error
}

// AskerConfig says who asks. All fields are required.
type AskerConfig struct {
	Self    history.Owner // this node
	Peers   Peers
	Metrics *Metrics
}

// Asker asks the hubs of this node's region. It is safe for concurrent use.
type Asker struct{ cfg AskerConfig }

// NewAsker returns an Asker.
func NewAsker(cfg AskerConfig) *Asker { return &Asker{cfg} }

// Open returns the past of the mesh as one request reads it: what a hub tells, and own, the windows of this node, for what that hub
// does not have yet and for when none answers.
func (a *Asker) Open(own history.Source) *Past {
	return &Past{asker: a, own: own, hubs: a.cfg.Peers.Hubs(a.cfg.Self.Region)}
}

// errNoAnswer says that a hub did not tell all: another one may.
var errNoAnswer = errors.New("no answer")

// ask sends a question to one hub and calls take with every part of the answer. What is wrong with that hub wraps errNoAnswer.
// What take returns comes back as it is.
func (a *Asker) ask(ctx context.Context, h Hub, q *wire.Query, take func(*wire.Answer) error) error {
	q.WithinMs = uint64(within.Milliseconds())
	if deadline, ok := ctx.Deadline(); ok {
		q.WithinMs = uint64(max(1, min(time.Until(deadline), within).Milliseconds()))
	}
	question, err := wire.AppendQuery(nil, q)
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(ctx)
	defer stop()
	alarm := time.AfterFunc(stall, stop)
	defer alarm.Stop()
	var own error
	last := wire.AnswerGoesOn
	err = a.cfg.Peers.Ask(reading, h.Session, question, func(msg []byte) error {
		alarm.Reset(stall)
		a.cfg.Metrics.bytes.WithLabelValues(directionIn).Add(float64(len(msg)))
		part, err := wire.ParseAnswer(msg)
		switch {
		case err != nil:
			return err
		case last != wire.AnswerGoesOn:
			return errors.New("ask: the answer goes on behind its end")
		case part.State == wire.AnswerTooBig:
			own = fmt.Errorf("%w: hub %s: %s", history.ErrTooMuch, h.Node, part.Text)
			return own
		case part.State > wire.AnswerWhole:
			return fmt.Errorf("hub %s: %s", h.Node, part.Text)
		}
		last = part.State
		own = take(part)
		return own
	})
	if err == nil && last != wire.AnswerWhole && !mutant.On("half an answer is whole") {
		err = fmt.Errorf("hub %s did not tell all", h.Node)
	}
	outcome := outcomeWhole
	switch {
	case errors.Is(own, history.ErrTooMuch):
		outcome = outcomeTooBig
	case own != nil || ctx.Err() != nil:
		outcome = outcomeGivenUp
	case err != nil:
		outcome = outcomeFailed
	}
	a.cfg.Metrics.asked.WithLabelValues(outcome).Inc()
	switch {
	case own != nil:
		return own
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	return nil
}

// stated is what a hub says before it tells anything.
type stated struct {
	hub   int
	of    []node.Coverage
	since int64 // windows before may be missing, ms; 0: none
	err   error
}

// first asks hubs for their coverage, the next one when the one before took long or failed, and returns the first that answered and
// has all windows. One that lacks some is taken if no other answers.
func (a *Asker) first(ctx context.Context, hubs []Hub) (stated, error) {
	var lacking *stated
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	answers := make(chan stated, len(hubs))
	next, open := 0, 0
	start := func() {
		h := hubs[next]
		one := stated{hub: next}
		next++
		open++
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, firstWithin+8*h.RTT)
			defer cancel()
			one.err = a.ask(ctx, h, &wire.Query{Ask: wire.AskCoverage}, func(part *wire.Answer) error {
				one.of = append(one.of, coverageOf(part.Regions)...)
				one.since = max(one.since, part.Since)
				return nil
			})
			answers <- one
		})
	}
	failed := errors.New("no session with a hub of the region")
	for open > 0 || next < len(hubs) {
		if open == 0 {
			start()
		}
		var hedge <-chan time.Time
		var timer *time.Timer
		if next < len(hubs) {
			timer = time.NewTimer(hedgeAfter + 4*hubs[next-1].RTT)
			hedge = timer.C
		}
		select {
		case <-hedge:
			start()
		case one := <-answers:
			open--
			switch {
			case one.err != nil:
				failed = one.err
			case one.since == 0:
				return one, nil
			case lacking == nil || one.since < lacking.since:
				lacking = &one
			}
		case <-ctx.Done():
			return stated{}, ctx.Err()
		}
		if timer != nil {
			timer.Stop()
		}
	}
	if lacking != nil {
		return *lacking, nil
	}
	return stated{}, failed
}
