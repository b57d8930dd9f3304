package ingest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	// maxStreamBytes bounds a line or a framed packet of a stream: what a UDP packet may hold.
	maxStreamBytes = maxPacketBytes
	// maxConnections bounds the connections of one listener: their buffers take 16 MiB.
	maxConnections = 256
	// acceptPause is how long a listener that cannot accept (no file descriptors) waits before it tries again.
	acceptPause = 100 * time.Millisecond
)

// cutter cuts the first message off what a stream has delivered. n is its length with its framing, 0 if it is not
// complete yet; the first seen bytes were looked at before. errFraming: the stream makes no sense from here on.
type cutter func(buf []byte, seen int) (msg []byte, n int, err error)

var errFraming = errors.New("bad framing")

// cutLines cuts all complete lines off, as one message.
func cutLines(buf []byte, seen int) (msg []byte, n int, err error) {
	if i := bytes.LastIndexByte(buf[seen:], '\n'); i >= 0 {
		n = seen + i + 1
	}
	return buf[:n], n, nil
}

// cutFramed cuts off a packet behind its length in four bytes, little endian, as DogStatsD's unixstream has it.
func cutFramed(buf []byte, _ int) (msg []byte, n int, err error) {
	if len(buf) < 4 {
		return nil, 0, nil
	}
	size := binary.LittleEndian.Uint32(buf)
	switch {
	case size > maxStreamBytes:
		return nil, 0, errFraming
	case len(buf) < 4+int(size):
		return nil, 0, nil
	}
	n = 4 + int(size)
	return buf[4:n], n, nil
}

// stream is a listener whose connections deliver messages without an answer.
type stream struct {
	ln      net.Listener
	cut     cutter
	meter   *meter
	log     *slog.Logger
	sources *Sources // nil: no limit

	examples *examples
}

// run serves connections until ctx ends and returns when their handlers have. messages returns a handler for one
// connection; the message it gets is valid during the call.
func (s *stream) run(ctx context.Context, messages func() func(msg []byte)) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	defer context.AfterFunc(ctx, func() { s.ln.Close() })()
	slots := make(chan struct{}, maxConnections)
	for {
		conn, err := s.ln.Accept()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			if conn != nil {
				conn.Close()
			}
			return nil
		case err != nil:
			s.meter.rejected[reasonConnection].Inc()
			s.log.Warn("cannot accept a connection", "addr", s.ln.Addr(), "err", err)
			pause(ctx, acceptPause)
			continue
		}
		select {
		case slots <- struct{}{}:
		default:
			s.meter.rejected[reasonConnection].Inc()
			conn.Close()
			continue
		}
		conns.Go(func() {
			defer func() { <-slots }()
			defer conn.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			var in io.Reader = conn
			if s.sources != nil {
				from := addrOf(conn.RemoteAddr())
				in = &pacedReader{conn, func(n int) { s.sources.wait(ctx, from, n) }}
			}
			if r := s.read(in, messages()); r != reasonNone {
				s.meter.rejected[r].Inc()
			}
		})
	}
}

// read takes messages until the connection ends and returns what was wrong with its end: reasonNone if nothing was.
// What is not complete by then does not count: a line cut short may be another valid line.
func (s *stream) read(conn io.Reader, handle func([]byte)) reason {
	buf := make([]byte, 0, maxStreamBytes+4)
	for {
		seen := len(buf)
		n, err := conn.Read(buf[seen:cap(buf)])
		buf = buf[:seen+n]
		rest := buf
		for len(rest) > 0 {
			msg, cut, bad := s.cut(rest, seen)
			if bad != nil {
				s.examples.note(reasonTooLong, rest)
				return reasonTooLong
			}
			if cut == 0 {
				break
			}
			handle(msg)
			rest, seen = rest[cut:], 0
		}
		buf = append(buf[:0], rest...)
		switch {
		case err != nil && len(buf) > 0:
			s.examples.note(reasonCut, buf)
			return reasonCut
		case err != nil:
			return reasonNone
		case len(buf) == cap(buf):
			s.examples.note(reasonTooLong, buf)
			return reasonTooLong
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// pacedReader reads no faster than its source may send.
type pacedReader struct {
	io.Reader
	pace func(n int) // returns when n bytes may have been read
}

func (r *pacedReader) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.pace(n)
	return n, err
}
