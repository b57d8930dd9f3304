package wire

import "meshd/crdt"

// Coverage states, region by region, how complete and how old the totals are that the sender holds.
type Coverage struct{ Regions []RegionCoverage }

// RegionCoverage is what one hub entry says of its region. Times are milliseconds since the Unix epoch.
type RegionCoverage struct {
	Region, Hub     string
	Inc             crdt.Incarnation // of the hub: who states it
	Seq             uint64           // of the hub's ClassRegion origin at which this was read
	Anew            uint32           // which of its process' origins that is, see crdt.Incarnation.Anew
	Rules           uint64           // names the rollup rules by which it was made; 0: none
	Expected, Heard uint32           // nodes: ever seen and not forgotten or removed; heard of
	CompleteUntilMs int64            // everything that the heard nodes counted before is contained
	AtMs            int64            // when it was read
	OldestMissingMs int64            // since when the longest missing node is
	Missing         []string         // the first MaxMissing names
	Lost            uint64           // losses reported at the door
	ClocksOff       uint32           // nodes whose clock is out of bounds
	Clocks          []ClockOffset    // the first MaxMissing of them
}

// ClockOffset is by how much a node's wall clock differs from that of the hub that states it: node minus hub.
type ClockOffset struct {
	Node     string
	OffsetMs int64
}

const (
	coverageFields         = 1
	regionCoverageFields   = 15
	clockFields            = 2
	regionCoverageBytesMin = 1 + 2 + 2 + 18 + 10
)

func (m *Coverage) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("regions", len(m.Regions), MaxRegions)
	w.array(coverageFields)
	w.array(len(m.Regions))
	for i := range m.Regions {
		w.regionCoverage(&m.Regions[i])
	}
	return w.done()
}

func (w *writer) regionCoverage(c *RegionCoverage) {
	w.array(regionCoverageFields)
	w.name(c.Region)
	w.name(c.Hub)
	w.bytes(c.Inc[:])
	w.uint(c.Seq)
	w.uint(uint64(c.Expected))
	w.uint(uint64(c.Heard))
	w.int(c.CompleteUntilMs)
	w.int(c.AtMs)
	w.int(c.OldestMissingMs)
	w.limit("missing nodes", len(c.Missing), MaxMissing)
	w.array(len(c.Missing))
	for _, s := range c.Missing {
		w.name(s)
	}
	w.uint(c.Lost)
	w.uint(uint64(c.ClocksOff))
	w.limit("clocks", len(c.Clocks), MaxMissing)
	w.array(len(c.Clocks))
	for _, o := range c.Clocks {
		w.array(clockFields)
		w.name(o.Node)
		w.int(o.OffsetMs)
	}
	w.uint(uint64(c.Anew))
	w.uint(c.Rules)
}

func parseCoverage(b []byte) (*Coverage, error) {
	var m Coverage
	r := newReader(b)
	extra := r.array(coverageFields)
	if n := r.list("regions", MaxRegions, regionCoverageBytesMin); n > 0 {
		m.Regions = make([]RegionCoverage, n)
	}
	for i := range m.Regions {
		r.regionCoverage(&m.Regions[i])
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) regionCoverage(c *RegionCoverage) {
	extra := r.array(regionCoverageFields)
	c.Region, c.Hub, c.Inc, c.Seq = r.name(), r.name(), r.id(), r.uint()
	c.Expected, c.Heard = r.uint32("nodes"), r.uint32("nodes")
	c.CompleteUntilMs, c.AtMs, c.OldestMissingMs = r.int(), r.int(), r.int()
	if n := r.list("missing nodes", MaxMissing, 2); n > 0 {
		c.Missing = make([]string, n)
	}
	for i := range c.Missing {
		c.Missing[i] = r.name()
	}
	c.Lost, c.ClocksOff = r.uint(), r.uint32("nodes")
	if n := r.list("clocks", MaxMissing, 4); n > 0 {
		c.Clocks = make([]ClockOffset, n)
	}
	for i := range c.Clocks {
		extra := r.array(clockFields)
		c.Clocks[i] = ClockOffset{Node: r.name(), OffsetMs: r.int()}
		r.skip(extra)
	}
	c.Anew, c.Rules = r.uint32("origins"), r.uint()
	r.skip(extra)
}
