package wire

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"meshd/crdt"
)

// Frame is one unit for the wire, the disk and the log: absolute values of cells of one stream of one origin that
// changed in (From, To], with the definitions of the series they need. Head is the sender's seq of that stream when
// the frame was built.
type Frame struct {
	Origin         crdt.Origin
	Stream         crdt.Stream
	From, To, Head uint64
	Defs           []Def  // ascending by Ref
	Cells          []Cell // in the order of Sort

	// Of, if not zero, is the earlier incarnation of the origin's node that counted the cells of this frame of the window
	// stream: what a process left behind is published by the next one, among its own.
	Of crdt.Incarnation
}

// Owner returns the origin whose cells the frame carries.
func (f *Frame) Owner() crdt.Origin {
	o := f.Origin
	if f.Of != (crdt.Incarnation{}) {
		o.Inc = f.Of
	}
	return o
}

// Def introduces a series under the origin's own dense number Ref: 0, 1, 2, ... in order of first appearance. Seq is
// the seq at which it appeared. A frame (from, to] carries the definitions with Seq in (from, to]; later frames of
// the origin and stream use the Ref alone, so that a definition costs its bytes once.
type Def struct {
	Ref    uint32
	Seq    uint64
	Series crdt.Series
}

// Cell carries a delta: the absolute values of some parts of the cell (Ref, Window). Seq is the highest stamp among
// them. In the lifetime stream Window is zero.
type Cell struct {
	Ref    uint32
	Window crdt.Window
	Seq    uint64
	Value  crdt.Value
}

// Encodings of a frame's body, the second byte.
const (
	bodyPlain = 0
	bodyZstd  = 1
)

const (
	checksumBytes = 4
	frameFields   = 14
)

// castagnoli is the polynomial of the checksum: it has instructions on common processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sort puts Defs in ascending order of Ref and Cells in the order in which they travel: by kind, window width, window
// start and Ref. AppendFrame does it; whoever names cells by their index, as Push does, calls it before.
func (f *Frame) Sort() {
	byRef := func(a, b Def) int { return cmp.Compare(a.Ref, b.Ref) }
	if !slices.IsSortedFunc(f.Defs, byRef) {
		slices.SortFunc(f.Defs, byRef)
	}
	if !slices.IsSortedFunc(f.Cells, compareCells) {
		slices.SortFunc(f.Cells, compareCells)
	}
}

func compareCells(a, b Cell) int {
	return cmp.Or(cmp.Compare(a.Value.Kind, b.Value.Kind), compareWindows(a.Window, b.Window), cmp.Compare(a.Ref, b.Ref))
}

func compareWindows(a, b crdt.Window) int {
	return cmp.Or(cmp.Compare(a.Width, b.Width), cmp.Compare(a.Start, b.Start))
}

// AppendFrame sorts f (see Sort) and appends its bytes. It refuses what ParseFrame would refuse: a frame beyond
// MaxFrameBytes or MaxFrameCells is ErrLimit, and the builder makes two of it. On error dst is returned unchanged.
func AppendFrame(dst []byte, f *Frame) ([]byte, error) {
	f.Sort()
	if err := f.check(); err != nil {
		return dst, fmt.Errorf("wire: append frame of %v: %w", f.Origin, err)
	}
	body, err := f.appendBody(make([]byte, 0, 128+8*len(f.Defs)+8*len(f.Cells)))
	if err == nil && len(body) > MaxFrameBytes {
		err = fmt.Errorf("%w: body of %d bytes, want at most %d", ErrLimit, len(body), MaxFrameBytes)
	}
	if err != nil {
		return dst, fmt.Errorf("wire: append frame of %v: %w", f.Origin, err)
	}
	out := seal(dst, body, len(f.Cells)/MaxCellsPerByte)
	if n := len(out) - len(dst); n > MaxFrameBytes {
		return dst, fmt.Errorf("wire: append frame of %v: %w: %d bytes, want at most %d", f.Origin, ErrLimit, n, MaxFrameBytes)
	}
	return out, nil
}

// seal appends what is around a body: the version, the encoding, the checksum. A body that compresses to less than
// floor bytes stays plain.
func seal(dst, body []byte, floor int) []byte {
	start := len(dst)
	if len(body) < minCompress {
		dst = slices.Grow(dst, 2+len(body)+checksumBytes)
	}
	out := binary.AppendUvarint(append(dst, Version, bodyZstd), uint64(len(body)))
	out, ok := compress(out, body, floor)
	if !ok {
		out = append(append(out[:start], Version, bodyPlain), body...)
	}
	return binary.LittleEndian.AppendUint32(out, crc32.Checksum(out[start:], castagnoli))
}

func (f *Frame) appendBody(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	about := f.Of != crdt.Incarnation{}
	if about {
		w.array(frameFields + 1)
	} else {
		w.array(frameFields)
	}
	w.uint(uint64(f.Origin.Class))
	w.name(f.Origin.Region)
	w.name(f.Origin.Node)
	w.bytes(f.Origin.Inc[:])
	w.uint(uint64(f.Stream))
	w.uint(f.From)
	w.uint(f.To - f.From)
	w.uint(f.Head - f.To)
	col := f.appendDefs(nil)
	w.bytes(col)
	runs := f.runs()
	col = appendRuns(col[:0], runs)
	w.bytes(col)
	col = appendWindows(col[:0], runs)
	w.bytes(col)
	col = f.appendRefs(col[:0])
	w.bytes(col)
	col = f.appendSeqs(col[:0])
	w.bytes(col)
	col, err := appendValues(col[:0], len(f.Cells), f.valueAt)
	w.bytes(col)
	w.keep(err)
	if about {
		w.bytes(f.Of[:])
	}
	return w.done()
}

