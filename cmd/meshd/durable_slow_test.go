//go:build slow && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"meshd/cmd/meshd/internal/config"
	"meshd/crdt"
	"meshd/history"
	"meshd/node"
	"meshd/query"
)

// proc is a node that runs as users run it, or one that was killed.
type proc struct {
	t          *testing.T
	name, data string
	region     string
	http, mesh string
	args       []string
	cmd        *exec.Cmd
	client     *query.Client
}

// newProc prepares a node without certificates; its disk is empty.
func newProc(t *testing.T, role, region, name string, args ...string) *proc {
	t.Helper()
	p := &proc{t: t, name: name, region: region, data: filepath.Join(t.TempDir(), "data"), http: freePort(t), mesh: freePort(t)}
	p.args = append([]string{
		"run", "--insecure", "--mesh=t", "--role=" + role, "--region=" + region, "--node=" + name, "--data=" + p.data, "--listen=" + p.mesh,
		"--http=" + p.http, "--statsd=off", "--host-metrics=off", "--log-level=error",
	}, args...)
	var err error
	if p.client, err = query.NewClient(p.http, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	return p
}

// freePort finds an address that is free for TCP and UDP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		_ = l.Close()
		if u, err := net.ListenPacket("udp", addr); err == nil {
			_ = u.Close()
			return addr
		}
	}
	t.Fatal("no port is free for TCP and UDP")
	return ""
}

// launch starts a process that does not outlive the test.
func launch(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(meshd(), args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func (p *proc) start() {
	p.t.Helper()
	p.cmd = launch(p.t, p.args...)
}

// kill ends the process as a crash does.
func (p *proc) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// eventually waits for what another process does.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(2 * settle)
	for err := f(); err != nil; err = f() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v after %s", what, err, 2*settle)
		}
		time.Sleep(50 * time.Millisecond) // between two questions to another process
	}
}

// total asks for the sum of a metric, of a time if the request has one; nothing counted is "0".
func (p *proc) total(r query.TotalRequest) (string, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
	defer cancel()
	a, err := p.client.Total(ctx, r)
	if err != nil || len(a.Results) == 0 {
		return "0", err
	}
	return a.Results[0].ValueExact, nil
}

// wantTotals waits until the node answers exactly these sums. More than them is an error at once.
func (p *proc) wantTotals(want map[string]uint64) {
	p.t.Helper()
	for metric, w := range want {
		eventually(p.t, "total of "+metric+" at "+p.name, func() error {
			got, err := p.total(query.TotalRequest{Metric: metric})
			if err != nil || got == fmt.Sprint(w) {
				return err
			}
			if f, err := crdt.ParseFixed(got); err == nil && crdt.FixedFromUint(w).Less(f) {
				p.t.Fatalf("%s at %s is %s: more than the %d that were written", metric, p.name, got, w)
			}
			return fmt.Errorf("%s, want %d", got, w)
		})
	}
}

// archived waits until the log has all that is on the node's disk.
func (p *proc) archived() {
	p.t.Helper()
	eventually(p.t, "archive of "+p.name, func() error {
		ctx, cancel := context.WithTimeout(p.t.Context(), 5*time.Second)
		defer cancel()
		st, err := p.client.Status(ctx)
		switch {
		case err != nil:
			return err
		case st.Archive == nil:
			return fmt.Errorf("%s keeps no log", p.name)
		case st.Archive.Records > 0 || st.Archive.AgeMs > 0:
			return fmt.Errorf("it lacks %d records", st.Archive.Records)
		}
		return nil
	})
}

// replay is `meshd replay` of a log into a data directory of the node.
func (p *proc) replayArgs(log, data string) []string {
	return []string{"replay", "--from=" + log, "--mesh=t", "--region=" + p.region, "--node=" + p.name, "--data=" + data, "--log-level=error"}
}

func (p *proc) replay(log, data string) {
	p.t.Helper()
	if out, err := exec.Command(meshd(), p.replayArgs(log, data)...).CombinedOutput(); err != nil {
		p.t.Fatalf("replay of %s: %v\n%s", log, err, out)
	}
}

// contents returns what the hub that owns a data directory answers, in canonical form: totals, and windows that ended before a time
// (0: no windows).
func (p *proc) contents(data string, to int64) map[string]string {
	p.t.Helper()
	cfg, err := config.Load([]string{"--mesh=t", "--role=hub", "--region=" + p.region, "--node=" + p.name, "--data=" + data}, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	l, err := openLone(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			p.t.Error(err)
		}
	}()
	ctx := p.t.Context()
	if err := l.node.Settle(ctx); err != nil {
		p.t.Fatal(err)
	}
	out := map[string]string{}
	if _, err := l.node.Totals(ctx, node.Select{Each: func(r *node.Row) error {
		out[fmt.Sprintf("total of %s in %s", r.Series, r.Region)] = string(r.Value.AppendBinary(nil))
		return nil
	}}); err != nil {
		p.t.Fatal(err)
	}
	for _, width := range []int64{crdt.FineMillis, crdt.MinuteMillis, crdt.HourMillis} {
		if to == 0 {
			break
		}
		err := l.past.Curves(ctx, history.Selection{Width: width, From: to - 6*crdt.HourMillis, To: to}, func(c *history.Curve) error {
			for _, pt := range c.Points {
				if pt.Window.End() <= to {
					out[fmt.Sprintf("window %v of %s by %v", pt.Window, c.Series, c.Owner)] = string(pt.Value.AppendBinary(nil))
				}
			}
			return nil
		})
		if err != nil {
			p.t.Fatal(err)
		}
	}
	return out
}

