//go:build slow

package ingest

import "testing"

// TestKafkaIsSharedInOrder: a node ends in order and another one of the group goes on: each event counts at one of them. It
// waits for a whole session, which no broker lets be shorter than 6 s.
func TestKafkaIsSharedInOrder(t *testing.T) {
	k := newKafkaTest(t)
	k.produce(t, `{"event":"a"}`, `{"event":"a"}`, `{"event":"a"}`)
	one, two := newFakeNode(), newFakeNode()
	k.rules.Session = 6e9
	k.read(t, "one", one, after(3, allOf))
	k.produce(t, `{"event":"a"}`, `{"event":"a"}`)
	k.read(t, "two", two, after(2, allOf))
	if a, b := one.counter("counter:a"), two.counter("counter:a"); a != "3" || b != "2" {
		t.Errorf("the nodes have %s and %s, want 3 and 2", a, b)
	}
}
