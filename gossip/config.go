package gossip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/internal/pki"
)

// MaxMessage is the longest message Send takes and a reader accepts, in bytes: twice the largest frame, so that a frame
// and what describes it always fit.
const MaxMessage = 8 << 20

// Role is what a node does in the mesh.
type Role string

// The roles. Hubs must be reachable, know each other through Serf and hold a region's totals; edges dial out.
const (
	Hub  Role = "hub"
	Edge Role = "edge"
)

// Link is the class of network a node dials over. Its timing is the dialer's choice; the accepting side follows.
type Link string

// The link classes, from the fastest failure detection to the least idle traffic.
const (
	LAN     Link = "lan"
	WAN     Link = "wan"
	Metered Link = "metered"
)

// Config says who this node is, where it listens and whom it should know. The zero value of every optional field is
// the documented default.
//
// Handler must return from its methods soon after Run's context has ended, or Run waits for it.
type Config struct {
	Mesh, Region, Node string   // required; at most maxNameBytes each
	Role               Role     // required
	Inc                [16]byte // incarnation the process counts under, for Serf's member name and the session key
	Nonce              [16]byte // drawn once per process; two sessions with one nonce are the same process

	Listen    string         // UDP host:port; port 0 takes any free one
	Conn      net.PacketConn // if set, used instead of Listen and closed by Close: in-memory networks, filters
	Advertise string         // host:port others reach this node at; default: the local address
	Join      []string       // host:port of any nodes of the mesh, in any region; none: wait for others
	HTTPAddr  string         // told to peers, not interpreted
	Reachable bool           // an edge that hubs may dial and that takes part in Serf; hubs always are
	Homes     int            // hubs of its region that an edge keeps sessions with; default 2
	Link      Link           // default LAN
	Meter     *Meter         // counts what the socket carries; nil: nobody does

	// Versions are the protocol versions that prefaces name; default: those of this build. Tests let a node pretend to be of
	// another.
	Versions Versions

	TLS      *pki.Identity // nil: peers are believed what they say, on loopback only unless Insecure
	Insecure bool          // allows TLS == nil beyond loopback

	// PeerQueueBytes bounds what waits to be sent to one peer, per class; default 4 MiB: sixteen frames of the size
	// builders aim for, which a 1 Gbit/s link drains in 32 ms. An empty queue takes any message up to MaxMessage.
	PeerQueueBytes int
	// QueueBytes bounds all queues together; default 256 MiB. Beyond it only empty queues take messages of up to
	// 4 KiB, so that heartbeats and marks still pass.
	QueueBytes int

	// Asked answers a question of a peer, by calling answer with one message after the other, each of at most MaxMessage bytes,
	// which it owns from then on. It blocks while the peer does not read. ctx ends when the peer gave the question up, or after
	// AnswerWithin. An error breaks the answer off. It is called from many goroutines. nil: this node answers none.
	Asked func(ctx context.Context, peer Peer, question []byte, answer func(msg []byte) error) error

	Wall       func() time.Time      // the wall clock told to peers; default time.Now
	Handler    Handler               // required
	Logger     *slog.Logger          // default slog.Default()
	Registerer prometheus.Registerer // nil: metrics are kept but not registered
}

// Handler receives what happens on the sessions. For one peer the order is PeerUp, any number of Message, PeerDown, and
// no two of these calls overlap. Calls for different peers do.
type Handler interface {
	// PeerUp reports a session. Its ID is never used again in this process.
	PeerUp(p Peer)
	// PeerDown reports its end; err is never nil.
	PeerDown(id uint64, err error)
	// Message hands over one message, which the handler owns from then on. While it blocks, no further message of that
	// peer is read: QUIC's flow control pushes back on that peer and on no other.
	Message(id uint64, msg []byte)
	// Members reports the whole membership after a change, from one goroutine. The handler owns the slice.
	Members(m []Member)
}

