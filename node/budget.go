package node

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"meshd/internal/mutant"
)

// Budget is what the line of an edge may carry, both ways together. The zero value is none.
type Budget struct {
	Bytes int64
	Per   time.Duration
}

// Bounds of budgets.
const (
	// minBudget is the least a day: keeping two sessions alive takes half of it.
	minBudget = 1 << 20
	minPer    = time.Hour
	// maxInterval is how far a budget stretches the flush interval: beyond it what keeps the sessions alive costs more
	// than what is sent.
	maxInterval = 15 * 60_000
)

// Check refuses what no line can be kept up with.
func (b Budget) Check() error {
	if b.Per < minPer || float64(b.Bytes)/b.Per.Hours()*24 < minBudget {
		return fmt.Errorf("a budget of %d bytes in %s: want at least %d a day, for an hour or longer", b.Bytes, b.Per, minBudget)
	}
	return nil
}

const (
	// burstShare of a budget may be spent at once: a day of a month. What comes in beside it is that much less, so that
	// no time as long as Per, wherever it begins, sees more than Bytes.
	burstShare = 1.0 / 30
	// reserveShare of a budget is written off on disk before it is spent: a process that ends in any way was charged for
	// what it used, but for what was more than that since the meter was read last, and one that ends over and over pays
	// each time.
	reserveShare = 1.0 / 4096
	minReserve   = 64 << 10
	// spendWindow is over how many milliseconds, at least, spending is looked at; two intervals if those are longer.
	spendWindow = 60_000
)

// budget holds the line to its Budget: what may be spent grows steadily up to a burst, and the flush interval is what the
// use of the line lately says would spend as much as there is. Over budget nothing is held back or lost: flushes get seldom.
type budget struct {
	Budget
	interval int64 // between two flushes in ms, as the budget allows; 0: as often as configured

	level float64 // bytes that may be spent now; below 0: overspent
	at    int64   // as of when, Core.now
	meter uint64  // what the line carried since the process began

	window      float64 // bytes since windowStart
	windowStart int64

	period int64  // number of the current Per since the epoch
	spent  uint64 // in it

	unwritten float64 // bytes since the record on disk, which is reserve short
	retryAt   int64
}

// Used tells what the line has carried since the process began, all packets of both ways.
type Used struct{ Bytes uint64 }

func (Used) event() {}

func (b *budget) burst() float64   { return float64(b.Bytes) * burstShare }
func (b *budget) reserve() float64 { return max(minReserve, float64(b.Bytes)*reserveShare) }

// rate is what comes in, in bytes a millisecond.
func (b *budget) rate() float64 {
	return float64(b.Bytes) * (1 - burstShare) / float64(b.Per.Milliseconds())
}

// start begins with a full burst; a record on disk says otherwise.
func (b *budget) start(cfg Budget, now int64) {
	*b = budget{Budget: cfg, at: now, windowStart: now}
	b.level, b.unwritten = b.burst(), math.Inf(1)
}

// used books what the line carried and, now and then, sets the interval.
func (c *Core) used(in Used) {
	b := &c.budget
	if b.Bytes == 0 {
		b.meter = in.Bytes
		return
	}
	n := float64(in.Bytes - min(in.Bytes, b.meter))
	b.meter = in.Bytes
	b.level = min(b.burst(), b.level+b.rate()*float64(c.now-b.at)) - n
	b.at = c.now
	b.window += n
	b.unwritten += n
	if p := c.wall / b.Per.Milliseconds(); p != b.period {
		b.period, b.spent = p, 0
	}
	b.spent += uint64(n)
	if over := c.now - b.windowStart; over >= max(spendWindow, 2*c.interval()) {
		was := c.interval()
		b.stretch(c.cfg.Flush, float64(over))
		b.window, b.windowStart = 0, c.now
		if c.interval() != was {
			c.tellLinks()
		}
	}
}

// stretch sets the interval to what would have spent as much as comes in, had it held over the last window: more of it while
// much is left, less while little is. It at most doubles or halves at once: a catch-up is over by the next time.
func (b *budget) stretch(usual int64, over float64) {
	now := float64(max(usual, b.interval))
	aim := b.rate() * min(max(0.5+b.level/b.burst(), 0.1), 1.5)
	want := now * (b.window / over) / aim
	want = min(max(want, now/2, float64(usual)), 2*now, max(maxInterval, float64(usual)))
	switch {
	case want <= float64(usual):
		b.interval = 0
	case math.Abs(want-now) > now/10:
		b.interval = int64(want)
	}
}

const (
	budgetVersion = 1
	budgetBytes   = 1 + 4*8
)

// startBudget writes off what may be spent until the next record. It reports whether it did.
func (c *Core) startBudget() bool {
	b := &c.budget
	if b.Bytes == 0 || b.unwritten < 0.75*b.reserve() || c.now < b.retryAt {
		return false
	}
	rec := append(make([]byte, 0, budgetBytes), budgetVersion)
	for _, v := range []int64{int64(b.level - b.reserve()), c.wall, b.period, int64(b.spent) + int64(b.reserve())} {
		rec = binary.LittleEndian.AppendUint64(rec, uint64(v))
	}
	before := b.unwritten
	b.unwritten = 0
	c.persistCheckpoint([]Op{{Key: []byte(prefixBudget), Value: rec}}, func() {})
	c.pending.failed = func() { b.unwritten, b.retryAt = b.unwritten+min(before, b.reserve()), c.now+c.cfg.Retry }
	return true
}

// budget reads what was left, and adds what came in since by the wall clock.
func (rec *recovery) budget() error {
	c := rec.c
	c.budget.start(c.cfg.Budget, c.now)
	if c.budget.Bytes == 0 || mutant.On("budget reset by a restart") {
		return nil
	}
	return rec.r.Scan([]byte(prefixBudget), func(_, v []byte) error {
		if len(v) < budgetBytes || v[0] != budgetVersion {
			return fmt.Errorf("budget: record of %d bytes", len(v))
		}
		field := func(i int) int64 { return int64(binary.LittleEndian.Uint64(v[1+8*i:])) }
		b := &c.budget
		came := b.rate() * float64(max(0, c.wall-field(1)))
		b.level = min(b.burst(), float64(field(0))+came)
		b.period, b.spent = field(2), uint64(field(3))
		return nil
	})
}

// LineStatus is how an edge uses its line.
type LineStatus struct {
	Interval time.Duration // between two flushes now
	Usual    time.Duration // between two flushes while the budget allows
	Carried  uint64        // bytes since the process began, both ways
	Budget   Budget        // zero: none
	Spent    uint64        // bytes in the current period, of those that a restart charges up to a reserve too many
	Left     int64         // bytes that may be spent at once now; below 0: overspent
	Burst    int64         // the most that Left can be
	Downlink []string      // patterns of the series that hubs send; nil: all, empty: none
	Feed     string        // the hub that sends, if only one does
}

func (c *Core) lineStatus() LineStatus {
	b := &c.budget
	st := LineStatus{
		Interval: time.Duration(c.interval()) * time.Millisecond, Usual: time.Duration(c.cfg.Flush) * time.Millisecond,
		Carried: b.meter, Budget: b.Budget, Spent: b.spent,
	}
	if b.Bytes > 0 {
		st.Left, st.Burst = int64(b.level), int64(b.burst())
	}
	if c.downlink != nil {
		st.Downlink = append([]string{}, c.downlink.Patterns()...)
	}
	if s := c.sessions[c.feed]; s != nil && c.cfg.OneFeed {
		st.Feed = s.peer.Node
	}
	return st
}
