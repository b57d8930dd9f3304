package node

import (
	"fmt"

	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// On a line that is paid for by the byte both ends keep the last frame of each origin that a session carried, and the next
// is told by what its amounts gained since. The session is ordered and loses nothing, so both have the same one; a sum over
// what is meant makes sure. What is joined, kept and relayed is the frame that was meant.

// told returns a frame as the message that the peer takes: by the one before, if that is shorter.
func (c *Core) told(s *session, st *outStream, b *builtFrame) []byte {
	d := sinceBase(s, st, b)
	if d == nil {
		return b.msg
	}
	if d.msg == nil {
		d.msg = encodeMessage(&wire.Delta{Frame: d.raw, Sum: b.frame.Sum()})
	}
	if len(d.msg) >= len(b.msg) {
		return b.msg
	}
	return d.msg
}

// tellPush does the same to a Push.
func (c *Core) tellPush(s *session, st *outStream, b *builtFrame, m *wire.Push) {
	if d := sinceBase(s, st, b); d != nil && len(d.raw) < len(b.raw) {
		m.Frame, m.Told = d.raw, 1+uint64(b.frame.Sum())
	}
}

// sinceBase returns a frame as what its amounts gained since the one before it, nil if it is to be sent as it is. Peers that
// are flushed together mostly got the same one before.
func sinceBase(s *session, st *outStream, b *builtFrame) *builtFrame {
	if st.base == nil || !s.line.peer.Deltas {
		return nil
	}
	if b.base != st.base {
		b.base, b.since = st.base, nil
		if f := b.frame.Since(st.base); f != nil {
			raw, err := wire.AppendFrame(nil, f)
			if err != nil {
				panic(fmt.Sprintf("node: what a frame of %s gained does not encode: %v", f.Origin, err))
			}
			b.since = &builtFrame{frame: f, raw: raw}
		}
	}
	return b.since
}

// keepBase keeps a lifetime frame that came, in case the next of its origin is told by it. Frames of windows go their own way
// beside them.
func (s *session) keepBase(f *wire.Frame) {
	if s.line.bases == nil || f.Stream != crdt.StreamLifetime {
		return
	}
	delete(s.line.bases, f.Origin)
	if f.MayBeBase() {
		s.line.bases[f.Origin] = f
	}
}

// whole turns a frame that was told by the one before into the one that is meant, and reports whether that is possible.
func (s *session) whole(f *wire.Frame, sum uint32) bool {
	if mutant.On("gains taken for amounts") {
		return true
	}
	return f.Atop(s.line.bases[f.Origin], sum) == nil
}

// gotDelta takes a frame that was told by the one before. One that cannot be put together ends the session: the next one
// begins with whole frames.
func (c *Core) gotDelta(s *session, f *wire.Frame, sum uint32) {
	if !s.whole(f, sum) {
		c.malformed(s.id)
		return
	}
	s.keepBase(f)
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		c.malformed(s.id)
		return
	}
	c.gotFrame(s, f, raw)
}
