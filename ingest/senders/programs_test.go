package senders

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// settle bounds every wait for other processes; it is not a figure.
const settle = 60 * time.Second

// bin is where TestMain puts the programs.
var bin string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "senders")
		if err != nil {
			log.Print(err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		bin = dir
		const prometheus = "github.com/prometheus/prometheus/cmd/"
		for _, args := range [][]string{
			{"-C", filepath.Join("..", ".."), "-o", dir + "/", "./cmd/meshd"},
			{"-tags=remove_all_sd", "-o", dir + "/", prometheus + "prometheus", prometheus + "promtool"}, // static targets are enough
		} {
			if out, err := exec.Command("go", append([]string{"build"}, args...)...).CombinedOutput(); err != nil {
				log.Printf("build %v: %v\n%s", args, err, out)
				return 1
			}
		}
		return m.Run()
	}())
}

// process is a running program.
type process struct {
	cmd  *exec.Cmd
	logs bytes.Buffer
	done chan struct{} // closed when it has ended
}

// start runs a program until it is stopped, or the test is over.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{done: make(chan struct{}), cmd: exec.Command(filepath.Join(bin, name), args...)}
	p.cmd.Stdout, p.cmd.Stderr = &p.logs, &p.logs
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ends is seen by what it answers
	}()
	t.Cleanup(func() {
		p.end(os.Kill)
		if t.Failed() {
			t.Logf("%s %v:\n%s", name, args, p.logs.Bytes()[max(0, p.logs.Len()-8000):])
		}
	})
	return p
}

// end sends a signal and waits for the end.
func (p *process) end(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // fails when it has ended
	<-p.done
}

// free returns an address that nobody has.
func free(t *testing.T, network string) string {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return c.LocalAddr().String()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// node is a meshd node that may be ended and started again.
type node struct {
	t    *testing.T
	http string
	mesh string
	args []string
	*process
}

func newNode(t *testing.T, name string, more ...string) *node {
	t.Helper()
	n := &node{t: t, http: free(t, "tcp"), mesh: free(t, "udp")}
	n.args = append([]string{
		"run", "--node", name, "--region", "eu", "--data", t.TempDir(), "--http", n.http, "--listen", n.mesh, "--statsd", "off",
	}, more...)
	n.run()
	return n
}

func (n *node) run() {
	n.t.Helper()
	n.process = start(n.t, "meshd", n.args...)
	until(n.t, "node answers", func() error {
		select {
		case <-n.done:
			n.t.Fatal("the node ended")
		default:
		}
		_, err := get("http://" + n.http + "/readyz")
		return err
	})
}

// total returns the sum of a metric over its series, of a histogram the count, "" if there is none.
func (n *node) total(metric string) (string, error) {
	text, err := get("http://" + n.http + "/v1/total?metric=" + url.QueryEscape(metric))
	if err != nil {
		return "", err
	}
	var a struct{ Results []struct{ Value json.Number } }
	if err := json.Unmarshal([]byte(text), &a); err != nil || len(a.Results) == 0 {
		return "", err
	}
	return a.Results[0].Value.String(), nil
}

// want waits until a node answers a total exactly; one that is greater than it may ever be ends the test.
func (n *node) want(metric string, total int) {
	n.t.Helper()
	until(n.t, metric, func() error {
		got, err := n.total(metric)
		if f, _ := strconv.ParseFloat(got, 64); f > float64(total) {
			n.t.Fatalf("%s is %s: more than the %d that were counted", metric, got, total)
		}
		if err == nil && got != strconv.Itoa(total) {
			err = fmt.Errorf("%s is %q, want %d", metric, got, total)
		}
		return err
	})
}

func get(url string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = errors.New(res.Status + ": " + string(b))
	}
	return string(b), err
}

// until asks other processes until they are so far.
func until(t *testing.T, what string, ok func() error) {
	t.Helper()
	for end := time.Now().Add(settle); ; time.Sleep(50 * time.Millisecond) {
		err := ok()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, settle, err)
		}
	}
}

// run runs a program to its end and returns what it printed.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	if !strings.Contains(program, string(filepath.Separator)) {
		if local := filepath.Join(bin, program); fileExists(local) {
			program = local
		}
	}
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
