package ingest

import (
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/node"
)

// spelling is how a client wrote a series: type, name and tags as they stand in the packet. Two spellings of one
// series (tags in another order) have an accumulator each. Its slices belong to the caller.
type spelling struct {
	kind       byte
	name, tags []byte
	at         int64 // seconds since 1970, as the client says; 0: when it arrives
}

// accumulator collects the increment of one spelling until the next batch.
type accumulator struct {
	kind   byte
	queued bool   // in shard.changed
	name   uint32 // bytes of text
	text   string // name and tags, as they are compared; the series' labels are parts of them until the node has it
	at     int64
	hash   uint64
	next   *accumulator // in the same bucket

	series  *crdt.Series
	inc     crdt.Value // Bottom if nothing happened since the last batch
	samples uint64     // in inc
	carry   float64    // weight below one that the last samples left over
	used    uint64     // round of the last sample

	held *heldIncrement // nil but for the odd one
}

// heldIncrement is one of a batch that failed and does not fit into what came since.
type heldIncrement struct {
	inc     crdt.Value
	samples uint64
}

// resolver returns the series of a spelling, which may keep parts of its texts.
type resolver func(name, tags string) (*crdt.Series, reason)

// numShards keeps locks uncontended: of 4 readers, one finds another in its shard for at most 3 in 64 samples.
const numShards = 64

// accumulators are the increments of all spellings. Samples may be added while a batch is on its way.
type accumulators struct {
	seed   maphash.Seed
	limit  int64        // accumulators
	held   atomic.Int64 // now
	shards [numShards]shard
}

type shard struct {
	mu      sync.Mutex
	known   spellings
	changed []*accumulator
	round   uint64
	_       [64]byte // what is above, of two shards, never shares a cache line of 64 bytes
}

func newAccumulators(limit int) *accumulators {
	return &accumulators{seed: maphash.MakeSeed(), limit: int64(limit)}
}

func (a *accumulators) hash(s *spelling) uint64 {
	h := maphash.Bytes(a.seed, s.name) + uint64(s.kind) + uint64(s.at)*0xff51afd7ed558ccd
	return bits.RotateLeft64(h, 29)*0x9e3779b97f4a7c15 ^ maphash.Bytes(a.seed, s.tags)
}

// add grows the accumulator c of s, whose hash is h, by the samples and returns how many it took: all of them, or those before
// the first that is refused with the reason. resolve is called for a spelling that has no accumulator yet, with its texts.
func (a *accumulators) add(h uint64, s *spelling, samples []sample, resolve resolver) (c *accumulator, n int, r reason) {
	sh := a.shard(h)
	sh.mu.Lock()
	if c, r = a.find(sh, h, s, resolve); r == reasonNone {
		n, r = sh.grow(c, samples)
	}
	sh.mu.Unlock() // not deferred, which is a fiftieth of a line's time
	return c, n, r
}

// grow grows an accumulator by the samples as add says.
func (sh *shard) grow(c *accumulator, samples []sample) (n int, r reason) {
	c.used = sh.round
	for n < len(samples) && r == reasonNone {
		if err := samples[n].grow(&c.inc, &c.carry); err != nil {
			r = reasonOf(err)
			continue
		}
		n++
	}
	c.samples += uint64(n)
	if n > 0 {
		sh.queue(c)
	}
	return n, r
}

