package node

import (
	"time"

	"meshd/crdt"
	"meshd/internal/wire"
)

// Time is the node's two clocks in milliseconds. Mono never goes back and never jumps; timers run by it, and what
// happened when is kept in it. Wall, since the Unix epoch, is what people and other nodes mean by a time; it may jump
// either way and then moves nothing but what is said of times.
type Time struct{ Mono, Wall int64 }

// Event is one input for the core.
type Event interface{ event() }

// Tick lets time pass.
type Tick struct{}

// PeerUp announces an authenticated session. IDs are never reused.
type PeerUp struct {
	ID   uint64
	Peer PeerInfo
}

// PeerDown ends a session.
type PeerDown struct{ ID uint64 }

// Received is one message of a session, decoded by Decode.
type Received struct {
	ID  uint64
	Msg Decoded
}

// Malformed reports a message that did not parse.
type Malformed struct{ ID uint64 }

// Submit asks to count a batch. The answer is a Reply with the same ID.
type Submit struct {
	ID    uint64
	Batch *Batch
}

// Persisted answers a Persist: its operations are synced, or Err says why none of them took effect.
type Persisted struct {
	Token uint64
	Err   error
}

// Loaded answers a Load with the snapshot of a cold origin.
type Loaded struct {
	Origin   crdt.Origin
	Snapshot []*wire.Frame
	Err      error
}

func (Tick) event()      {}
func (PeerUp) event()    {}
func (PeerDown) event()  {}
func (Received) event()  {}
func (Malformed) event() {}
func (Submit) event()    {}
func (Persisted) event() {}
func (Loaded) event()    {}

// Role says what a process does in its region.
type Role string

// The roles.
const (
	RoleHub  Role = "hub"
	RoleEdge Role = "edge"
)

// PeerInfo is who is at the other end of a session, as its certificate says.
type PeerInfo struct {
	Region, Node string
	Role         Role
	Inc          crdt.Incarnation
	RTT          int64 // round trip time in milliseconds when the session came up; 0 if unknown
}

// Output is what a Step wants done. The caller owns it and passes it again to be reset and reused.
type Output struct {
	Sends   []Send
	Persist *Persist
	Replies []Reply
	Loads   []crdt.Origin

	WindowReads []WindowRead
	FrameReads  []FrameRead
	OldFrames   []OldFramesRead
	Published   []Published // in the order of tags
	Close       []CloseSession
	Fatal       error // the process must end, and answer nobody any more: it may start again, as another incarnation
	Wake        int64 // the next Tick is wanted at this Mono

	// Room says what the transport takes for a session and class. The caller sets it once; nil: all there is.
	Room func(peer uint64, bulk bool) Room
	// Full reports whether the history takes no more windows before it has written some. The caller sets it once; nil: it always does.
	Full func() bool
}

// Idle reports whether nothing is wanted but to be woken.
func (o *Output) Idle() bool {
	return len(o.Sends) == 0 && o.Persist == nil && len(o.Replies) == 0 && len(o.Loads) == 0 && len(o.WindowReads) == 0 && len(o.FrameReads) == 0 &&
		len(o.OldFrames) == 0 && len(o.Published) == 0 && len(o.Close) == 0 && o.Fatal == nil
}

func (o *Output) reset() {
	*o = Output{
		Sends: o.Sends[:0], Replies: o.Replies[:0], Loads: o.Loads[:0], Close: o.Close[:0], Room: o.Room, Full: o.Full,
		WindowReads: o.WindowReads[:0], FrameReads: o.FrameReads[:0], OldFrames: o.OldFrames[:0], Published: o.Published[:0],
	}
}

// Send is a message for a session. Bulk messages need no order among the others. Several sends may share one Msg: it
// must not be changed.
type Send struct {
	Peer uint64
	Bulk bool
	Msg  []byte
}

// Persist asks to write Ops atomically and synced, and to answer with Persisted. At most one is outstanding.
type Persist struct {
	Token uint64
	Ops   []Op
}

// Op is one write of a Persist.
type Op struct {
	Key, Value []byte
	TTL        time.Duration // 0 = kept
	Delete     bool
}

// Reply answers a Submit.
type Reply struct {
	ID     uint64
	Result Result

	ackHub int64 // see Batch
}

// CloseSession asks to end a session and why.
type CloseSession struct {
	Peer   uint64
	Reason string
}

// Decoded is a session message with the frame it carries, if any, parsed. Decoding is pure and may run on any
// goroutine.
type Decoded struct {
	Msg   wire.Message
	Frame *wire.Frame // of FrameMsg, and of a Push that is not told by one before: what that means knows its session
}

// Append appends the message, as Decode reads it.
func (d *Decoded) Append(dst []byte) ([]byte, error) { return wire.AppendMessage(dst, d.Msg) }

// Decode parses a session message. Its frames keep no reference to b except FrameMsg.Raw.
func Decode(b []byte) (Decoded, error) {
	m, err := wire.ParseMessage(b)
	if err != nil {
		return Decoded{}, err
	}
	d := Decoded{Msg: m}
	switch m := m.(type) {
	case *wire.FrameMsg:
		d.Frame, err = wire.ParseFrame(m.Raw)
	case *wire.Push:
		if m.Back == 0 {
			d.Frame, err = wire.ParseFrame(m.Frame)
		}
	}
	return d, err
}
