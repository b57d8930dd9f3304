package ingest

import "testing"

func TestTheKernelTellsWhatItDropped(t *testing.T) {
	s, err := listenUDP("127.0.0.1:0", discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.conn.Close() })
	if err := s.conn.SetReadBuffer(4096); err != nil { // some ten packets: one batch empties it
		t.Fatal(err)
	}
	c := dial(t, s.conn.LocalAddr())
	const sent = 500
	for range sent {
		write(t, c, "hits:1|c")
	}
	var received, lost uint64
	err = s.read(func(packets [][]byte, n uint64) {
		lost += n
		if string(packets[len(packets)-1]) == "end" {
			_ = s.conn.Close() // ends read
			return
		}
		received += uint64(len(packets))
		write(t, c, "end") // a packet that comes after the drops carries their number
	})
	if err != nil {
		t.Fatal(err)
	}
	if lost == 0 || received+lost != sent {
		t.Errorf("%d received and %d lost of %d", received, lost, sent)
	}
}
