// Package nodetest holds what tests of one lone node share: a disk in memory, a transport without peers, and a start that
// a stop ends. Tests only.
package nodetest

import (
	"context"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"meshd/node"
)

// Disk is in memory and never full.
type Disk struct {
	mu   sync.Mutex
	rows map[string][]byte
}

var _ node.Store = (*Disk)(nil)

// Commit implements node.Store.
func (d *Disk) Commit(ops []node.Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rows == nil {
		d.rows = make(map[string][]byte)
	}
	for _, op := range ops {
		d.rows[string(op.Key)] = slices.Clone(op.Value)
		if op.Delete {
			delete(d.rows, string(op.Key))
		}
	}
	return nil
}

// Scan implements node.Reader.
func (d *Disk) Scan(prefix []byte, f func(key, value []byte) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(d.rows)) {
		if strings.HasPrefix(key, string(prefix)) {
			if err := f([]byte(key), d.rows[key]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Free implements node.Store.
func (d *Disk) Free() (free, reserve, used uint64) { return 1 << 40, 1 << 30, 0 }

// Alone is the transport of a node without peers.
type Alone struct{}

var _ node.Transport = Alone{}

// Send implements node.Transport: nothing arrives.
func (Alone) Send(uint64, bool, []byte) bool { return false }

// Room implements node.Transport: nothing is in the way.
func (Alone) Room(uint64, bool) node.Room {
	return node.Room{Peer: math.MaxInt, All: math.MaxInt, Empty: true}
}

// Disconnect implements node.Transport.
func (Alone) Disconnect(uint64, string) {}

// Link implements node.Transport.
func (Alone) Link(uint64) (rtt, offset time.Duration, addr string) { return 0, 0, "" }

// Start runs a node and returns it with what ends it and waits. A Store or Transport that cfg does not name is a Disk
// or Alone.
func Start(t testing.TB, cfg node.Config) (n *node.Node, stop func()) {
	t.Helper()
	if cfg.Store == nil {
		cfg.Store = &Disk{}
	}
	if cfg.Transport == nil {
		cfg.Transport = Alone{}
	}
	n, err := node.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return n, func() { cancel(); running.Wait() }
}
