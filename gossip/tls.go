package gossip

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"time"
)

// alpn keeps other protocols that use QUIC apart. Versions of this one are told apart in the preface, which can say why.
const alpn = "meshd/1"

// tlsConfigs returns the configurations for accepting and for dialing.
func (g *Gossip) tlsConfigs() (server, client *tls.Config, err error) {
	if g.cfg.TLS != nil {
		server, client = g.cfg.TLS.ServerTLS(), g.cfg.TLS.ClientTLS()
	} else if server, client, err = insecureTLS(); err != nil {
		return nil, nil, err
	}
	if check := server.VerifyConnection; check != nil {
		server.VerifyConnection = func(cs tls.ConnectionState) error { // QUIC does not report failed handshakes to a listener
			err := check(cs)
			if err != nil {
				g.metrics.refusals.WithLabelValues("certificate").Inc()
				g.quiet.warn(g.log, "connection refused", "reason", err.Error())
			}
			return err
		}
	}
	server.NextProtos, client.NextProtos = []string{alpn}, []string{alpn}
	return server, client, nil
}

// insecureTLS encrypts without knowing whom it talks to: a certificate of this process' own that says nothing.
func insecureTLS() (server, client *tls.Config, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "meshd without certificates"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(100, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	pair := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	server = &tls.Config{MinVersion: tls.VersionTLS13, Certificates: pair, SessionTicketsDisabled: true}
	client = &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, SessionTicketsDisabled: true}
	return server, client, nil
}
