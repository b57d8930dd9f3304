package main

import (
	"meshd/gossip"
	"meshd/query"
)

// maxPeerCertificates bounds the peers whose certificates status shows, nearest end first: what has to be renewed next.
const maxPeerCertificates = 20

// certificateList is what status shows of certificates: this node's own, its authority's, and those of peers that end
// first.
func certificateList(g *gossip.Gossip) func() *query.Certificates {
	return func() *query.Certificates {
		trust := g.Trust()
		if trust.Certificates == nil {
			return nil
		}
		out := &query.Certificates{Revoked: trust.Revoked}
		if trust.Err != nil {
			out.Error = trust.Err.Error()
		}
		peers := 0
		for _, c := range trust.Certificates {
			if c.Of == gossip.PeerCertificate {
				if peers++; peers > maxPeerCertificates {
					break
				}
			}
			out.List = append(out.List, query.Certificate{Of: c.Of, Name: c.Name, Until: query.Time{Time: c.Until}, Alarm: c.Alarm.String()})
		}
		return out
	}
}
