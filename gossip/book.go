package gossip

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"time"
)

// book is the list of hubs this node has heard of, and how dialing each of them went.
type book struct {
	self   identity
	role   Role
	homes  int
	timing timing

	mu       sync.Mutex
	targets  map[string]*target // by address
	pardoned time.Time          // since when this node's present certificate is in use, zero: from the start
}

func newBook(self identity, cfg *Config) *book {
	return &book{self: self, role: cfg.Role, homes: cfg.Homes, timing: timings[cfg.Link], targets: make(map[string]*target)}
}

// learn adds hubs. fresh means that the source knows they are there now (Serf, a session, a hub's answer); otherwise
// only unknown ones are added: two nodes must not keep a dead hub alive by telling each other. It reports any news.
func (b *book) learn(now time.Time, fresh bool, list ...hub) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, h := range list {
		addr, err := canonical(h.Addr)
		if err != nil || !validName(h.Region) || !validName(h.Node) {
			continue
		}
		h.Addr = addr
		t := b.targets[addr]
		switch {
		case t == nil && len(b.targets) < maxTargets:
			b.targets[addr] = &target{hub: h, seen: now, since: now}
			news = true
		case t == nil:
		case fresh:
			if now.Sub(t.seen) > b.timing.fresh() { // back from the dead: do not wait out the long pause
				t.failures, t.next, news = min(t.failures, 1), now, true
			}
			news = news || t.Inc != h.Inc
			if t.Inc != h.Inc {
				t.self = false
			}
			t.hub, t.seen = h, now
		}
	}
	return news
}

// up and down follow the sessions; err is why one ended.
func (b *book) up(addr string, id uint64, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.targets[addr]; t != nil {
		t.up, t.since, t.seen, t.failures, t.refusals, t.next = id, now, now, 0, 0, now
	}
}

func (b *book) down(addr string, id uint64, now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.targets[addr]; t != nil && t.up == id {
		t.flaps++
		if now.Sub(t.since) >= steady {
			t.flaps = 0
		}
		began := t.since
		t.up, t.since, t.seen = 0, now, now
		switch {
		case errors.Is(err, errSurplus):
			t.flaps = 0
		case refusedByPeer(err):
			b.refused(t, began, now)
		default:
			b.failed(t, now)
		}
	}
}

func (b *book) failed(t *target, now time.Time) {
	t.failures++
	limit := b.timing.otherCap
	if t.Region == b.self.region && now.Sub(t.seen) < freshFor {
		limit = b.timing.homeCap
	}
	t.next = now.Add(backoff(t.failures, limit))
}

// dialed ends what due began.
func (b *book) dialed(addr string, err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.targets[addr]
	if t == nil {
		return
	}
	began := t.dialing
	t.dialing = time.Time{}
	refused, ok := errors.AsType[*refusedError](err)
	switch {
	case err == nil || t.up != 0:
	case ok && refused.code == refuseSelf:
		t.self = true
	case ok && refused.lasting():
		b.refused(t, began, now)
	default:
		t.refusals = 0
		b.failed(t, now)
	}
}

// due returns the hubs to dial now, marked as being dialed, the sessions to give up, and when to ask again.
func (b *book) due(now time.Time) (dial []hub, drop []uint64, again time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	again = now.Add(time.Second)
	for _, t := range b.wanted(now, &drop, &again) {
		switch {
		case !t.dialing.IsZero():
		case t.next.After(now):
			again = earlier(again, t.next)
		default:
			t.dialing = now
			dial = append(dial, t.hub)
		}
	}
	return dial, drop, again
}

// wanted returns the hubs that should have a session and have none.
func (b *book) wanted(now time.Time, drop *[]uint64, again *time.Time) (want []*target) {
	type process struct {
		region, node string
		inc          [16]byte
	}
	connected := make(map[process]bool)
	for _, t := range b.targets {
		if t.up != 0 {
			connected[process{t.Region, t.Node, t.Inc}] = true
		}
	}
	var candidates []*target
	for addr, t := range b.targets {
		switch {
		case t.up == 0 && connected[process{t.Region, t.Node, t.Inc}]: // another address of a hub that is up
		case t.up == 0 && t.dialing.IsZero() && now.Sub(t.seen) > forgetAfter:
			delete(b.targets, addr)
		case t.self || (b.role == Edge && t.Region != b.self.region):
		default:
			candidates = append(candidates, t)
		}
	}
	if b.role == Edge {
		want, excess := chooseHomes(rank(b.self.node, candidates), b.homes, now)
		for _, t := range excess {
			*drop = append(*drop, t.up)
		}
		return want
	}
	for _, t := range candidates {
		wait := t.since.Add(grace)
		switch {
		case t.up != 0:
		case b.self.before(t.Region, t.Node) || !now.Before(wait):
			want = append(want, t)
		default:
			*again = earlier(*again, wait)
		}
	}
	return want
}

// list returns the hubs that are believed to be there, those of region first, at most limit.
func (b *book) list(now time.Time, region string, limit int) []hub {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []hub
	for _, t := range b.targets {
		if !t.self && (t.up != 0 || now.Sub(t.seen) < b.timing.fresh()) {
			out = append(out, t.hub)
		}
	}
	slices.SortFunc(out, func(x, y hub) int {
		return cmp.Or(boolCompare(x.Region != region, y.Region != region), cmp.Compare(x.Region, y.Region),
			cmp.Compare(x.Node, y.Node), cmp.Compare(x.Addr, y.Addr))
	})
	return out[:min(len(out), limit)]
}

// remembered counts the hubs other than this one that are believed to exist, and how many of them have a session.
func (b *book) remembered() (known, up int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range b.targets {
		if t.self || (b.role == Edge && t.Region != b.self.region) {
			continue
		}
		known++
		if t.up != 0 {
			up++
		}
	}
	return known, up
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
