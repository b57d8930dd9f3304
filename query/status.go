package query

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"meshd/node"
)

// MembersAnswer is the body of GET /v1/members.
type MembersAnswer struct {
	Members []Member `json:"members"` // sorted by region and node
}

// Member is one node of the mesh as the node that answers sees it.
type Member struct {
	Region string `json:"region"`
	Node   string `json:"node"`
	Role   string `json:"role"`           // "hub" or "edge"
	Addr   string `json:"addr"`           // HOST:PORT of the mesh; may be empty for edges, which need not be reachable
	HTTP   string `json:"http,omitempty"` // HOST:PORT of its API, if known
	// State is "self", "alive", or why not: "unreachable", "suspect", "failed", "left".
	State         string  `json:"state"`
	Since         Time    `json:"since"` // of the last change of State; null: unknown
	RTTMs         float64 `json:"rtt_ms"`
	ClockOffsetMs float64 `json:"clock_offset_ms"` // its wall clock minus this node's
}

// States of members that this package gives itself; a membership may know others.
const (
	stateSelf        = "self"
	stateAlive       = "alive"
	stateUnreachable = "unreachable"
)

// StatusAnswer is the body of GET /v1/status.
type StatusAnswer struct {
	Mesh        string            `json:"mesh"`
	Region      string            `json:"region"`
	Node        string            `json:"node"`
	Role        string            `json:"role"`
	Version     string            `json:"version"`
	Incarnation string            `json:"incarnation"` // 32 hexadecimal digits; "" before the first commit
	Started     Time              `json:"started"`
	Series      int               `json:"series"`
	Origins     int               `json:"origins"`
	Cold        int               `json:"cold"`
	Head        uint64            `json:"head"`
	Committed   uint64            `json:"committed"`
	Config      ConfigState       `json:"config"`
	Peers       []Peer            `json:"peers"`
	Disk        Disk              `json:"disk"`
	Line        Line              `json:"line"`
	Counters    map[string]uint64 `json:"counters"` // refusals and losses by reason
	// Quarantine lists the origins whose frames are refused, because they cannot be right; absent when there are none.
	Quarantine []Quarantined `json:"quarantine,omitempty"`
	// Archive is nil for a node without a durable log.
	Archive *Archive `json:"archive,omitempty"`
	// Events is nil for a node that keeps no raw events.
	Events *Events `json:"events,omitempty"`
	// Certificates is nil for a node without any.
	Certificates *Certificates `json:"certificates,omitempty"`
	// Scrape is nil for a node that scrapes nothing.
	Scrape *ScrapeState `json:"scrape,omitempty"`
}

// Quarantined is an origin whose frames are refused.
type Quarantined struct {
	Origin string `json:"origin"`
	Reason string `json:"reason"`
	Since  Time   `json:"since"`
	Until  Time   `json:"until"` // when its next frame is judged anew; null: when the node is started again
	Frames uint64 `json:"frames_refused"`
}

func quarantined(from []node.QuarantinedOrigin) (out []Quarantined) {
	for _, q := range from {
		r := Quarantined{Origin: q.Origin.String(), Reason: q.Reason, Since: Time{time.UnixMilli(q.SinceMs)}, Frames: q.Frames}
		if q.UntilMs != 0 {
			r.Until = Time{time.UnixMilli(q.UntilMs)}
		}
		out = append(out, r)
	}
	return out
}

// Certificates is what a node shows to others and believes.
type Certificates struct {
	Error   string        `json:"error,omitempty"` // what is wrong with the files or their dates, and what to do
	Revoked int           `json:"revoked"`         // certificates known to be revoked
	List    []Certificate `json:"list"`            // its own, its authority's, then peers' with the nearest end
}

// Certificate is one that the node depends on.
type Certificate struct {
	Of    string `json:"of"` // "own", "authority" or "peer"
	Name  string `json:"name"`
	Until Time   `json:"until"`
	Alarm string `json:"alarm,omitempty"` // how near the end is, "" if it is far
}

