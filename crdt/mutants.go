package crdt

import "meshd/internal/mutant"

// halved is a mutant: the buckets at half the scale, two of them in one, before the maximum is taken and not after.
func (d *Distribution) halved() *Distribution {
	half := func(bs buckets) (out buckets) {
		for _, b := range bs {
			if s := b.key.scale(); s > MinScale {
				b.key = b.key.at(s - 1)
			}
			if n := len(out); n > 0 && out[n-1].key == b.key {
				out[n-1].count += b.count
				continue
			}
			out = append(out, b)
		}
		return out
	}
	out := *d
	out.positive, out.negative = half(d.positive), half(d.negative)
	return &out
}

// rounded is a mutant: totals of 53 bits.
func rounded(f Fixed) Fixed {
	if mutant.On("totals are floats") {
		f, _ = FixedFromFloat(f.Float64())
	}
	return f
}
