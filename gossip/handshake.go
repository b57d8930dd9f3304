package gossip

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/quic-go/quic-go"

	"meshd/internal/pki"
	"meshd/internal/wire"
)

// Every stream starts with one byte for what it is and the opener's preface behind its length. The answer is one byte,
// accepted or refused, and a preface or a refusal behind its length.
const (
	kindSession byte = 1 // messages, both ways, until the connection ends
	kindBulk    byte = 2 // the same for bulk messages, on a connection of its own
	kindHubs    byte = 3 // the answer is followed by the list of hubs
	kindSerf    byte = 4 // a stream of memberlist's
	kindRevoked byte = 5 // both ends tell each other the revocations that one of them lacks
	kindRenew   byte = 6 // the opener shows a new certificate: please dial a new session
	kindAsk     byte = 7 // a question, and messages that answer it

	accepted byte = 0
	refused  byte = 1
)

// Refusal codes. They are part of the protocol: never renumber.
const (
	refuseMalformed uint16 = 1
	refuseVersion   uint16 = 2
	refuseMesh      uint16 = 3
	refuseIdentity  uint16 = 4
	refuseSelf      uint16 = 5
	refuseRole      uint16 = 6
	refuseDuplicate uint16 = 7
	refuseNoSession uint16 = 8
	refuseClosing   uint16 = 9
)

var refusalNames = map[uint16]string{
	refuseMalformed: "malformed", refuseVersion: "version", refuseMesh: "mesh", refuseIdentity: "identity",
	refuseSelf: "self", refuseRole: "role", refuseDuplicate: "duplicate", refuseNoSession: "no_session",
	refuseClosing: "closing",
}

// Application error codes of closed QUIC connections.
const (
	codeBye     quic.ApplicationErrorCode = 0
	codeRefused quic.ApplicationErrorCode = 1
	codeFailed  quic.ApplicationErrorCode = 2
	codeBusy    quic.ApplicationErrorCode = 3
)

// refusedError is a refusal, by the peer or by us.
type refusedError struct {
	code uint16
	text string
	ours bool
}

func (e *refusedError) Error() string {
	if e.ours {
		return "refused the peer: " + e.text
	}
	return "refused by the peer: " + e.text
}

// lasting tells whether somebody has to change something before another attempt makes sense.
func (e *refusedError) lasting() bool {
	return e.code != refuseDuplicate && e.code != refuseNoSession && e.code != refuseClosing
}

// greetWithin is how long a peer may take over its preface.
const greetWithin = 5 * time.Second

// greeting is a stream whose opener has introduced itself.
type greeting struct {
	kind   byte
	stream *quic.Stream
	r      *bufio.Reader
	peer   *preface
}

// greet opens a stream on a connection that this side dialed or shares, and introduces this node. A *refusedError says
// who did not want whom.
func (g *Gossip) greet(ctx context.Context, conn *quic.Conn, kind byte) (*greeting, error) {
	st, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	gr := &greeting{kind: kind, stream: st, r: bufio.NewReaderSize(st, readBuffer)}
	if err := g.introduce(ctx, conn, gr); err != nil {
		st.CancelRead(0)
		st.CancelWrite(0)
		return nil, err
	}
	return gr, nil
}

func (g *Gossip) introduce(ctx context.Context, conn *quic.Conn, gr *greeting) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(greetWithin)
	}
	_ = gr.stream.SetDeadline(deadline)
	if err := g.writePreface(gr.stream, gr.kind, gr.kind == kindBulk); err != nil {
		return err
	}
	status, err := gr.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	body, err := readMessage(gr.r, wire.MaxPrefaceBytes)
	if err != nil {
		return noEOF(err)
	}
	if status == refused {
		no, err := wire.ParseRefusal(body)
		if err != nil {
			return fmt.Errorf("unreadable refusal: %w", err)
		}
		return &refusedError{code: no.Code, text: no.Text}
	}
	if gr.peer, err = wire.ParsePreface(body); err != nil {
		return fmt.Errorf("unreadable preface: %w", err)
	}
	if no := g.judge(conn, gr.peer); no != nil {
		return no
	}
	return gr.stream.SetDeadline(time.Time{})
}

