package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // clients may compress
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

const (
	// grpcRequests may be received or decoded at once: with 8 MiB each they stay below maxBodiesBytes. Others wait,
	// held back by HTTP/2's flow control.
	grpcRequests = 8
	// grpcStreams bounds the requests of one connection that wait, 64 KiB each.
	grpcStreams = 32
	// grpcStop is how long requests that run may take at the end.
	grpcStop = 3 * time.Second
)

// OTLPgRPC is the MetricsService of OTLP over gRPC.
type OTLPgRPC struct {
	otlp   *OTLP
	ln     net.Listener
	secure *tls.Config // nil: without
	allow  func(authorization string) bool
	slots  chan struct{}
}

// NewOTLPgRPC listens on addr, with TLS if secure is not nil. allow judges the authorization metadata of each request.
func NewOTLPgRPC(addr string, o *OTLP, secure *tls.Config, allow func(authorization string) bool) (*OTLPgRPC, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("ingest: otlp: %w: choose another address with --otlp-grpc, or off", err)
	}
	return &OTLPgRPC{
		otlp: o, ln: o.door.metrics.Queue(ln, "otlp", maxConnections), secure: secure, allow: allow, slots: make(chan struct{}, grpcRequests),
	}, nil
}

// Addr returns the address that it listens on.
func (g *OTLPgRPC) Addr() net.Addr { return g.ln.Addr() }

// Close closes the listener of an OTLPgRPC that Run is not called for.
func (g *OTLPgRPC) Close() error { return g.ln.Close() }

// Run serves until ctx ends, then lets requests that run finish for up to 3 s.
func (g *OTLPgRPC) Run(ctx context.Context) error {
	guard := insecure.NewCredentials()
	if g.secure != nil {
		guard = credentials.NewTLS(g.secure)
	}
	srv := grpc.NewServer(grpc.Creds(guard),
		grpc.ForceServerCodec(protoBytes{}), grpc.MaxRecvMsgSize(maxBodyBytes), grpc.MaxConcurrentStreams(grpcStreams),
		grpc.ConnectionTimeout(5*time.Second), grpc.MaxHeaderListSize(64<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 10 * time.Minute}),
	)
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "opentelemetry.proto.collector.metrics.v1.MetricsService",
		HandlerType: (*any)(nil),
		// On the wire a stream of one message each way is a unary call. Declared as a stream, the message is not read
		// before the handler asks for it: that is what bounds them.
		Streams: []grpc.StreamDesc{{StreamName: "Export", Handler: g.handle}},
	}, g)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(g.ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("ingest: otlp: serve %s: %w", g.ln.Addr(), err)
	case <-ctx.Done():
	}
	defer time.AfterFunc(grpcStop, srv.Stop).Stop()
	srv.GracefulStop()
	return <-done // nil: it was told to stop
}

// protoBytes leaves messages as they are on the wire.
type protoBytes struct{}

func (protoBytes) Name() string { return "proto" }

func (protoBytes) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (protoBytes) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = data
	return nil
}

func (g *OTLPgRPC) handle(_ any, stream grpc.ServerStream) error {
	m := g.otlp.meter
	m.packets.Inc()
	ctx := stream.Context()
	md, _ := metadata.FromIncomingContext(ctx)
	if !g.allow(strings.Join(md.Get("authorization"), "")) {
		m.rejected[reasonDenied].Inc()
		return status.Error(codes.Unauthenticated, `token is missing or wrong: send the metadata "authorization: Bearer TOKEN"`)
	}
	var from netip.Addr
	if p, ok := peer.FromContext(ctx); ok {
		from = addrOf(p.Addr)
	}
	if err := g.otlp.door.sources.check(from, time.Now()); err != nil {
		m.rejected[reasonSource].Inc()
		return status.Error(codes.Unavailable, err.Error()) // clients give up after ResourceExhausted
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var msg []byte
	if err := stream.RecvMsg(&msg); err != nil {
		m.rejected[reasonSyntax].Inc()
		return err
	}
	m.bytes.Add(float64(len(msg)))
	g.otlp.door.sources.charge(from, len(msg), time.Now())
	answer, err := g.export(ctx, msg)
	if err != nil {
		return err
	}
	b := answer.encode()
	return stream.SendMsg(&b)
}

// export counts a message. Its errors are gRPC's: a client tries again after Unavailable.
func (g *OTLPgRPC) export(ctx context.Context, msg []byte) (partialSuccess, error) {
	req := new(otlpRequest)
	err := unmarshalOTLP(msg, req)
	var answer partialSuccess
	if err == nil {
		answer, err = g.otlp.export(ctx, req)
	}
	if err == nil {
		return answer, nil
	}
	he := new(httpError)
	if !errors.As(err, &he) {
		he = submitError(err)
	}
	g.otlp.meter.rejected[he.reason].Inc()
	code := codes.InvalidArgument
	if he.code >= http.StatusInternalServerError {
		code = codes.Unavailable
	}
	return answer, status.Error(code, he.text)
}
