package history

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
	"meshd/internal/column"
	"meshd/internal/mutant"
)

// tables are what is known of series and owners: about 250 bytes a series with one owner, its names and labels aside, and 130
// for each further owner. Ids are local to the directory and never used again.
type tables struct {
	series  *crdt.SeriesIndex // of ids; nil: there are none
	byID    []*seriesEntry    // nil where a series went
	index   index
	gone    int // series that went since index was made
	owners  map[crdt.Origin]*ownerEntry
	ownerID []*ownerEntry
	blocks  blocks
}

// seriesEntry is one series and whose windows of it there are.
type seriesEntry struct {
	series *crdt.Series
	id     uint32
	bucket uint16  // of its name: see changes
	stored bool    // its definition is on disk
	pairs  []*pair // by id of the owner: of thousands of nodes, at a hub
}

// ownerEntry is one incarnation of a node, or a region's totals, whatever hub says them.
type ownerEntry struct {
	origin crdt.Origin
	id     uint32
	pairs  int
	stored bool
}

// usualTiers are the widths that a writer keeps, usualOwners who has a series at a hub: its node, and the region.
const (
	usualTiers  = 3
	usualOwners = 2
)

// pair is one series of one owner.
type pair struct {
	series *seriesEntry
	owner  *ownerEntry
	tiers  []tier // narrowest first
	stored bool   // its record on disk is as it is
}

// ownerOf drops what does not tell owners apart: the totals of a region are one, whatever hub wrote them.
func ownerOf(from crdt.Origin) crdt.Origin {
	if from.Class == crdt.ClassRegion && !mutant.On("windows of hubs added") {
		return crdt.Origin{Class: crdt.ClassRegion, Region: from.Region}
	}
	return from
}

func (t *tables) owner(from crdt.Origin) *ownerEntry {
	from = ownerOf(from)
	o := t.owners[from]
	if o == nil {
		o = &ownerEntry{origin: from, id: uint32(len(t.ownerID))}
		t.addOwner(o)
	}
	return o
}

func (t *tables) addOwner(o *ownerEntry) {
	if t.owners == nil {
		t.owners = make(map[crdt.Origin]*ownerEntry)
	}
	t.owners[o.origin] = o
	t.ownerID = append(t.ownerID, make([]*ownerEntry, int(o.id)+1-len(t.ownerID))...)
	t.ownerID[o.id] = o
}

// find returns the entry of s, nil if there is none.
func (t *tables) find(s *crdt.Series) *seriesEntry {
	if t.series == nil {
		return nil
	}
	id, ok := t.series.Find(s)
	if !ok {
		return nil
	}
	return t.byID[id]
}

// known returns how many series there are.
func (t *tables) known() int {
	if t.series == nil {
		return 0
	}
	return t.series.Len()
}

func (t *tables) entry(s *crdt.Series) *seriesEntry {
	e := t.find(s)
	if e == nil {
		e = t.blocks.entry()
		*e = seriesEntry{series: s, id: uint32(len(t.byID)), bucket: nameBucket(s.Name)}
		t.addSeries(e)
	}
	return e
}

func (t *tables) addSeries(e *seriesEntry) {
	t.byID = append(t.byID, make([]*seriesEntry, int(e.id)+1-len(t.byID))...)
	t.byID[e.id] = e
	t.number(e)
	t.index.add(e)
}

// number lets find find an entry.
func (t *tables) number(e *seriesEntry) {
	if t.series == nil {
		t.series = crdt.NewSeriesIndex(func(id uint32) *crdt.Series { return t.byID[id].series })
	}
	t.series.Put(e.series, e.id)
}

// pair returns where the pair of e and o is, or would be.
func (e *seriesEntry) pair(o *ownerEntry) (int, bool) {
	return slices.BinarySearchFunc(e.pairs, o.id, func(p *pair, id uint32) int { return cmp.Compare(p.owner.id, id) })
}

// pair returns where windows of s of o go, made if need be.
func (t *tables) pair(s *crdt.Series, o *ownerEntry) *pair {
	e := t.entry(s)
	i, held := e.pair(o)
	if !held {
		if e.pairs == nil {
			e.pairs = t.blocks.owners()
		}
		e.pairs = slices.Insert(e.pairs, i, t.blocks.pair(e, o))
		o.pairs++
	}
	return e.pairs[i]
}

// appendRecord appends what the disk has of a pair.
func (p *pair) appendRecord(dst []byte) []byte {
	for i := range p.tiers {
		if t := &p.tiers[i]; t.hasChunks() {
			dst = binary.AppendUvarint(dst, uint64(t.width()))
			dst = binary.AppendUvarint(dst, uint64(t.first()))
			dst = binary.AppendUvarint(dst, uint64(t.last()))
		}
	}
	return dst
}

func (p *pair) parseRecord(b []byte) error {
	r := column.Reader{B: b}
	for len(r.B) > 0 {
		width, first, last := r.Uvarint(), r.Uvarint(), r.Uvarint()
		if width < uint64(minWidth) || width > uint64(maxWidth) || first > last || last >= uint64(maxStart) {
			return fmt.Errorf("%w: record of a pair", errChunk)
		}
		t := p.tier(int64(width))
		t.setChunks(int64(first), int64(last))
		t.reached(t.last() + spanMillis(t.width()))
	}
	if r.Err != nil {
		return fmt.Errorf("history: record of a pair: %w", r.Err)
	}
	return nil
}
