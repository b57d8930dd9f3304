package demo

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"meshd/cmd/meshd/internal/cluster"
)

// The sample events: a shop whose customers come to the edges. Every round each edge counts one order and the time it
// took over StatsD; now and then a visitor comes or a cart changes, over HTTP with a key that makes a retry harmless.
const (
	roundEvery  = 250 * time.Millisecond
	postTimeout = 2 * time.Second
	seed        = 8946 // the same shop in every demo
)

// traffic sends sample events to the edges until ctx ends. Edges that are down miss theirs: nobody was told that those
// were counted.
func traffic(ctx context.Context, nodes []cluster.Node) error {
	var edges []cluster.Node
	for _, n := range nodes {
		if n.Role == "edge" {
			edges = append(edges, n)
		}
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer conn.Close()
	client := &http.Client{Timeout: postTimeout}
	defer client.CloseIdleConnections()
	shop := shop{random: rand.New(rand.NewPCG(seed, 0)), run: time.Now().UnixMilli()}
	ticker := time.NewTicker(roundEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for _, edge := range edges {
			if addr, err := net.ResolveUDPAddr("udp", edge.StatsD); err == nil {
				_, _ = conn.WriteTo(shop.packet(), addr) // at most once, as StatsD is
			}
		}
		edge := edges[shop.round%len(edges)]
		_ = post(ctx, client, edge.HTTP, shop.events())
	}
}

// shop makes up events.
type shop struct {
	random *rand.Rand
	run    int64 // tells this demo's keys from those of the last one
	round  int
}

// packet is one order as StatsD lines.
func (s *shop) packet() []byte {
	pay := []string{"card", "cash"}[s.random.IntN(2)]
	latency := 20 + int(s.random.ExpFloat64()*40)
	return fmt.Appendf(nil, "demo.orders:1|c|#pay:%s\ndemo.latency_ms:%d|ms\n", pay, latency)
}

// events is a visitor and what happens to a cart, as NDJSON.
func (s *shop) events() []byte {
	s.round++
	carts := 1 - 2*s.random.IntN(2)
	if s.round%8 == 0 {
		carts = 1 // a few are left behind, so that the number grows
	}
	return fmt.Appendf(nil,
		`{"event":"demo.visitors","type":"unique","value":"visitor-%d","idempotency_key":"demo-%d-%d-v"}`+"\n"+
			`{"event":"demo.carts","type":"updown","value":%d,"idempotency_key":"demo-%d-%d-c"}`+"\n",
		s.random.IntN(5000), s.run, s.round, carts, s.run, s.round)
}

func post(ctx context.Context, client *http.Client, addr string, events []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/v1/events", bytes.NewReader(events))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}
