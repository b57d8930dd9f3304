package gossip

import (
	"errors"
	"math/rand/v2"
	"time"

	"meshd/internal/mutant"
)

const (
	// refusedFirst and refusedCap shape the pauses after refusals that last until somebody changes something: full jitter,
	// uniform between 0 and refusedFirst * 2^(n-1) up to refusedCap. 5,000 edges whose certificates ended dial a hub 83
	// times a second in the long run, which costs it a tenth of a core, and are back at most two minutes after it was put
	// right at the other end; at this end they dial at once.
	refusedFirst = 10 * time.Second
	refusedCap   = 2 * time.Minute
)

// refusedPause draws the pause after the nth refusal in a row, n >= 1.
func refusedPause(n int) time.Duration {
	if mutant.On("refusals retried at once") {
		n = 1
	}
	return rand.N(min(refusedCap, refusedFirst<<min(max(n, 1)-1, 16)))
}

// refused books a refusal, of what began at the time given, that lasts until somebody changes something. If this node's
// certificate was replaced since, the refusal was of the old one and says nothing of the present.
func (b *book) refused(t *target, began, now time.Time) {
	t.failures++
	if !began.After(b.pardoned) && !mutant.On("old certificates held against new") {
		t.refusals, t.next = 0, now.Add(rand.N(time.Second))
		return
	}
	t.refusals++
	t.next = now.Add(refusedPause(t.refusals))
}

// refuses tells whether the hub at addr refused this node and is not to be asked yet.
func (b *book) refuses(addr string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.targets[addr]
	return t != nil && t.refusals > 0 && now.Before(t.next)
}

// pardon lets the hubs that refused this node be asked again soon: its certificate is another one now. That also holds for
// those whose refusal is still on its way: of what began before shown, when the new certificate was first in use.
func (b *book) pardon(shown, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pardoned = shown
	for _, t := range b.targets {
		if t.refusals > 0 {
			t.refusals, t.next = 0, now.Add(rand.N(time.Second))
		}
	}
}

// patience is how a join address that refuses is asked again. Used by rejoin's goroutine only.
type patience struct {
	pardons uint64
	at      map[string]*refusals
}

type refusals struct {
	n    int
	next time.Time
}

// may tells whether an address may be asked now; pardons is how often this node's certificate was replaced.
func (p *patience) may(addr string, now time.Time, pardons uint64) bool {
	if p.at == nil || p.pardons != pardons {
		p.pardons, p.at = pardons, make(map[string]*refusals)
	}
	r := p.at[addr]
	return r == nil || !now.Before(r.next)
}

// note books how asking went and returns the refusal, if it was one. A refusal of a certificate that was replaced while
// the answer was on its way, as pardons tells, is nothing to wait for.
func (p *patience) note(addr string, now time.Time, pardons uint64, err error) *refusedError {
	no, ok := errors.AsType[*refusedError](err)
	if !ok || !no.lasting() || pardons != p.pardons {
		delete(p.at, addr)
		return nil
	}
	r := p.at[addr]
	if r == nil {
		r = new(refusals)
		p.at[addr] = r
	}
	r.n++
	r.next = now.Add(refusedPause(r.n))
	return no
}
