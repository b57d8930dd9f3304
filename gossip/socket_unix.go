//go:build unix

package gossip

import (
	"errors"
	"net"
	"syscall"
)

// socketBuffers reads back what the kernel granted, in bytes.
func socketBuffers(conn *net.UDPConn) (read, write int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	var readErr, writeErr error
	err = raw.Control(func(fd uintptr) {
		read, readErr = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
		write, writeErr = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_SNDBUF)
	})
	return read, write, errors.Join(err, readErr, writeErr)
}