func mustEqual(t *testing.T, what string, want, got map[string]string) {
	t.Helper()
	if len(want) == 0 {
		t.Fatalf("%s: nothing to compare", what)
	}
	wrong := 0
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if want[k] != got[k] {
			if wrong++; wrong <= 5 {
				t.Errorf("%s: %s is %x, want %x", what, k, got[k], want[k])
			}
		}
	}
	if wrong > 0 || len(want) != len(got) {
		t.Errorf("%s: %d of %d values are wrong, %d are there", what, wrong, len(want), len(got))
	}
	t.Logf("%s: %d values are equal byte by byte", what, len(want)-wrong)
}

// load is clients that count at nodes until they are told to stop, and know what was acknowledged. What is not answered they send
// again under the same keys.
type load struct {
	t       *testing.T
	at      []*proc
	clients sync.WaitGroup
	stopped chan struct{}

	mu      sync.Mutex
	acked   map[string]uint64 // by metric
	batches int
	retries int
	longest time.Duration // between two acknowledgements of any client
	last    time.Time
}

// startLoad lets each of some clients send batches of 20 events one after the other, half of them of up to two hours ago.
func startLoad(t *testing.T, seed uint64, clients int, at ...*proc) *load {
	t.Helper()
	l := &load{t: t, at: at, stopped: make(chan struct{}), acked: map[string]uint64{}, last: time.Now()}
	for c := range clients {
		l.clients.Go(func() { l.client(c, rand.New(rand.NewPCG(seed, uint64(c)))) })
	}
	return l
}

func (l *load) client(c int, rng *rand.Rand) {
	for n := 0; ; n++ {
		var body bytes.Buffer
		sums := map[string]uint64{}
		for i := range 20 {
			metric, amount := fmt.Sprintf("durable.m%d", rng.IntN(8)), 1+rng.Uint64N(1<<30)
			sums[metric] += amount
			ev := map[string]any{"event": metric, "value": amount, "idempotency_key": fmt.Sprintf("%d-%d-%d", c, n, i)}
			if rng.IntN(2) == 0 {
				ev["ts"] = time.Now().Add(-time.Duration(100+rng.IntN(7200)) * time.Second).UnixMilli()
			}
			line, err := json.Marshal(ev)
			if err != nil {
				l.t.Error(err)
				return
			}
			body.Write(append(line, '\n'))
		}
		for try := 0; ; try++ {
			if l.post(l.at[c%len(l.at)], body.Bytes()) {
				l.ack(sums, try)
				break
			}
			time.Sleep(20 * time.Millisecond) // the node is down
		}
		select {
		case <-l.stopped:
			return
		case <-l.t.Context().Done():
			return
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func (l *load) post(p *proc, body []byte) bool {
	c := &http.Client{Timeout: 10 * time.Second}
	resp, err := c.Post("http://"+p.http+"/v1/events", "application/x-ndjson", bytes.NewReader(body))
	if err != nil {
		return l.t.Context().Err() != nil
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusAccepted {
		return false
	}
	var a struct {
		Rejected int `json:"rejected_total"`
	}
	if err := json.Unmarshal(answer, &a); err != nil || a.Rejected > 0 {
		l.t.Errorf("answer %s: %v", answer, err)
	}
	return true
}

func (l *load) ack(sums map[string]uint64, tries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for m, n := range sums {
		l.acked[m] += n
	}
	now := time.Now()
	l.batches, l.retries, l.longest, l.last = l.batches+1, l.retries+tries, max(l.longest, now.Sub(l.last)), now
}

// mark returns the batches and the tries that failed so far, and the longest time without an acknowledgement since the last mark.
func (l *load) mark() (batches, retries int, longest time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	longest = max(l.longest, time.Since(l.last))
	l.longest, l.last = 0, time.Now()
	return l.batches, l.retries, longest
}

// stop waits until all that was sent is acknowledged, and returns how much was counted of each metric.
func (l *load) stop() map[string]uint64 {
	close(l.stopped)
	l.clients.Wait()
	l.t.Logf("%d batches were acknowledged, %d attempts were not", l.batches, l.retries)
	return l.acked
}

// joined returns the --join flag for hubs.
func joined(hubs ...*proc) string {
	var at []string
	for _, h := range hubs {
		at = append(at, h.mesh)
	}
	return "--join=" + strings.Join(at, ",")
}
