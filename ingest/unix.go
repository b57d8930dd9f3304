package ingest

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
)

// socketMode lets every user of the machine send; only the owner may read, which nobody has to.
const socketMode = 0o722

// claimSocket removes the socket that a process which is gone left at path. One that somebody serves, and whatever
// else is there, stays.
func claimSocket(network, path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket: choose another path", path)
	}
	conn, err := net.Dial(network, path)
	if err == nil {
		conn.Close()
		return fmt.Errorf("%s: %w", path, syscall.EADDRINUSE)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%s: somebody may serve it: %w", path, err)
	}
	return os.Remove(path)
}

// listenUnix opens a stream socket at path, which goes away with it.
func listenUnix(path string) (net.Listener, error) {
	if err := claimSocket("unix", path); err != nil {
		return nil, err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	return ln, os.Chmod(path, socketMode)
}

// unixgram is a datagram socket at a path. The kernel drops nothing here: senders wait or are told.
type unixgram struct {
	conn *net.UnixConn
	path string
}

func listenUnixgram(path string) (*unixgram, error) {
	if err := claimSocket("unixgram", path); err != nil {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	return &unixgram{conn: conn, path: path}, os.Chmod(path, socketMode)
}

// read calls handle for every packet until the socket is closed. The packet is valid during the call.
func (u *unixgram) read(handle func(packet []byte)) error {
	buf := make([]byte, maxPacketBytes)
	for {
		n, err := u.conn.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return nil
		case err != nil:
			return fmt.Errorf("read %s: %w", u.path, err)
		}
		handle(buf[:n])
	}
}

// Close closes the socket and removes it from the file system.
func (u *unixgram) Close() error {
	if err := u.conn.Close(); err != nil {
		return err // closed before: the path may be somebody else's by now
	}
	return os.Remove(u.path)
}
