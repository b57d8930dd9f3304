package cluster

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"meshd/cmd/meshd/internal/suggest"
	"meshd/internal/pki"
)

// Config says what to run where. Executable, Dir, Mesh and Nodes are required.
type Config struct {
	Executable string
	Dir        string    // exists; gets the folders data, logs and certificates, which it lacks yet
	Mesh       string    // keeps these nodes out of any other mesh
	Nodes      []Node    // of FreePlan
	Claim      io.Closer // of FreePlan, closed by Stop; nil if nobody else is about
	Args       []string  // further flags of `meshd run`, for every node
}

// Cluster owns the processes of all nodes. Its methods are safe for concurrent use; each finishes what it does before the
// next one starts.
type Cluster struct {
	cfg Config

	mu        sync.Mutex
	nodes     []Node     // only ever added to
	processes []*process // one per node, never nil once started
	cuts      cuts
	stopped   bool
}

// State is a node and how it is.
type State struct {
	Node
	PID   int    `json:"pid"`
	State string `json:"state"` // "running", perhaps with what is cut, or "ended" with why
	Log   string `json:"log"`
}

var errStopped = errors.New("the nodes are stopping")

// New makes folders and certificates. Nothing runs yet.
func New(cfg Config) (*Cluster, error) {
	c := &Cluster{cfg: cfg, nodes: slices.Clone(cfg.Nodes), cuts: newCuts()}
	for _, dir := range []string{c.certs(), filepath.Join(cfg.Dir, "data"), filepath.Join(cfg.Dir, "logs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	for _, n := range c.nodes {
		if err := c.certify(n); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// Nodes lists the nodes in the order of the plan, then those that were added. The caller owns the slice.
func (c *Cluster) Nodes() []Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}

// Data is the data directory of a node.
func (c *Cluster) Data(node string) string { return filepath.Join(c.cfg.Dir, "data", node) }

// Log is the file that all runs of a node log to.
func (c *Cluster) Log(node string) string { return filepath.Join(c.cfg.Dir, "logs", node+".log") }

// Start starts all nodes. What was started before an error is left to Stop.
func (c *Cluster) Start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	for _, n := range c.nodes {
		p, err := c.launch(n)
		if err != nil {
			return err
		}
		c.processes = append(c.processes, p)
	}
	return nil
}

func (c *Cluster) launch(n Node) (*process, error) {
	p, err := start(c.cfg.Executable, c.args(n), c.Log(n.Name))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", n.Name, err)
	}
	return p, nil
}

// args is the command line of a node: what a person would write, and --demo-child.
func (c *Cluster) args(n Node) []string {
	var hubs []string
	for _, h := range c.nodes {
		if h.Role == "hub" && h.Name != n.Name {
			hubs = append(hubs, h.Mesh)
		}
	}
	args := []string{
		"run", "--demo-child",
		"--mesh", c.cfg.Mesh, "--region", n.Region, "--node", n.runsAs(), "--role", n.Role,
		"--data", c.Data(n.Name), "--listen", n.Mesh, "--http", n.HTTP, "--statsd", n.StatsD,
		"--tls-ca", filepath.Join(c.certs(), pki.CAFile),
		"--tls-cert", c.certFile(n.runsAs(), ".crt"), "--tls-key", c.certFile(n.runsAs(), ".key"),
	}
	if len(hubs) > 0 {
		args = append(args, "--join", strings.Join(hubs, ","))
	}
	return append(args, c.cfg.Args...)
}

// Stop ends all nodes in order and waits for them. Afterwards nothing can be started.
func (c *Cluster) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	var all sync.WaitGroup
	for _, p := range c.processes {
		all.Go(p.stop)
	}
	all.Wait()
	if c.cfg.Claim != nil {
		_ = c.cfg.Claim.Close() // a second Stop closes it again
	}
}

