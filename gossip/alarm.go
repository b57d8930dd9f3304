package gossip

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"meshd/internal/pki"
)

type period = pki.Period

// alarmBefore is how long before a certificate's end it is warned of, and below it the share of the certificate's life
// that counts where that is shorter: those of a day are meant to be replaced every few hours.
var (
	alarmBefore = [...]time.Duration{30 * 24 * time.Hour, 7 * 24 * time.Hour, 24 * time.Hour}
	alarmShare  = [...]time.Duration{3, 6, 12}
)

// Alarm says how near a certificate's end is.
type Alarm int

// The alarms, from none to over. The first three begin 30, 7 and 1 days before the end, or where less than a third, a
// sixth and a twelfth of the certificate's life is left.
const (
	AlarmNone Alarm = iota
	AlarmMonth
	AlarmWeek
	AlarmDay
	AlarmOver
)

// String is the alarm as status shows it; "" for none.
func (a Alarm) String() string {
	return [...]string{"", "ends within 30 days", "ends within 7 days", "ends within a day", "has ended"}[a]
}

func alarmAt(now time.Time, p period) Alarm {
	left := p.Until.Sub(now)
	switch {
	case p == period{}:
		return AlarmNone
	case left <= 0:
		return AlarmOver
	}
	for i := len(alarmBefore) - 1; i >= 0; i-- {
		if left <= min(alarmBefore[i], p.Until.Sub(p.From)/alarmShare[i]) {
			return AlarmMonth + Alarm(i)
		}
	}
	return AlarmNone
}

// What a certificate is to the node that reports it.
const (
	OwnCertificate       = "own"
	AuthorityCertificate = "authority"
	PeerCertificate      = "peer"
)

// Certificate is one that the node depends on.
type Certificate struct {
	Of          string // OwnCertificate, AuthorityCertificate or PeerCertificate
	Name        string // of the node, or of the mesh for an authority
	From, Until time.Time
	Alarm       Alarm
}

// Certificates returns this node's own, its authority's, and those of peers with a session, nearest end first; nil without
// certificates.
func (g *Gossip) Certificates() (list []Certificate) {
	if g.cfg.TLS == nil {
		return nil
	}
	now := time.Now()
	add := func(of, name string, p period) {
		list = append(list, Certificate{of, name, p.From, p.Until, alarmAt(now, p)})
	}
	leaf, authority := g.cfg.TLS.Periods()
	add(OwnCertificate, g.cfg.Region+"/"+g.cfg.Node, leaf)
	if (authority != period{}) {
		add(AuthorityCertificate, g.cfg.Mesh, authority)
	}
	own := len(list)
	for _, s := range g.allSessions() {
		c := peerChain(s.conn)[0]
		add(PeerCertificate, s.info.Region+"/"+s.info.Node, period{From: c.NotBefore, Until: c.NotAfter})
	}
	slices.SortStableFunc(list[own:], func(a, b Certificate) int { return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.Name, b.Name)) })
	return list
}

// Trust is what a node shows and believes, for operators.
type Trust struct {
	Certificates []Certificate
	Revoked      int   // revocations known of trusted authorities
	Err          error // what is wrong with the files or the dates; nil: nothing
}

// Trust returns the state of this node's certificates, the zero Trust without any.
func (g *Gossip) Trust() Trust {
	if g.cfg.TLS == nil {
		return Trust{}
	}
	lines, _ := g.cfg.TLS.Revocations()
	return Trust{g.Certificates(), len(lines), g.cfg.TLS.Err()}
}

// secondsLeft is for metrics: how long the nearest certificate of a kind is valid, negative once it is over.
func (g *Gossip) secondsLeft(of string) float64 {
	for _, c := range g.Certificates() {
		if c.Of == of {
			return time.Until(c.Until).Seconds()
		}
	}
	return 0
}

// alarms remembers what was warned of, so that each alarm is one line.
type alarms struct{ raised map[string]Alarm }

func (a *alarms) look(g *Gossip) {
	if a.raised == nil {
		a.raised = make(map[string]Alarm)
	}
	seen := make(map[string]bool)
	for _, c := range g.Certificates() {
		if seen[c.Of] { // of peers the nearest: thousands may end in one week
			continue
		}
		seen[c.Of] = true
		if c.Alarm > a.raised[c.Of] {
			level := slog.LevelWarn
			if c.Alarm == AlarmOver {
				level = slog.LevelError
			}
			g.log.Log(context.Background(), level, "certificate "+c.Alarm.String(), "of", c.Of, "name", c.Name, "until", c.Until.UTC(), "do", remedy(c))
		}
		a.raised[c.Of] = c.Alarm
	}
}

func remedy(c Certificate) string {
	switch c.Of {
	case AuthorityCertificate:
		return "make another authority with meshd ca init, add it to --tls-ca everywhere, then issue all certificates anew"
	case OwnCertificate:
		return "replace certificate and key by what meshd ca issue makes; no restart is needed"
	}
	return fmt.Sprintf("issue a certificate for %s and replace its files; no restart is needed", c.Name)
}
