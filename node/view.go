package node

import (
	"errors"
	"time"

	"meshd/crdt"
)

// Select says which series a read is about, and how finely it is split.
type Select struct {
	// Match reports whether a series is wanted; nil wants all. It is called from the core, maybe by several goroutines
	// at once, for every series held: it must be pure, quick, and must not keep or modify its argument.
	Match func(*crdt.Series) bool
	// ByNode also splits rows by node, where the node's own cells are held: the own region at a hub, the own cells at an
	// edge. Rows of other regions keep Node "".
	ByNode bool
	// Labels are the labels that Match, or what is made of the rows, depends on, "*" for all: Totals.Shortfalls is about them.
	Labels []string
	Except []string // that do not matter, though Labels are all
	// Limit bounds the rows of the answer; 0 takes 100,000 (about 100 MB of labels and values at the largest). More
	// is refused with ErrTooMany, never cut short: a total of some of the rows would look like a total.
	Limit int
	// Each, if not nil, is handed the rows, and Totals.Rows stays empty: all of a series one after the other, series in no
	// order. Nothing is kept, so there is no limit. It is called on the core's goroutine until it fails, with an error that is
	// returned as it is. The row's value is what the core holds: it must not be modified, and who wants it for longer than the
	// call takes a Clone. Of many series the rows are not of one instant but of some while, and none is older than the coverage.
	Each func(*Row) error
	// Names are the metrics that are asked for if they are known by name; empty if only Match knows. An edge that holds
	// some series only can then tell whether these are among them.
	Names []string
	// Windows says that the question is about time: Totals.Rollup says how it follows rollup rules, and Totals.Shortfalls what
	// that leaves out.
	Windows bool
	// Bare leaves out the rows: what Match says is for Totals.Shortfalls.
	Bare bool
}

// Totals is the answer of a node for the whole mesh, read at one instant.
type Totals struct {
	Rows     []Row      // sorted by series key, region, node
	Coverage []Coverage // one per region that the node knows, sorted by region
	// Withheld is not empty at an edge that asked its hubs for some series only, if others may be asked for: which it has,
	// for people. Rows of others are left out: they would be its own counts and look like totals.
	Withheld string
	// Shortfalls say what rows of other regions lack because rollup rules keep it there, by region and rule.
	Shortfalls []Shortfall
	// Rollup says how questions about time follow rollup rules, see Select.Windows. It stays the same until something of it changes.
	// nil: no rule says anything, and nothing was dropped.
	Rollup *Rollup
	// Corrections are those that rows are answered with; nil: there are none. It stays the same until something of it changes.
	Corrections *crdt.Corrections
}

// Row is the lifetime value of one series in one region, or on one node of it.
type Row struct {
	Series *crdt.Series // shared and immutable
	Region string
	Node   string // only with Select.ByNode, and only where single nodes are held
	// Value is the caller's own copy, but for Select.Each, and never nil in X for kinds that have a state. Its kind is the series' kind, except
	// that a gauge comes as crdt.KindRollup: the aggregate over the live origins.
	Value crdt.Value
}

// Coverage tells how complete and how old what is held of one region is (promise I13).
type Coverage struct {
	Region        string
	NodesExpected int           // nodes ever seen, not forgotten or removed
	NodesHeard    int           // of these, the ones that are heard now
	CompleteUntil time.Time     // everything written before it is contained; zero = unknown
	Age           time.Duration // between CompleteUntil and the read; meaningless if CompleteUntil is zero
	OldestMissing time.Time     // since when the longest missing node is missing; zero = nothing is missing
	Missing       []string      // names of the first 20 nodes that are missing, sorted
	Lost          uint64        // samples lost at the region's doors before they were counted
	ClocksOff     int           // nodes heard whose wall clock is out of bounds
	Clocks        []ClockOffset // the first 20 of them, sorted by name
}

// ClockOffset is by how much a node's wall clock differs from that of the hub that says so: node minus hub, less by the
// shortest delay between them.
type ClockOffset struct {
	Node   string
	Offset time.Duration
}

// Explanation shows what a total was made from.
type Explanation struct {
	Series     []ExplainedSeries // sorted by series key
	Coverage   []Coverage        // as in Totals
	Withheld   string            // as in Totals
	Shortfalls []Shortfall       // as in Totals
}

// ExplainedSeries is one series with the answer for each region.
type ExplainedSeries struct {
	Series  *crdt.Series // shared and immutable
	Answers []RegionAnswer
}

// RegionAnswer is the value of one series in one region, the rule that gave it, and the cells it was applied to.
type RegionAnswer struct {
	Region string
	Value  crdt.Value // the caller's own copy
	Rule   string     // for people: "sum of raw cells", "max over hub entries", "own cells and pairs"
	Inputs []Input
}

// Input is one cell that a rule looked at.
type Input struct {
	Origin  crdt.Origin
	Seq     uint64     // of the cell's last change
	Covered uint64     // of the origin's lifetime stream: up to here everything it wrote is held
	Value   crdt.Value // the caller's own copy
	Note    string     // for people: "live", "cold: inside the running sum", ...; may be empty
}

// Status is what a node says about itself.
type Status struct {
	Mesh, Region, Node string
	Role               string // "hub" or "edge"
	Version            string
	Incarnation        string // 32 hexadecimal digits; empty before the first commit
	Started            time.Time
	Series             int    // series with a live cell here
	Origins            int    // live origins in memory
	Cold               int    // cold incarnations, on disk only
	Head               uint64 // seq of the node's own last change
	Committed          uint64 // up to here the node's own changes are on disk
	Config             ConfigStatus
	Peers              []PeerStatus
	Disk               DiskStatus
	Quarantine         []QuarantinedOrigin
	Line               LineStatus
	Archive            ArchiveStatus
	Events             EventsStatus
	Counters           map[string]uint64 // refusals and losses by reason, as in the metrics
}

// ConfigStatus tells which configuration of the mesh a node has.
type ConfigStatus struct {
	Version uint64 // 0: the mesh was never configured
	Author  string // region/node
	Made    time.Time
	Unread  bool // made by a later version of meshd: kept and passed on, not applied
}

// PeerStatus is what a node knows of one neighbour.
type PeerStatus struct {
	Region, Node, Role, Addr string
	Up                       bool      // a session is open
	Since                    time.Time // of the last change of Up
	RTT                      time.Duration
	ClockOffset              time.Duration // the peer's wall clock minus ours
	SentFrames, RecvFrames   uint64        // since the process started
	Behind                   uint64        // seqs of our own that the peer has not confirmed
	Config                   uint64        // version of its mesh configuration, as it said last
}

// DiskStatus is the state of the data directory.
type DiskStatus struct {
	Full         bool   // the reserve is reached: writes are refused, reads and gossip go on
	FreeBytes    uint64 // on the file system
	ReserveBytes uint64 // kept free
	LogBytes     uint64 // used by the store
}

// ErrForked ends a process that is not the only one of its incarnation: the machine was resumed twice from one snapshot of
// its memory. What the copies count from then on is joined, never added, so some of it is lost.
var ErrForked = errors.New("another process writes under this incarnation: this machine is a copy of a running one; start it again, as a node of its own if both shall live")

// ErrNotHeld refuses a read of series that an edge asked its hubs not to send: what it has of them are its own counts.
var ErrNotHeld = errors.New("this edge does not hold it")

// ErrMoved refuses a read of very many series during which it changed which versions of metrics count.
var ErrMoved = errors.New("rollup rules took effect during the read: ask again")

// ErrTooMany refuses a read whose answer would exceed Select.Limit.
var ErrTooMany = errors.New("too many rows: narrow the selection")
