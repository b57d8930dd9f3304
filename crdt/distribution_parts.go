package crdt

import "fmt"

// DistributionParts are the fields of a Distribution for who writes many of them side by side, as columns of a chunk.
// Keys name buckets, ascending within each sign: opaque numbers that are equal for equal buckets.
type DistributionParts struct {
	Zeros          uint64
	SumPos, SumNeg Fixed
	Ranged         bool // Least and Greatest are set
	Least          float64
	Greatest       float64

	Keys     []uint32 // of the positive buckets, then of the negative ones
	Counts   []uint64 // beside Keys
	Positive int      // how many of them are positive
}

// Parts returns the fields of d; Keys and Counts are appended to those of scratch.
func (d *Distribution) Parts(scratch DistributionParts) DistributionParts {
	p := DistributionParts{
		Zeros: d.zero, SumPos: d.sumPos, SumNeg: d.sumNeg, Ranged: d.ranged, Least: d.least, Greatest: d.greatest,
		Keys: scratch.Keys[:0], Counts: scratch.Counts[:0], Positive: len(d.positive),
	}
	for _, bs := range [...]buckets{d.positive, d.negative} {
		for _, b := range bs {
			p.Keys, p.Counts = append(p.Keys, uint32(b.key)), append(p.Counts, b.count)
		}
	}
	return p
}

// DistributionOf is the inverse of Parts. It keeps none of p's slices, and refuses with ErrBytes what no Distribution has.
func DistributionOf(p DistributionParts) (*Distribution, error) {
	errParts := fmt.Errorf("crdt: %w: parts of a distribution", ErrBytes)
	if len(p.Counts) != len(p.Keys) || p.Positive < 0 || p.Positive > len(p.Keys) || !p.Ranged && (p.Least != 0 || p.Greatest != 0) {
		return nil, errParts
	}
	if !isFinite(p.Least) || !isFinite(p.Greatest) || p.Least > p.Greatest {
		return nil, errParts
	}
	all := make(buckets, len(p.Keys))
	for i, k := range p.Keys {
		key := bucketKey(k)
		if p.Counts[i] == 0 || !validBucket(key.scale(), key.index()) || i > 0 && i != p.Positive && p.Keys[i-1] >= k {
			return nil, errParts
		}
		all[i] = bucket{key: key, count: p.Counts[i]}
	}
	d := &Distribution{
		positive: all[:p.Positive:p.Positive], negative: all[p.Positive:], zero: p.Zeros, sumPos: p.SumPos, sumNeg: p.SumNeg,
		ranged: p.Ranged, least: p.Least + 0, greatest: p.Greatest + 0,
	}
	if !d.recount() {
		return nil, errParts
	}
	return d, nil
}
