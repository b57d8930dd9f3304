package ingest

import (
	"context"
	"errors"
	"net"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// raiseReceiveBuffer asks for receiveBuffer bytes and returns how many the kernel granted: those who may administer the
// network get them beyond net.core.rmem_max.
func raiseReceiveBuffer(conn *net.UDPConn) (granted int, err error) {
	err = control(conn, func(fd int) (err error) {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
			err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
		}
		if err == nil {
			granted, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		}
		return err
	})
	return granted / 2, err // the kernel doubles what is set, for its bookkeeping
}

// sharePort lets other sockets of this user have the port of conn too, if they ask for it as listenShared does.
func sharePort(conn *net.UDPConn) error {
	return control(conn, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
}

// listenShared opens another socket at the address of one that sharePort was called for.
func listenShared(addr string) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		outer := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
		return errors.Join(outer, err)
	}}
	return lc.ListenPacket(context.Background(), "udp", addr)
}

// dropCount returns the number of packets that the kernel dropped on a socket so far. It wraps around. SO_RXQ_OVFL would
// tell the same number, but only along with a packet: what was dropped after the last one nobody would learn.
func dropCount(conn *net.UDPConn) (count uint32, err error) {
	var info [unix.SK_MEMINFO_DROPS + 1]uint32
	err = control(conn, func(fd int) error {
		size := uint32(unsafe.Sizeof(info))
		// x/sys has no function for options that are arrays.
		if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0); errno != 0 {
			return errno
		}
		if size < uint32(unsafe.Sizeof(info)) {
			return errors.ErrUnsupported
		}
		return nil
	})
	return info[unix.SK_MEMINFO_DROPS], err
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
