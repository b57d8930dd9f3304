package node

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"meshd/internal/mutant"
	"meshd/internal/wire"
)

const (
	// tokenWindow is how far behind the highest seq of a source an item may come and still be told apart from a
	// duplicate. Older ones are taken as duplicates.
	tokenWindow = 4096
	// keyHours is how many hourly sets of keys are kept: the hour that runs and 24 whole ones, so that a key is
	// remembered for 24 hours at least.
	keyHours = 25
)

// defaults fills in the documented defaults.
func (l *Limits) defaults() {
	l.Series = cmp.Or(l.Series, 100_000)
	l.Keys = cmp.Or(l.Keys, 1_000_000)
	l.Sources = cmp.Or(l.Sources, 100_000)
	l.chainDefaults()
	l.Waiting = cmp.Or(l.Waiting, 1_000_000)
	l.Windows = cmp.Or(l.Windows, maxOpenCells)
	l.Named = min(cmp.Or(l.Named, wire.MaxHeads), wire.MaxHeads)
}

// tokens remembers which items were counted, as far as design promises: per source the highest seq and a window
// below it, and idempotency keys for a day. What it knows is exactly what is on disk: changes are made in a
// tokenChanges that is committed in one batch with the counts they stand for.
type tokens struct {
	limits  Limits
	sources map[string]*window
	hours   map[int64]map[keyHash]struct{} // by hour since the epoch
	keys    int
	links   map[ChainID]*chainEnd
	swept   int64  // the hour in which sources and links were last looked through
	expired uint64 // sources forgotten since nothing came of them for a day
}

type keyHash [16]byte

func hashKey(k string) keyHash {
	h := sha256.Sum256([]byte(k))
	return keyHash(h[:16])
}

// window is the highest seq of a source, which of the tokenWindow seqs up to it were counted, and the hour in which one was last.
type window struct {
	high uint64
	hour int64 // keptHour: it is never forgotten
	bits [tokenWindow / 64]uint64
}

// keptHour is later than all others.
const keptHour = math.MaxInt64

func (w *window) seen(seq uint64) bool {
	switch {
	case seq > w.high:
		return false
	case w.high-seq >= tokenWindow:
		return true
	}
	return w.bits[seq%tokenWindow/64]&(1<<(seq%64)) != 0
}

func (w *window) mark(seq uint64) {
	if seq > w.high {
		for s := w.high + 1; s <= seq && s-w.high <= tokenWindow; s++ { // what enters the window was not counted
			w.bits[s%tokenWindow/64] &^= 1 << (s % 64)
		}
		w.high = seq
	}
	w.bits[seq%tokenWindow/64] |= 1 << (seq % 64)
}

func (w *window) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint64(dst, w.high)
	dst = binary.BigEndian.AppendUint64(dst, uint64(w.hour))
	for _, b := range w.bits {
		dst = binary.BigEndian.AppendUint64(dst, b)
	}
	return dst
}

func parseWindow(b []byte) (*window, error) {
	w := &window{}
	if len(b) != 16+len(w.bits)*8 {
		return nil, fmt.Errorf("node: source window of %d bytes, want %d", len(b), 16+len(w.bits)*8)
	}
	w.high, w.hour = binary.BigEndian.Uint64(b), int64(binary.BigEndian.Uint64(b[8:]))
	for i := range w.bits {
		w.bits[i] = binary.BigEndian.Uint64(b[16+8*i:])
	}
	return w, nil
}

func newTokens(l Limits) *tokens {
	l.defaults()
	return &tokens{limits: l, sources: map[string]*window{}, hours: map[int64]map[keyHash]struct{}{}, links: map[ChainID]*chainEnd{}}
}

// tokenChanges are the tokens of a commit that is not on disk yet.
type tokenChanges struct {
	t       *tokens
	sources map[string]*window
	keys    map[keyHash]int64     // hour of first use
	links   map[ChainID]*chainEnd // nil: closed
}

func (t *tokens) begin() *tokenChanges {
	return &tokenChanges{t: t, sources: map[string]*window{}, keys: map[keyHash]int64{}, links: map[ChainID]*chainEnd{}}
}

// room reports an error that wraps ErrTokens if the new tokens among items are more than may still be remembered: a
// token is never forgotten early to make room.
func (c *tokenChanges) room(items []Item, nowMs int64) error {
	c.t.expire(nowMs)
	c.t.sweep(nowMs)
	keys, sources := map[keyHash]struct{}{}, map[string]struct{}{}
	for i := range items {
		switch tok := items[i].Token; {
		case tok.Zero() || c.seen(tok):
		case tok.Key != "":
			keys[hashKey(tok.Key)] = struct{}{}
		case c.window(tok.Source) == nil:
			sources[tok.Source] = struct{}{}
		}
	}
	if len(keys) > 0 && c.t.keys+len(c.keys)+len(keys) > c.t.limits.Keys {
		return fmt.Errorf("node: %w: %d idempotency keys", ErrTokens, c.t.limits.Keys)
	}
	if len(sources) > 0 && len(c.t.sources)+len(c.sources)+len(sources) > c.t.limits.Sources {
		return fmt.Errorf("node: %w: %d sources", ErrTokens, c.t.limits.Sources)
	}
	return nil
}

