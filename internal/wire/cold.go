package wire

import "meshd/crdt"

// ColdMarks compares what two hubs of a region hold of incarnations that are over, without naming each: the
// incarnations are divided into buckets by their first 12 bits, and a bucket is listed only where its sums differ.
type ColdMarks struct{ Buckets []ColdBucket }

// ColdBucket is the sum of a bucket, or with Listed all that the sender holds of it on disk only.
type ColdBucket struct {
	Bucket uint32 // 0 to ColdBuckets-1
	Sum    uint64 // see docs/protocol.md; 0 of an empty bucket
	Listed bool
	Marks  []ColdMark // in the order of incarnations
}

// ColdMark is how far one incarnation is held.
type ColdMark struct {
	Node    string
	Inc     crdt.Incarnation
	Covered [crdt.NumStreams]uint64
}

const (
	coldMarksFields    = 1
	coldBucketFields   = 4
	coldBucketBytesMin = 1 + 4
	coldMarkFields     = 2 + crdt.NumStreams
	coldMarkBytesMin   = 1 + 2 + 18 + crdt.NumStreams
)

func (m *ColdMarks) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("buckets", len(m.Buckets), ColdBuckets)
	w.array(coldMarksFields)
	w.array(len(m.Buckets))
	total := 0
	for i := range m.Buckets {
		b := &m.Buckets[i]
		if b.Bucket >= ColdBuckets {
			w.fail(ErrInvalid, "bucket %d, want less than %d", b.Bucket, ColdBuckets)
		}
		total += len(b.Marks)
		w.limit("cold marks", total, MaxColdMarks)
		w.array(coldBucketFields)
		w.uint(uint64(b.Bucket))
		w.uint(b.Sum)
		w.bool(b.Listed)
		w.array(len(b.Marks))
		for j := range b.Marks {
			k := &b.Marks[j]
			w.array(coldMarkFields)
			w.name(k.Node)
			w.bytes(k.Inc[:])
			for _, seq := range k.Covered {
				w.uint(seq)
			}
		}
	}
	return w.done()
}

func parseColdMarks(b []byte) (*ColdMarks, error) {
	var m ColdMarks
	r := newReader(b)
	extra := r.array(coldMarksFields)
	if n := r.list("buckets", ColdBuckets, coldBucketBytesMin); n > 0 {
		m.Buckets = make([]ColdBucket, n)
	}
	left := MaxColdMarks
	for i := range m.Buckets {
		k := &m.Buckets[i]
		extra := r.array(coldBucketFields)
		k.Bucket, k.Sum, k.Listed = uint32(r.small("bucket", ColdBuckets-1)), r.uint(), r.bool()
		if n := r.list("cold marks", left, coldMarkBytesMin); n > 0 {
			k.Marks = make([]ColdMark, n)
			left -= n
		}
		for j := range k.Marks {
			r.coldMark(&k.Marks[j])
		}
		r.skip(extra)
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) coldMark(k *ColdMark) {
	extra := r.array(coldMarkFields)
	k.Node, k.Inc = r.name(), r.id()
	for s := range k.Covered {
		k.Covered[s] = r.uint()
	}
	r.skip(extra)
}
