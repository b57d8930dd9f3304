//go:build !linux

package ingest

import (
	"errors"
	"net"
)

// raiseReceiveBuffer asks for receiveBuffer bytes. Systems other than Linux refuse what they cannot grant.
func raiseReceiveBuffer(conn *net.UDPConn) (granted int, err error) {
	return receiveBuffer, conn.SetReadBuffer(receiveBuffer)
}

// sharePort refuses: only Linux spreads what comes in over the sockets of a port. Elsewhere one gets everything, or all
// get everything.
func sharePort(*net.UDPConn) error { return errors.ErrUnsupported }

func listenShared(string) (net.PacketConn, error) { return nil, errors.ErrUnsupported }

// dropCount refuses: only Linux tells how many packets it dropped.
func dropCount(*net.UDPConn) (uint32, error) { return 0, errors.ErrUnsupported }
