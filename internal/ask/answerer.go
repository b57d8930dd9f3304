package ask

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"meshd/crdt"
	"meshd/history"
	"meshd/internal/mutant"
	"meshd/internal/wire"
	"meshd/node"
)

// AnswererConfig is what a hub answers from. All fields are required.
type AnswererConfig struct {
	Node     string // its name
	History  history.Source
	Coverage func(context.Context) ([]node.Coverage, error)                // what the hub knows of every region
	Correct  func(context.Context, history.Source) (history.Source, error) // the history with what counts beside it
	Totals   func(context.Context, node.Select) (*node.Totals, error)
	Pieces   Pieces    // the history as it is handed on
	Whole    *Takeover // how whole it is
	Metrics  *Metrics
}

// Answerer answers other nodes from what this hub has on disk. It is safe for concurrent use.
type Answerer struct {
	cfg     AnswererConfig
	running chan struct{}
	mu      sync.Mutex
	peers   map[string]int // questions of each that run or wait
	all     int
}

// NewAnswerer returns an Answerer.
func NewAnswerer(cfg AnswererConfig) *Answerer {
	return &Answerer{cfg: cfg, running: make(chan struct{}, running), peers: map[string]int{}}
}

// errTooBig ends an answer at one of its limits.
var errTooBig = errors.New("ask: too much")

// Answer answers one question of a peer, part by part. Send blocks while the peer does not read; its error, as that of ctx, ends
// the work. An error breaks the answer off, which the peer sees; it is counted here.
func (a *Answerer) Answer(ctx context.Context, peer string, question []byte, send func([]byte) error) error {
	q, err := wire.ParseQuery(question)
	if err == nil && q.Ask == wire.AskPieces {
		_, _, err = spanOf(q)
	}
	if err != nil {
		a.cfg.Metrics.answered.WithLabelValues(outcomeMalformed).Inc()
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, min(within, time.Duration(min(q.WithinMs, uint64(within.Milliseconds())))*time.Millisecond))
	defer cancel()
	out := &reply{send: send, metrics: a.cfg.Metrics, bytes: min(q.MaxBytes, maxBytes), found: min(q.MaxFound, maxSeries)}
	switch q.Ask {
	case wire.AskSeries:
	case wire.AskPieces:
		out.bytes = maxBytes // beyond what was asked for by one piece
	default:
		out.found = min(out.found, maxCurves)
	}
	if !a.enter(peer) {
		a.cfg.Metrics.answered.WithLabelValues(outcomeBusy).Inc()
		return out.end(wire.AnswerBusy, "this hub answers as many questions as it may")
	}
	defer a.leave(peer)
	if err = a.answer(ctx, q, out); err == nil && len(out.body) > 0 {
		_, err = out.flush(out.body)
	}
	state, text, outcome := wire.AnswerWhole, "", outcomeWhole
	switch {
	case err == nil:
	case errors.Is(err, errTooBig):
		state, text, outcome = wire.AnswerTooBig, err.Error(), outcomeTooBig
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		state, text, outcome = wire.AnswerLate, "the time was over", outcomeLate
	case ctx.Err() != nil || out.failed:
		a.cfg.Metrics.answered.WithLabelValues(outcomeGivenUp).Inc()
		return err // nobody reads on
	default:
		state, text, outcome = wire.AnswerFailed, "this hub cannot read what it has: see its log", outcomeFailed
	}
	a.cfg.Metrics.answered.WithLabelValues(outcome).Inc()
	return errors.Join(err, out.end(state, text))
}

// enter reports whether the question of a peer may wait for its turn.
func (a *Answerer) enter(peer string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if (a.peers[peer] >= perPeer || a.all >= running+waiting) && !mutant.On("questions without a limit") {
		return false
	}
	a.peers[peer]++
	a.all++
	return true
}

func (a *Answerer) leave(peer string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.all--
	if a.peers[peer]--; a.peers[peer] == 0 {
		delete(a.peers, peer)
	}
}

func (a *Answerer) answer(ctx context.Context, q *wire.Query, out *reply) error {
	select {
	case a.running <- struct{}{}:
		defer func() { <-a.running }()
	case <-ctx.Done():
		return ctx.Err()
	}
	cov, err := a.cfg.Coverage(ctx)
	if err != nil {
		return err
	}
	if err := out.part(&wire.Answer{Regions: statementsOf(cov, a.cfg.Node, time.Now()), Since: a.cfg.Whole.Since()}); err != nil {
		return err
	}
	past, err := a.cfg.Correct(ctx, a.cfg.History)
	if err != nil {
		return err
	}
	w := wantedOf(q)
	sel := w.selection(q)
	switch q.Ask {
	case wire.AskCurves:
		var cw history.CurveWriter
		return past.Curves(ctx, sel, func(c *history.Curve) error {
			if !w.owner(c.Owner) {
				return nil
			}
			if err := out.count(); err != nil {
				return err
			}
			var err error
			out.body, err = cw.Append(out.body, c, partBytes, out.flush)
			return err
		})
	case wire.AskSeries:
		return past.Series(ctx, sel, func(s *crdt.Series) error {
			if err := out.count(); err != nil {
				return err
			}
			var err error
			if out.body = history.AppendSeries(out.body, s); len(out.body) >= partBytes {
				out.body, err = out.flush(out.body)
			}
			return err
		})
	case wire.AskTotals:
		return a.totals(ctx, q, w, out)
	case wire.AskSpans:
		a.answerSpans(out)
	case wire.AskPieces:
		return a.answerPieces(ctx, q, out)
	case wire.AskCoverage:
	}
	return nil
}

// reply is an answer under way.
type reply struct {
	send         func([]byte) error
	metrics      *Metrics
	body         []byte // not sent yet
	bytes, found uint64 // that are left
	failed       bool   // to send
}

// count takes one more thing that was found.
func (r *reply) count() error {
	if r.found == 0 && !mutant.On("questions without a limit") {
		return fmt.Errorf("%w: more curves or series than a question may find: select fewer", errTooBig)
	}
	r.found--
	return nil
}

// flush sends a body and returns an empty one.
func (r *reply) flush(body []byte) ([]byte, error) {
	n := uint64(len(body))
	if n > r.bytes && !mutant.On("questions without a limit") {
		return nil, fmt.Errorf("%w: more than an answer may take: select fewer series, a shorter range or a wider step", errTooBig)
	}
	r.bytes -= n
	return body[:0], r.part(&wire.Answer{Body: body})
}

func (r *reply) part(a *wire.Answer) error {
	b, err := wire.AppendAnswer(nil, a)
	if err != nil {
		return err
	}
	r.metrics.bytes.WithLabelValues(directionOut).Add(float64(len(b)))
	if err := r.send(b); err != nil {
		r.failed = true
		return err
	}
	return nil
}

// end sends the last part.
func (r *reply) end(state wire.AnswerState, text string) error {
	return r.part(&wire.Answer{State: state, Text: text})
}
