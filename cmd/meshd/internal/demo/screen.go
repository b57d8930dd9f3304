package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"meshd/cmd/meshd/internal/cluster"
	"meshd/cmd/meshd/internal/tty"
	"meshd/query"
)

const (
	askTimeout   = 2 * time.Second  // for one answer
	headlessLine = 10 * time.Second // between two lines where nobody watches
)

// screen is what the first terminal shows.
type screen struct {
	out     io.Writer
	live    bool // out is a terminal: the last line is written again and again
	command string
	s       *cluster.Cluster
	folder  folder
	nodes   []cluster.Node
	formed  chan struct{} // closed when every node hears every other
	clients []*query.Client
}

func newScreen(out io.Writer, s *cluster.Cluster, f folder, exe string) *screen {
	sc := &screen{out: out, live: tty.Is(out), command: commandName(exe), s: s, folder: f, nodes: s.Nodes(), formed: make(chan struct{})}
	for _, n := range sc.nodes {
		if c, err := query.NewClient(n.HTTP, ""); err == nil { // our own addresses
			sc.clients = append(sc.clients, c)
		}
	}
	return sc
}

// commandName is what to type for this executable.
func commandName(exe string) string {
	if underGoRun(exe) {
		return "go run ./cmd/meshd"
	}
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, exe); err == nil && !strings.HasPrefix(rel, "..") {
			return "./" + rel
		}
	}
	return exe
}

// run waits until the mesh has formed, says what to try, and keeps the last line up to date until ctx ends.
func (sc *screen) run(ctx context.Context) error {
	started := time.Now()
	fmt.Fprintf(sc.out, "starting ten nodes in two regions ...\n")
	if err := sc.s.WaitFormed(ctx); err != nil || ctx.Err() != nil {
		return err
	}
	fmt.Fprintf(sc.out, "the mesh has formed: every node hears all ten, after %.1f s\n\n", time.Since(started).Seconds())
	sc.introduce()
	close(sc.formed)
	every := headlessLine
	if sc.live {
		every = time.Second
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			sc.endLine()
			return nil
		case <-ticker.C:
			sc.line(ctx)
		}
	}
}

func (sc *screen) ask(ctx context.Context, at int, metric string) (*query.TotalAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return sc.clients[at].Total(ctx, query.TotalRequest{Metric: metric})
}

// line shows the total of the orders as an edge of each region tells it, or any other node of it that answers.
func (sc *screen) line(ctx context.Context) {
	var parts []string
	for _, region := range layout.Regions {
		parts = append(parts, sc.regionLine(ctx, region))
	}
	for _, n := range sc.s.Status() {
		if strings.HasPrefix(n.State, "ended") {
			parts = append(parts, n.Name+" "+n.State)
		}
	}
	text := "demo.orders  " + strings.Join(parts, "   ")
	if sc.live {
		fmt.Fprintf(sc.out, "\r\x1b[K%s", text)
	} else {
		fmt.Fprintln(sc.out, text)
	}
}

func (sc *screen) regionLine(ctx context.Context, region string) string {
	at := cluster.Find(sc.nodes, region)
	for k := len(at) - 1; k >= 0 && ctx.Err() == nil; k-- {
		a, err := sc.ask(ctx, at[k], "demo.orders")
		if err != nil {
			continue
		}
		total, heard, expected := 0.0, 0, 0
		for _, r := range a.Results {
			total += r.Value
		}
		for _, r := range a.Coverage.Regions {
			heard, expected = heard+r.NodesHeard, expected+r.NodesExpected
		}
		return fmt.Sprintf("%s: %.0f, hears %d of %d", sc.nodes[at[k]].Name, total, heard, expected)
	}
	return region + ": nobody answers"
}

func (sc *screen) endLine() {
	if sc.live {
		fmt.Fprintln(sc.out)
	}
	fmt.Fprintln(sc.out, "stopping all nodes ...")
}
