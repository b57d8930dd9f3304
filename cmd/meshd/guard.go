package main

import (
	"crypto/tls"
	"net"
)

// httpConnections are open at once at each HTTP door, 64 KiB with their buffers: others wait until one of them ends. Idle ones
// end after two minutes.
const httpConnections = 1_024

// guard bounds the connections of an HTTP door and puts TLS before it if that is configured.
func (p *parts) guard(ln net.Listener) net.Listener {
	ln = p.counts.Queue(ln, "http", httpConnections)
	if p.secure == nil {
		return ln
	}
	return tls.NewListener(ln, p.secure)
}
