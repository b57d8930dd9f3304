package wire

import "meshd/crdt"

// Hello is the first message of each side of a session, after the transport's own preface.
type Hello struct {
	Nonce       [16]byte         // names the process: a new session of it closes the old one
	WallMs      int64            // the sender's wall clock, milliseconds since the Unix epoch
	Inc         crdt.Incarnation // the process' live incarnation
	Own         []Head           // every incarnation of the node on the sender's disk
	Fingerprint uint64           // of the lifetime cells of Inc at its head in Own; 0: not given
}

// Head names an incarnation and how far each of its streams has come on the sender's disk.
type Head struct {
	Inc         crdt.Incarnation
	Head        [crdt.NumStreams]uint64
	Fingerprint uint64 // of its lifetime cells at Head; 0: not given
}

const (
	helloFields  = 5
	headFields   = 4
	headBytesMin = 1 + 18 + 3
)

func (m *Hello) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.array(helloFields)
	w.bytes(m.Nonce[:])
	w.int(m.WallMs)
	w.bytes(m.Inc[:])
	w.limit("heads", len(m.Own), MaxHeads)
	w.array(len(m.Own))
	for i := range m.Own {
		h := &m.Own[i]
		w.array(headFields)
		w.bytes(h.Inc[:])
		for _, head := range h.Head {
			w.uint(head)
		}
		w.uint(h.Fingerprint)
	}
	w.uint(m.Fingerprint)
	return w.done()
}

func parseHello(b []byte) (*Hello, error) {
	var m Hello
	r := newReader(b)
	extra := r.array(helloFields)
	m.Nonce, m.WallMs, m.Inc = r.id(), r.int(), r.id()
	if n := r.list("heads", MaxHeads, headBytesMin); n > 0 {
		m.Own = make([]Head, n)
	}
	for i := range m.Own {
		h := &m.Own[i]
		extra := r.array(headFields)
		h.Inc = r.id()
		for s := range h.Head {
			h.Head[s] = r.uint()
		}
		h.Fingerprint = r.uint()
		r.skip(extra)
	}
	m.Fingerprint = r.uint()
	r.skip(extra)
	return &m, r.end()
}
