//go:build slow && unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"meshd/query"
)

// settle bounds every wait of these tests: the mesh agrees within a second or two on an idle machine.
const settle = 60 * time.Second

// mesh is a demo that runs as a process of its own, as users run it.
type mesh struct {
	t       *testing.T
	env     []string
	cmd     *exec.Cmd
	lines   chan string // of its output, closed at its end
	nodes   []demoNode
	clients []*query.Client
}

type demoNode struct{ Name, Region, Role, HTTP, StatsD string }

// startDemo starts a demo with command (by default the program's own) and waits until it has formed.
func startDemo(t *testing.T, command ...string) *mesh {
	t.Helper()
	dir := t.TempDir()
	m := &mesh{t: t, env: append(os.Environ(), "XDG_CACHE_HOME="+dir, "HOME="+dir)}
	if cache, err := exec.Command("go", "env", "GOCACHE", "GOMODCACHE", "GOPATH").Output(); err == nil {
		for i, v := range strings.Fields(string(cache)) { // these depend on HOME
			m.env = append(m.env, []string{"GOCACHE", "GOMODCACHE", "GOPATH"}[i]+"="+v)
		}
	}
	if len(command) == 0 {
		command = []string{meshd()}
	}
	m.start(append(command, "demo"))
	m.waitLine("the mesh has formed")
	state, err := filepath.Glob(filepath.Join(dir, "*", "state.json")) // Linux
	if err != nil || len(state) == 0 {
		state, _ = filepath.Glob(filepath.Join(dir, "*", "*", "*", "state.json")) // macOS
	}
	if len(state) != 1 {
		t.Fatalf("state files %v, want one", state)
	}
	b, err := os.ReadFile(state[0])
	if err != nil {
		t.Fatal(err)
	}
	var s struct{ Nodes []demoNode }
	if err := json.Unmarshal(b, &s); err != nil || len(s.Nodes) != 10 {
		t.Fatalf("state %s: %v, want ten nodes", b, err)
	}
	m.nodes = s.Nodes
	for _, n := range m.nodes {
		c, err := query.NewClient(n.HTTP, "")
		if err != nil {
			t.Fatal(err)
		}
		m.clients = append(m.clients, c)
	}
	return m
}

func (m *mesh) start(command []string) {
	m.t.Helper()
	m.cmd = exec.Command(command[0], command[1:]...)
	m.cmd.Env = m.env
	m.cmd.Stderr = os.Stderr
	out, err := m.cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.lines = make(chan string, 1000)
	go func() {
		defer close(m.lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			m.lines <- s.Text()
		}
	}()
	m.t.Cleanup(func() { _ = m.cmd.Process.Kill(); _ = m.cmd.Wait() })
}

func (m *mesh) waitLine(part string) {
	m.t.Helper()
	timeout := time.After(2 * settle)
	for {
		select {
		case line, ok := <-m.lines:
			if !ok {
				m.t.Fatalf("the demo ended before it said %q", part)
			}
			if strings.Contains(line, part) {
				return
			}
		case <-timeout:
			m.t.Fatalf("the demo did not say %q", part)
		}
	}
}

