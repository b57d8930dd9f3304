package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/oklog/run"

	"meshd/cmd/meshd/internal/cluster"
)

// parentEvery is how often a demo under `go run` looks whether that still lives.
const parentEvery = 500 * time.Millisecond

// meshName keeps the demo's nodes out of any real mesh, and any real node out of the demo's.
const meshName = "demo"

// layout is two regions; the ports of mesh and HTTP resemble the default one of a node.
var layout = cluster.Layout{Regions: []string{"east", "west"}, Hubs: 2, Edges: 3, MeshPort: 18946, StatsDPort: 18125}

// Run starts the ten nodes, says on out where they are and what to try, and goes on until a signal ends it. It returns
// nil when the demo was ended on purpose; no process of it is left then.
func Run(out io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	f, err := userFolder()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	release, err := f.open()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer release()
	// Logs stay, for the curious. What cannot be removed now is removed by the next demo.
	defer func() { _ = f.clean(f.leftovers()) }()

	s, door, err := prepare(exe, f)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	defer door.listener.Close()
	if err := runGroup(exe, s, door, newScreen(out, s, f, exe)); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// controller is the open but not yet serving control of the supervisor.
type controller struct {
	listener net.Listener
	token    string
}

// prepare makes everything that must be there before the first node starts.
func prepare(exe string, f folder) (*cluster.Cluster, controller, error) {
	nodes, claim, err := layout.FreePlan()
	if err != nil {
		return nil, controller{}, err
	}
	s, err := cluster.New(cluster.Config{
		Executable: exe, Dir: string(f), Mesh: meshName, Nodes: nodes, Claim: claim, Args: []string{"--memory", "128MiB"},
	})
	if err != nil {
		return nil, controller{}, err
	}
	token, err := f.writeToken()
	if err != nil {
		return nil, controller{}, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, controller{}, err
	}
	if err := f.writeState(state{PID: os.Getpid(), Control: l.Addr().String(), Nodes: nodes}); err != nil {
		l.Close()
		return nil, controller{}, err
	}
	return s, controller{l, token}, nil
}

// runGroup runs the demo's actors. They are interrupted in the order in which they are added: the nodes end last.
func runGroup(exe string, s *cluster.Cluster, c controller, screen *screen) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var g run.Group
	g.Add(run.SignalHandler(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP))
	if underGoRun(exe) {
		g.Add(func() error { return watchParent(ctx) }, func(error) { cancel() })
	}
	g.Add(func() error { return screen.run(ctx) }, func(error) { cancel() })
	g.Add(func() error {
		select {
		case <-screen.formed:
			return traffic(ctx, s.Nodes())
		case <-ctx.Done():
			return nil
		}
	}, func(error) { cancel() })
	server := &http.Server{Handler: control(s, c.token), ReadHeaderTimeout: time.Second}
	g.Add(func() error { return server.Serve(c.listener) }, func(error) { _ = server.Close() })
	g.Add(func() error {
		if err := s.Start(); err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	}, func(error) { cancel(); s.Stop() })
	err := g.Run()
	if errors.Is(err, run.ErrSignal) || errors.Is(err, errOrphan) {
		return nil
	}
	return err
}

// errOrphan ends a demo whose `go run` was killed: nobody would ever stop it.
var errOrphan = errors.New("go run is gone")

// underGoRun reports whether exe was built by `go run`: into a folder of its own that is deleted later
// (go-build123/b001/exe/meshd) or, the second time, into the build cache (go-build/ab/ab12...-d/meshd).
func underGoRun(exe string) bool {
	dir := filepath.Dir(exe)
	built := filepath.Base(dir) == "exe" && strings.Contains(dir, "go-build")
	cached := strings.HasSuffix(filepath.Base(dir), "-d") && len(filepath.Base(filepath.Dir(dir))) == 2
	return built || cached
}

// watchParent returns when the parent process has changed, which is how an orphan sees its parent's death. A demo
// started by a shell is not watched: scripts start it in the background and end.
func watchParent(ctx context.Context) error {
	parent := os.Getppid()
	ticker := time.NewTicker(parentEvery)
	defer ticker.Stop()
	for os.Getppid() == parent {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
	return errOrphan
}
