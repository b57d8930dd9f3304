package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"meshd/crdt"
	wirefmt "meshd/internal/wire"
	"meshd/node"
)

// acks is a transport to edges that read nothing but what the hub holds of them on its disk.
type acks struct {
	mu      sync.Mutex
	covered map[crdt.Origin]uint64
	failed  error
	news    chan struct{} // holds one when something changed
}

var _ node.Transport = (*acks)(nil)

func newAcks() *acks {
	return &acks{covered: make(map[crdt.Origin]uint64), news: make(chan struct{}, 1)}
}

// Send implements node.Transport.
func (a *acks) Send(_ uint64, _ bool, msg []byte) bool {
	m, err := wirefmt.ParseMessage(msg)
	if err != nil {
		a.fail(err)
		return true
	}
	marks, ok := m.(*wirefmt.Marks)
	if !ok {
		return true
	}
	a.mu.Lock()
	for i := range marks.Marks {
		o := marks.Marks[i].Origin
		a.covered[o] = max(a.covered[o], marks.Marks[i].Progress[crdt.StreamLifetime].Covered)
	}
	a.mu.Unlock()
	a.tell()
	return true
}

// Room implements node.Transport: nothing is in the way.
func (a *acks) Room(uint64, bool) node.Room {
	return node.Room{Peer: math.MaxInt, All: math.MaxInt, Empty: true}
}

// Disconnect implements node.Transport. No session may end here.
func (a *acks) Disconnect(_ uint64, reason string) {
	a.fail(errors.New("the hub ended a session: " + reason))
}

// Link implements node.Transport.
func (a *acks) Link(uint64) (rtt, offset time.Duration, addr string) { return 0, 0, "" }

func (a *acks) fail(err error) {
	a.mu.Lock()
	a.failed = errors.Join(a.failed, err)
	a.mu.Unlock()
	a.tell()
}

func (a *acks) tell() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}

// await waits until the hub has said of each edge that all up to seq is on its disk.
func (a *acks) await(ctx context.Context, scripts []*script, seq uint64) error {
	late := time.NewTimer(exactWithin)
	defer late.Stop()
	for {
		missing, err := a.missing(scripts, seq)
		if err != nil || missing == 0 {
			return err
		}
		select {
		case <-a.news:
		case <-late.C:
			return fmt.Errorf("%d of %d edges are not acknowledged after %s", missing, len(scripts), exactWithin)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// missing is how many edges were not acknowledged up to seq.
func (a *acks) missing(scripts []*script, seq uint64) (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range scripts {
		if a.covered[s.origin] < seq {
			n++
		}
	}
	return n, a.failed
}
