package demo

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"meshd/cmd/meshd/internal/suggest"
)

// supervisor owns the processes of all nodes. Its methods are safe for concurrent use; each finishes what it does before
// the next one starts.
type supervisor struct {
	executable string
	folder     folder
	nodes      []Node // fixed

	mu        sync.Mutex
	processes []*process // one per node, never nil once started
	cuts      cuts
	stopped   bool
}

// nodeState is a node as `meshd demo status` shows it.
type nodeState struct {
	Node
	PID   int    `json:"pid"`
	State string `json:"state"` // "running", perhaps with what is cut, or "ended" with why
	Log   string `json:"log"`
}

var errStopped = errors.New("the demo is stopping")

func newSupervisor(executable string, f folder, nodes []Node) *supervisor {
	return &supervisor{executable: executable, folder: f, nodes: nodes, cuts: newCuts()}
}

// start starts all nodes. What was started before an error is left to stop.
func (s *supervisor) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopped
	}
	for i := range s.nodes {
		p, err := s.launch(i)
		if err != nil {
			return err
		}
		s.processes = append(s.processes, p)
	}
	return nil
}

func (s *supervisor) launch(i int) (*process, error) {
	n := s.nodes[i]
	p, err := start(s.executable, s.args(n), s.folder.log(n.Name))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", n.Name, err)
	}
	return p, nil
}

// args is the command line of a node: what a person would write, and --demo-child.
func (s *supervisor) args(n Node) []string {
	var hubs []string
	for _, h := range s.nodes {
		if h.Role == "hub" && h.Name != n.Name {
			hubs = append(hubs, h.Mesh)
		}
	}
	return []string{
		"run", "--demo-child",
		"--mesh", meshName, "--region", n.Region, "--node", n.Name, "--role", n.Role,
		"--data", s.folder.data(n.Name),
		"--listen", n.Mesh, "--http", n.HTTP, "--statsd", n.StatsD, "--join", strings.Join(hubs, ","),
		"--tls-ca", s.folder.caFile(), "--tls-cert", s.folder.certFile(n.Name), "--tls-key", s.folder.keyFile(n.Name),
		"--memory", "128MiB",
	}
}

// stop ends all nodes in order and waits for them. Afterwards nothing can be started.
func (s *supervisor) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	var all sync.WaitGroup
	for _, p := range s.processes {
		all.Go(p.stop)
	}
	all.Wait()
}

// at returns the indices of a node or a region, or an error that lists the names.
func (s *supervisor) at(name string) ([]int, error) {
	if at := find(s.nodes, name); len(at) > 0 {
		return at, nil
	}
	known := slices.Clone(regions[:])
	for _, n := range s.nodes {
		known = append(known, n.Name)
	}
	return nil, fmt.Errorf("there is no node or region %q, only %s%s", name, strings.Join(known, ", "), suggest.Hint(name, known))
}

// cut takes a node or a region off the mesh, or back; an empty name heals everything.
func (s *supervisor) cut(name string, cut bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "" && !cut {
		s.cuts = newCuts()
	} else if _, err := s.at(name); err != nil {
		return err
	} else {
		s.cuts.set(s.nodes, name, cut)
	}
	var errs []error
	for i, p := range s.processes {
		if p.alive() {
			errs = append(errs, s.obey(i))
		}
	}
	return errors.Join(errs...)
}

// obey gives node i the cuts as they are now.
func (s *supervisor) obey(i int) error {
	if err := s.processes[i].obey(s.cuts.blocked(s.nodes, s.nodes[i])); err != nil {
		return fmt.Errorf("%s: %w", s.nodes[i].Name, err)
	}
	return nil
}

// kill ends a node or a region's nodes with SIGKILL.
func (s *supervisor) kill(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.at(name)
	if err != nil {
		return err
	}
	for _, i := range at {
		s.processes[i].kill()
	}
	return nil
}

// restart starts a node or a region's nodes again on their disks, which wipe empties first. What still runs is stopped
// in order before.
func (s *supervisor) restart(name string, wipe bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return errStopped
	}
	at, err := s.at(name)
	if err != nil {
		return err
	}
	for _, i := range at {
		s.processes[i].stop()
		if wipe {
			if err := os.RemoveAll(s.folder.data(s.nodes[i].Name)); err != nil {
				return err
			}
		}
		p, err := s.launch(i)
		if err != nil {
			return err
		}
		s.processes[i] = p
		if err := s.obey(i); err != nil {
			return err
		}
	}
	return nil
}

// ended tells how the process of a node ended, "" while it runs or before it started.
func (s *supervisor) ended(name string) string {
	for _, n := range s.status() {
		if n.Name == name && strings.HasPrefix(n.State, "ended") {
			return n.State
		}
	}
	return ""
}

// status lists all nodes in the order of the plan.
func (s *supervisor) status() []nodeState {
	s.mu.Lock()
	defer s.mu.Unlock()
	states := make([]nodeState, 0, len(s.nodes))
	for i, p := range s.processes {
		n := s.nodes[i]
		state := "running"
		switch {
		case !p.alive() && p.err == nil:
			state = "ended"
		case !p.alive():
			state = "ended: " + p.err.Error() // "signal: killed" after a kill
		case s.cuts.nodes[n.Name]:
			state = "running, cut off"
		case s.cuts.regions[n.Region]:
			state = "running, region cut off"
		}
		states = append(states, nodeState{Node: n, PID: p.cmd.Process.Pid, State: state, Log: s.folder.log(n.Name)})
	}
	return states
}
