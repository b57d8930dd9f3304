package history

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"meshd/crdt"
	"meshd/internal/column"
)

// Keys. Numbers are big endian, so that a width's spans lie in the order of time, and those that expired before all others.
//
//	h/c width(4, ms) span(4, s) series(4) owner(4)           chunk: see spanfile.go
//	h/c width(4, ms) span(4, s) series(4) owner(4) index(2)  a later part of it
//	h/s series(4)                                             definition
//	h/o owner(4)                                              class, incarnation (16), region, node
//	h/p series(4) owner(4)                                    per width: uvarint width, first and last span with a chunk
//	h/m                                                       8 bytes: all with a tag up to this is in chunks
//	h/t                                                       how far was taken over from other hubs: Taking
var (
	prefixChunk  = []byte("h/c")
	prefixSeries = []byte("h/s")
	prefixOwner  = []byte("h/o")
	prefixPair   = []byte("h/p")
	keyMark      = []byte("h/m")
	keyTaking    = []byte("h/t")
)

// chunkKey names the chunk of a pair, width and span.
type chunkKey struct {
	width, span   int64 // ms
	series, owner uint32
}

// part returns the key of the part that begins with the index-th window of the span; that of the first is the chunk's.
func (k chunkKey) part(index int) []byte {
	key := binary.BigEndian.AppendUint32(spanKey(k.width, k.span), k.series)
	key = binary.BigEndian.AppendUint32(key, k.owner)
	if index > 0 {
		key = binary.BigEndian.AppendUint16(key, uint16(index))
	}
	return key
}

func spanKey(width, span int64) []byte {
	dst := append(make([]byte, 0, len(prefixChunk)+18), prefixChunk...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(width))
	return binary.BigEndian.AppendUint32(dst, uint32(span/1000))
}

func parseChunkKey(b []byte) (chunkKey, error) {
	b = b[len(prefixChunk):]
	if len(b) != 16 && len(b) != 18 {
		return chunkKey{}, fmt.Errorf("history: chunk key of %d bytes", len(b))
	}
	return chunkKey{
		width: int64(binary.BigEndian.Uint32(b)), span: 1000 * int64(binary.BigEndian.Uint32(b[4:])),
		series: binary.BigEndian.Uint32(b[8:]), owner: binary.BigEndian.Uint32(b[12:]),
	}, nil
}

// ChunkPrefix returns what the keys of all chunks of windows of that width begin with, for who weighs them.
func ChunkPrefix(width time.Duration) []byte {
	return binary.BigEndian.AppendUint32(slices.Clone(prefixChunk), uint32(width.Milliseconds()))
}

func idKey(prefix []byte, ids ...uint32) []byte {
	key := append(make([]byte, 0, len(prefix)+4*len(ids)), prefix...)
	for _, id := range ids {
		key = binary.BigEndian.AppendUint32(key, id)
	}
	return key
}

// parseIDs is the inverse of idKey.
func parseIDs(prefix, key []byte, n int) ([2]uint32, error) {
	var ids [2]uint32
	if b := key[len(prefix):]; len(b) == 4*n {
		for i := range n {
			ids[i] = binary.BigEndian.Uint32(b[4*i:])
		}
		return ids, nil
	}
	return ids, fmt.Errorf("history: key %x", key)
}

func readString(r *column.Reader) string { return string(r.Bytes(r.Uvarint())) }

func ownerBytes(o crdt.Origin) []byte {
	dst := append([]byte{byte(o.Class)}, o.Inc[:]...)
	dst = append(binary.AppendUvarint(dst, uint64(len(o.Region))), o.Region...)
	return append(binary.AppendUvarint(dst, uint64(len(o.Node))), o.Node...)
}

func parseOwner(b []byte) (crdt.Origin, error) {
	r := column.Reader{B: b}
	o := crdt.Origin{Class: crdt.Class(r.Byte())}
	copy(o.Inc[:], r.Bytes(uint64(len(o.Inc))))
	o.Region, o.Node = readString(&r), readString(&r)
	if r.Err != nil || len(r.B) > 0 || !o.Class.Valid() {
		return o, fmt.Errorf("history: malformed owner")
	}
	return o, nil
}
