package ingest

import (
	"encoding/binary"
	"errors"
	"net"

	"golang.org/x/sys/unix"
)

// raiseReceiveBuffer asks for receiveBuffer bytes and returns how many the kernel granted.
func raiseReceiveBuffer(conn *net.UDPConn) (granted int, err error) {
	if err := conn.SetReadBuffer(receiveBuffer); err != nil {
		return 0, err
	}
	err = control(conn, func(fd int) (err error) {
		granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		return err
	})
	return granted / 2, err // the kernel doubles what is set, for its bookkeeping
}

// countDrops has the kernel send the number of packets it dropped along with packets.
func countDrops(conn *net.UDPConn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1) })
}

func control(conn *net.UDPConn, f func(fd int) error) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	err = raw.Control(func(fd uintptr) { inner = f(int(fd)) })
	return errors.Join(err, inner)
}

// dropCount reads the number of packets dropped so far from a packet's control messages. No other is switched on, so
// it is the first.
func dropCount(oob []byte) (uint32, bool) {
	if len(oob) < unix.CmsgLen(4) {
		return 0, false
	}
	h, data, _, err := unix.ParseOneSocketControlMessage(oob)
	if err != nil || h.Level != unix.SOL_SOCKET || h.Type != unix.SO_RXQ_OVFL || len(data) < 4 {
		return 0, false
	}
	return binary.NativeEndian.Uint32(data), true
}
