package memnet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

func two(t *testing.T) (n *Network, a, b *Conn) {
	t.Helper()
	n = New(7)
	a, errA := n.Listen("10.0.0.1:1")
	b, errB := n.Listen("10.0.0.2:1")
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	return n, a, b
}

// drain reads until nothing came for a minute.
func drain(t *testing.T, c *Conn) (packets []string) {
	t.Helper()
	buf := make([]byte, 100)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		size, _, err := c.ReadFrom(buf)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, string(buf[:size]))
	}
}

func send(t *testing.T, from, to *Conn, count int) {
	t.Helper()
	for i := range count {
		if _, err := from.WriteTo(fmt.Append(nil, i), to.LocalAddr()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDelayAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(t)
		n.SetDefault(Link{Delay: 30 * time.Millisecond})
		start := time.Now()
		send(t, a, b, 100)
		buf := make([]byte, 100)
		for i := range 100 {
			size, from, err := b.ReadFrom(buf)
			if err != nil || string(buf[:size]) != fmt.Sprint(i) || from.String() != "10.0.0.1:1" {
				t.Fatalf("packet %d: %q from %v, %v", i, buf[:size], from, err)
			}
		}
		if took := time.Since(start); took != 30*time.Millisecond {
			t.Errorf("took %v, want 30ms", took)
		}
	})
}

func TestJitterReorders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(t)
		n.SetDefault(Link{Delay: 30 * time.Millisecond, Jitter: 10 * time.Millisecond})
		send(t, a, b, 100)
		got, moved := drain(t, b), 0
		for i, p := range got {
			if p != fmt.Sprint(i) {
				moved++
			}
		}
		if len(got) != 100 || moved < 50 {
			t.Errorf("%d packets, %d out of order", len(got), moved)
		}
	})
}

func TestLossIsTheShareAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(t)
		n.SetLink("10.0.0.1:1", "10.0.0.2:1", Link{Loss: 0.25})
		send(t, a, b, 10_000)
		send(t, b, a, 1000)
		if got := len(drain(t, b)); got < 7300 || got > 7700 {
			t.Errorf("%d of 10000 packets arrived at 25%% loss", got)
		}
		if got := len(drain(t, a)); got != 1000 {
			t.Errorf("%d of 1000 packets arrived on the way that loses none", got)
		}
	})
}

func TestCutIsForTheGivenPairsUntilHealed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(t)
		c, err := n.Listen("10.0.0.3:1")
		if err != nil {
			t.Fatal(err)
		}
		n.Cut([]string{"10.0.0.1:1"}, []string{"10.0.0.2:1"})
		send(t, a, b, 3)
		send(t, b, a, 3)
		send(t, a, c, 3)
		if x, y, z := len(drain(t, a)), len(drain(t, b)), len(drain(t, c)); x != 0 || y != 0 || z != 3 {
			t.Errorf("arrived: %d %d %d, want 0 0 3", x, y, z)
		}
		n.Heal([]string{"10.0.0.1:1"}, []string{"10.0.0.2:1"})
		send(t, a, b, 3)
		if got := len(drain(t, b)); got != 3 {
			t.Errorf("%d arrived after healing", got)
		}
		if s := n.Stats(); s.Lost != 6 || s.Delivered != 6 || s.Sent != 12 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(t)
		for range QueueBytes>>20 + 1 {
			if _, err := a.WriteTo(make([]byte, 1<<20), b.LocalAddr()); err != nil {
				t.Fatal(err)
			}
		}
		if s := n.Stats(); s.Overflowed != 1 || s.Delivered != QueueBytes>>20 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestCloseEndsReadAndFreesAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(t)
		if _, err := n.Listen("10.0.0.1:1"); err == nil {
			t.Error("opened one address twice")
		}
		done := make(chan error)
		go func() {
			_, _, err := a.ReadFrom(make([]byte, 1))
			done <- err
		}()
		synctest.Wait()
		if err := errors.Join(a.Close(), a.Close()); err != nil {
			t.Error(err)
		}
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Errorf("read ended with %v", err)
		}
		if _, err := a.WriteTo([]byte("x"), b.LocalAddr()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write ended with %v", err)
		}
		if _, err := n.Listen("10.0.0.1:1"); err != nil {
			t.Error(err)
		}
	})
}
