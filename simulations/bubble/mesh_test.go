package bubble

import (
	"bytes"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"meshd/gossip/memnet"
)

const meshName = "test"

// serfLinger is how long a probe of memberlist's may outlive a node, see package gossip.
const serfLinger = 16 * time.Second

// link is what joins two nodes unless a test says otherwise.
var link = memnet.Link{Delay: 5 * time.Millisecond, Jitter: 2 * time.Millisecond}

// mesh is a set of machines on one network, and what their clients know.
type mesh struct {
	t         *testing.T
	net       *memnet.Network
	log       *lockedBuffer
	authority string        // directory of the authority; empty: everybody is believed
	valid     time.Duration // of the first certificates; 0: the usual time
	ledger    *ledger
	machines  map[string]*machine
	distant   sync.Map      // *distant by session
	sessions  atomic.Uint64 // with distant hubs, so far
	distants  []*distant
	dying     sync.WaitGroup // killed processes, of which the outside sees nothing any more
}

// bubble runs test with an empty mesh in a bubble of its own, beside other bubbles, and stops what it left running.
func bubble(t *testing.T, test func(t *testing.T, m *mesh)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := &mesh{t: t, net: memnet.New(1), log: &lockedBuffer{}, ledger: newLedger(), machines: map[string]*machine{}}
		m.net.SetDefault(link)
		defer func() {
			m.stop()
			for _, d := range m.distants {
				d.end()
			}
			if t.Failed() {
				t.Logf("warnings:\n%s", m.log)
			}
		}()
		test(t, m)
	})
}

// start turns on machines named REGION-x, for the first time or again: a hub if x begins with h. They join by any of the
// hubs that are there, or by the first one named.
func (m *mesh) start(names ...string) {
	m.t.Helper()
	for _, name := range names {
		h := m.machines[name]
		if h == nil {
			h = m.newMachine(name)
		}
		h.start()
	}
}

func (m *mesh) newMachine(name string) *machine {
	region, rest, _ := strings.Cut(name, "-")
	h := &machine{
		m: m, name: name, region: region, hub: strings.HasPrefix(rest, "h"), dir: m.t.TempDir(),
		addr: fmt.Sprintf("10.0.%d.%d:8946", len(m.machines)/200, len(m.machines)%200+1),
	}
	m.machines[name] = h
	return h
}

// hubs returns the addresses of all hubs but one.
func (m *mesh) hubs(but string) (addrs []string) {
	for _, h := range m.all() {
		if h.hub && h.name != but {
			addrs = append(addrs, h.addr)
		}
	}
	return addrs
}

// all returns the machines by name.
func (m *mesh) all() (all []*machine) {
	for _, name := range slices.Sorted(maps.Keys(m.machines)) {
		all = append(all, m.machines[name])
	}
	return all
}

func (m *mesh) running() []*machine {
	return slices.DeleteFunc(m.all(), func(h *machine) bool { return h.proc.Load() == nil })
}

// at returns the addresses of machines; REGION-* stands for all of a region.
func (m *mesh) at(names ...string) (addrs []string) {
	for _, h := range m.all() {
		if slices.Contains(names, h.name) || slices.Contains(names, h.region+"-*") {
			addrs = append(addrs, h.addr)
		}
	}
	return addrs
}

// stop ends what runs, all at once as an operator would.
func (m *mesh) stop() {
	var wg sync.WaitGroup
	for _, h := range m.running() {
		wg.Go(h.stop)
	}
	wg.Wait()
	m.dying.Wait()
	time.Sleep(serfLinger) // the bubble then reports every goroutine that is left
}

// until lets time pass in small steps until ok, and returns how much that was.
func (m *mesh) until(what string, within time.Duration, ok func() bool) time.Duration {
	m.t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) >= within {
			m.explain()
			m.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

// exact waits until every node that runs answers exactly what was written, and returns how long that took.
func (m *mesh) exact(within time.Duration) time.Duration {
	m.t.Helper()
	return m.until("exact totals everywhere", within, func() bool {
		for _, h := range m.running() {
			if m.ledger.differs(h.read()) != "" {
				return false
			}
		}
		return true
	})
}

// count makes every node that runs count once more, one after the other.
func (m *mesh) count() {
	m.t.Helper()
	for _, h := range m.running() {
		h.mustCount()
	}
}

// load makes every machine in names count at every interval and read in between, until the returned function is called,
// which waits for the last answer. Machines that do not run are passed over.
func (m *mesh) load(interval time.Duration, machines ...*machine) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i, h := range machines {
		wg.Go(func() {
			tick := time.NewTicker(interval)
			defer tick.Stop()
			for n := i; ; n++ {
				select {
				case <-done:
					return
				case <-tick.C:
				}
				h.tryCount()
				if n%4 == 0 {
					h.tryRead()
				}
			}
		})
	}
	return sync.OnceFunc(func() { close(done); wg.Wait() })
}

// explain logs what a failure is best understood by.
func (m *mesh) explain() {
	m.t.Helper()
	for _, h := range m.running() {
		m.t.Logf("%s: peers %v, differs: %s, counters %v", h.name, h.peers(), m.ledger.differs(h.read()), h.status().Counters)
	}
}

// lockedBuffer keeps what nodes log for a test that fails.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b.Len() > 1<<20 {
		return len(p), nil
	}
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (m *mesh) logger(name string) *slog.Logger {
	level := slog.LevelWarn
	if os.Getenv("BUBBLE_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: level})).With("node", name)
}
