package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// errKilled is what the end of a process is in these tests: a panic at a request or a change of the disk.
var errKilled = errors.New("killed")

// process is a client with a buffer that can die at any moment.
type process struct {
	*Client
	m       *mesh
	clock   *clock
	counted uint64      // by it
	safe    uint64      // of that, acknowledged or on disk when a round was over
	dies    func() bool // asked at every request and every change of the disk
}

// RoundTrip implements http.RoundTripper: the process may die before a request or behind it.
func (p *process) RoundTrip(r *http.Request) (*http.Response, error) {
	p.perhaps()
	res, err := p.m.RoundTrip(r)
	p.perhaps()
	return res, err
}

func (p *process) perhaps() {
	if p.dies != nil && p.dies() {
		panic(errKilled)
	}
}

func (m *mesh) process(dir string, at *clock) *process {
	m.t.Helper()
	p := &process{m: m, clock: at}
	c, err := newClient(Config{Nodes: m.urls, HTTP: &http.Client{Transport: p}, BufferDir: dir, BufferBytes: 4 << 20})
	if err != nil {
		m.t.Fatal(err)
	}
	c.sender.now = func() time.Time { return at.at }
	c.sender.spool.fault = p.perhaps
	p.Client = c
	return p
}

// round is one of the background, or the process's death in it.
func (p *process) round() (died bool) {
	defer func() {
		if e := recover(); e != nil {
			if e != any(errKilled) {
				panic(e)
			}
			died = true
			p.sender.spool.close()
		}
	}()
	_ = p.sender.round(context.Background(), false) // lost requests are errors
	onDisk := p.sender.head == nil && p.sender.at >= p.sender.entries()
	for _, n := range p.sender.nodes {
		onDisk = onDisk && (n.doubt == nil || n.held)
	}
	if onDisk {
		p.safe = p.counted
	}
	return false
}

// end is what Close does when no time is left. The background is the test.
func (p *process) end(rt *rapid.T) {
	if p.sender.keepAll() {
		p.safe = p.counted
	} else if p.sender.spool.open(p.m.urls[0]) != nil {
		rt.Fatalf("there is a session and room, and not all is on disk: %v", p.Stats().LastError)
	}
	p.sender.spool.close()
}

// TestBufferedReportsCountOnce counts in one process after another, which end or are killed at any request and any change of the
// disk, while requests and answers are lost and repeated and nodes restart: no total is ever above what was counted, and in
// the end all is there that was acknowledged or on disk.
func TestBufferedReportsCountOnce(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		dir := filepath.Join(base, fmt.Sprint(runs))
		m := newMesh(t, 2)
		defer m.close()
		k := &clock{at: time.Unix(1_700_000_000, 0)}
		down := false
		m.fault = func(string) fault {
			if down {
				return refused
			}
			return fault(rapid.IntRange(0, int(numFaults)-1).Draw(rt, "fault"))
		}
		var counted, safe uint64
		var p *process
		begin := func() {
			p = m.process(dir, k)
			p.dies = func() bool { return rapid.IntRange(0, 40).Draw(rt, "dies") == 40 }
		}
		over := func() {
			safe += p.safe
			begin()
		}
		begin()
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			switch rapid.IntRange(0, 7).Draw(rt, "step") {
			case 0:
				m.restart(fmt.Sprintf("node%d", rapid.IntRange(0, 1).Draw(rt, "node")), false)
			case 1:
				down = !down
			case 2:
				p.dies = nil
				p.end(rt)
				over()
			case 3, 4:
				p.Counter("clicks").Inc()
				p.counted++
				counted++
			default:
				k.at = k.at.Add(longestPause)
				if p.round() {
					over()
				}
				if v := m.total("clicks"); crdt.FixedFromUint(counted).Less(v.P) {
					rt.Fatalf("total %s, counted %d", v.P, counted)
				}
			}
		}
		m.fault, p.dies = nil, nil
		p.round()
		safe += p.safe
		p.sender.spool.close()
		last := m.process(dir, k)
		last.round()
		last.sender.spool.close()
		v, st := m.total("clicks"), last.Stats()
		if crdt.FixedFromUint(counted).Less(v.P) || v.P.Less(crdt.FixedFromUint(safe)) {
			rt.Fatalf("total %s, counted %d, of which %d were safe", v.P, counted, safe)
		}
		if st.Unknown > 0 || st.Buffered > 0 || st.InDoubt > 0 {
			rt.Fatalf("%+v", st)
		}
	})
}

// outage is a process that has reached its node once, and then no more.
func outage(t *testing.T) (m *mesh, p *process, dir string) {
	t.Helper()
	m = newMesh(t, 1)
	t.Cleanup(m.close)
	dir = t.TempDir()
	p = m.process(dir, &clock{at: time.Unix(1_700_000_000, 0)})
	p.Counter("clicks").Inc()
	p.round()
	m.fault = func(string) fault { return refused }
	return m, p, dir
}