// hear reads what the opener of an incoming stream says. The stream still has a deadline, until answer clears it.
func (g *Gossip) hear(st *quic.Stream) (*greeting, error) {
	_ = st.SetDeadline(time.Now().Add(greetWithin))
	gr := &greeting{stream: st, r: bufio.NewReaderSize(st, readBuffer)}
	var err error
	if gr.kind, err = gr.r.ReadByte(); err != nil {
		return nil, noEOF(err)
	}
	body, err := readMessage(gr.r, wire.MaxPrefaceBytes)
	if err != nil {
		return nil, noEOF(err)
	}
	if gr.peer, err = wire.ParsePreface(body); err != nil {
		return nil, g.refuse(gr, &refusedError{code: refuseMalformed, ours: true, text: fmt.Sprintf(
			"unreadable preface (%v): run the same or the adjacent version of meshd on both nodes", err)})
	}
	return gr, nil
}

// answer accepts an incoming stream.
func (g *Gossip) answer(gr *greeting) error {
	if err := g.writePreface(gr.stream, accepted, false); err != nil {
		return err
	}
	return gr.stream.SetDeadline(time.Time{})
}

// refuse tells the opener why, counts and returns no.
func (g *Gossip) refuse(gr *greeting, no *refusedError) error {
	g.metrics.refusals.WithLabelValues(refusalName(no.code)).Inc()
	body, err := wire.AppendRefusal(nil, &refusal{Code: no.code, Text: no.text})
	if err == nil {
		err = writeFramed(gr.stream, refused, body)
	}
	return errors.Join(no, err, gr.stream.Close())
}

func (g *Gossip) writePreface(w io.Writer, first byte, bulk bool) error {
	body, err := wire.AppendPreface(nil, &preface{
		Version: g.cfg.Versions.Highest, MinVersion: g.cfg.Versions.Lowest,
		Mesh: g.cfg.Mesh, Region: g.cfg.Region, Node: g.cfg.Node, Role: string(g.cfg.Role),
		Inc: g.cfg.Inc, Nonce: g.cfg.Nonce, Bulk: bulk, WallMs: g.cfg.Wall().UnixMilli(),
		Advertise: g.advertise, HTTP: g.cfg.HTTPAddr,
	})
	if err != nil {
		return err
	}
	return writeFramed(w, first, body)
}

func writeFramed(w io.Writer, first byte, body []byte) error {
	b := bufio.NewWriterSize(w, 1+3+len(body))
	_ = b.WriteByte(first) // bufio keeps the error for Flush
	_ = writeMessage(b, body)
	return b.Flush()
}

// judge decides whether to talk with a peer at all. The texts go to both operators.
func (g *Gossip) judge(conn *quic.Conn, p *preface) *refusedError {
	no := func(code uint16, format string, args ...any) *refusedError {
		return &refusedError{code: code, text: fmt.Sprintf(format, args...), ours: true}
	}
	v := g.cfg.Versions
	switch {
	case v.with(p) == 0:
		older := p.Node
		if p.MinVersion > v.Highest {
			older = g.cfg.Node
		}
		return no(refuseVersion, "%s speaks protocol versions %d to %d, %s %d to %d: upgrade %s, one version at a time",
			p.Node, p.MinVersion, p.Version, g.cfg.Node, v.Lowest, v.Highest, older)
	case p.Mesh != g.cfg.Mesh:
		return no(refuseMesh, "it is of mesh %q, this node is of mesh %q: set --mesh alike, or remove the address from --join",
			p.Mesh, g.cfg.Mesh)
	case Role(p.Role) != Hub && Role(p.Role) != Edge:
		return no(refuseMalformed, "unknown role %q: upgrade this node", p.Role)
	case p.Nonce == g.cfg.Nonce:
		return no(refuseSelf, "it is this very process: remove its own address from --join")
	}
	if g.cfg.TLS == nil {
		return nil
	}
	certs := conn.ConnectionState().TLS.PeerCertificates
	if len(certs) == 0 {
		return no(refuseIdentity, "it shows no certificate")
	}
	have, err := pki.NameOf(certs[0])
	says := pki.Name{Mesh: p.Mesh, Region: p.Region, Node: p.Node, Role: p.Role}
	if err != nil || have != says {
		return no(refuseIdentity, "it says it is %s, its certificate is for %s: start it under the certificate's names, or issue another certificate",
			says, have)
	}
	return nil
}

func refusalName(code uint16) string {
	if name, ok := refusalNames[code]; ok {
		return name
	}
	return "other"
}
