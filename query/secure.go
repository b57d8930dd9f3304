package query

import (
	"crypto/tls"
	"fmt"
	"os"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// NewServerTLS returns what a door for applications needs to speak TLS: a certificate and its key from PEM files, which are
// looked at with every handshake and read again when they have changed. A pair that cannot be used, such as a
// half-written one, leaves the one before; that is counted in meshd_http_certificate_reload_failures_total.
func NewServerTLS(certFile, keyFile string, reg prometheus.Registerer) (*tls.Config, error) {
	p := &keyPair{certFile: certFile, keyFile: keyFile, failures: prometheus.NewCounter(prometheus.CounterOpts{
		Name: "meshd_http_certificate_reload_failures_total",
		Help: "Times that the certificate of the HTTP doors had changed and could not be used; the one before stays.",
	})}
	if err := reg.Register(p.failures); err != nil {
		return nil, fmt.Errorf("query: register metrics: %w", err)
	}
	if err := p.load(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.current(), nil },
	}, nil
}

// keyPair is a certificate and its key, as the files last had them.
type keyPair struct {
	certFile, keyFile string
	failures          prometheus.Counter

	mu   sync.Mutex
	seen [2]os.FileInfo // of the last look, good or bad
	cert *tls.Certificate
}

func (p *keyPair) current() *tls.Certificate {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.load(); err != nil {
		p.failures.Inc()
	}
	return p.cert
}

// load reads the files if they have changed since the last look.
func (p *keyPair) load() error {
	var now [2]os.FileInfo
	for i, path := range []string{p.certFile, p.keyFile} {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		now[i] = info
	}
	if p.seen[0] != nil && unchanged(now[0], p.seen[0]) && unchanged(now[1], p.seen[1]) {
		return nil
	}
	p.seen = now
	cert, err := tls.LoadX509KeyPair(p.certFile, p.keyFile)
	if err != nil {
		return fmt.Errorf("certificate %s and key %s: %w", p.certFile, p.keyFile, err)
	}
	p.cert = &cert
	return nil
}
