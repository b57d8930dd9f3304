package node

import (
	"cmp"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// CoreConfig is what a core is told at its start. Times are milliseconds.
type CoreConfig struct {
	Region, Node string
	Role         Role
	Inc          crdt.Incarnation // drawn for this process
	Nonce        [16]byte         // drawn for this process
	Limits       Limits

	Flush       int64 // between two flushes to a peer; 0 = 100. Less is fresher and costs more packets
	AntiEntropy int64 // between two comparisons with a peer; 0 = by Flush, see paceOf
	Beat        int64 // an idle session says so this often; 0 = by Flush, see paceOf. Coverage is no fresher than this
	Silence     int64 // a node not complete for this long is missing; 0 = 10,000
	LogBytes    int64 // log kept before a checkpoint; 0 = 8 MiB. More is less writing and a longer recovery
	ColdAfter   int64 // an incarnation without session or change goes cold; 0 = 300,000
	ForgetAfter int64 // a cold incarnation that changed last so long ago may be forgotten; 0 = 30 days, less than 0 = never
	ForgetAlone bool  // also by a hub that knows of no other hub of its region
	CatchUp     int   // bytes that one step sends to peers that lack much; 0 = 4 MiB. More is longer steps and fewer of them
	Retry       int64 // frames unacknowledged for this long are sent again; 0 = by Flush, see paceOf: the peer's disk may be full
	FrameBytes  int   // size that frames to peers aim for; 0 = wire.TargetFrameBytes. Simulations make it small
	Window      int64 // width of fine windows, see crdt.FineWidth; 0: no windows are kept
	Publish     int   // windows that one persist publishes; 0 = 16,384: some 200 KB, and a tenth of a second in which nothing is counted. Simulations make it small
	Inflight    int   // bytes of frames to one peer that may be unacknowledged; 0 = 2 MiB. Simulations make it small

	Downlink     []string // at an edge: patterns of the series that hubs send it; nil = all, not nil and empty = none
	OneFeed      bool     // at an edge: one home hub sends, the others only take. Half the bytes, and a later failover of reads
	EventBytes   int64    // bytes of raw events that wait at most for somebody to copy them, see EventsTaken; 0 = none are kept
	ArchiveBytes int64    // at a hub: bytes of its log that wait at most for somebody to archive them, see Archived; 0 = nobody does

	Budget Budget // at an edge: bytes that its line may carry
}

func (c *CoreConfig) defaults() {
	c.Flush = cmp.Or(c.Flush, usualInterval)
	p := paceOf(c.Flush)
	c.AntiEntropy = cmp.Or(c.AntiEntropy, p.compare)
	c.Beat = cmp.Or(c.Beat, p.beat)
	c.Retry = cmp.Or(c.Retry, p.retry)
	c.Silence = cmp.Or(c.Silence, 10_000)
	c.LogBytes = cmp.Or(c.LogBytes, 8<<20)
	c.ColdAfter = cmp.Or(c.ColdAfter, 300_000)
	c.ForgetAfter = cmp.Or(c.ForgetAfter, 30*24*3600*1000)
	c.CatchUp = cmp.Or(c.CatchUp, 4<<20)
	c.FrameBytes = cmp.Or(c.FrameBytes, wire.TargetFrameBytes)
	c.Publish = cmp.Or(c.Publish, usualPublish)
	c.Inflight = cmp.Or(c.Inflight, defaultInflight)
	c.Limits.defaults()
}

// Core is the state machine of one node. It is not safe for concurrent use.
type Core struct {
	cfg    CoreConfig
	now    int64 // monotonic: all times in the core are
	wall   int64
	out    *Output
	clock  crdt.HLClock
	cat    *reconcile.Catalog
	tokens *tokens
	own    crdt.Origin
	live   *reconcile.Replica // cells of own

	mine        []*reconcile.Replica // an edge's copies of its incarnations, the live one last
	slots       *reconcile.Slots     // an edge's own region, from its hubs
	views       *reconcile.Views     // an edge's other regions
	hub         *hubState            // nil at an edge
	stated      statements           // coverage as hubs state it
	drops       drops
	corrections corrections
	replays     replays
	config      meshConfig
	win         *windows // nil: no windows are kept
	scopes      scopes

	sessions map[uint64]*session
	order    []*session
	feed     uint64            // an edge's session that sends what it reads
	downlink *reconcile.Filter // what an edge is sent; nil: all
	patience int64             // by how much longer hubs may be silent than on a lan
	budget   budget
	hubs     map[crdt.Incarnation]int // sessions with processes of hubs
	queue    queue
	tallies  tallies // of the commit that is built
	pending  *pending
	disk     diskLog
	raw      rawEvents

	hubWaits    hubWaits
	quarantined map[crdt.Origin]*quarantine
	nextAE      int64
	wakeAt      int64
	epoch       uint64                   // grows when something changed that a peer may lack
	built       map[frameKey]*builtFrame // by this step
	beats       []*statement             // of this step
	step        uint64                   // number of this step
	stepBytes   int                      // sent in it, with what messages cost beside their bytes
	Counts      Counters
}

// hubState is what only hubs hold.
type hubState struct {
	region   *reconcile.Region
	entries  *reconcile.Entries
	watch    *reconcile.Watch
	floor    *reconcile.Floor
	export   *reconcile.Export // the totals for other regions; nil: the same as for its own
	feed     *reconcile.Export // the totals for edges; nil: the same as for hubs
	fed      uint32            // number under which it was begun
	exports  uint32            // how often it was begun anew
	cold     coldStore
	aged     map[crdt.Origin]uint64 // cursors at the comparison before: what a peer lacks of it, it lacks for long
	removals *register[wire.Removal]
	counted  map[string]bool // nodes whose gauges counted at the last comparison
	forget   forgetting
	retired  []retired       // dead entries to drop
	beyond   map[string]bool // regions of which a dead entry says more than the living ones
}

// Counters are the core's own figures, exported as metrics.
type Counters struct {
	Commits, CommittedItems, CommitFailed, Duplicates, Rejected, Overflowed     uint64
	FramesIn, FramesOut, BytesOut, CellsIn, CellsRose, CellsOut                 uint64
	Refused, Quarantined, Unknown, Resyncs, Loads, Checkpoints, WindowCells     uint64
	FramesDropped, PairsDelayed, Overfull, SessionsLost, Malformed              uint64
	ConfigsUnread, ExportsFull                                                  uint64
	EntriesDropped, RolledBack, Unnamed, SeriesDropped, CellsDropped, CellsLate uint64
	WindowsEarly, WindowsLate, WindowsFull, WindowsRefused                      uint64
	WindowReadsFailed, WindowsPublished, WindowsReopened, WindowGaps            uint64
	HubAcks, HubAcksLate, CaughtUp, CatchUpWaits, RoomWaits, Panics             uint64
	Frozen, Forgotten, ForgottenTaken, ForgottenApart                           uint64
	FrozenFrames, ForgottenFrames, Unchained, SourcesForgotten                  uint64
	ReplayedFrames, ReplayedAhead, ReplaySkipped, Unarchived                    uint64
	EventsKept, EventsLost, CorrectionsShort                                    uint64
}

// NewCore returns a core with nothing in it; a Recovery fills it before its first Step.
func NewCore(cfg CoreConfig) (*Core, error) {
	cfg.defaults()
	for _, n := range []string{cfg.Region, cfg.Node} {
		if err := crdt.CheckName(n); err != nil {
			return nil, fmt.Errorf("node: %w", err)
		}
	}
	if cfg.Role != RoleHub && cfg.Role != RoleEdge {
		return nil, fmt.Errorf("node: role %q, want hub or edge", cfg.Role)
	}
	c := &Core{
		cfg: cfg, cat: reconcile.NewCatalog(), sessions: map[uint64]*session{}, hubs: map[crdt.Incarnation]int{}, tokens: newTokens(cfg.Limits),
		own:    crdt.Origin{Class: crdt.ClassNode, Region: cfg.Region, Node: cfg.Node, Inc: cfg.Inc},
		stated: statements{}, quarantined: map[crdt.Origin]*quarantine{}, built: map[frameKey]*builtFrame{},
	}
	var err error
	if c.win, err = newWindows(&c.cfg, c.own); err != nil {
		return nil, err
	}
	c.disk.init()
	c.disk.held.most, c.raw.most = cfg.ArchiveBytes, cfg.EventBytes
	if cfg.Role == RoleEdge && cfg.Downlink != nil {
		var err error
		if c.downlink, err = reconcile.NewFilter(cfg.Downlink); err != nil {
			return nil, fmt.Errorf("node: downlink: %w", err)
		}
	}
	c.drops, c.corrections = c.newDrops(), c.newCorrections()
	c.scopes.choices = map[string]*reconcile.Choice{}
	c.config.own = meshSettings{silenceMs: cfg.Silence, Series: cfg.Limits.Series, forgetMs: cfg.ForgetAfter}
	c.config.own.Forget.Alone = cfg.ForgetAlone
	if cfg.Role == RoleEdge {
		c.live = reconcile.NewReplica(c.own, c.cat)
		c.mine = []*reconcile.Replica{c.live}
		c.slots, c.views = reconcile.NewSlots(c.cat), reconcile.NewViews(c.cat)
		c.slots.Heard, c.views.Heard = c.hearsHub, c.hearsHub
		c.slots.Named = c.cfg.Limits.Named
		return c, nil
	}
	total := crdt.Origin{Class: crdt.ClassRegion, Region: cfg.Region, Node: cfg.Node, Inc: cfg.Inc}
	c.hub = &hubState{
		region:  reconcile.NewRegion(total, c.cat),
		entries: reconcile.NewEntries(cfg.Node, cfg.Inc, c.cat),
		watch:   reconcile.NewWatch(cfg.Silence),
		floor: reconcile.NewFloor(crdt.Origin{
			Class: crdt.ClassView, Region: cfg.Region, Node: cfg.Node, Inc: cfg.Inc,
		}, c.cat),
		cold: newColdStore(c.cat),
		aged: map[crdt.Origin]uint64{}, counted: map[string]bool{}, beyond: map[string]bool{},
		removals: c.newRemovals(), forget: newForgetting(),
	}
	c.hub.entries.Heard = c.hearsHub
	c.live = c.hub.region.Replica(c.own)
	c.hub.watch.Expect(cfg.Node)
	return c, nil
}

// Step takes one input at a time and fills out.
func (c *Core) Step(at Time, in Event, out *Output) {
	out.reset()
	c.tell(at)
	c.out = out
	c.step++
	c.stepBytes = 0
	switch in := in.(type) {
	case Tick:
	case PeerUp:
		c.peerUp(in)
	case PeerDown:
		c.peerDown(in.ID)
	case Received:
		c.received(in)
	case Malformed:
		c.malformed(in.ID)
	case Submit:
		c.submit(in)
	case SetConfig:
		c.setConfig(in)
	case RemoveNode:
		c.removeNode(in)
	case DropSeries:
		c.dropSeries(in)
	case MakeCorrection:
		c.makeCorrection(in)
	case Used:
		c.used(in)
	case Persisted:
		c.persisted(in)
		c.epoch++
	case Loaded:
		c.loaded(in)
		c.epoch++
	case WindowsRead:
		c.windowsRead(in)
	case FramesRead:
		c.framesRead(in)
	case OldFrames:
		c.oldFrames(in)
	case Archived:
		c.archived(in)
	case EventsTaken:
		c.eventsTaken(in)
	case Replay:
		c.replay(in)
	}
	c.settleRegion()
	c.settleCorrections(false)
	c.startPersist()
	c.settleReplays()
	c.readWindows()
	c.settleHubWaits()
	if c.mayFlush(in) {
		c.flushSessions()
		c.wakeAt = c.wake()
	}
	out.Wake = max(c.wakeAt, c.now+1)
	c.out = nil
}

// tell sets the clocks.
func (c *Core) tell(at Time) {
	c.now, c.wall = max(c.now, at.Mono), at.Wall
	c.Counts.CellsLate = c.cat.Late
	c.Counts.Unarchived = c.disk.held.lost
}

// toWall turns a time in the core into one for others; 0 stays 0.
func (c *Core) toWall(mono int64) int64 {
	if mono == 0 {
		return 0
	}
	return c.wall - (c.now - mono)
}

// mayFlush reports whether an event can make something due to a peer. What only waits for the disk, or was asked
// for, cannot; what is about one peer is seldom due at once. A node gets thousands of those a second.
func (c *Core) mayFlush(in Event) bool {
	switch in := in.(type) {
	case Submit:
		return false
	case Received:
		switch in.Msg.Msg.(type) {
		case *wire.FrameMsg, *wire.Delta, *wire.Push, *wire.Marks:
			return c.isDue(c.sessions[in.ID])
		case *wire.Heartbeat, *wire.Coverage, *wire.Heard:
			return false
		}
	}
	return true
}

// settleRegion makes what this step changed in the totals visible under a seq of its own.
func (c *Core) settleRegion() {
	if c.hub == nil {
		return
	}
	changed := c.closeTotals()
	for _, r := range c.hub.entries.Regions() {
		changed = c.hub.entries.View(r).Close() || changed
	}
	if changed {
		c.epoch++
	}
}

func (c *Core) wake() int64 {
	next := c.nextAE
	for _, s := range c.order {
		if w := s.wake(c); next == 0 || w < next {
			next = w
		}
	}
	if at := c.nextHubWait(); at != 0 {
		next = min(next, at)
	}
	return max(next, c.now+1)
}

// ordered returns the sessions in the order in which they came: nothing the core does depends on map order.
func (c *Core) ordered() []*session { return c.order }

// remove forgets a session. The list is copied: somebody may be walking it.
func (c *Core) remove(id uint64) {
	if s := c.sessions[id]; s != nil {
		defer c.hear(&s.peer, -1)
	}
	delete(c.sessions, id)
	c.order = slices.DeleteFunc(slices.Clone(c.order), func(s *session) bool { return s.id == id })
}

// Congested reports whether messages of peers should wait: what they brought waits for the disk already.
func (c *Core) Congested() bool { return c.queue.frameBytes >= maxFrameQueue }

// replicaOf returns the copy that frames of o go to. Only origins that the session's peer may speak for get here.
func (c *Core) replicaOf(o crdt.Origin) *reconcile.Replica {
	if o.Class == crdt.ClassRegion {
		return c.hub.entries.Replica(o)
	}
	return c.hub.region.Replica(o)
}

// applyOwn joins a frame of the live incarnation that is on disk now.
func (c *Core) applyOwn(f *wire.Frame) error {
	c.live.Changed = c.wall
	if c.hub != nil {
		_, err := c.hub.region.Apply(f)
		return err
	}
	_, err := c.live.Apply(f, nil)
	return err
}
