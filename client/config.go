package client

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"meshd/crdt"
)

// Config says where to send what is counted. Its zero value, but for Nodes, is the documented default.
type Config struct {
	// Nodes are the addresses of nodes over HTTP, such as http://127.0.0.1:8946, the preferred one first: the next ones are
	// used while it takes nothing. At least one, at most 16. Each is the address of one node and not of something that
	// spreads requests over several: sessions would not be found again.
	Nodes []string
	// Token is the bearer token of a node's token file that may write. Empty: none.
	Token string
	// Labels are added to every series that does not name them.
	Labels map[string]string
	// Interval is how often reports are sent; 1 s by default, at least 10 ms. What a crash of the process loses is what was
	// counted in it.
	Interval time.Duration
	// Timeout is how long the answer of a node is waited for; 5 s by default.
	Timeout time.Duration
	// Series is how many instruments there may be; 10,000 by default. Beyond, samples go to the series meshd.overflow of the
	// same kind, whose sum stays exact.
	Series int
	// BufferDir is a directory of this process alone, for reports that no node takes: with it they survive the process. The next one
	// that names it sends them. Empty: nothing is on disk. A report is bound to a node before it is written, so a node
	// must have taken one before, and only that node gets it; it must be back within a day. Linux, macOS and FreeBSD.
	BufferDir string
	// BufferBytes is what the reports there may take, each at least 4 KiB; 64 MiB by default, at least 2 MiB. When it is full, amounts
	// add up in memory as without a buffer: see Stats.
	BufferBytes int64
	// HTTP makes the requests; by default a client of its own with Go's default transport. Its Timeout should be 0.
	HTTP *http.Client
	// OnError, if set, hears of every failure, one at a time, from the goroutine that sends or that made an instrument.
	OnError func(error)
}

const (
	maxNodes    = 16
	minInterval = 10 * time.Millisecond
	minBuffer   = 2 << 20 // a report, which may be twice as long as what it aims at
)

// validate fills in the defaults and reports what cannot be.
func (c *Config) validate() error {
	c.Interval = cmp.Or(c.Interval, time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Series = cmp.Or(c.Series, 10_000)
	c.BufferBytes = cmp.Or(c.BufferBytes, 64<<20)
	own := http.Client{}
	if c.HTTP != nil {
		own = *c.HTTP
	}
	// A report is for the node that it was sent to and no other.
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	c.HTTP = &own
	switch {
	case len(c.Nodes) == 0:
		return errors.New("client: no nodes: want addresses such as http://127.0.0.1:8946")
	case len(c.Nodes) > maxNodes:
		return fmt.Errorf("client: %d nodes, want at most %d", len(c.Nodes), maxNodes)
	case c.Interval < minInterval || c.Timeout < 0 || c.Series < 0:
		return fmt.Errorf("client: interval %s, timeout %s, series %d: want an interval of at least %s and no negative numbers",
			c.Interval, c.Timeout, c.Series, minInterval)
	case c.BufferBytes < minBuffer:
		return fmt.Errorf("client: a buffer of %d bytes, want at least %d: a report may have half of that", c.BufferBytes, minBuffer)
	}
	c.Nodes = slices.Clone(c.Nodes)
	for i, n := range c.Nodes {
		u, err := url.Parse(n)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("client: node %q: want an address such as http://127.0.0.1:8946", n)
		}
		c.Nodes[i] = strings.TrimSuffix(n, "/")
		if slices.Contains(c.Nodes[:i], c.Nodes[i]) {
			return fmt.Errorf("client: node %q is named twice", n)
		}
	}
	c.Labels = maps.Clone(c.Labels)
	_, err := c.series("check", crdt.KindCounter, nil)
	return err
}

// series returns the series of a name and pairs of label and value.
func (c *Config) series(name string, kind crdt.Kind, pairs []string) (*crdt.Series, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("client: %s: %d labels and values, want pairs", name, len(pairs))
	}
	labels := make([]crdt.Label, 0, len(c.Labels)+len(pairs)/2)
	for k, v := range c.Labels {
		labels = append(labels, crdt.Label{Name: k, Value: v})
	}
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, crdt.Label{Name: pairs[i], Value: pairs[i+1]}) // the last of a name counts
	}
	s := &crdt.Series{Name: name, Kind: kind, Labels: crdt.SortLabels(labels)}
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("client: %s: %w", name, err)
	}
	return s, nil
}
