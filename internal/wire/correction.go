package wire

import (
	"fmt"
	"slices"

	"meshd/crdt"
)

// Corrections says which corrections of counts there are. Records never change: of each there is one.
type Corrections struct{ Records []Correction }

// Correction says that what stands beside series as sides of it (crdt.Side) counts from when everything that it corrects is held.
type Correction struct {
	ID       string // see crdt.CheckCorrectionID
	Number   uint64 // of two that overlap the higher counts; from 1
	Metric   string // pattern of the metrics that it is about
	From, To int64  // of the events that it was made of, milliseconds since the Unix epoch: [From, To)
	Events   uint64 // how many these were
	Regions  []CorrectedRegion
	Replaces []string // corrections that do not count any more where this one does
	AgeMs    uint64   // for how long it has counted at the sender; 0: it does not
}

// CorrectedRegion says where the sides of a correction for one region are.
type CorrectedRegion struct {
	Totals WindowMark // the region's totals by the hub that wrote them: windows are there up to the cursor
	Nodes  []string   // whose events are corrected; none: any of the region
}

const (
	correctionsFields    = 1
	correctionFields     = 9
	correctionBytesMin   = 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1
	correctedFields      = 2
	correctedBytesMin    = 1 + windowMarkBytesMin + 1
	correctionIDBytesMin = 1
	maxIDBytes           = 64
)

func (*Corrections) message() {}

func (m *Corrections) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("corrections", len(m.Records), MaxCorrections)
	w.array(correctionsFields)
	w.array(len(m.Records))
	for i := range m.Records {
		w.correction(&m.Records[i])
	}
	return w.done()
}

func (w *writer) correction(c *Correction) {
	if err := c.Check(); err != nil {
		w.keep(err)
	}
	w.array(correctionFields)
	w.string(c.ID)
	w.uint(c.Number)
	w.string(c.Metric)
	w.uint(uint64(c.From))
	w.uint(uint64(c.To))
	w.uint(c.Events)
	w.array(len(c.Regions))
	for i := range c.Regions {
		r := &c.Regions[i]
		w.array(correctedFields)
		w.windowMark(&r.Totals)
		w.array(len(r.Nodes))
		for _, n := range r.Nodes {
			w.name(n)
		}
	}
	w.array(len(c.Replaces))
	for _, id := range c.Replaces {
		w.string(id)
	}
	w.uint(c.AgeMs)
}

// Check reports why nothing can be corrected by a record: no id, no metric, no time, no names, regions or nodes not sorted.
func (c *Correction) Check() error {
	fail := func(what string) error { return fmt.Errorf("%w: correction %s: %s", ErrInvalid, c.ID, what) }
	if err := crdt.CheckCorrectionID(c.ID); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	switch {
	case c.Number == 0:
		return fail("no number")
	case c.Metric == "" || len(c.Metric) > crdt.MaxMetricBytes:
		return fail("no metric, or too long a one")
	case c.From < 0 || c.To <= c.From || c.To > 1<<48:
		return fail("its time is empty, or out of range")
	case len(c.Regions) > MaxRegions || len(c.Replaces) > MaxCorrections:
		return fail("too many regions, or others that it replaces")
	}
	nodes := 0
	for i := range c.Regions {
		r := &c.Regions[i]
		if i > 0 && c.Regions[i-1].Totals.Origin.Region >= r.Totals.Origin.Region || r.Totals.Origin.Class != crdt.ClassRegion {
			return fail("regions repeated, not sorted, or not of totals")
		}
		if !slices.IsSorted(r.Nodes) {
			return fail("nodes not sorted")
		}
		if nodes += len(r.Nodes); nodes > MaxCorrectedNodes {
			return fail("too many nodes")
		}
		for _, name := range append([]string{r.Totals.Origin.Region, r.Totals.Origin.Node}, r.Nodes...) {
			if err := crdt.CheckName(name); err != nil {
				return fail(err.Error())
			}
		}
	}
	for _, id := range c.Replaces {
		if err := crdt.CheckCorrectionID(id); err != nil || id == c.ID {
			return fail("it replaces what is no other correction")
		}
	}
	return nil
}

func parseCorrections(b []byte) (*Corrections, error) {
	var m Corrections
	r := newReader(b)
	extra := r.array(correctionsFields)
	if n := r.list("corrections", MaxCorrections, correctionBytesMin); n > 0 {
		m.Records = make([]Correction, n)
	}
	for i := range m.Records {
		m.Records[i] = r.correction()
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) correction() (c Correction) {
	extra := r.array(correctionFields)
	c.ID, c.Number = r.text("id", maxIDBytes), r.uint()
	c.Metric = r.text("metric", crdt.MaxMetricBytes)
	c.From, c.To, c.Events = int64(r.uint()), int64(r.uint()), r.uint()
	if n := r.list("regions", MaxRegions, correctedBytesMin); n > 0 {
		c.Regions = make([]CorrectedRegion, n)
	}
	for i := range c.Regions {
		more := r.array(correctedFields)
		c.Regions[i].Totals = r.windowMark()
		if n := r.list("nodes", MaxCorrectedNodes, 2); n > 0 {
			c.Regions[i].Nodes = make([]string, n)
		}
		for j := range c.Regions[i].Nodes {
			c.Regions[i].Nodes[j] = r.name()
		}
		r.skip(more)
	}
	if n := r.list("replaced", MaxCorrections, correctionIDBytesMin); n > 0 {
		c.Replaces = make([]string, n)
	}
	for i := range c.Replaces {
		c.Replaces[i] = r.text("id", maxIDBytes)
	}
	c.AgeMs = r.uint()
	r.skip(extra)
	if r.err == nil {
		r.keepAs(c.Check())
	}
	return c
}