// count grows an accumulator of counts by so many samples at once and reports whether they fit.
func (a *accumulators) count(c *accumulator, sum crdt.Fixed, samples uint64) bool {
	sh := a.shard(c.hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	total, ok := c.inc.P.Add(sum)
	if !ok || crdt.MaxCell.Less(total) {
		return false
	}
	c.inc.P, c.used = total, sh.round
	c.samples += samples
	sh.queue(c)
	return true
}

func (a *accumulators) shard(hash uint64) *shard { return &a.shards[hash%numShards] }

// queue makes sure that the next batch has the accumulator's increment.
func (sh *shard) queue(c *accumulator) {
	if !c.queued {
		c.queued = true
		sh.changed = append(sh.changed, c)
	}
}

func (a *accumulators) find(sh *shard, h uint64, s *spelling, resolve resolver) (*accumulator, reason) {
	if c := sh.known.find(h, s); c != nil {
		return c, reasonNone
	}
	if a.held.Add(1) > a.limit {
		a.held.Add(-1)
		return nil, reasonLimit
	}
	text := string(slices.Concat(s.name, s.tags))
	c := &accumulator{kind: s.kind, text: text, name: uint32(len(s.name)), at: s.at, hash: h}
	var r reason
	c.series, r = resolve(text[:c.name], text[c.name:])
	if r != reasonNone {
		a.held.Add(-1)
		return nil, r
	}
	c.inc = crdt.Bottom(c.series.Kind)
	sh.known.add(c)
	return c, reasonNone
}

// taken is one increment on its way to the node: entry i belongs to item i of the batch.
type taken struct {
	from    *accumulator
	shard   *shard
	samples uint64
}

// take moves the increments of some shards, from one on, into items of a batch and says where each came from: of as many
// shards as it takes to have batchItems. next is the shard to go on with, numShards if there is none. expect is how many items
// there may be: growing slices that are not used again is a good part of what taking them costs.
func (a *accumulators) take(shard, expect int) (items []node.Item, from []taken, next int) {
	items, from = make([]node.Item, 0, expect), make([]taken, 0, expect)
	for next = shard; next < numShards && len(items) < batchItems; next++ {
		items, from = a.shards[next].take(items, from)
	}
	return items, from, next
}

func (sh *shard) take(items []node.Item, from []taken) ([]node.Item, []taken) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.round++
	again := 0
	for _, c := range sh.changed {
		if c.held != nil {
			items = append(items, node.Item{Series: c.series, Inc: c.held.inc, At: c.at * 1000})
			from = append(from, taken{from: c, shard: sh, samples: c.held.samples})
			c.held = nil
			if c.samples > 0 {
				sh.changed[again] = c // inc waits for the next batch
				again++
				continue
			}
		} else {
			items = append(items, node.Item{Series: c.series, Inc: c.inc, At: c.at * 1000})
			from = append(from, taken{from: c, shard: sh, samples: c.samples})
			c.inc, c.samples = crdt.Bottom(c.series.Kind), 0
		}
		c.queued = false
	}
	clear(sh.changed[again:])
	sh.changed = sh.changed[:again]
	return items, from
}

// giveBack returns the increment of an item that the node did not take. What arrived since comes after it. If the
// two do not fit into one (2^64 reached), the older is held and goes first.
func (t *taken) giveBack(inc crdt.Value) {
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	c := t.from
	if c.samples == 0 {
		c.inc, c.samples = inc, t.samples
	} else if err := inc.Grow(&c.inc); err == nil {
		c.inc, c.samples = inc, c.samples+t.samples
	} else {
		c.held = &heldIncrement{inc, t.samples}
	}
	t.shard.queue(c)
}

// share takes the node's copy of a series for the accumulator's own if they are equal: of a million series with three tags that is
// 150 MB. It is not if a rule changed it on its way.
func (t *taken) share(s *crdt.Series) {
	c := t.from
	if s != nil && s.Equal(c.series) {
		c.series = s // nobody but who flushes looks at it
	}
}

// settle lets go of an accumulator of one time once the node has what it held: the next one is of another time.
func (a *accumulators) settle(t *taken) {
	c := t.from
	if c.at == 0 || mutant.On("dated accumulators kept") {
		return
	}
	t.shard.mu.Lock()
	defer t.shard.mu.Unlock()
	if !c.queued && t.shard.known.remove(c) {
		a.held.Add(-1)
	}
}

// pending returns how many samples are held that no batch took.
func (a *accumulators) pending() (samples uint64) {
	for i := range a.shards {
		sh := &a.shards[i]
		sh.mu.Lock()
		for _, c := range sh.changed {
			samples += c.samples
			if c.held != nil {
				samples += c.held.samples
			}
		}
		sh.mu.Unlock()
	}
	return samples
}

// forget drops the accumulators that nothing was added to during the last rounds batches, and returns how many are
// left.
func (a *accumulators) forget(rounds uint64) (left int) {
	for i := range a.shards {
		sh := &a.shards[i]
		sh.mu.Lock()
		before := sh.known.count
		sh.known.sweep(func(c *accumulator) bool { return !c.queued && c.used+rounds < sh.round })
		a.held.Add(int64(sh.known.count - before))
		left += sh.known.count
		sh.mu.Unlock()
	}
	return left
}
