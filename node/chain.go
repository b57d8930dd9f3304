package node

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"meshd/internal/mutant"
)

// ErrChain says that a batch does not follow what this node has of its chain: nothing of it was counted now. Whether it was
// before is not known, for the chain is forgotten, or of a disk that was lost or set back.
var ErrChain = errors.New("batch does not follow what this node has of its client's session: open another session")

// ChainID names the batches that one client sends one node, one after another: 128 random bits.
type ChainID [16]byte

// ChainOp is what a batch does to its chain.
type ChainOp uint8

// The operations.
const (
	ChainCount ChainOp = iota // counts the batch's items as link Seq, behind link Prev
	ChainOpen                 // begins the chain; the batch has no items
	ChainClose                // forgets it, now that all its links are answered; the batch has no items
)

// Chain is the place of a batch in a chain: a link counts whole and once, in one commit with the node's memory of it. A client
// sends a link only when the one before it was answered, and sends it again as it was until it is: a link that is the
// last one here is a duplicate. What does not follow the last one is ErrChain, so a node that has
// forgotten never counts anything again.
type Chain struct {
	ID        ChainID
	Op        ChainOp
	Prev, Seq uint64 // of the link before, 0: none; of this one, above Prev
}

// chainEnd is the last link of a chain that counted, and the hour in which it did.
type chainEnd struct {
	seq  uint64
	hour int64
}

// linkBytes is what one takes on disk.
const linkBytes = 16

// follow finds the place of a batch in its chain and takes it. Its batch is counted unless it is a duplicate or refused, by
// an error that wraps ErrChain or ErrTokens.
func (c *tokenChanges) follow(in *Chain, nowMs int64) (duplicate bool, err error) {
	last, known := c.link(in.ID)
	switch {
	case in.Op == ChainClose:
		if known {
			c.links[in.ID] = nil
		}
		return false, nil
	case in.Op == ChainOpen && known:
		return false, fmt.Errorf("node: %w: it is open", ErrChain)
	case in.Op == ChainOpen:
		if len(c.t.links)+len(c.links) >= c.t.limits.Chains {
			return false, fmt.Errorf("node: %w: %d sessions of clients", ErrTokens, c.t.limits.Chains)
		}
		c.links[in.ID] = &chainEnd{hour: hourOf(nowMs)}
		return false, nil
	case in.Seq <= in.Prev:
		return false, fmt.Errorf("node: %w: link %d behind link %d", ErrChain, in.Seq, in.Prev)
	case known && in.Seq == last.seq && !mutant.On("last link counted again"):
		return true, nil
	case !known && !mutant.On("forgotten chain begins again"):
		return false, fmt.Errorf("node: %w: it is not known", ErrChain)
	case known && in.Prev != last.seq && in.Seq != last.seq:
		return false, fmt.Errorf("node: %w: link %d behind %d, the last one here is %d", ErrChain, in.Seq, in.Prev, last.seq)
	}
	c.links[in.ID] = &chainEnd{seq: in.Seq, hour: hourOf(nowMs)}
	return false, nil
}

// link returns the last link of a chain, that of this commit included.
func (c *tokenChanges) link(id ChainID) (chainEnd, bool) {
	l, ok := c.links[id]
	if !ok {
		l, ok = c.t.links[id]
	}
	if !ok || l == nil {
		return chainEnd{}, false
	}
	return *l, true
}

// linkOps appends the writes that make the changes of chains durable.
func (c *tokenChanges) linkOps(dst []Op) []Op {
	ids := slices.SortedFunc(maps.Keys(c.links), func(a, b ChainID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		key := append([]byte(prefixChain), id[:]...)
		l := c.links[id]
		if l == nil {
			dst = append(dst, Op{Key: key, Delete: true})
			continue
		}
		value := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, l.seq), uint64(l.hour))
		dst = append(dst, Op{Key: key, Value: value, TTL: keyHours * time.Hour})
	}
	return dst
}

// commitLinks applies what is on disk now.
func (t *tokens) commitLinks(c *tokenChanges) {
	for id, l := range c.links {
		if l == nil {
			delete(t.links, id)
		} else {
			t.links[id] = l
		}
	}
}

// recoverLink takes a chain from disk.
func (t *tokens) recoverLink(key, value []byte) error {
	if len(key) != len(prefixChain)+len(ChainID{}) || len(value) != linkBytes {
		return fmt.Errorf("record of a client's session of %d and %d bytes", len(key), len(value))
	}
	t.links[ChainID(key[len(prefixChain):])] = &chainEnd{
		seq: binary.BigEndian.Uint64(value), hour: int64(binary.BigEndian.Uint64(value[8:])),
	}
	return nil
}

// defaultChains is how many chains are remembered: 100 MB, and for a day eleven processes a second that end without closing
// theirs.
const defaultChains = 1_000_000

func (l *Limits) chainDefaults() { l.Chains = cmp.Or(l.Chains, defaultChains) }

// follow adds a batch unless it is a link of a chain that counted before.
func (b *builder) follow(batch *Batch, tc *tokenChanges) (Result, error) {
	if batch.Chain == nil {
		return b.add(batch, tc), nil
	}
	duplicate, err := tc.follow(batch.Chain, b.c.wall)
	switch {
	case err != nil:
		return Result{}, err
	case duplicate:
		b.added = append(b.added, addedBatch{batch: batch})
		return Result{Duplicates: len(batch.Items)}, nil
	}
	return b.add(batch, tc), nil
}

// refuseChain answers a batch that does not follow.
func (c *Core) refuseChain(s *Submit, err error) {
	if errors.Is(err, ErrTokens) {
		c.Counts.Overfull++
	} else {
		c.Counts.Unchained++
	}
	c.hubWaits.refused(s.Batch)
	c.out.Replies = append(c.out.Replies, Reply{ID: s.ID, Result: Result{Err: err}})
}