// seen reports whether the item of a token was counted before.
func (c *tokenChanges) seen(tok Token) bool {
	if tok.Key != "" {
		k := hashKey(tok.Key)
		_, ok := c.keys[k]
		return ok || c.t.hasKey(k)
	}
	w := c.window(tok.Source)
	return tok.Seq != 0 && w != nil && w.seen(tok.Seq)
}

func (c *tokenChanges) window(source string) *window {
	if w := c.sources[source]; w != nil {
		return w
	}
	return c.t.sources[source]
}

// mark remembers a token that seen did not know.
func (c *tokenChanges) mark(tok Token, nowMs int64) {
	if tok.Key != "" {
		c.keys[hashKey(tok.Key)] = hourOf(nowMs)
		return
	}
	if tok.Seq == 0 {
		return
	}
	w := c.sources[tok.Source]
	if w == nil {
		w = &window{}
		if old := c.t.sources[tok.Source]; old != nil {
			*w = *old
		}
		c.sources[tok.Source] = w
	}
	w.hour = max(w.hour, hourOf(nowMs))
	if tok.Kept && !mutant.On("own inputs forgotten") {
		w.hour = keptHour
	}
	w.mark(tok.Seq)
}

// unmark takes back a mark of this change: its item was rejected after all.
func (c *tokenChanges) unmark(tok Token) {
	if tok.Key != "" {
		delete(c.keys, hashKey(tok.Key))
	} else if w := c.sources[tok.Source]; w != nil && tok.Seq != 0 {
		w.bits[tok.Seq%tokenWindow/64] &^= 1 << (tok.Seq % 64)
	}
}

// ops appends the writes that make the change durable.
func (c *tokenChanges) ops(dst []Op) []Op {
	if c == nil {
		return dst
	}
	for _, s := range slices.Sorted(maps.Keys(c.sources)) {
		op := Op{Key: sourceKey(s), Value: c.sources[s].append(nil), TTL: keyHours * time.Hour}
		if c.sources[s].hour == keptHour {
			op.TTL = 0
		}
		dst = append(dst, op)
	}
	keys := slices.SortedFunc(maps.Keys(c.keys), func(a, b keyHash) int { return cmp.Compare(string(a[:]), string(b[:])) })
	for _, k := range keys {
		dst = append(dst, Op{Key: append([]byte(prefixKey), k[:]...), Value: binary.BigEndian.AppendUint64(nil, uint64(c.keys[k])), TTL: keyHours * time.Hour})
	}
	return c.linkOps(dst)
}

func (t *tokens) commit(c *tokenChanges) {
	if c == nil {
		return
	}
	t.commitLinks(c)
	maps.Copy(t.sources, c.sources)
	for k, hour := range c.keys {
		t.addKey(k, hour)
	}
}

func (t *tokens) addKey(k keyHash, hour int64) {
	if t.hours[hour] == nil {
		t.hours[hour] = map[keyHash]struct{}{}
	}
	if _, ok := t.hours[hour][k]; !ok {
		t.hours[hour][k] = struct{}{}
		t.keys++
	}
}

func (t *tokens) hasKey(k keyHash) bool {
	for _, set := range t.hours {
		if _, ok := set[k]; ok {
			return true
		}
	}
	return false
}

// expire forgets the sets of hours that ended more than a day ago.
func (t *tokens) expire(nowMs int64) {
	for hour, set := range t.hours {
		if hour <= hourOf(nowMs)-keyHours {
			t.keys -= len(set)
			delete(t.hours, hour)
		}
	}
}

// sweep forgets the sources and chains that nothing came of for a day: 24 hours at least, 25 at most. What is on disk of
// them expires by itself. It looks through all of them once an hour: 20 ms for as many as there may be.
func (t *tokens) sweep(nowMs int64) {
	hour := hourOf(nowMs)
	if hour == t.swept {
		return
	}
	t.swept = hour
	maps.DeleteFunc(t.links, func(_ ChainID, l *chainEnd) bool { return l.hour <= hour-keyHours })
	if mutant.On("sources kept for ever") {
		return
	}
	n := len(t.sources)
	maps.DeleteFunc(t.sources, func(_ string, w *window) bool { return w.hour <= hour-keyHours })
	t.expired += uint64(n - len(t.sources))
}

func hourOf(ms int64) int64 { return ms / time.Hour.Milliseconds() }