// at returns the indices of a node or a region, or an error that lists the names.
func (c *Cluster) at(name string) ([]int, error) {
	if at := Find(c.nodes, name); len(at) > 0 {
		return at, nil
	}
	var known []string
	for _, n := range c.nodes {
		if !slices.Contains(known, n.Region) {
			known = append(known, n.Region)
		}
	}
	for _, n := range c.nodes {
		known = append(known, n.Name)
	}
	return nil, fmt.Errorf("there is no node or region %q, only %s%s", name, strings.Join(known, ", "), suggest.Hint(name, known))
}

// Cut takes a node or a region off the mesh: every datagram between it and the others is lost.
func (c *Cluster) Cut(name string) error { return c.setCut(name, true) }

// Heal ends a cut; an empty name ends all of them.
func (c *Cluster) Heal(name string) error { return c.setCut(name, false) }

func (c *Cluster) setCut(name string, cut bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name == "" && !cut {
		c.cuts = newCuts()
	} else if _, err := c.at(name); err != nil {
		return err
	} else {
		c.cuts.set(c.nodes, name, cut)
	}
	// All at once: how long a cut takes to be whole, or gone, is part of what is measured with it.
	errs := make([]error, len(c.processes))
	var all sync.WaitGroup
	for i, p := range c.processes {
		if p.alive() {
			all.Go(func() { errs[i] = c.obey(i) })
		}
	}
	all.Wait()
	return errors.Join(errs...)
}

// obey gives node i the cuts as they are now.
func (c *Cluster) obey(i int) error {
	if err := c.processes[i].obey(c.cuts.blocked(c.nodes, c.nodes[i])); err != nil {
		return fmt.Errorf("%s: %w", c.nodes[i].Name, err)
	}
	return nil
}

// Kill ends a node or a region's nodes with SIGKILL, as a power cut would.
func (c *Cluster) Kill(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	at, err := c.at(name)
	if err != nil {
		return err
	}
	for _, i := range at {
		c.processes[i].kill()
	}
	return nil
}

// Restart starts a node or a region's nodes again on their disks; what still runs is stopped in order before. prepare,
// unless it is nil, is called with the data directory of each while it does not run.
func (c *Cluster) Restart(name string, prepare func(data string) error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	at, err := c.at(name)
	if err != nil {
		return err
	}
	for _, i := range at {
		c.processes[i].stop()
		if prepare != nil {
			if err := prepare(c.Data(c.nodes[i].Name)); err != nil {
				return err
			}
		}
		if c.processes[i], err = c.launch(c.nodes[i]); err != nil {
			return err
		}
		if err := c.obey(i); err != nil {
			return err
		}
	}
	return nil
}

// Add starts one more node. Its data directory, which must not be in use, may be there already.
func (c *Cluster) Add(n Node) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return errStopped
	}
	if err := c.certify(n); err != nil {
		return err
	}
	p, err := c.launch(n)
	if err != nil {
		return err
	}
	c.nodes, c.processes = append(c.nodes, n), append(c.processes, p)
	return c.obey(len(c.nodes) - 1)
}

// Ended tells how the process of a node ended, "" while it runs or before it started.
func (c *Cluster) Ended(name string) string {
	for _, n := range c.Status() {
		if n.Name == name && strings.HasPrefix(n.State, "ended") {
			return n.State
		}
	}
	return ""
}

// Status lists all nodes that were started, in the order of Nodes.
func (c *Cluster) Status() []State {
	c.mu.Lock()
	defer c.mu.Unlock()
	states := make([]State, 0, len(c.nodes))
	for i, p := range c.processes {
		n := c.nodes[i]
		state := "running"
		switch {
		case !p.alive() && p.err == nil:
			state = "ended"
		case !p.alive():
			state = "ended: " + p.err.Error() // "signal: killed" after a kill
		case c.cuts.nodes[n.Name]:
			state = "running, cut off"
		case c.cuts.regions[n.Region]:
			state = "running, region cut off"
		}
		states = append(states, State{Node: n, PID: p.cmd.Process.Pid, State: state, Log: c.Log(n.Name)})
	}
	return states
}
