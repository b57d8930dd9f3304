package node

import (
	"strings"
	"sync"
	"testing"
)

// A hub has several goroutines for each of thousands of sessions: what they share is told once, so that what is alone
// finds room.
func TestStacksTellEachOnceAndTheRareOnesLast(t *testing.T) {
	const sessions = 2000
	var wg, begun sync.WaitGroup // a goroutine that has not begun yet has no stack
	begun.Add(sessions + 1)
	end := make(chan struct{})
	for range sessions {
		wg.Go(func() { begun.Done(); <-end })
	}
	alone := func() { begun.Done(); <-end }
	wg.Go(func() { alone() })
	begun.Wait()
	got := stacks()
	close(end)
	wg.Wait()
	if len(got) > maxStack {
		t.Errorf("%d bytes of stacks, the log gets %d", len(got), maxStack)
	}
	if n := strings.Count(got, "TestStacksTellEachOnceAndTheRareOnesLast.func1+"); n < 1 || n > 20 { // some may not have got to where they wait
		t.Errorf("the stack that %d share is there %d times", sessions, n)
	}
	if !strings.Contains(got[len(got)-min(len(got), 16<<10):], t.Name()) {
		t.Error("what is alone is not among the last")
	}
}