func (f *Frame) valueAt(i int) (*crdt.Value, uint64) { return &f.Cells[i].Value, f.Cells[i].Seq }

// ParseFrame reads one frame, the whole of b. The frame holds no reference to b.
func ParseFrame(b []byte) (*Frame, error) {
	var p Parser // not on the heap: its columns take 3 KB
	if err := p.parse(b); err != nil {
		return nil, fmt.Errorf("wire: parse frame: %w", err)
	}
	out := p.frame
	return &out, nil
}

// Parser reads frames one after another and reuses its memory: once that has grown, a frame of counters costs no
// allocation per cell. The zero Parser is ready. It keeps the memory of the largest frame it has read, at most 20 MB:
// have one for each core, not for each session.
type Parser struct {
	frame Frame
	body  []byte
	runs  []run
	col   unpacker
}

// Parse reads one frame, the whole of b, and checks all that ParseFrame promises. The frame and its slices belong to
// the Parser and are valid until its next call; the series of Defs and the states of cells are the caller's to keep.
func (p *Parser) Parse(b []byte) (*Frame, error) {
	if err := p.parse(b); err != nil {
		return nil, fmt.Errorf("wire: parse frame: %w", err)
	}
	return &p.frame, nil
}

func (p *Parser) parse(b []byte) error {
	body, err := p.open(b)
	if err != nil {
		return err
	}
	if err := p.parseBody(body, len(b)*MaxCellsPerByte); err != nil {
		return err
	}
	return p.frame.check()
}

// ParseHead reads what a frame is about, and neither its definitions nor its cells: what they are is not looked at, only that
// the checksum is theirs.
func ParseHead(b []byte) (*Frame, error) {
	var p Parser
	body, err := p.open(b)
	if err == nil {
		_, err = p.parseFields(body)
	}
	if err == nil {
		err = p.frame.check()
	}
	if err != nil {
		return nil, fmt.Errorf("wire: parse head of frame: %w", err)
	}
	out := p.frame
	return &out, nil
}

// open checks what is around a frame's body and returns that, unpacked.
func (p *Parser) open(b []byte) ([]byte, error) {
	switch {
	case len(b) > MaxFrameBytes:
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrLimit, len(b), MaxFrameBytes)
	case len(b) > 0 && (b[0] < MinVersion || b[0] > Version):
		return nil, fmt.Errorf("%w: %d", ErrVersion, b[0])
	case len(b) < 2+checksumBytes:
		return nil, fmt.Errorf("%w: frame of %d bytes", ErrMalformed, len(b))
	}
	sealed := b[:len(b)-checksumBytes]
	if binary.LittleEndian.Uint32(b[len(sealed):]) != crc32.Checksum(sealed, castagnoli) {
		return nil, fmt.Errorf("%w: checksum", ErrMalformed)
	}
	body := sealed[2:]
	switch b[1] {
	case bodyPlain:
	case bodyZstd:
		size, n := binary.Uvarint(body)
		if n <= 0 {
			return nil, fmt.Errorf("%w: body size", ErrMalformed)
		}
		var err error
		if body, err = decompress(p.body, body[n:], size, MaxFrameBytes); err != nil {
			return nil, err
		}
		p.body = body
	default:
		return nil, fmt.Errorf("%w: body encoding %d", ErrMalformed, b[1])
	}
	return body, nil
}

// parseFields reads the fields of a body and returns its columns, in which definitions and cells are.
func (p *Parser) parseFields(body []byte) (columns [6][]byte, err error) {
	f := &p.frame
	r := newReader(body)
	extra := r.array(frameFields)
	f.Origin.Class = crdt.Class(r.small("class", 255))
	f.Origin.Region, f.Origin.Node, f.Origin.Inc = r.name(), r.name(), r.id()
	f.Stream = crdt.Stream(r.small("stream", crdt.NumStreams-1))
	f.From = r.uint()
	f.To = f.From + r.uint()
	f.Head = f.To + r.uint() // check finds what wrapped around
	for i := range columns {
		columns[i] = r.raw()
	}
	f.Of = crdt.Incarnation{}
	if extra > 0 {
		f.Of, extra = r.id(), extra-1
	}
	r.skip(extra)
	return columns, r.end()
}

// parseBody reads the body of a frame that may have at most maxCells cells.
func (p *Parser) parseBody(body []byte, maxCells int) error {
	columns, err := p.parseFields(body)
	if err != nil {
		return err
	}
	for i, col := range columns {
		p.col.reset(col)
		if err := p.parseColumn(i, maxCells); err != nil {
			return err
		}
		if err := p.col.end(); err != nil {
			return err
		}
	}
	return nil
}

// parseColumn parses one of the columns of a body, by its place. They are called by name and not through values, which
// would put the parser on the heap.
func (p *Parser) parseColumn(i, maxCells int) error {
	switch i {
	case 0:
		return p.parseDefs()
	case 1:
		return p.parseRuns(min(maxCells, MaxFrameCells))
	case 2:
		return p.parseWindows()
	case 3:
		return p.parseRefs()
	case 4:
		return p.parseSeqs()
	default:
		return p.parseValues()
	}
}
