package node

import (
	"meshd/crdt"
	"meshd/internal/mutant"
	"meshd/internal/wire"
)

// On a line that is paid for by the byte both ends keep the last frame of each origin that a session carried, and the next
// is told by what its amounts gained since. The session is ordered and loses nothing, so both have the same one, and name it by
// how many frames of cells it is back; a sum over what is meant makes sure. What is joined, kept and relayed is the frame that
// was meant.

// toldFrame is a frame as it is told by a base.
type toldFrame struct {
	base  *wire.Base
	gains []byte // nil: it cannot be
	sum   uint32
}

// outBase is the last frame of an origin that went along a session, and which of all its frames of cells that was.
type outBase struct {
	*wire.Base
	at uint64
}

// inBases are the frames that a peer may tell the next ones by, by their place among all frames of cells that it sent.
type inBases struct {
	came uint64
	at   map[uint64]*wire.Base
	last map[crdt.Origin]uint64
}

// keepBases begins to keep what comes.
func (l *line) keepBases() {
	if l.in.at == nil {
		l.in.at, l.in.last = map[uint64]*wire.Base{}, map[crdt.Origin]uint64{}
	}
}

// keep takes note of a frame of lifetime cells that came, with its pairs, in case the next of its origin is told by it.
func (b *inBases) keep(f *wire.Frame, yours []wire.Yours) {
	if b.at == nil || f.Stream != crdt.StreamLifetime {
		return
	}
	b.came++
	b.forget(b.came - min(b.came, wire.MaxBack))
	b.forget(b.last[f.Origin])
	if base := wire.NewBase(f, yours); base != nil {
		b.at[b.came], b.last[f.Origin] = base, b.came
	}
}

// forget lets go of a frame that nobody tells another one by any more.
func (b *inBases) forget(at uint64) {
	if base := b.at[at]; base != nil {
		delete(b.at, at)
		delete(b.last, base.Frame.Origin)
	}
}

// back returns the frame that the next one names, nil if it is not kept.
func (b *inBases) back(n uint32) *wire.Base {
	base := b.at[b.came+1-uint64(n)]
	if base != nil && mutant.On("gains taken for amounts") {
		f := *base.Frame
		f.Cells = nil
		return &wire.Base{Frame: &f, Yours: base.Yours}
	}
	return base
}

// meant reports whether what was put together is what the peer meant.
func meant(f *wire.Frame, yours []wire.Yours, sum uint32) bool {
	return f.Sum(yours) == sum || mutant.On("what was meant is not compared") ||
		mutant.On("gains taken for amounts") || mutant.On("gained pairs taken for pairs")
}

// sentBase takes note of a frame that goes along a session.
func (s *session) sentBase(st *outStream, f *wire.Frame, yours []wire.Yours, bulk bool) {
	st.base = outBase{}
	s.line.sent++
	s.line.beside = s.line.beside || bulk
	if s.line.peer.Deltas && !s.line.beside {
		st.base = outBase{wire.NewBase(f, yours), s.line.sent}
	}
}

// back returns by how many frames the base of the next frame is back; 0: there is none, or the peer does not keep it.
func (s *session) back(st *outStream) uint32 {
	n := s.line.sent + 1 - st.base.at
	if st.base.Base == nil || !s.line.peer.Deltas || s.line.beside || n > wire.MaxBack {
		return 0
	}
	return uint32(n)
}

// told returns a frame as the message that the peer takes: by the one before, if that is shorter.
func (c *Core) told(s *session, st *outStream, b *builtFrame) []byte {
	back := s.back(st)
	if back == 0 || b.toldBy(st.base.Base).gains == nil {
		return b.msg
	}
	msg := encodeMessage(&wire.Delta{Back: back, Gains: b.told.gains, Sum: b.told.sum})
	if len(msg) >= len(b.msg) {
		return b.msg
	}
	return msg
}

// tellPush does the same to a Push.
func (c *Core) tellPush(s *session, st *outStream, b *builtFrame, m *wire.Push) {
	back := s.back(st)
	if back == 0 || len(b.toldBy(st.base.Base).gains) >= len(b.raw) || b.told.gains == nil {
		return
	}
	if yours, ok := st.base.PairsSince(b.frame, m.Yours); ok {
		m.Back, m.Frame, m.Sum, m.Yours = back, b.told.gains, b.frame.Sum(m.Yours), yours
	}
}

// toldBy returns a frame told by another one. Peers that are flushed together mostly got the same one before, with other pairs.
func (b *builtFrame) toldBy(base *wire.Base) *toldFrame {
	if b.told.base == nil || b.told.base.Frame != base.Frame {
		b.told = toldFrame{base: base, sum: b.frame.Sum(nil)}
		if gains, ok := base.AppendGains(nil, b.frame); ok {
			b.told.gains = gains
		}
	}
	return &b.told
}

// gotFrameMsg takes a frame that came whole.
func (c *Core) gotFrameMsg(s *session, f *wire.Frame, raw []byte) {
	s.line.in.keep(f, nil)
	c.gotFrame(s, f, raw)
}

// gotDelta takes a frame that was told by the one before. One that cannot be put together ends the session: the next one
// begins with whole frames.
func (c *Core) gotDelta(s *session, m *wire.Delta) {
	base := s.line.in.back(m.Back)
	if base == nil {
		c.malformed(s.id)
		return
	}
	f, err := base.ParseGains(m.Gains)
	if err != nil || !meant(f, nil, m.Sum) {
		c.malformed(s.id)
		return
	}
	raw, err := wire.AppendFrame(nil, f)
	if err != nil {
		c.malformed(s.id)
		return
	}
	c.gotFrameMsg(s, f, raw)
}

// gotPushMsg takes a push with the frame in it, nil if it is told by one before.
func (c *Core) gotPushMsg(s *session, f *wire.Frame, m *wire.Push) {
	yours := m.Yours
	if m.Back != 0 {
		base := s.line.in.back(m.Back)
		if base == nil {
			c.malformed(s.id)
			return
		}
		var err error
		if f, err = base.ParseGains(m.Frame); err == nil && !mutant.On("gained pairs taken for pairs") {
			yours, err = base.PairsAtop(f, m.Yours)
		}
		if err != nil || !meant(f, yours, m.Sum) {
			c.malformed(s.id)
			return
		}
	}
	s.line.in.keep(f, yours)
	c.gotPush(s, f, yours)
}
