package ingest

import (
	"errors"
	"log/slog"
	"net"
	"sync"
)

// Bare are the sockets of a door without the door: what comes is read and forgotten. It is what a door's speed is
// compared with.
type Bare struct{ socks []*socket }

// ListenBare opens so many sockets that share a free port of the loopback interface, as the doors do.
func ListenBare(sockets int, log *slog.Logger) (*Bare, error) {
	socks, err := listenUDP("127.0.0.1:0", sockets, log)
	return &Bare{socks}, err
}

// Addr returns the address to send to.
func (b *Bare) Addr() net.Addr { return b.socks[0].conn.LocalAddr() }

// Run calls see for every packet until Close, from as many goroutines as there are sockets. The packet is valid during
// the call.
func (b *Bare) Run(see func(packet []byte)) error {
	errs := make([]error, len(b.socks))
	var readers sync.WaitGroup
	for i, sock := range b.socks {
		readers.Go(func() {
			errs[i] = sock.read(func(packets [][]byte) {
				for _, p := range packets {
					see(p)
				}
			})
		})
	}
	readers.Wait()
	return errors.Join(errs...)
}

// Drops returns how many packets the kernel dropped since the last call.
func (b *Bare) Drops() (packets uint64) {
	for _, sock := range b.socks {
		packets += sock.drops()
	}
	return packets
}

// Close closes the sockets, which ends Run.
func (b *Bare) Close() error {
	var errs []error
	for _, sock := range b.socks {
		errs = append(errs, sock.conn.Close())
	}
	return errors.Join(errs...)
}
