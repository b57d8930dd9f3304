package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// File names inside an authority's directory.
const (
	CAFile   = "ca.crt"
	KeyFile  = "ca.key"
	DenyFile = "deny.txt"
)

// How long certificates are valid unless said otherwise.
const (
	AuthorityValid = 10 * 365 * 24 * time.Hour
	NodeValid      = 365 * 24 * time.Hour
)

// clockSlack is how long before now certificates begin: nodes' clocks differ.
const clockSlack = time.Hour

// Init makes a new authority for mesh in dir, which is created with mode 0700. It refuses to replace an existing one. The
// authority ends after valid; 0 means AuthorityValid.
func Init(dir, mesh string, valid time.Duration) error {
	if valid == 0 {
		valid = AuthorityValid
	}
	if err := (Name{Mesh: mesh, Region: "r", Node: "n", Role: "hub"}).validate(); err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, KeyFile)); err == nil {
		return fmt.Errorf("pki: %s already holds an authority: choose another directory, or move this one away", dir)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "meshd authority of " + mesh},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: mesh}},
		NotBefore:             now.Add(-clockSlack),
		NotAfter:              now.Add(valid),
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	return errors.Join(
		writeFile(filepath.Join(dir, KeyFile), keyPEM),
		writeFile(filepath.Join(dir, CAFile), encodeCert(der)))
}

// Issue makes a key and a certificate for n, writes them to NODE.key and NODE.crt in dir and returns their paths. An
// empty n.Mesh means the authority's own; another mesh is refused. The certificate ends after valid, 0 means NodeValid, or with
// the authority if that is earlier.
func Issue(dir string, n Name, valid time.Duration) (certPath, keyPath string, err error) {
	a, err := openAuthority(dir)
	if err != nil {
		return "", "", err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", fmt.Errorf("pki: %w", err)
	}
	certPEM, err := a.sign(n, key.Public(), valid)
	if err != nil {
		return "", "", err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return "", "", fmt.Errorf("pki: %w", err)
	}
	certPath, keyPath = filepath.Join(dir, n.Node+".crt"), filepath.Join(dir, n.Node+".key")
	if n.Node+".key" == KeyFile {
		return "", "", fmt.Errorf("pki: a node named %s would overwrite the authority: choose another name, or sign a request", n.Node)
	}
	if err := errors.Join(writeFile(keyPath, keyPEM), writeFile(certPath, certPEM)); err != nil {
		return "", "", err
	}
	return certPath, keyPath, nil
}

// Request makes a key and a signing request for n, both PEM, so that the key never leaves the node it was made on.
func Request(n Name) (csrPEM, keyPEM []byte, err error) {
	if err := n.validate(); err != nil {
		return nil, nil, fmt.Errorf("pki: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: %w", err)
	}
	template := &x509.CertificateRequest{Subject: pkix.Name{CommonName: n.Node}, URIs: []*url.URL{n.URI()}}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, key)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: %w", err)
	}
	keyPEM, err = encodeKey(key)
	return encodeRequest(der), keyPEM, err
}

// SignCSR signs a request made by Request (or any that carries exactly one mesh URI) with the authority in dir and
// returns the certificate as PEM and the name it speaks for. Whoever calls it vouches for that name. valid is as for Issue.
func SignCSR(dir string, csrPEM []byte, valid time.Duration) (certPEM []byte, n Name, err error) {
	a, err := openAuthority(dir)
	if err != nil {
		return nil, Name{}, err
	}
	csr, err := decodeRequest(csrPEM)
	if err != nil {
		return nil, Name{}, err
	}
	if len(csr.URIs) != 1 {
		return nil, Name{}, fmt.Errorf("pki: request: %w", ErrNoName)
	}
	if n, err = parseURI(csr.URIs[0]); err != nil {
		return nil, Name{}, fmt.Errorf("pki: request: %w", err)
	}
	certPEM, err = a.sign(n, csr.PublicKey, valid)
	return certPEM, n, err
}

// authority is an opened directory.
type authority struct {
	mesh string
	cert *x509.Certificate
	key  crypto.Signer
}

func openAuthority(dir string) (*authority, error) {
	certs, err := readCerts(filepath.Join(dir, CAFile))
	if err != nil {
		return nil, fmt.Errorf("pki: %w: make an authority with meshd ca init", err)
	}
	key, err := readKey(filepath.Join(dir, KeyFile))
	if err != nil {
		return nil, fmt.Errorf("pki: %w: signing needs the authority's key", err)
	}
	cert := certs[0]
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "spiffe" {
		return nil, fmt.Errorf("pki: %s is not an authority made by meshd ca init", filepath.Join(dir, CAFile))
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return nil, fmt.Errorf("pki: %s does not belong to %s: restore both from the same backup", KeyFile, CAFile)
	}
	return &authority{cert.URIs[0].Host, cert, key}, nil
}

func (a *authority) sign(n Name, public crypto.PublicKey, valid time.Duration) ([]byte, error) {
	if valid == 0 {
		valid = NodeValid
	}
	if n.Mesh == "" {
		n.Mesh = a.mesh
	}
	if n.Mesh != a.mesh {
		return nil, fmt.Errorf("pki: this authority is for mesh %s, not %s: use that mesh's authority", a.mesh, n.Mesh)
	}
	if err := n.validate(); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	now := time.Now()
	if now.After(a.cert.NotAfter) {
		return nil, fmt.Errorf("pki: the authority ended at %s: make another with meshd ca init and add it to --tls-ca everywhere", date(a.cert.NotAfter))
	}
	template := &x509.Certificate{
		SerialNumber: newSerial(),
		Subject:      pkix.Name{CommonName: n.Node},
		URIs:         []*url.URL{n.URI()},
		NotBefore:    now.Add(-clockSlack),
		NotAfter:     now.Add(valid),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if template.NotAfter.After(a.cert.NotAfter) {
		template.NotAfter = a.cert.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, public, a.key)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	return encodeCert(der), nil
}

// newSerial draws 127 random bits: positive, and never the same twice.
func newSerial() *big.Int {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails: crypto/rand ends the process instead
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}
