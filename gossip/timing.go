package gossip

import "time"

// timing is what a link class means. QUIC ends a session on the smaller idle timeout of the two ends; the accepting
// side announces the longest one, so that the dialer's class rules both.
type timing struct {
	keepAlive time.Duration // after this much silence a ping is sent
	idle      time.Duration // after this much silence following it the session is dead
	dial      time.Duration // for one attempt, QUIC handshake and preface
	homeCap   time.Duration // longest redial pause to a home hub
	otherCap  time.Duration // longest redial pause to others
	probe     time.Duration // between measurements of hubs that are not an edge's homes, half to one and a half times
	learn     time.Duration // an edge that has its homes asks for the list of hubs no more often; 0: whenever rejoin looks
}

// The longest an edge is without a dead hub's successor is keepAlive + idle + one handshake: a ping restarts QUIC's idle
// clock. On lan that leaves 200 ms of the promised 3 s for the handshake, two round trips; the ping is repeated about
// six times before it counts as lost. Redials to hubs of other regions pause no longer on lan either: after a partition
// of any length totals are to be exact within 3 s of its end.
var timings = map[Link]timing{
	LAN:     {700 * time.Millisecond, 2100 * time.Millisecond, 2 * time.Second, 2 * time.Second, 2 * time.Second, 10 * time.Minute, 0},
	WAN:     {5 * time.Second, 15 * time.Second, 5 * time.Second, 2 * time.Second, 30 * time.Second, 10 * time.Minute, 0},
	Metered: {25 * time.Second, 60 * time.Second, 10 * time.Second, 10 * time.Second, 60 * time.Second, 6 * time.Hour, 5 * time.Minute},
}

// fresh is how long a hub counts as present after somebody who knows said so: four looks of an edge at the list.
func (t timing) fresh() time.Duration { return max(freshFor, 4*t.learn) }

// longestIdle is what the accepting side announces: the largest of the table. The dialer's class rules both ends but for
// one limit of quic-go's: it counts an announced timeout of less than 5 s as 5 s, so that on lan the side that accepted
// notices a vanished dialer after 5 s. Failover is the dialer's.
const longestIdle = 60 * time.Second