func TestAFullBufferKeepsCountingInMemory(t *testing.T) {
	m, p, _ := outage(t)
	p.sender.spool.limit = 3 * blockBytes
	for range 10 {
		p.Counter("clicks").Inc()
		p.round()
		p.clock.at = p.clock.at.Add(bufferAfter)
		p.round()
	}
	st := p.Stats()
	if st.Buffered != 3 || st.BufferFull == 0 || !errors.Is(st.LastError, errNot) && !errors.Is(st.LastError, errBufferFull) {
		t.Errorf("%+v", st)
	}
	m.fault = nil
	p.clock.at = p.clock.at.Add(longestPause)
	p.round()
	if v, st := m.total("clicks"), p.Stats(); v.P.String() != "11" || st.Buffered != 0 || st.Unknown != 0 {
		t.Errorf("total %s, %+v", v.P, st)
	}
	p.sender.spool.close()
}

// A directory is copied while reports wait in it, and both go on: what is in both counts once.
func TestACopiedBufferCountsOnce(t *testing.T) {
	m, p, dir := outage(t)
	p.Counter("clicks").Add(10)
	p.sender.keepAll()
	p.sender.spool.close()
	copied := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	m.fault = nil
	for _, d := range []string{dir, copied, dir} {
		q := m.process(d, p.clock)
		q.round()
		q.sender.spool.close()
		if v := m.total("clicks"); v.P.String() != "11" {
			t.Errorf("total %s, want 11", v.P)
		}
	}
}

// What is damaged is said to be missing, and what comes behind it waits for nothing.
func TestADamagedBuffer(t *testing.T) {
	for name, damage := range map[string]func(b []byte) []byte{
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
	} {
		t.Run(name, func(t *testing.T) {
			m, p, dir := outage(t)
			p.Counter("clicks").Add(10)
			p.sender.keepAll()
			p.sender.spool.close()
			files, err := filepath.Glob(filepath.Join(dir, "*"+pendingSuffix))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			b, err := os.ReadFile(files[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(files[0], damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			m.fault = nil
			q := m.process(dir, p.clock)
			q.Counter("clicks").Add(100)
			for range 2 {
				q.round()
			}
			st := q.Stats()
			if v := m.total("clicks"); v.P.String() != "101" || st.Unknown != 1 || !strings.Contains(fmt.Sprint(st.LastError), "damaged") {
				t.Errorf("total %s, %+v", v.P, st)
			}
			q.sender.spool.close()
			if again := m.process(dir, p.clock); again.Stats().Unknown != 0 {
				t.Errorf("the damaged file is still there: %+v", again.Stats())
			}
		})
	}
}

// A node that was away for longer than it remembers sessions, or lost its disk, counts nothing twice, and the client says so.
func TestABufferForANodeThatForgot(t *testing.T) {
	m, p, dir := outage(t)
	p.Counter("clicks").Add(10)
	p.sender.keepAll()
	p.sender.spool.close()
	m.restart("node0", true)
	m.fault = nil
	q := m.process(dir, p.clock)
	q.Counter("clicks").Add(100)
	for range 2 {
		q.round()
	}
	if v, st := m.total("clicks"), q.Stats(); v.P.String() != "100" || st.Unknown != 1 || st.Buffered != 0 {
		t.Errorf("total %s, %+v", v.P, st)
	}
	q.sender.spool.close()
}

func TestABufferIsOfOneProcess(t *testing.T) {
	m, p, dir := outage(t)
	if _, err := New(Config{Nodes: m.urls, BufferDir: dir}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
	p.sender.spool.close()
}

// Two reports of one session, written by two processes while the node was away, the first of them acknowledged meanwhile.
func TestTheNextProcessGoesOnWithTheNumbers(t *testing.T) {
	m, p, dir := outage(t)
	down := m.fault
	p.Counter("clicks").Add(10)
	p.sender.keepAll()
	m.fault = nil
	p.clock.at = p.clock.at.Add(longestPause)
	p.round()
	p.sender.spool.close()
	m.fault = down
	q := m.process(dir, p.clock)
	q.Counter("clicks").Add(100)
	if !q.sender.keepAll() {
		t.Fatal(q.Stats().LastError)
	}
	q.sender.spool.close()
	m.fault = nil
	last := m.process(dir, p.clock)
	last.round()
	if v, st := m.total("clicks"), last.Stats(); v.P.String() != "111" || st.Unknown != 0 || st.Buffered != 0 {
		t.Errorf("total %s, %+v", v.P, st)
	}
	last.sender.spool.close()
}

// Close says that what no node took is kept, and the next process sends it.
func TestCloseKeepsWhatIsLeft(t *testing.T) {
	m, p, dir := outage(t)
	p.sender.spool.close()
	next := func() *Client {
		c, err := New(Config{Nodes: m.urls, Interval: time.Hour, HTTP: &http.Client{Transport: m}, BufferDir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := next()
	c.Counter("clicks").Add(10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Close(ctx); !errors.Is(err, ErrBuffered) || !errors.Is(err, ErrUnacknowledged) {
		t.Errorf("while no node is reachable: %v", err)
	}
	m.fault = nil
	if err := next().Close(t.Context()); err != nil {
		t.Errorf("the node is back: %v", err)
	}
	if v := m.total("clicks"); v.P.String() != "11" {
		t.Errorf("total %s", v.P)
	}
}