// order runs `meshd demo ARGS` and returns its output.
func (m *mesh) order(args ...string) string {
	m.t.Helper()
	cmd := exec.Command(meshd(), append([]string{"demo"}, args...)...)
	cmd.Env = m.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		m.t.Fatalf("meshd demo %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (m *mesh) at(name string) int {
	return slices.IndexFunc(m.nodes, func(n demoNode) bool { return n.Name == name })
}

// count posts amount to a node and returns when it is acknowledged.
func (m *mesh) count(node, metric string, amount int) {
	m.t.Helper()
	body := fmt.Sprintf(`{"event":%q,"value":%d}`, metric, amount)
	resp, err := http.Post("http://"+m.nodes[m.at(node)].HTTP+"/v1/events", "application/x-ndjson", strings.NewReader(body))
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusAccepted || !bytes.Contains(answer, []byte(`"accepted":1`)) {
		m.t.Fatalf("POST /v1/events at %s: %s %s", node, resp.Status, answer)
	}
}

// total asks one node; nothing counted yet is "0".
func (m *mesh) total(at int, metric string) (string, error) {
	ctx, cancel := context.WithTimeout(m.t.Context(), 5*time.Second)
	defer cancel()
	a, err := m.clients[at].Total(ctx, query.TotalRequest{Metric: metric})
	if err != nil {
		return "", err
	}
	if len(a.Results) == 0 {
		return "0", nil
	}
	return a.Results[0].ValueExact, nil
}

// wantTotal waits until all nodes of a region ("" for all) answer exactly want.
func (m *mesh) wantTotal(region, metric string, want int) {
	m.t.Helper()
	started := time.Now()
	defer func() {
		m.t.Logf("%s = %d at every node of %q after %s", metric, want, region, time.Since(started).Round(time.Millisecond))
	}()
	deadline := started.Add(settle)
	for i, n := range m.nodes {
		if region != "" && n.Region != region {
			continue
		}
		got, err := m.total(i, metric)
		for ; got != strconv.Itoa(want); got, err = m.total(i, metric) {
			if f, _ := strconv.ParseFloat(got, 64); f > float64(want) {
				m.t.Fatalf("%s at %s is %s: more than the %d that were written", metric, n.Name, got, want)
			}
			if time.Now().After(deadline) {
				m.t.Fatalf("%s at %s is %s (%v) after %s, want %d", metric, n.Name, got, err, settle, want)
			}
			time.Sleep(50 * time.Millisecond) // between two questions to another process
		}
	}
}

// pids reads the process ids out of `meshd demo status`.
func (m *mesh) pids() []int {
	m.t.Helper()
	var pids []int
	for _, match := range regexp.MustCompile(`\s(\d+)\s+http://`).FindAllStringSubmatch(m.order("status"), -1) {
		pid, err := strconv.Atoi(match[1])
		if err != nil {
			m.t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	if len(pids) != 10 {
		m.t.Fatalf("status shows %d processes, want 10", len(pids))
	}
	return pids
}

// wantGone waits until none of the processes lives. A zombie is dead: in containers nobody may collect it.
func wantGone(t *testing.T, pids []int) {
	t.Helper()
	deadline := time.Now().Add(settle)
	for _, pid := range pids {
		for lives(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("process %d lives on", pid)
			}
			time.Sleep(50 * time.Millisecond) // nothing announces the end of another process' child
		}
	}
}

func lives(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !bytes.Contains(stat, []byte(") Z "))
}

// TestDemoCountsExactly plays what the demo tells its user to try, and counts along.
func TestDemoCountsExactly(t *testing.T) {
	t.Parallel()
	m := startDemo(t)

	second := exec.Command(meshd(), "demo")
	second.Env = m.env
	if out, err := second.CombinedOutput(); err == nil || !bytes.Contains(out, []byte("running already")) {
		t.Errorf("a second demo: %v, %s, want a refusal", err, out)
	}

	// Distinct amounts, so that a partial sum tells what is missing.
	want := 0
	for i, n := range m.nodes {
		m.count(n.Name, "e2e.http", 1<<i)
		want += 1 << i
	}
	m.wantTotal("", "e2e.http", want)

	conn, err := net.Dial("udp", m.nodes[m.at("east-edge-1")].StatsD)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 100 {
		if _, err := conn.Write([]byte("e2e.udp:1|c")); err != nil {
			t.Fatal(err)
		}
	}
	m.wantTotal("", "e2e.udp", 100)

	m.order("cut", "east")
	m.count("east-edge-1", "e2e.http", 1_000_000)
	m.count("west-edge-1", "e2e.http", 2_000_000)
	m.wantTotal("east", "e2e.http", want+1_000_000)
	m.wantTotal("west", "e2e.http", want+2_000_000)
	m.order("heal", "east")
	want += 3_000_000
	m.wantTotal("", "e2e.http", want)

	m.count("west-edge-1", "e2e.http", 4_000_000)
	m.order("kill", "west-edge-1")
	if out := m.order("status"); !strings.Contains(out, "ended: signal: killed") {
		t.Errorf("status after a kill:\n%s", out)
	}
	m.order("restart", "west-edge-1")
	want += 4_000_000
	m.wantTotal("", "e2e.http", want)

	m.order("restart", "east-hub-1", "--wipe")
	m.count("east-hub-1", "e2e.http", 8_000_000)
	want += 8_000_000
	m.wantTotal("", "e2e.http", want)

	pids := m.pids()
	if err := m.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	m.waitLine("stopping all nodes")
	if err := m.cmd.Wait(); err != nil {
		t.Errorf("the demo ended with %v after an interrupt, want success", err)
	}
	wantGone(t, pids)
}

// TestNothingOutlivesAKilledDemo ends the supervisor in the one way it cannot react to.
func TestNothingOutlivesAKilledDemo(t *testing.T) {
	t.Parallel()
	m := startDemo(t)
	pids := m.pids()
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, pids)
}

// TestNothingOutlivesAKilledGoRun kills `go run`, whose child is the supervisor.
func TestNothingOutlivesAKilledGoRun(t *testing.T) {
	t.Parallel()
	m := startDemo(t, "go", "run", ".")
	pids := m.pids()
	if err := m.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	wantGone(t, pids)
}
