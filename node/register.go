package node

import (
	"maps"
	"slices"

	"meshd/internal/wire"
)

// register is what operators ordered of one sort, as records that are joined: of all records about one thing the one with the highest
// number counts, wherever they meet. A record counts once it is on disk, is told on when it does, and to every peer whose session
// begins (ADR 16).
type register[R any] struct {
	orders[R]
	all     map[string]R // on disk, by what they are about
	waiting []waitingOrder[R]
	retry   int64
}

// orders is what tells one sort of orders from others.
type orders[R any] struct {
	most    int    // things that there may be records about
	prefix  string // of their keys on disk
	about   func(*R) string
	number  func(*R) uint64 // from 1
	disk    func(about string) (key []byte)
	message func([]R) wire.Message
	records func(wire.Message) []R // what message was made of
	toEdges bool
	count   func(R) // makes a record count, which is the highest
}

type waitingOrder[R any] struct {
	record R
	id     uint64 // of the event that asked for it; 0: nobody waits
}

func newRegister[R any](o orders[R]) *register[R] {
	return &register[R]{orders: o, all: map[string]R{}}
}

// highest returns the number of the record that counts of a thing, 0 if there is none.
func (r *register[R]) highest(about string) uint64 {
	if known, ok := r.all[about]; ok {
		return r.number(&known)
	}
	return 0
}

// room reports whether one more record, about a thing, may wait for the disk.
func (r *register[R]) room(about string) bool {
	return len(r.waiting) < r.most && (r.highest(about) != 0 || len(r.all)+len(r.waiting) < r.most)
}

// order lets a record wait for the disk, and the asker of id, if it is not 0, with it.
func (r *register[R]) order(record R, id uint64) {
	r.waiting = append(r.waiting, waitingOrder[R]{record, id})
}

// got takes what a hub told.
func (r *register[R]) got(m wire.Message) {
	for _, record := range r.records(m) {
		if about := r.about(&record); r.number(&record) > r.highest(about) && r.room(about) {
			r.order(record, 0)
		}
	}
}

// take lets a record count that is on disk, and reports whether that is news.
func (r *register[R]) take(record R) bool {
	about := r.about(&record)
	if r.number(&record) <= r.highest(about) {
		return false
	}
	r.all[about] = record
	r.count(record)
	return true
}

// startOrders writes the records that wait. It reports whether there were any.
func startOrders[R any](c *Core, r *register[R]) bool {
	if len(r.waiting) == 0 || c.now < r.retry {
		return false
	}
	done := r.waiting
	r.waiting, r.retry = nil, 0
	var ops []Op
	var replies []Reply
	for i := range done {
		record := &done[i].record
		ops = append(ops, Op{Key: r.disk(r.about(record)), Value: encodeMessage(r.message([]R{*record}))})
		if done[i].id != 0 {
			replies = append(replies, Reply{ID: done[i].id})
		}
	}
	c.persistCheckpoint(ops, func() {
		var news []R
		for i := range done {
			if r.take(done[i].record) {
				news = append(news, done[i].record)
			}
		}
		c.out.Replies = append(c.out.Replies, replies...)
		for _, s := range c.order {
			if len(news) > 0 {
				r.tell(c, s, news)
			}
		}
	})
	c.pending.replies = replies // that it failed, should it: who asked tries again
	c.pending.failed = func() {
		for _, w := range done {
			if w.id == 0 {
				r.waiting = append(r.waiting, w)
			}
		}
		r.retry = c.now + c.cfg.Retry
	}
	return true
}

// tell tells a peer records. Only hubs tell any.
func (r *register[R]) tell(c *Core, s *session, records []R) {
	if c.hub != nil && (r.toEdges || s.peer.Role == RoleHub) {
		c.send(s, r.message(records))
	}
}

// tellAll tells a peer all records: a session begins.
func (r *register[R]) tellAll(c *Core, s *session) {
	if len(r.all) == 0 {
		return
	}
	var records []R
	for _, about := range slices.Sorted(maps.Keys(r.all)) {
		records = append(records, r.all[about])
	}
	r.tell(c, s, records)
}

// read reads the records from disk.
func (r *register[R]) read(from Reader) error {
	return from.Scan([]byte(r.prefix), func(_, value []byte) error {
		m, err := wire.ParseMessage(value)
		if err != nil {
			return err
		}
		for _, record := range r.records(m) {
			r.take(record)
		}
		return nil
	})
}
