//go:build !unix

package gossip

import (
	"errors"
	"net"
)

// socketBuffers cannot read back what was granted on this system.
func socketBuffers(*net.UDPConn) (read, write int, err error) {
	return 0, 0, errors.ErrUnsupported
}
