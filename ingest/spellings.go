package ingest

func (a *accumulator) is(s *spelling) bool {
	return a.kind == s.kind && a.at == s.at && int(a.name) == len(s.name) && a.text[:a.name] == string(s.name) && a.text[a.name:] == string(s.tags)
}

// spellings is a hash table of accumulators, chained in themselves. A map would hash the hash again and take more memory:
// looking a spelling up is most of what a line costs.
type spellings struct {
	buckets []*accumulator // a power of two of them, none at first
	count   int
}

const firstBuckets = 16

// bucket returns where the accumulators of a hash are. Its lowest bits, which chose the shard, are equal in a whole table.
func (t *spellings) bucket(hash uint64) **accumulator {
	return &t.buckets[hash/numShards&uint64(len(t.buckets)-1)]
}

// find returns the accumulator of a spelling, nil if there is none.
func (t *spellings) find(hash uint64, s *spelling) *accumulator {
	if len(t.buckets) == 0 {
		return nil
	}
	for c := *t.bucket(hash); c != nil; c = c.next {
		if c.hash == hash && c.is(s) {
			return c
		}
	}
	return nil
}

// add takes in an accumulator that is not there yet.
func (t *spellings) add(c *accumulator) {
	if t.count >= len(t.buckets) {
		t.grow()
	}
	b := t.bucket(c.hash)
	c.next, *b = *b, c
	t.count++
}

// grow doubles the table: the longest that a reader waits in it is for 31,250 of two million spellings, a millisecond.
func (t *spellings) grow() {
	old := t.buckets
	t.buckets = make([]*accumulator, max(firstBuckets, 2*len(old)))
	for _, c := range old {
		for c != nil {
			next := c.next
			b := t.bucket(c.hash)
			c.next, *b = *b, c
			c = next
		}
	}
}

// remove lets go of one and reports whether it was there.
func (t *spellings) remove(c *accumulator) bool {
	if len(t.buckets) == 0 {
		return false
	}
	for at := t.bucket(c.hash); *at != nil; at = &(*at).next {
		if *at == c {
			*at = c.next
			t.count--
			return true
		}
	}
	return false
}

// sweep lets go of those that are idle.
func (t *spellings) sweep(idle func(*accumulator) bool) {
	for i := range t.buckets {
		for at := &t.buckets[i]; *at != nil; {
			if idle(*at) {
				*at = (*at).next
				t.count--
			} else {
				at = &(*at).next
			}
		}
	}
}
