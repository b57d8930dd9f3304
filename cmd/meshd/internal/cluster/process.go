package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	obeyTimeout = 15 * time.Second // a child answers within a millisecond, one that starts when its disk is open
	stopTimeout = 12 * time.Second // longer than a node's own bound on its shutdown
)

// process is one run of one node as a child. It is started once; a restart makes a new one.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{} // closed when the process is gone and everything of it released
	err  error         // how it ended; read after done

	mu    sync.Mutex // one order at a time
	stdin io.WriteCloser
	oks   chan struct{} // one for every answer; closed with the child's output
}

// start runs executable with args, its log appended to the file logName.
func start(executable string, args []string, logName string) (*process, error) {
	log, err := os.OpenFile(logName, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	p := &process{log: log, done: make(chan struct{}), oks: make(chan struct{}, 1)}
	p.cmd = exec.Command(executable, args...)
	p.cmd.Env = childEnv(os.Environ())
	p.cmd.Stderr = log
	stdout, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		log.Close()
		return nil, err
	}
	go p.reap(stdout)
	return p, nil
}

// childEnv leaves out our variables: the user's settings are not for these nodes.
func childEnv(environ []string) []string {
	var env []string
	for _, kv := range environ {
		if !strings.HasPrefix(kv, "MESHD_") {
			env = append(env, kv)
		}
	}
	return env
}

// reap counts the child's answers and waits for its end.
func (p *process) reap(stdout io.Reader) {
	defer close(p.done)
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if lines.Text() != okLine {
			continue
		}
		select {
		case p.oks <- struct{}{}:
		default: // nobody waits any more: obey gave up on this order
		}
	}
	close(p.oks)
	p.err = p.cmd.Wait() // the output is at its end, as Wait demands
	p.log.Close()
}

// alive reports whether the child has not ended yet.
func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// obey tells the child which peers to lose and returns when it does.
func (p *process) obey(block []netip.AddrPort) error {
	line, err := json.Marshal(order{Block: block})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.oks: // of an order that timed out
	default:
	}
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	timeout := time.NewTimer(obeyTimeout)
	defer timeout.Stop()
	select {
	case _, ok := <-p.oks:
		if !ok {
			return fmt.Errorf("the process ended")
		}
		return nil
	case <-timeout.C:
		return fmt.Errorf("no answer within %s", obeyTimeout)
	}
}

// kill ends the child as a power cut would, and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only when it is gone already
	<-p.done
}

// stop lets the child end in order, and kills it if it takes too long.
func (p *process) stop() {
	p.stdin.Close()
	timeout := time.NewTimer(stopTimeout)
	defer timeout.Stop()
	select {
	case <-p.done:
	case <-timeout.C:
		p.kill()
	}
}
