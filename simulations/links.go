package simulations

import (
	"time"

	"meshd/node"
)

// LinkClass says which kind of link a message took.
type LinkClass int

// The classes of links.
const (
	EdgeHub LinkClass = iota // between an edge and a hub of its region
	HubHub                   // between two hubs of one region
	Between                  // between two regions
	NumLinks
)

// LinkNames are the classes as people read them.
var LinkNames = [NumLinks]string{"edge-hub", "hub-hub in a region", "between regions"}

// Link counts what was sent over one class of links.
type Link struct{ Messages, Bytes int64 }

func classOf(a, b *machine) LinkClass {
	switch {
	case a.region != b.region:
		return Between
	case a.spec.Role == node.RoleHub && b.spec.Role == node.RoleHub:
		return HubHub
	}
	return EdgeHub
}

func (w *World) countSend(a, b *machine, bytes int) {
	l := &w.stats.Links[classOf(a, b)]
	l.Messages++
	l.Bytes += int64(bytes)
}

// weather makes the links between two sets of machines worse for a while.
type weather struct {
	from, to []bool // by machine
	loss     float64
	delay    int64 // microseconds
}

func (w *World) strikeWeather(f *Fault, end int64) {
	x := &weather{from: make([]bool, len(w.machines)), to: make([]bool, len(w.machines))}
	for _, i := range f.A {
		x.from[i] = true
	}
	for i := range x.to {
		x.to[i] = f.To == nil && !x.from[i]
	}
	for _, i := range f.To {
		x.to[i] = true
	}
	if f.Kind == Loss {
		x.loss = float64(f.X) / 1000
	} else {
		x.delay = 1000 * f.X
	}
	w.weather = append(w.weather, x)
	w.call(end, func() {
		for i, y := range w.weather {
			if y == x {
				w.weather = append(w.weather[:i:i], w.weather[i+1:]...)
				return
			}
		}
	})
}

// worse returns what weather adds to the loss and the delay of a link.
func (w *World) worse(a, b *machine) (loss float64, delay int64) {
	for _, x := range w.weather {
		if x.from[a.index] && x.to[b.index] || x.from[b.index] && x.to[a.index] {
			loss, delay = max(loss, x.loss), delay+x.delay
		}
	}
	return loss, delay
}

// oneWay returns how long a message takes from a to b at most when nothing is in its way, in microseconds, and
// whether it always takes that long.
func (n *Net) oneWay(a, b *machine) (us int64, fixed bool) {
	switch {
	case a.region == b.region:
		return 1000 * n.Local, false
	case n.Table != nil:
		return n.Table[a.region][b.region].Microseconds(), true
	}
	return 1000 * n.Far, false
}

// Table holds one-way delays by region, in the order in which the regions first appear in Plan.Nodes.
type Table [][]time.Duration
