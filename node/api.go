package node

import (
	"errors"

	"meshd/crdt"
)

// Item is one thing to count: an increment of one series, with the token that makes a retry harmless.
type Item struct {
	Series *crdt.Series // shared, never modified after Submit
	Inc    crdt.Value   // increment: amount, samples, gauge setting, dots; Kind equals Series.Kind
	Token  Token
	At     int64 // when it happened, in milliseconds since the Unix epoch; 0: a gauge's or sample's own time, or when it is committed

	// Raw, if not nil, is the series as it was received: the event is kept as it was, beside what it counts, see
	// CoreConfig.EventBytes. Then Series may be nil: a rule dropped it, and it counts nothing.
	Raw *crdt.Series
}

// Token identifies an item across retries at this node. The zero Token is not deduplicated.
type Token struct {
	Source string // with Seq: a client's numbered stream
	Seq    uint64 // from 1, per Source
	Key    string // or: an idempotency key
	Kept   bool   // the source is never forgotten: an input of the node's own, whose position may lie still for longer than sources are remembered
}

// Zero reports whether there is nothing to deduplicate by.
func (t Token) Zero() bool { return t.Seq == 0 && t.Key == "" }

// Batch is what one request, or 100 ms of packets, wants counted: all in one commit.
type Batch struct {
	Items []Item
	Lost  uint64 // samples lost at the door since the last batch, for coverage
	// AckHub, if not 0, makes the answer wait for the word of a hub of the region that the batch is on its disk, at most
	// so many milliseconds: see ErrUnconfirmed. A hub's own disk is a hub's.
	AckHub int64
	Chain  *Chain // nil: none; see there

	// Share lets the node put its own copy of an item's series, which nobody ever modifies, in the place of the equal one that came:
	// who counts on it again and again need not hold another. What is rejected stays.
	Share bool

	// Corrects says that the items are differences of a correction, on sides of series: nobody else may count on those.
	Corrects bool
}

// Result tells what became of a batch, once it is on disk.
type Result struct {
	Accepted   int
	Duplicates int
	Rejected   []Rejection
	Ahead      int   // of a Replay: frames beyond a gap, of which cells may be left out until what is before them comes
	Err        error // not nil: nothing of the batch was counted (ErrFull, ErrBusy, ErrClosed), but for ErrUnconfirmed
}

// Rejection is one item that was not counted.
type Rejection struct {
	Index int // into Batch.Items
	Err   error
}

// Errors a caller of Submit branches on.
var (
	// ErrUnconfirmed comes with a Result that is otherwise that of an accepted batch: it is counted, and will travel.
	ErrUnconfirmed = errors.New("on this node's disk, and no hub has confirmed it in time: it is counted, and travels by itself")

	ErrFull   = errors.New("disk reserve reached: free space on the data directory's disk, or move it to a larger one")
	ErrBusy   = errors.New("too many writes wait for the disk: retry later")
	ErrClosed = errors.New("node is shutting down")
	ErrTokens = errors.New("too many idempotency keys or sources remembered: retry later")
	ErrSeries = errors.New("series limit of this node reached")
)

// Limits of one node and their derivations. Zero fields take the default.
type Limits struct {
	Series  int // live series of the node's own; default 100,000 (about 60 MB of cells and names)
	Keys    int // idempotency keys remembered; default 1,000,000 for 24 h (48 MB)
	Sources int // client sources remembered; default 100,000 (600 B each)
	Chains  int // sessions of clients remembered, until a day after their last batch; default 1,000,000 (100 MB)
	Windows int // open windows, over all series and widths; default 600,000 (90 MB)
	Waiting int // items waiting for a commit; default 1,000,000
	Named   int // incarnations of its own that a node names to its hubs, the live one among them; default and at most 4,096, see wire.MaxHeads
}
