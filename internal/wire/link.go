package wire

// Link tells the other end of a session what the sender's line bears. It holds until the next one; before the first,
// everything is sent at the receiver's own pace. Ignoring it costs bytes and nothing else.
type Link struct {
	IntervalMs uint32   // the least time between two flushes; the sender keeps to it itself
	Feed       Feed     // which series a hub sends to the sender
	Patterns   []string // with FeedSome: names, in the form of package glob
	Deltas     bool     // the sender keeps the last frame of each origin: the next one may be told by it
}

// Feed says which series an edge wants from a hub. The bytes are on the wire.
type Feed uint8

// The feeds.
const (
	FeedAll  Feed = 0
	FeedSome Feed = 1
	FeedNone Feed = 2
)

const linkFields = 4

func (m *Link) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.array(linkFields)
	w.uint(uint64(m.IntervalMs))
	w.uint(uint64(m.Feed))
	if m.Feed > FeedNone || (m.Feed == FeedSome) != (len(m.Patterns) > 0) {
		w.fail(ErrInvalid, "feed %d with %d patterns", m.Feed, len(m.Patterns))
	}
	w.limit("patterns", len(m.Patterns), MaxPatterns)
	w.array(len(m.Patterns))
	for _, p := range m.Patterns {
		w.limit("pattern", len(p), MaxPatternBytes)
		w.string(p)
	}
	w.bool(m.Deltas)
	return w.done()
}

func parseLink(b []byte) (*Link, error) {
	var m Link
	r := newReader(b)
	extra := r.array(linkFields)
	m.IntervalMs = r.uint32("interval")
	feed := r.uint()
	m.Feed = Feed(min(feed, uint64(FeedNone)+1))
	if n := r.list("patterns", MaxPatterns, 1); n > 0 {
		m.Patterns = make([]string, n)
	}
	for i := range m.Patterns {
		m.Patterns[i] = r.text("pattern", MaxPatternBytes)
	}
	m.Deltas = r.bool()
	r.skip(extra)
	if r.err == nil && (m.Feed > FeedNone || (m.Feed == FeedSome) != (len(m.Patterns) > 0)) {
		r.fail(ErrInvalid, "feed %d with %d patterns", feed, len(m.Patterns))
	}
	return &m, r.end()
}
