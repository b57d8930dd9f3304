package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"meshd/crdt"
)

// ErrUnacknowledged is wrapped by the errors of Flush and Close: not everything counted is known to be on a node's disk.
var ErrUnacknowledged = errors.New("not everything counted is acknowledged")

// ErrBuffered is wrapped by the error of Close besides ErrUnacknowledged: all that is not acknowledged is in Config.BufferDir.
var ErrBuffered = errors.New("kept on disk for the next process")

// Client counts and sends. It may be used from any goroutine.
type Client struct {
	cfg Config

	mu                   sync.Mutex
	byKey                map[string]*entry
	entries              []*entry             // in order of their making
	overflow             map[crdt.Kind]*entry // those of overflowMetric,
	overflows            int                  // and how many of entries they are
	overflowed, rejected uint64
	last                 error // what failed last

	refused, refusedSeries               atomic.Uint64
	acknowledged, tries, unknown, doubts atomic.Uint64
	buffered, bufferFull                 atomic.Uint64
	onError                              sync.Mutex

	flushes chan chan error
	stop    context.CancelFunc
	done    chan struct{}
	sender  *sender
}

// Stats are a client's own figures, since it was made.
type Stats struct {
	Series        int    // instruments, those of the overflow included
	Overflowed    uint64 // instruments wanted beyond Config.Series
	RefusedSeries uint64 // instruments wanted by a name or label that is refused
	Refused       uint64 // samples out of range, which count nowhere
	Reports       uint64 // acknowledged
	Tries         uint64 // of sending reports, retries included
	InDoubt       int    // reports that went to a node and whose answer is not known yet
	Unknown       uint64 // reports given up in doubt: totals may lack them
	Buffered      int    // reports on disk that wait for their node
	BufferFull    uint64 // times that what was to be written there stayed in memory: full, no session yet, or the disk failed
	Rejected      uint64 // series of acknowledged reports that the node did not count: see LastError
	LastError     error  // nil: nothing has failed
}

// New returns a client that sends in the background until Close.
func New(cfg Config) (*Client, error) {
	c, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	c.stop = cancel
	go c.run(ctx)
	return c, nil
}

// newClient returns a client whose rounds somebody else runs.
func newClient(cfg Config) (*Client, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg: cfg, byKey: map[string]*entry{}, overflow: map[crdt.Kind]*entry{},
		flushes: make(chan chan error), done: make(chan struct{}),
	}
	c.sender = newSender(c)
	if cfg.BufferDir != "" {
		spool, bad, err := openSpool(cfg.BufferDir, cfg.BufferBytes)
		if err != nil {
			return nil, err
		}
		c.sender.spool = spool
		c.unknown.Add(uint64(len(bad)))
		for _, err := range bad {
			c.failed(fmt.Errorf("client: %w", err))
		}
		c.sender.countDoubts()
	}
	return c, nil
}

// Stats returns the figures of now.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{
		Series: len(c.entries), Overflowed: c.overflowed, RefusedSeries: c.refusedSeries.Load(), Refused: c.refused.Load(),
		Reports: c.acknowledged.Load(), Tries: c.tries.Load(), InDoubt: int(c.doubts.Load()), Unknown: c.unknown.Load(),
		Buffered: int(c.buffered.Load()), BufferFull: c.bufferFull.Load(), Rejected: c.rejected, LastError: c.last,
	}
}

// run sends a round an interval, and one for every Flush.
func (c *Client) run(ctx context.Context) {
	defer close(c.done)
	timer := time.NewTimer(c.pause())
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case answer := <-c.flushes:
			answer <- c.sender.round(ctx, true)
		case <-timer.C:
			// What failed was told to OnError, and is tried again.
			_ = c.sender.round(ctx, false)
			timer.Reset(c.pause())
		}
	}
}

// pause is the interval, spread so that many processes started together do not send together.
func (c *Client) pause() time.Duration { return jitter(c.cfg.Interval) }

func jitter(d time.Duration) time.Duration {
	return d/2 + time.Duration(rand.Int64N(int64(d)/2+1))
}

// flushPause is how long Flush waits before it has everything tried again, at first; it doubles up to a second.
const flushPause = 20 * time.Millisecond

// Flush sends what was counted before it was called and returns nil once all of it is on the disk of a node. It goes on trying
// until ctx is done; its error then wraps ErrUnacknowledged, and the background goes on with what is left.
func (c *Client) Flush(ctx context.Context) error {
	answer := make(chan error, 1)
	for pause := flushPause; ; pause = min(2*pause, time.Second) {
		select {
		case c.flushes <- answer:
		case <-c.done:
			return fmt.Errorf("client: flush: %w: the client is closed", ErrUnacknowledged)
		case <-ctx.Done():
			return fmt.Errorf("client: flush: %w: %w", ErrUnacknowledged, ctx.Err())
		}
		var err error
		select {
		case err = <-answer:
		case <-ctx.Done():
			return fmt.Errorf("client: flush: %w: %w", ErrUnacknowledged, ctx.Err())
		}
		if err == nil {
			return nil
		}
		select {
		case <-time.After(jitter(pause)):
		case <-ctx.Done():
			return fmt.Errorf("client: flush: %w: %w", ErrUnacknowledged, err)
		}
	}
}

// Close is Flush, and the end of the background and of the client's sessions. What is counted afterwards goes nowhere. Call it
// once, with a ctx that says how long the end of the process may wait: what an error says is not acknowledged is lost,
// unless a node counted it whose answer was lost, or the error wraps ErrBuffered: then the next process has it.
func (c *Client) Close(ctx context.Context) error {
	err := c.Flush(ctx)
	c.stop()
	<-c.done
	if err != nil && c.sender.keepAll() {
		err = fmt.Errorf("%w: %w", ErrBuffered, err)
	}
	c.sender.closeSessions(ctx)
	c.sender.spool.close()
	return err
}

// failed remembers an error and tells it.
func (c *Client) failed(err error) {
	c.mu.Lock()
	c.last = err
	c.mu.Unlock()
	if c.cfg.OnError != nil {
		c.onError.Lock()
		defer c.onError.Unlock()
		c.cfg.OnError(err)
	}
}
