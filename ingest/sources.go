package ingest

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxSources are told apart at once, 200 bytes each. Others share one limit until some of them have been quiet: senders of
// packets may give any address.
const maxSources = 50_000

// Sources bounds how many bytes a second each address may send, all doors together. A nil *Sources bounds nothing.
type Sources struct {
	limit rate.Limit // bytes a second
	burst int

	mu    sync.Mutex
	by    map[netip.Addr]*rate.Limiter
	rest  *rate.Limiter
	swept time.Time
}

// NewSources allows every address so many bytes a second, and bursts of one second's or of one body of the greatest size.
func NewSources(bytesPerSecond int64) *Sources {
	s := &Sources{
		limit: rate.Limit(bytesPerSecond), burst: int(min(max(bytesPerSecond, maxBodyBytes), math.MaxInt32)),
		by: make(map[netip.Addr]*rate.Limiter),
	}
	s.rest = rate.NewLimiter(s.limit, s.burst)
	return s
}

// of returns the limiter of an address.
func (s *Sources) of(from netip.Addr, now time.Time) *rate.Limiter {
	from = from.Unmap().WithZone("")
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.by[from]; l != nil {
		return l
	}
	if len(s.by) >= maxSources {
		s.sweep(now)
	}
	if len(s.by) >= maxSources {
		return s.rest
	}
	l := rate.NewLimiter(s.limit, s.burst)
	s.by[from] = l
	return l
}

// sweep forgets those whose bucket is full again, as a new one is; once a second at most, since it looks at all.
func (s *Sources) sweep(now time.Time) {
	if now.Sub(s.swept) < time.Second {
		return
	}
	s.swept = now
	for from, l := range s.by {
		if l.TokensAt(now) >= float64(s.burst) {
			delete(s.by, from)
		}
	}
}

// take reports whether an address may send n bytes now, and takes them off if so.
func (s *Sources) take(from netip.Addr, n int, now time.Time) bool {
	return s == nil || s.of(from, now).AllowN(now, min(n, s.burst))
}

// check returns a tooFastError if an address has sent more than it may.
func (s *Sources) check(from netip.Addr, now time.Time) error {
	if s == nil {
		return nil
	}
	if tokens := s.of(from, now).TokensAt(now); tokens < 0 {
		return &tooFastError{wait: time.Duration(-tokens / float64(s.limit) * float64(time.Second))}
	}
	return nil
}

// charge takes n bytes off, which may put an address into debt: a request is known to be too large when it was read.
func (s *Sources) charge(from netip.Addr, n int, now time.Time) {
	if s != nil {
		s.of(from, now).ReserveN(now, min(n, s.burst))
	}
}

// wait takes n bytes off and waits for as long as they are too many: it holds a stream's sender back.
func (s *Sources) wait(ctx context.Context, from netip.Addr, n int) {
	if s == nil {
		return
	}
	now := time.Now()
	if d := s.of(from, now).ReserveN(now, min(n, s.burst)).DelayFrom(now); d > 0 {
		pause(ctx, d)
	}
}

// tooFastError says that a source sends more than it may, and how long it is to wait.
type tooFastError struct{ wait time.Duration }

func (e *tooFastError) Error() string {
	return fmt.Sprintf("nothing was counted: this address sends more than --source-limit allows; again in %s", e.wait.Round(time.Millisecond))
}

// seconds is the wait as Retry-After has it.
func (e *tooFastError) seconds() int { return int(math.Ceil(e.wait.Seconds())) }

// addrOf returns the address of a connection's other end; the zero Addr, which is one source, if it has none.
func addrOf(a net.Addr) netip.Addr {
	if a, ok := a.(*net.TCPAddr); ok {
		return a.AddrPort().Addr()
	}
	return netip.Addr{}
}

// addrOfRequest returns the address in an http.Request's RemoteAddr.
func addrOfRequest(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}
