package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"meshd/crdt"
)

// billed is a hub and an edge whose line is counted: what messages take, and 60 bytes each for packets and headers.
type billed struct {
	*world
	carried uint64   // since the edge's process began
	spent   []uint64 // by second
}

func newBilled(t *testing.T, seed uint64, cfg CoreConfig) *billed {
	b := &billed{world: newWorld(t, seed)}
	b.each = func(name string, c *CoreConfig) {
		c.Flush = 1000
		if name == "edge" {
			c.Flush, c.OneFeed, c.Budget = cfg.Flush, true, cfg.Budget
		}
	}
	b.tap = func(_ string, raw []byte) {
		b.carried += uint64(len(raw)) + 60
		b.spent[len(b.spent)-1] += uint64(len(raw)) + 60
	}
	b.start("hub", "east", RoleHub)
	b.restart()
	return b
}

func (b *billed) restart() {
	if p := b.procs["edge"]; p != nil && p.core != nil {
		b.kill("edge")
	}
	b.carried = 0
	b.start("edge", "east", RoleEdge)
}

// second lets one pass in which n series are counted at both nodes.
func (b *billed) second(n int) {
	b.spent = append(b.spent, 0)
	for _, name := range []string{"edge", "hub"} {
		batch := &Batch{}
		for i := range n {
			batch.Items = append(batch.Items, Item{
				Series: &crdt.Series{Name: "clicks", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "path", Value: fmt.Sprint(i)}}},
				Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)},
			})
		}
		if n > 0 {
			b.ids++
			b.step(b.procs[name], Submit{ID: b.ids, Batch: batch})
		}
	}
	b.run(1000)
	b.step(b.procs["edge"], Used{Bytes: b.carried})
}

// mostIn returns the most that any time of so many seconds carried.
func (b *billed) mostIn(seconds int) (most uint64) {
	var sum uint64
	for i, n := range b.spent {
		sum += n
		if i >= seconds {
			sum -= b.spent[i-seconds]
		}
		most = max(most, sum)
	}
	return most
}

func (b *billed) edge() *Core { return b.procs["edge"].core }

func TestABudgetStretchesTheIntervalAndLosesNothing(t *testing.T) {
	const hour = 3600
	limit := Budget{Bytes: 60_000, Per: time.Hour}
	b := newBilled(t, 91, CoreConfig{Flush: 30_000, Budget: limit})
	for range hour / 2 {
		b.second(0)
	}
	if at := b.edge().interval(); at != 30_000 {
		t.Errorf("interval %d ms while nearly nothing is sent", at)
	}
	once := uint64(0)
	for i := range 5 * hour / 2 {
		if i%20 == 0 { // what never changes again is in no later cell
			once++
			b.count("hub", fmt.Sprintf("once.%d", i), 1, Token{})
		}
		b.second(100)
	}
	if most := b.mostIn(hour); most > uint64(limit.Bytes) || most < uint64(limit.Bytes)/2 {
		t.Errorf("an hour carried %d bytes at most, want close to and not above %d", most, limit.Bytes)
	}
	at := b.edge().interval()
	if at <= 45_000 || at >= maxInterval {
		t.Errorf("interval %d ms: want one that is stretched as far as needed", at)
	}
	if c := b.coverageOf("hub", "east"); c.NodesHeard != 2 || c.Age.Milliseconds() > at+2000 {
		t.Errorf("the hub says %+v with an interval of %d ms", c, at)
	}
	for range 2*at/1000 + 5 {
		b.second(0)
	}
	b.mustTotal("clicks", 2*100*5*hour/2)
	all, err := b.procs["edge"].core.Totals(b.at(), Select{Match: func(s *crdt.Series) bool { return strings.HasPrefix(s.Name, "once") }})
	if err != nil || len(all.Rows) != int(once) {
		t.Errorf("%d of %d series that changed once are at the edge, %v", len(all.Rows), once, err)
	}
	for range hour {
		b.second(0)
	}
	if at := b.edge().interval(); at != 30_000 {
		t.Errorf("interval %d ms an hour after the load ended", at)
	}
}

func TestNoRestartResetsABudget(t *testing.T) {
	b := newBilled(t, 92, CoreConfig{Flush: 30_000, Budget: Budget{Bytes: 100_000_000, Per: 24 * time.Hour}})
	b.second(10)
	b.carried += 3_000_000 // somebody used the line
	b.second(0)
	b.second(0) // it is on disk
	left := b.edge().budget.level
	for range 10 {
		b.restart()
		b.second(10)
	}
	now, came := b.edge().budget.level, 10*1000*b.edge().budget.rate()
	if now > left+came {
		t.Errorf("%.0f bytes are left after 10 restarts, %.0f before: more came in than %.0f", now, left, came)
	}
	if least := left - 15*minReserve; now < least {
		t.Errorf("%.0f bytes are left after 10 restarts, %.0f before: each was charged too much", now, left)
	}
	if spent := b.edge().budget.spent; spent < 3_000_000 || spent > 3_000_000+15*minReserve {
		t.Errorf("%d bytes were spent in this period", spent)
	}
}

func TestBudgetsThatNoLineIsKeptUpWith(t *testing.T) {
	for _, bad := range []Budget{{}, {Bytes: 1 << 30, Per: time.Minute}, {Bytes: 1 << 20, Per: 48 * time.Hour}, {Bytes: -1, Per: time.Hour}} {
		if bad.Check() == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
	if err := (Budget{Bytes: 1e9, Per: 30 * 24 * time.Hour}).Check(); err != nil {
		t.Error(err)
	}
}
