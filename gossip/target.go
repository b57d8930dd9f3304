package gossip

import (
	"errors"
	"net/netip"
	"time"
)

const (
	// maxTargets bounds the hubs a node remembers: 1,000 is ten times the hubs a mesh of 5,000 edges needs.
	maxTargets = 1000
	// freshFor is how long a hub counts as present after somebody who knows said so, at least: see timing.fresh. A home that was
	// lost so lately is dialed with shorter pauses.
	freshFor = 2 * time.Minute
	// forgetAfter is how long an unreachable hub is remembered: a region that was cut off for a day is found again.
	forgetAfter = 24 * time.Hour
	// grace is how long the hub with the greater name waits for the other to dial.
	grace = time.Second
)

// target is a hub this node remembers and may dial. Owned by book; its mutex guards all fields.
type target struct {
	hub
	seen     time.Time // last known to be there
	since    time.Time // of the present state, up or not
	up       uint64    // session, 0 when there is none
	failures int       // in a row
	refusals int       // of them, those that last until somebody changes something, in a row
	next     time.Time // not dialed before
	flaps    int       // sessions in a row that ended by themselves before steady
	quality  quality   // of the link, for the order of hubs
	dialing  time.Time // since when it is being dialed, zero when it is not
	self     bool      // turned out to be this very process
}

// canonical resolves nothing: it gives one spelling to an address that is already an IP address with a port.
func canonical(addr string) (string, error) {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return "", err
	}
	if !at.Addr().IsValid() || at.Addr().IsUnspecified() || at.Port() == 0 {
		return "", errors.New("no address that can be dialed")
	}
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String(), nil
}