// Peer is one neighbour of the node.
type Peer struct {
	Region        string  `json:"region"`
	Node          string  `json:"node"`
	Role          string  `json:"role"`
	Addr          string  `json:"addr"`
	Up            bool    `json:"up"`
	Since         Time    `json:"since"`
	RTTMs         float64 `json:"rtt_ms"`
	ClockOffsetMs float64 `json:"clock_offset_ms"`
	SentFrames    uint64  `json:"sent_frames"`
	RecvFrames    uint64  `json:"recv_frames"`
	Behind        uint64  `json:"behind"` // own seqs that it has not confirmed
	Config        uint64  `json:"config"` // version of its mesh configuration
}

// ConfigState says which configuration of the mesh the node has; see /v1/config.
type ConfigState struct {
	Version uint64 `json:"version"` // 0: the mesh was never configured
	Author  string `json:"author"`  // region/node
	Made    Time   `json:"made"`
	Unread  bool   `json:"unread,omitempty"` // this version of meshd cannot read it: it passes it on and keeps to the rules before it
}

// Disk is the state of the data directory, in bytes.
type Disk struct {
	Full         bool   `json:"full"` // writes are refused, reads go on
	FreeBytes    uint64 `json:"free_bytes"`
	ReserveBytes uint64 `json:"reserve_bytes"`
	LogBytes     uint64 `json:"log_bytes"`
}

func newStatusAnswer(st *node.Status) *StatusAnswer {
	a := &StatusAnswer{
		Mesh: st.Mesh, Region: st.Region, Node: st.Node, Role: st.Role, Version: st.Version,
		Incarnation: st.Incarnation, Started: Time{st.Started},
		Series: st.Series, Origins: st.Origins, Cold: st.Cold, Head: st.Head, Committed: st.Committed,
		Peers:    make([]Peer, 0, len(st.Peers)),
		Config:   ConfigState{Version: st.Config.Version, Author: st.Config.Author, Made: Time{st.Config.Made}, Unread: st.Config.Unread},
		Disk:     Disk(st.Disk),
		Line:     newLine(&st.Line),
		Counters: map[string]uint64{}, Quarantine: quarantined(st.Quarantine), Archive: newArchive(&st.Archive), Events: newEvents(&st.Events),
	}
	maps.Copy(a.Counters, st.Counters)
	for i := range st.Peers {
		p := &st.Peers[i]
		a.Peers = append(a.Peers, Peer{
			Region: p.Region, Node: p.Node, Role: p.Role, Addr: p.Addr, Up: p.Up, Since: Time{p.Since},
			RTTMs: milliseconds(p.RTT), ClockOffsetMs: milliseconds(p.ClockOffset),
			SentFrames: p.SentFrames, RecvFrames: p.RecvFrames, Behind: p.Behind, Config: p.Config,
		})
	}
	slices.SortFunc(a.Peers, func(a, b Peer) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node), cmp.Compare(a.Addr, b.Addr))
	})
	return a
}

// membersOf lists the node itself and its neighbours, for nodes without a membership of their own.
func membersOf(st *node.Status) []Member {
	ms := []Member{{Region: st.Region, Node: st.Node, Role: st.Role, State: stateSelf, Since: Time{st.Started}}}
	for i := range st.Peers {
		p := &st.Peers[i]
		m := Member{
			Region: p.Region, Node: p.Node, Role: p.Role, Addr: p.Addr, State: stateUnreachable, Since: Time{p.Since},
			RTTMs: milliseconds(p.RTT), ClockOffsetMs: milliseconds(p.ClockOffset),
		}
		if p.Up {
			m.State = stateAlive
		}
		ms = append(ms, m)
	}
	return ms
}

// newMembersAnswer sorts a copy.
func newMembersAnswer(ms []Member) *MembersAnswer {
	out := append([]Member{}, ms...)
	slices.SortStableFunc(out, func(a, b Member) int {
		return cmp.Or(cmp.Compare(a.Region, b.Region), cmp.Compare(a.Node, b.Node))
	})
	return &MembersAnswer{Members: out}
}

// milliseconds keeps microseconds, which is what a link's round trip is worth.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
