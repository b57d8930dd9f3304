package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// statEvery is how often a handshake may look whether the files changed.
const statEvery = time.Second

// Identity is a node's certificate with its key, the authorities it trusts and the deny list. It follows its files: a
// handshake that comes a second or more after the last look takes new contents. Safe for concurrent use.
type Identity struct {
	name  Name
	files [4]string // authorities, certificate, key, deny list

	mu     sync.Mutex
	looked time.Time
	stamps [4]stamp
	now    *material // never nil, replaced as a whole
	err    error     // why the newest files are not in use
}

// material is one consistent reading of the files.
type material struct {
	roots  *x509.CertPool
	leaf   *x509.Certificate
	pair   *tls.Certificate
	denied map[string]bool
}

type stamp struct {
	modified time.Time
	size     int64
}

// Load reads an identity: a bundle of trusted authorities, a certificate and its key, all PEM. The deny list is the
// file DenyFile beside the bundle, if there is one. Errors say which file is wrong and what to do.
func Load(caPath, certPath, keyPath string) (*Identity, error) {
	id := &Identity{files: [4]string{caPath, certPath, keyPath, filepath.Join(filepath.Dir(caPath), DenyFile)}}
	id.looked, id.stamps = time.Now(), id.stat()
	m, name, err := read(id.files)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	id.now, id.name = m, name
	return id, nil
}

// Name is who the certificate speaks for. It never changes: a new certificate for another name is not taken.
func (id *Identity) Name() Name { return id.name }

// Expiry is when the certificate in use ends.
func (id *Identity) Expiry() time.Time { return id.current().leaf.NotAfter }

// Err tells why changed files are not in use, nil when they are.
func (id *Identity) Err() error {
	id.current()
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.err
}

// ServerTLS returns a configuration for accepting nodes of the same mesh: TLS 1.3, certificates on both sides, no
// resumption, because a ticket would outlive a revocation.
func (id *Identity) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		ClientAuth:             tls.RequireAnyClientCert, // verified below, against the newest authorities
		SessionTicketsDisabled: true,
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return id.current().pair, nil },
		VerifyConnection:       func(cs tls.ConnectionState) error { return id.verify(cs, x509.ExtKeyUsageClientAuth) },
	}
}

// ClientTLS returns a configuration for dialing nodes of the same mesh.
func (id *Identity) ClientTLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		InsecureSkipVerify:     true, // of host names, which say nothing here: VerifyConnection checks chain and mesh
		SessionTicketsDisabled: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return id.current().pair, nil
		},
		VerifyConnection: func(cs tls.ConnectionState) error { return id.verify(cs, x509.ExtKeyUsageServerAuth) },
	}
}

// Verify checks a peer's chain, leaf first, against what the files say now: authority, dates, usage, deny list and mesh.
// It returns the name the peer may use.
func (id *Identity) Verify(chain []*x509.Certificate, usage x509.ExtKeyUsage) (Name, error) {
	if len(chain) == 0 {
		return Name{}, errors.New("pki: peer shows no certificate")
	}
	m, leaf := id.current(), chain[0]
	name, err := NameOf(leaf)
	if err != nil {
		return Name{}, fmt.Errorf("pki: peer: %w", err)
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err = leaf.Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: between, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return Name{}, fmt.Errorf("pki: certificate of %s: %w: %s", name, err, advice(err))
	}
	if m.denied[leaf.SerialNumber.Text(16)] {
		return Name{}, fmt.Errorf("pki: certificate of %s: %w: issue another one if the node is to come back", name, ErrRevoked)
	}
	if name.Mesh != id.name.Mesh {
		return Name{}, fmt.Errorf("pki: certificate of %s: this is mesh %s", name, id.name.Mesh)
	}
	return name, nil
}

// ErrRevoked is wrapped by Verify for a certificate on the deny list.
var ErrRevoked = errors.New("revoked")

func advice(err error) string {
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return "issue a new one with meshd ca issue, or set the clock of the node whose date is wrong"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "it comes from another authority: add that one to --tls-ca, or issue the certificate here"
	}
	return "issue it with meshd ca issue"
}

func (id *Identity) verify(cs tls.ConnectionState, usage x509.ExtKeyUsage) error {
	_, err := id.Verify(cs.PeerCertificates, usage)
	return err
}

// current returns the material to use now, after a look at the files when one is due. What cannot be read leaves the
// last good material in use: half-written files and a full disk must not cut a node off.
func (id *Identity) current() *material {
	id.mu.Lock()
	defer id.mu.Unlock()
	if now := time.Now(); now.Sub(id.looked) >= statEvery {
		id.looked = now
		if stamps := id.stat(); stamps != id.stamps {
			id.reload(stamps)
		}
	}
	return id.now
}

func (id *Identity) reload(stamps [4]stamp) {
	m, name, err := read(id.files)
	switch {
	case err != nil:
		id.err = fmt.Errorf("pki: changed files are not used: %w", err)
	case name != id.name:
		id.err = fmt.Errorf("pki: changed files are not used: certificate is for %s, this is %s: restart the node", name, id.name)
	default:
		id.now, id.err = m, nil
	}
	id.stamps = stamps
}

func (id *Identity) stat() (s [4]stamp) {
	for i, path := range id.files {
		if info, err := os.Stat(path); err == nil {
			s[i] = stamp{info.ModTime(), info.Size()}
		}
	}
	return s
}

func read(files [4]string) (*material, Name, error) {
	roots, err := readCerts(files[0])
	if err != nil {
		return nil, Name{}, fmt.Errorf("authorities: %w: set --tls-ca to the mesh's %s", err, CAFile)
	}
	certs, err := readCerts(files[1])
	if err != nil {
		return nil, Name{}, fmt.Errorf("certificate: %w: set --tls-cert, or issue one with meshd ca issue", err)
	}
	key, err := readKey(files[2])
	if err != nil {
		return nil, Name{}, fmt.Errorf("key: %w: set --tls-key to the file issued with the certificate", err)
	}
	denied, err := readDenied(files[3])
	if err != nil {
		return nil, Name{}, fmt.Errorf("deny list: %w", err)
	}
	leaf := certs[0]
	if !samePublic(leaf.PublicKey, key.Public()) {
		return nil, Name{}, fmt.Errorf("%s does not match %s: use the pair that was issued together", files[2], files[1])
	}
	name, err := NameOf(leaf)
	if err != nil {
		return nil, Name{}, fmt.Errorf("%s: %w", files[1], err)
	}
	m := &material{roots: x509.NewCertPool(), leaf: leaf, denied: denied, pair: &tls.Certificate{PrivateKey: key, Leaf: leaf}}
	for _, c := range roots {
		m.roots.AddCert(c)
	}
	for _, c := range certs {
		m.pair.Certificate = append(m.pair.Certificate, c.Raw)
	}
	return m, name, m.usable(files, certs[1:])
}

// usable finds at the start what every peer would otherwise refuse without this operator seeing why.
func (m *material) usable(files [4]string, rest []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, c := range rest {
		between.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		_, err := m.leaf.Verify(x509.VerifyOptions{
			Roots: m.roots, Intermediates: between, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if err != nil {
			return fmt.Errorf("%s is not accepted by %s: %w: %s", files[1], files[0], err, advice(err))
		}
	}
	return nil
}
