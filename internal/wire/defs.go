package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"meshd/crdt"
)

// Definitions are columns as well: their number (uvarint), packed refs (the first one, then the gaps, less one),
// packed distances of their seqs from the frame's head, packed lengths of their keys, and the keys
// (crdt.Series.AppendKey). Neighbours repeat most of each other's labels; that is left to the compression of the body.

// appendDefs appends the definitions, which are in order. None: nothing.
func (f *Frame) appendDefs(dst []byte) []byte {
	if len(f.Defs) == 0 {
		return dst
	}
	n := len(f.Defs)
	vals := make([]uint64, 3*n)
	refs, seqs, sizes := vals[:n], vals[n:2*n], vals[2*n:]
	var keys []byte
	for i := range f.Defs {
		d := &f.Defs[i]
		refs[i] = uint64(d.Ref)
		if i > 0 {
			refs[i] -= uint64(f.Defs[i-1].Ref) + 1
		}
		seqs[i] = f.Head - d.Seq
		before := len(keys)
		keys = d.Series.AppendKey(keys)
		sizes[i] = uint64(len(keys) - before)
	}
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = appendPacked(appendPacked(appendPacked(dst, refs), seqs), sizes)
	return append(dst, keys...)
}

func (p *Parser) parseDefs() error {
	p.frame.Defs = p.frame.Defs[:0]
	if len(p.col.b) == 0 {
		return nil
	}
	n := p.col.uvarint()
	if n == 0 || n > MaxFrameDefs || n > uint64(len(p.col.b))/minKeyBytes {
		return fmt.Errorf("%w: %d definitions in %d bytes", ErrLimit, n, len(p.col.b))
	}
	p.frame.Defs = slices.Grow(p.frame.Defs, int(n))[:n]
	next, head := uint64(0), p.frame.Head
	for rest := p.frame.Defs; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range p.col.block(min(len(rest), blockLen)) {
			if v > MaxRef-next || next > MaxRef {
				return fmt.Errorf("%w: ref %d above %d", ErrInvalid, v, next)
			}
			rest[i] = Def{Ref: uint32(next + v)}
			next += v + 1
		}
	}
	for rest := p.frame.Defs; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range p.col.block(min(len(rest), blockLen)) {
			rest[i].Seq = head - min(v, head)
		}
	}
	sizes := make([]uint64, 0, n)
	for left := int(n); left > 0; left -= blockLen {
		sizes = append(sizes, p.col.block(min(left, blockLen))...)
	}
	return p.parseKeys(sizes)
}

// minKeyBytes is the size of the shortest key: kind, generation, name length.
const minKeyBytes = 3

// parseKeys reads the keys, whose sizes are given. Their strings share one allocation, which lives as long as any of
// the series.
func (p *Parser) parseKeys(sizes []uint64) error {
	k := keyReader{s: string(p.col.b)}
	for i, size := range sizes {
		if size > maxKeyBytes || size > uint64(len(p.col.b)) {
			return fmt.Errorf("%w: key of %d bytes", ErrLimit, size)
		}
		p.col.b = p.col.b[size:]
		s, err := k.series(int(size))
		if err != nil {
			return err
		}
		p.frame.Defs[i].Series = s
	}
	return p.col.err
}

// keyReader takes keys apart.
type keyReader struct{ s string }

// series reads the next size bytes as a key.
func (k *keyReader) series(size int) (crdt.Series, error) {
	var s crdt.Series
	one := keyReader{s: k.s[:size]}
	k.s = k.s[size:]
	if size < minKeyBytes {
		return s, fmt.Errorf("%w: key of %d bytes", ErrMalformed, size)
	}
	s.Kind, one.s = crdt.Kind(one.s[0]), one.s[1:]
	gen, ok := one.uvarint()
	if !ok || gen > math.MaxUint32 {
		return s, fmt.Errorf("%w: generation of a series", ErrMalformed)
	}
	s.Gen = uint32(gen)
	s.Name, ok = one.string()
	for ok && one.s != "" {
		if len(s.Labels) >= crdt.MaxLabels+crdt.MaxReservedLabels { // which of them are, Series.Check tells
			return s, fmt.Errorf("%w: more than %d labels", ErrLimit, crdt.MaxLabels)
		}
		var l crdt.Label
		if l.Name, ok = one.string(); ok {
			l.Value, ok = one.string()
		}
		s.Labels = append(s.Labels, l)
	}
	if !ok {
		return s, fmt.Errorf("%w: key of a series", ErrMalformed)
	}
	return s, nil
}

func (k *keyReader) uvarint() (v uint64, ok bool) {
	for i := 0; i < len(k.s) && i < binary.MaxVarintLen64; i++ {
		c := k.s[i]
		v |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			k.s = k.s[i+1:]
			return v, true
		}
	}
	return 0, false
}

func (k *keyReader) string() (string, bool) {
	n, ok := k.uvarint()
	if !ok || n > uint64(len(k.s)) {
		return "", false
	}
	s := k.s[:n]
	k.s = k.s[n:]
	return s, true
}
