package browser

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// demo is the program's own demo: ten nodes in two regions, real processes.
type demo struct {
	t     *testing.T
	exe   string
	env   []string
	sites map[string]string // URL of each node's API
}

var nodeLine = regexp.MustCompile(`^(\S+)\s+(?:hub|edge)\s+running\s+\d+\s+(http://\S+)`)

func startDemo(t *testing.T) *demo {
	t.Helper()
	dir := t.TempDir()
	d := &demo{t: t, exe: filepath.Join(dir, "meshd"), sites: map[string]string{}}
	build := exec.Command("go", "build", "-o", d.exe, "./cmd/meshd")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	d.env = append(os.Environ(), "HOME="+dir, "XDG_CACHE_HOME="+dir)
	cmd := exec.Command(d.exe, "demo")
	cmd.Env = d.env
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		said := false
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if m := nodeLine.FindStringSubmatch(strings.TrimSpace(lines.Text())); m != nil && !said {
				d.sites[m[1]] = m[2]
				if len(d.sites) == 10 {
					said = true
					close(ready)
				}
			}
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		<-done
		if err := cmd.Wait(); err != nil {
			t.Logf("the demo ended: %v", err)
		}
	})
	select {
	case <-ready:
	case <-done:
		t.Fatal("the demo ended before it had formed")
	case <-time.After(patience):
		t.Fatal("the demo did not form")
	}
	return d
}

// run runs a command of the demo's: cut east, heal east.
func (d *demo) run(args ...string) {
	d.t.Helper()
	cmd := exec.Command(d.exe, append([]string{"demo"}, args...)...)
	cmd.Env = d.env
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("demo %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// count counts at a node, a minute ago: the windows of that time are over, so they travel at once.
func (d *demo) count(name, metric string, amount int) {
	d.t.Helper()
	body := fmt.Sprintf(`{"event":%q,"value":%d,"ts":%d}`, metric, amount, time.Now().Add(-time.Minute).UnixMilli())
	r, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.sites[name]+"/v1/events", strings.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		d.t.Fatalf("count at %s: %s", name, answer.Status)
	}
}
