package wire

import (
	"fmt"
	"unicode/utf8"
)

// Preface opens every connection of the transport, before anything that depends on a version. Its own format is
// therefore never changed: fields are only added behind the last one.
type Preface struct {
	Version, MinVersion      uint8 // the highest and lowest version that the sender speaks
	Mesh, Region, Node, Role string
	Inc                      [16]byte // zero until the process has drawn one
	Nonce                    [16]byte // names the process
	Bulk                     bool     // the second connection, for catching up
	WallMs                   int64    // the sender's wall clock, milliseconds since the Unix epoch
	Advertise, HTTP          string   // host:port, or empty
}

const (
	tagPreface = 'M' // the first byte of a preface; no message type
	tagRefusal = 'R'
	tagHubs    = 'H'
	tagRevoked = 'D'

	prefaceFields = 12
)

// AppendPreface appends p. On error dst is returned unchanged.
func AppendPreface(dst []byte, p *Preface) ([]byte, error) {
	w := newWriter(append(dst, tagPreface))
	if p.MinVersion > p.Version {
		w.fail(ErrInvalid, "versions %d to %d", p.MinVersion, p.Version)
	}
	w.array(prefaceFields)
	w.uint(uint64(p.Version))
	w.uint(uint64(p.MinVersion))
	w.name(p.Mesh)
	w.name(p.Region)
	w.name(p.Node)
	w.name(p.Role)
	w.bytes(p.Inc[:])
	w.bytes(p.Nonce[:])
	w.bool(p.Bulk)
	w.int(p.WallMs)
	w.text("address", p.Advertise, MaxAddressBytes)
	w.text("address", p.HTTP, MaxAddressBytes)
	return w.sealed(dst, "preface")
}

// ParsePreface reads one preface, the whole of b. Whether the versions meet is the caller's decision: see Speaks.
func ParsePreface(b []byte) (*Preface, error) {
	var p Preface
	r, err := open(b, tagPreface, MaxPrefaceBytes)
	if err != nil {
		return nil, fmt.Errorf("wire: parse preface: %w", err)
	}
	extra := r.array(prefaceFields)
	p.Version, p.MinVersion = uint8(r.small("version", 255)), uint8(r.small("version", 255))
	p.Mesh, p.Region, p.Node, p.Role = r.name(), r.name(), r.name(), r.name()
	p.Inc, p.Nonce, p.Bulk, p.WallMs = r.id(), r.id(), r.bool(), r.int()
	p.Advertise, p.HTTP = r.text("address", MaxAddressBytes), r.text("address", MaxAddressBytes)
	r.skip(extra)
	if r.err == nil && p.MinVersion > p.Version {
		r.fail(ErrInvalid, "versions %d to %d", p.MinVersion, p.Version)
	}
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("wire: parse preface: %w", err)
	}
	return &p, nil
}

// Speaks returns the version that two sides speak: the highest that both know.
func (p *Preface) Speaks(o *Preface) (version uint8, ok bool) {
	v := min(p.Version, o.Version)
	return v, v >= max(p.MinVersion, o.MinVersion)
}

// Refusal is the answer to a preface, or to a session, that the sender does not accept.
type Refusal struct {
	Code uint16
	Text string // tells the operator of the other side what to do
}

const refusalFields = 2

// AppendRefusal appends f, its text cut to MaxTextBytes. On error dst is returned unchanged.
func AppendRefusal(dst []byte, f *Refusal) ([]byte, error) {
	w := newWriter(append(dst, tagRefusal))
	w.array(refusalFields)
	w.uint(uint64(f.Code))
	w.string(cut(f.Text, MaxTextBytes))
	return w.sealed(dst, "refusal")
}

// cut returns s, or the characters of it that fit into limit bytes.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// ParseRefusal reads one refusal, the whole of b.
func ParseRefusal(b []byte) (*Refusal, error) {
	r, err := open(b, tagRefusal, MaxPrefaceBytes)
	if err != nil {
		return nil, fmt.Errorf("wire: parse refusal: %w", err)
	}
	extra := r.array(refusalFields)
	f := Refusal{Code: uint16(r.small("code", 1<<16-1)), Text: r.text("text", MaxTextBytes)}
	r.skip(extra)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("wire: parse refusal: %w", err)
	}
	return &f, nil
}

// Hubs is the answer to a node that joins through any node of the mesh: the hubs of its own region.
type Hubs struct{ Hubs []Hub }

// Hub is where a hub can be reached.
type Hub struct {
	Region, Node string
	Addr         string // host:port
	Inc          [16]byte
}

const (
	hubsFields  = 1
	hubFields   = 4
	hubBytesMin = 1 + 2 + 2 + 1 + 18
)

// AppendHubs appends h. On error dst is returned unchanged.
func AppendHubs(dst []byte, h *Hubs) ([]byte, error) {
	w := newWriter(append(dst, tagHubs))
	w.array(hubsFields)
	w.limit("hubs", len(h.Hubs), MaxHubs)
	w.array(len(h.Hubs))
	for i := range h.Hubs {
		hub := &h.Hubs[i]
		w.array(hubFields)
		w.name(hub.Region)
		w.name(hub.Node)
		w.text("address", hub.Addr, MaxAddressBytes)
		w.bytes(hub.Inc[:])
	}
	return w.sealed(dst, "hubs")
}

// ParseHubs reads one list of hubs, the whole of b.
func ParseHubs(b []byte) (*Hubs, error) {
	var h Hubs
	r, err := open(b, tagHubs, MaxPrefaceBytes)
	if err != nil {
		return nil, fmt.Errorf("wire: parse hubs: %w", err)
	}
	extra := r.array(hubsFields)
	if n := r.list("hubs", MaxHubs, hubBytesMin); n > 0 {
		h.Hubs = make([]Hub, n)
	}
	for i := range h.Hubs {
		extra := r.array(hubFields)
		h.Hubs[i] = Hub{Region: r.name(), Node: r.name(), Addr: r.text("address", MaxAddressBytes), Inc: r.id()}
		r.skip(extra)
	}
	r.skip(extra)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("wire: parse hubs: %w", err)
	}
	return &h, nil
}

// open begins to read a record of at most limit bytes behind its tag.
func open(b []byte, tag byte, limit int) (*reader, error) {
	switch {
	case len(b) > limit:
		return nil, fmt.Errorf("%w: %d bytes, want at most %d", ErrLimit, len(b), limit)
	case len(b) == 0 || b[0] != tag:
		return nil, fmt.Errorf("%w: not behind the tag %q", ErrMalformed, tag)
	}
	return newReader(b[1:]), nil
}

// sealed returns what was written, or dst and the error.
func (w *writer) sealed(dst []byte, what string) ([]byte, error) {
	out, err := w.done()
	if err != nil {
		return dst, fmt.Errorf("wire: append %s: %w", what, err)
	}
	return out, nil
}
