package query

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestServerTLSReadsAgain: a new pair is shown from the next handshake on, a broken one never, and HTTP/2 is spoken.
func TestServerTLSReadsAgain(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
	pool := x509.NewCertPool()
	writePair(t, cert, key, 1, pool)
	reg := prometheus.NewRegistry()
	conf, err := NewServerTLS(cert, key, reg)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(tls.NewListener(plain, conf)) }()
	t.Cleanup(func() { _ = srv.Close() })
	serial := func() int64 {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}}
		resp, err := c.Get("https://" + plain.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 {
			t.Errorf("it speaks %s", resp.Proto)
		}
		return resp.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	if got := serial(); got != 1 {
		t.Errorf("certificate %d, want 1", got)
	}
	if err := os.WriteFile(key, []byte("half a k"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := serial(); got != 1 {
		t.Errorf("with a broken key certificate %d, want 1", got)
	}
	serial() // a broken pair is looked at once
	if n := counted(t, reg, "meshd_http_certificate_reload_failures_total"); n != 1 {
		t.Errorf("%v failures are counted, want 1", n)
	}
	writePair(t, cert, key, 2, pool)
	if got := serial(); got != 2 {
		t.Errorf("after the change certificate %d, want 2", got)
	}
	if _, err := NewServerTLS(cert, filepath.Join(dir, "none"), prometheus.NewRegistry()); err == nil {
		t.Error("a key that is not there is no error at the start")
	}
}

// writePair writes a certificate of its own for 127.0.0.1 and its key, and makes pool believe it.
func writePair(t *testing.T, cert, key string, serial int64, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(parsed)
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
