package gossip

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/mutant"
	"meshd/internal/pki"
	"meshd/internal/wire"
)

// Revocations travel on short streams of their own (kindRevoked), on any connection that is up, opened by either end.
// Each is signed by its authority: who carries it does not matter, and a node that holds one back delays it only where
// it is the sole way. Whoever hears news tells all its peers, so that they cross the mesh in a few round trips; a
// dialer compares when a session begins, and hubs compare now and then.

// What pki keeps must fit into what wire carries.
const (
	_ = uint(wire.MaxRevoked - pki.MaxRevocations)
	_ = uint(wire.MaxRevocationBytes - pki.MaxRevocationBytes)
)

const (
	// revokedWithin bounds a comparison: the longest list on a link of 1 Mbit/s takes 21 s.
	revokedWithin = 30 * time.Second
	// spreadWidth is how many peers are told at once: 5,000 edges at two round trips of 20 ms take 3 s, and the
	// buffers of the streams 4 MiB.
	spreadWidth = 64
)

// spread tells every peer what it may not have heard.
func (g *Gossip) spread(ctx context.Context) {
	if mutant.On("revocation not told on") {
		return
	}
	slots := make(chan struct{}, spreadWidth)
	var wg sync.WaitGroup
	for _, s := range g.allSessions() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			g.compare(ctx, s.conn)
		})
	}
	wg.Wait()
}

// compare makes both ends know the revocations that either does.
func (g *Gossip) compare(ctx context.Context, conn *quic.Conn) {
	ctx, cancel := context.WithTimeout(ctx, greetWithin)
	defer cancel()
	gr, err := g.greet(ctx, conn, kindRevoked)
	if err == nil {
		err = g.compareOn(gr)
		gr.stream.CancelRead(0)
		_ = gr.stream.Close()
	}
	if err != nil {
		g.log.Debug("revocations not compared", "with", conn.RemoteAddr().String(), "error", err.Error())
	}
}

func (g *Gossip) compareOn(gr *greeting) error {
	_ = gr.stream.SetDeadline(time.Now().Add(revokedWithin))
	_, digest := g.cfg.TLS.Revocations()
	if err := writeRevoked(gr.stream, &wire.Revoked{Digest: digest}); err != nil {
		return err
	}
	theirs, err := readRevoked(gr.r)
	if err != nil || theirs.Digest == digest {
		return err
	}
	g.learn(gr, theirs)
	known := make(map[string]bool, len(theirs.Lines))
	for _, line := range theirs.Lines {
		known[line] = true
	}
	lines, digest := g.cfg.TLS.Revocations()
	lines = slices.DeleteFunc(lines, func(line string) bool { return known[line] })
	return writeRevoked(gr.stream, &wire.Revoked{Digest: digest, Lines: lines})
}

// serveRevoked is the other end of compareOn.
func (g *Gossip) serveRevoked(gr *greeting) error {
	if g.cfg.TLS == nil {
		return g.refuse(gr, &refusedError{code: refuseRole, ours: true, text: "this node runs without certificates: nothing can be revoked"})
	}
	if err := g.answer(gr); err != nil {
		return err
	}
	_ = gr.stream.SetDeadline(time.Now().Add(revokedWithin))
	asked, err := readRevoked(gr.r)
	if err != nil {
		return err
	}
	lines, digest := g.cfg.TLS.Revocations()
	if digest == asked.Digest {
		lines = nil
	}
	if err := writeRevoked(gr.stream, &wire.Revoked{Digest: digest, Lines: lines}); err != nil {
		return err
	}
	if digest != asked.Digest {
		rest, err := readRevoked(gr.r)
		if err != nil {
			return err
		}
		g.learn(gr, rest)
	}
	return gr.stream.Close()
}

func (g *Gossip) learn(gr *greeting, v *wire.Revoked) {
	news, err := g.cfg.TLS.Learn(v.Lines)
	if err != nil {
		g.metrics.refusals.WithLabelValues("revocation").Inc()
		g.quiet.warn(g.log, "revocations refused", "from", gr.peer.Node, "region", gr.peer.Region, "reason", err.Error())
	}
	if news == 0 {
		return
	}
	g.log.Info("certificates revoked", "new", news, "heard from", gr.peer.Node)
	select {
	case g.suspect <- struct{}{}:
	default:
	}
}

func writeRevoked(w io.Writer, v *wire.Revoked) error {
	body, err := wire.AppendRevoked(nil, v)
	if err != nil {
		return err
	}
	return writeOne(w, body)
}

func readRevoked(r *bufio.Reader) (*wire.Revoked, error) {
	body, err := readMessage(r, wire.MaxRevokedBytes)
	if err != nil {
		return nil, noEOF(err)
	}
	v, err := wire.ParseRevoked(body)
	if err != nil {
		return nil, fmt.Errorf("unreadable revocations: %w", err)
	}
	return v, nil
}
