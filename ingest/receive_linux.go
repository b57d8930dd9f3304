package ingest

import (
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// receiver reads the packets of one socket, many in one system call and without allocating. It belongs to one goroutine.
type receiver struct {
	raw syscall.RawConn

	buffers []byte
	heads   [batchPackets]messageHead
	iovecs  [batchPackets]unix.Iovec
	senders [batchPackets]unix.RawSockaddrInet6 // an IPv4 address fits, too

	read  func(fd uintptr) (done bool) // receiver.batch, which the runtime calls when there may be something
	n     int
	errno syscall.Errno
}

// messageHead is the kernel's struct mmsghdr, which x/sys does not have.
type messageHead struct {
	unix.Msghdr
	bytes uint32
}

// newReceiver reads from conn, and who sent what if told to.
func newReceiver(conn *net.UDPConn, senders bool) (*receiver, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	r := &receiver{raw: raw, buffers: make([]byte, batchPackets*packetStride)}
	r.read = r.batch
	for i := range r.heads {
		r.iovecs[i].Base = &r.buffers[i*packetStride]
		r.iovecs[i].SetLen(maxPacketBytes)
		r.heads[i].Iov = &r.iovecs[i]
		r.heads[i].SetIovlen(1)
		if senders {
			r.heads[i].Name = (*byte)(unsafe.Pointer(&r.senders[i]))
			r.heads[i].Namelen = uint32(unsafe.Sizeof(r.senders[i])) // the kernel writes less, which fits any later one of this socket
		}
	}
	return r, nil
}

// receive waits for packets and returns how many came.
func (r *receiver) receive() (int, error) {
	if err := r.raw.Read(r.read); err != nil {
		return 0, err
	}
	if r.errno != 0 {
		return 0, r.errno
	}
	return r.n, nil
}

// batch reads what there is. It never blocks, so the runtime does not have to know that a system call is under way: told
// of one, it gives the processor to somebody else after 20 µs, which 32 packets take, and the reader has to queue for one
// with all of them in its hands.
func (r *receiver) batch(fd uintptr) (done bool) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.heads[0])), batchPackets, unix.MSG_DONTWAIT, 0, 0)
		switch r.n, r.errno = int(n), errno; errno {
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			return true
		}
	}
}

// packet returns the i-th packet of the last batch, valid until the next.
func (r *receiver) packet(i int) []byte {
	return r.buffers[i*packetStride:][:r.heads[i].bytes]
}

// sender returns who sent the i-th packet, if that is read.
func (r *receiver) sender(i int) netip.Addr {
	switch from := &r.senders[i]; from.Family {
	case unix.AF_INET:
		return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(from)).Addr)
	case unix.AF_INET6:
		return netip.AddrFrom16(from.Addr)
	}
	return netip.Addr{}
}
