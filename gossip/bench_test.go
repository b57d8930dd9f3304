package gossip

import (
	"log/slog"
	"testing"
	"time"
)

// counter is a Handler that counts and tells when a number of bytes has come.
type counter struct {
	up   chan uint64
	left chan int
}

func (c *counter) PeerUp(p Peer)                { c.up <- p.ID }
func (c *counter) PeerDown(uint64, error)       {}
func (c *counter) Members([]Member)             {}
func (c *counter) Message(_ uint64, msg []byte) { c.left <- len(msg) }

// BenchmarkSession measures one session over loopback UDP, from Send to Handler.Message.
func BenchmarkSession(b *testing.B) {
	for name, size := range map[string]int{"small": 100, "frame": 256 << 10} {
		b.Run(name, func(b *testing.B) { benchSession(b, size) })
	}
}

func benchSession(b *testing.B, size int) {
	start := func(role Role, nonce byte, join ...string) (*Gossip, *counter) {
		c := &counter{up: make(chan uint64, 10), left: make(chan int, 1000)}
		g, err := New(Config{
			Mesh: "m", Region: "r", Node: string(role), Role: role, Nonce: [16]byte{nonce}, Listen: "127.0.0.1:0",
			Join: join, Handler: c, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			b.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = g.Run(b.Context())
		}()
		b.Cleanup(func() { <-done })
		return g, c
	}
	hub, at := start(Hub, 1)
	edge, from := start(Edge, 2, hub.LocalAddr().String())
	id := <-from.up
	<-at.up
	b.SetBytes(int64(size))
	b.ResetTimer()
	go func() {
		for range b.N {
			for !edge.Send(id, false, make([]byte, size)) {
				time.Sleep(100 * time.Microsecond)
			}
		}
	}()
	for range b.N {
		<-at.left
	}
}
