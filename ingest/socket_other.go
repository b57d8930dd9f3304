//go:build !linux

package ingest

import "net"

// raiseReceiveBuffer asks for receiveBuffer bytes. Systems other than Linux refuse what they cannot grant.
func raiseReceiveBuffer(conn *net.UDPConn) (granted int, err error) {
	return receiveBuffer, conn.SetReadBuffer(receiveBuffer)
}

// countDrops does nothing: only Linux tells how many packets it dropped.
func countDrops(*net.UDPConn) error { return nil }

func dropCount([]byte) (uint32, bool) { return 0, false }
