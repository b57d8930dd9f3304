package ingest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"meshd/node"
)

const oneHit = `{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`

func TestOTLPgRPCWithTLS(t *testing.T) {
	web := httptest.NewTLSServer(nil) // for its certificate
	defer web.Close()
	o, n, _ := newTestOTLP(t)
	g, err := NewOTLPgRPC("127.0.0.1:0", o, &tls.Config{Certificates: web.TLS.Certificates}, func(string) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	known := x509.NewCertPool()
	known.AddCert(web.Certificate())
	hits := otlpProto(t, otlpJSON(oneHit))
	for name, c := range map[string]struct {
		creds credentials.TransportCredentials
		want  codes.Code
	}{
		"trusted":     {credentials.NewTLS(&tls.Config{RootCAs: known, ServerName: "example.com"}), codes.OK},
		"stranger":    {credentials.NewTLS(&tls.Config{RootCAs: x509.NewCertPool(), ServerName: "example.com"}), codes.Unavailable},
		"other name":  {credentials.NewTLS(&tls.Config{RootCAs: known, ServerName: "example.org"}), codes.Unavailable},
		"without TLS": {insecure.NewCredentials(), codes.Unavailable},
	} {
		conn, err := grpc.NewClient(g.Addr().String(), grpc.WithTransportCredentials(c.creds), grpc.WithDefaultCallOptions(grpc.ForceCodec(protoBytes{})))
		if err != nil {
			t.Fatal(err)
		}
		var answer []byte
		if err := conn.Invoke(t.Context(), exportMethod, &hits, &answer); status.Code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if len(n.items) != 1 {
		t.Errorf("%d samples counted, want that of the trusted client", len(n.items))
	}
}

// slowNode takes batches only when it is let, and knows how many it was given at once.
type slowNode struct {
	*fakeNode
	let   chan struct{}
	given chan struct{} // one for each batch that came

	mu        sync.Mutex
	now, most int
}

func (s *slowNode) Submit(ctx context.Context, b *node.Batch) node.Result {
	s.mu.Lock()
	s.now++
	s.most = max(s.most, s.now)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.now--
		s.mu.Unlock()
	}()
	s.given <- struct{}{}
	<-s.let
	return s.fakeNode.Submit(ctx, b)
}

// More requests than may be decoded at once, and than a connection may have open, wait and are all counted.
func TestOTLPgRPCRequestsBeyondTheBoundWait(t *testing.T) {
	const requests = 3 * grpcStreams
	m, _ := newTestMetrics(t)
	s := &slowNode{fakeNode: newFakeNode(), let: make(chan struct{}), given: make(chan struct{}, requests)}
	d, err := NewDoor(s, m)
	if err != nil {
		t.Fatal(err)
	}
	call, stop := startGRPC(t, NewOTLP(d), func(string) bool { return true })
	defer stop()
	hits := otlpProto(t, otlpJSON(oneHit))
	var all sync.WaitGroup
	for range requests {
		all.Go(func() {
			if _, err := call(t.Context(), hits); err != nil {
				t.Error(err)
			}
		})
	}
	for range grpcRequests {
		<-s.given
	}
	for range requests {
		s.let <- struct{}{}
	}
	all.Wait()
	if s.most != grpcRequests || len(s.items) != requests {
		t.Errorf("%d at once, %d counted: want %d and %d", s.most, len(s.items), grpcRequests, requests)
	}
}

// With every place taken by connections that say nothing, one more waits, is counted, and is served when one of them ends.
func TestAThousandConnectionsAndOneMore(t *testing.T) {
	m, reg := newTestMetrics(t)
	g, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := m.Queue(g, "otlp", maxConnections)
	defer ln.Close()
	var idle []net.Conn
	for range maxConnections {
		c, err := net.Dial("tcp", g.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		served, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, served)
	}
	if w := metric(t, reg, "connections_waited_total", "protocol", "otlp"); w != 0 {
		t.Errorf("%v waited, and there is room", w)
	}
	more, err := net.Dial("tcp", g.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer more.Close()
	served := make(chan error, 1)
	go func() {
		c, err := ln.Accept()
		if err == nil {
			err = c.Close()
		}
		served <- err
	}()
	for metric(t, reg, "connections_waited_total", "protocol", "otlp") == 0 { // the counter says it, nobody else does
		select {
		case err := <-served:
			t.Fatalf("served beyond the bound: %v", err)
		default:
		}
	}
	for _, c := range idle {
		_ = c.Close()
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