// Peer is the other end of a session.
type Peer struct {
	ID         uint64 // of the session
	Region     string
	Node       string
	Role       Role
	Inc        [16]byte
	Addr       string // where it can be dialed: what it advertises, else where its packets come from
	HTTPAddr   string
	Dialed     bool          // this side dialed
	Version    uint8         // of the protocol, spoken on the session
	WallOffset time.Duration // its wall clock minus ours, measured once at the handshake, half a round trip uncertain
	RTT        time.Duration // smoothed round trip time when this value was made; 0 before the first sample
}

// Status is what membership believes about a node.
type Status string

// The statuses. A node that stopped answering has failed; one that said goodbye has left. Serf keeps suspicion to itself:
// a suspect is alive until it is confirmed to have failed.
const (
	Alive  Status = "alive"
	Failed Status = "failed"
	Left   Status = "left"
)

// Member is one node as membership knows it. Hubs (and reachable edges) see Serf's pool; other edges see the hubs they
// were told of.
type Member struct {
	Region, Node   string
	Role           Role
	Inc            [16]byte
	Addr, HTTPAddr string
	Status         Status
}

const (
	// maxNameBytes bounds mesh, region and node, as package crdt does.
	maxNameBytes = 63
	// maxHTTPBytes bounds the HTTP address: with two names and an incarnation it must fit in Serf's 512 bytes of tags.
	maxHTTPBytes = 255
)

// validName tells whether a region or node may be passed on: a name that wire refuses would spoil a whole list.
func validName(s string) bool {
	return s != "" && len(s) <= maxNameBytes && !strings.ContainsFunc(s, func(c rune) bool {
		return c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
}

func (c *Config) validate() error {
	for _, f := range []struct{ name, value string }{{"mesh", c.Mesh}, {"region", c.Region}, {"node", c.Node}} {
		if !validName(f.value) {
			return fmt.Errorf("%s %q: use 1 to %d letters, digits, '-', '_' and '.': set --%s", f.name, f.value, maxNameBytes, f.name)
		}
	}
	if len(c.HTTPAddr) > maxHTTPBytes {
		return fmt.Errorf("http address has %d bytes: at most %d", len(c.HTTPAddr), maxHTTPBytes)
	}
	if c.Role != Hub && c.Role != Edge {
		return fmt.Errorf("role is %q: set --role to hub or edge", c.Role)
	}
	if c.Nonce == [16]byte{} {
		return errors.New("no process nonce")
	}
	if c.Handler == nil {
		return errors.New("no handler")
	}
	if c.Conn == nil && c.Listen == "" {
		return errors.New("no address to listen on: set --listen")
	}
	if _, ok := timings[c.link()]; !ok {
		return fmt.Errorf("link is %q: lan, wan or metered", c.Link)
	}
	return c.validateIdentity()
}

// validateIdentity refuses a certificate for somebody else at the start: every peer would refuse it later (I12).
func (c *Config) validateIdentity() error {
	if c.TLS == nil {
		return nil
	}
	have, want := c.TLS.Name(), pki.Name{Mesh: c.Mesh, Region: c.Region, Node: c.Node, Role: string(c.Role)}
	if have != want {
		return fmt.Errorf("certificate is for %s, this node is %s: start it under the certificate's names or issue another certificate", have, want)
	}
	return nil
}

func (c *Config) withDefaults() Config {
	d := *c
	d.Link = c.link()
	if (d.Versions == Versions{}) {
		d.Versions = spoken()
	}
	if d.Homes <= 0 {
		d.Homes = 2
	}
	if d.PeerQueueBytes <= 0 {
		d.PeerQueueBytes = 4 << 20
	}
	if d.QueueBytes <= 0 {
		d.QueueBytes = 256 << 20
	}
	if d.Logger == nil {
		d.Logger = slog.Default()
	}
	if d.Wall == nil {
		d.Wall = time.Now
	}
	d.Reachable = d.Reachable || d.Role == Hub
	return d
}

func (c *Config) link() Link {
	if c.Link == "" {
		return LAN
	}
	return c.Link
}
