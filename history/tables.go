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

// tables are what is known of series and owners: about 400 bytes a series with one owner, its names and labels aside, and 250
// for each further owner. Ids are local to the directory and never used again.
type tables struct {
	series  map[string]*seriesEntry // by crdt.Series.AppendKey
	byID    []*seriesEntry          // nil where a series went
	index   index
	gone    int // series that went since index was made
	owners  map[crdt.Origin]*ownerEntry
	ownerID []*ownerEntry
	key     []byte // scratch
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

// usualTiers are the widths that a writer keeps.
const usualTiers = 3

// pair is one series of one owner.
type pair struct {
	series *seriesEntry
	owner  *ownerEntry
	tiers  []tier // narrowest first
	stored bool   // its record on disk is as it is
}

// tier is the windows of one width of a pair.
type tier struct {
	width       int64
	first, last int64      // spans that may have a chunk; none if last < first
	newest      int64      // no window that begins later is in a chunk
	over        []*overlay // ascending by span
}

func (t *tier) hasChunks() bool { return t.first <= t.last }

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
	return t.series[string(s.AppendKey(nil))]
}

func (t *tables) entry(s *crdt.Series) *seriesEntry {
	t.key = s.AppendKey(t.key[:0])
	e := t.series[string(t.key)]
	if e == nil {
		e = &seriesEntry{series: s, id: uint32(len(t.byID)), bucket: nameBucket(s.Name)}
		t.addSeries(string(t.key), e)
	}
	return e
}

func (t *tables) addSeries(key string, e *seriesEntry) {
	if t.series == nil {
		t.series = make(map[string]*seriesEntry)
	}
	t.series[key] = e
	t.byID = append(t.byID, make([]*seriesEntry, int(e.id)+1-len(t.byID))...)
	t.byID[e.id] = e
	t.index.add(e)
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
		e.pairs = slices.Insert(e.pairs, i, &pair{series: e, owner: o, tiers: make([]tier, 0, usualTiers)})
		o.pairs++
	}
	return e.pairs[i]
}

func (p *pair) tier(width int64) *tier {
	i, held := slices.BinarySearchFunc(p.tiers, width, func(t tier, width int64) int { return cmp.Compare(t.width, width) })
	if !held {
		p.tiers = slices.Insert(p.tiers, i, tier{width: width, last: -1})
	}
	return &p.tiers[i]
}

// add joins a cell into the overlay of its span and returns by how many bytes it grew, and the overlay if it is new.
func (t *tier) add(c *codec, cell *Cell) (grown int64, fresh *overlay, err error) {
	at := place{width: t.width, span: floor(cell.Window.Start, spanMillis(t.width))}
	i, held := slices.BinarySearchFunc(t.over, at.span, func(o *overlay, span int64) int { return cmp.Compare(o.span, span) })
	if !held {
		fresh = &overlay{place: at}
		t.over = slices.Insert(t.over, i, fresh)
	}
	grown, err = t.over[i].now.add(c, at, Point{Window: cell.Window, Value: cell.Value})
	return grown, fresh, err
}

// drop removes an overlay that is empty.
func (t *tier) drop(o *overlay) {
	if i := slices.Index(t.over, o); i >= 0 {
		t.over = slices.Delete(t.over, i, i+1)
	}
}

// appendRecord appends what the disk has of a pair.
func (p *pair) appendRecord(dst []byte) []byte {
	for i := range p.tiers {
		if t := &p.tiers[i]; t.hasChunks() {
			dst = binary.AppendUvarint(dst, uint64(t.width))
			dst = binary.AppendUvarint(dst, uint64(t.first))
			dst = binary.AppendUvarint(dst, uint64(t.last))
		}
	}
	return dst
}

func (p *pair) parseRecord(b []byte) error {
	r := column.Reader{B: b}
	for len(r.B) > 0 {
		t := p.tier(int64(r.Uvarint()))
		t.first, t.last = int64(r.Uvarint()), int64(r.Uvarint())
		t.newest = t.last + spanMillis(max(t.width, minWidth))
	}
	if r.Err != nil {
		return fmt.Errorf("history: record of a pair: %w", r.Err)
	}
	return nil
}
