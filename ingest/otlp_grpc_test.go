package ingest

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"meshd/node"
)

const exportMethod = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"

// startGRPC serves o to a client that sends bytes as they are. stop ends the server.
func startGRPC(t *testing.T, o *OTLP, allow func(string) bool) (call func(ctx context.Context, msg []byte, opts ...grpc.CallOption) ([]byte, error), stop func()) {
	t.Helper()
	g, err := NewOTLPgRPC("127.0.0.1:0", o, nil, allow)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	conn, err := grpc.NewClient(g.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(protoBytes{})))
	if err != nil {
		t.Fatal(err)
	}
	call = func(ctx context.Context, msg []byte, opts ...grpc.CallOption) (answer []byte, err error) {
		return answer, conn.Invoke(ctx, exportMethod, &msg, &answer, opts...)
	}
	return call, func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestOTLPgRPC(t *testing.T) {
	o, n, reg := newTestOTLP(t)
	call, stop := startGRPC(t, o, func(a string) bool { return a == "Bearer secret" })
	defer stop()
	in := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer secret")
	hits := otlpProto(t, otlpJSON(`{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"1"}]}}`))
	bad := otlpProto(t, otlpJSON(`{"name":"hits","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[{"asInt":"-1"}]}}`))

	if answer, err := call(in, hits); err != nil || len(answer) != 0 {
		t.Errorf("answer %x, %v, want an empty one", answer, err)
	}
	if _, err := call(in, hits, grpc.UseCompressor(gzip.Name)); err != nil {
		t.Errorf("compressed: %v", err)
	}
	if got := n.counter("counter:hits{" + jobTill + "}"); got != "2" {
		t.Errorf("counted %s, want 2", got)
	}
	want := partialSuccess{rejected: 1, message: "point 0: value -1 of a monotonic sum: one that goes down is not monotonic"}.encode()
	if answer, err := call(in, bad); err != nil || !bytes.Equal(answer, want) {
		t.Errorf("a refused point: answer %q, %v, want %q", answer, err, want)
	}
	for _, tc := range []struct {
		name string
		ctx  context.Context
		msg  []byte
		want codes.Code
	}{
		{"no token", t.Context(), hits, codes.Unauthenticated},
		{"wrong token", metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer other"), hits, codes.Unauthenticated},
		{"not protobuf", in, []byte("x"), codes.InvalidArgument},
		{"too long", in, make([]byte, maxBodyBytes+1), codes.ResourceExhausted},
	} {
		if _, err := call(tc.ctx, tc.msg); status.Code(err) != tc.want {
			t.Errorf("%s: %v, want %v", tc.name, err, tc.want)
		}
	}
	if got := metric(t, reg, "rejected_total", "reason", "denied"); got != 2 {
		t.Errorf("%v requests denied, want 2", got)
	}
	if len(n.items) != 2 {
		t.Errorf("%d items counted, want 2", len(n.items))
	}
}

func TestOTLPgRPCBusyNode(t *testing.T) {
	for _, cause := range []error{node.ErrBusy, node.ErrFull, node.ErrClosed} {
		o, n, _ := newTestOTLP(t)
		n.answer = func(*node.Batch) node.Result { return node.Result{Err: cause} }
		call, stop := startGRPC(t, o, func(string) bool { return true })
		_, err := call(t.Context(), otlpProto(t, otlpJSON(`{"name":"a","gauge":{"dataPoints":[{"asInt":"1"}]}}`)))
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), cause.Error()) {
			t.Errorf("%v: %v, want Unavailable", cause, err)
		}
		stop()
	}
}
