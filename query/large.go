package query

import (
	"context"
	"fmt"
	"sync"
)

// largeGroups is how many groups a question may have beside others: 33 MB of them. One of more runs alone, since that many take up to
// 520 MB.
const largeGroups = 250_000

// errLarge is answered while such a question runs.
var errLarge = fmt.Errorf("another question with more than %d groups is running, and this is one: %w", largeGroups, errBusy)

// largeTurn is the turn of one question to be large. Rows may still be handed on when the client has gone, so it knows when it
// is over.
type largeTurn struct {
	turn chan struct{} // of all questions: room for one

	mu         sync.Mutex
	held, over bool
}

// enter makes the question a large one, or says why it cannot be. It never waits: it is called in the core's loop.
func (l *largeTurn) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over {
		return context.Canceled
	}
	if l.held {
		return nil
	}
	select {
	case l.turn <- struct{}{}:
		l.held = true
		return nil
	default:
		return errLarge
	}
}

func (l *largeTurn) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over = true; l.held {
		<-l.turn
		l.held = false
	}
}
