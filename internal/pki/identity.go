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

// The files of an identity, in the order of Identity.files.
const (
	fileAuthorities = iota
	fileCert
	fileKey
	fileDeny    // the operator's, beside the authorities
	fileLearned // the node's own; its name may be empty
	numFiles
)

// Identity is a node's certificate with its key, the authorities it trusts and the revocations it knows. It follows its
// files: a handshake that comes a second or more after the last look takes new contents. Safe for concurrent use.
type Identity struct {
	name Name

	mu        sync.Mutex
	files     [numFiles]string
	looked    time.Time
	stamps    [numFiles]stamp
	now       *material // never nil, replaced as a whole
	denied    denied    // grows; replaced, never changed
	strangers denied    // revocations of authorities that are not trusted now: kept, not believed
	revision  uint64    // counts changes of now and denied
	shown     time.Time // since when now.leaf is shown; zero: from the start
	err       error     // why the newest files are not in use
	unsaved   bool      // fileLearned lacks something
	saveErr   error     // why
}

// material is one consistent reading of authorities, certificate and key.
type material struct {
	authorities []*x509.Certificate
	roots       *x509.CertPool
	leaf        *x509.Certificate
	issuer      *x509.Certificate // nil if no trusted authority issued leaf
	pair        *tls.Certificate
	listed      []*revocation // in fileDeny and fileLearned
}

type stamp struct {
	modified time.Time
	size     int64
}

// Load reads an identity: a bundle of trusted authorities, a certificate and its key, all PEM. The deny list is the
// file DenyFile beside the bundle, if there is one. Errors say which file is wrong and what to do.
//
// A certificate that has ended, or has not begun, is taken: a node whose clock is wrong until it hears the time, or whose
// operator was late, counts on alone. Err says so, and peers refuse it.
func Load(caPath, certPath, keyPath string) (*Identity, error) {
	id := &Identity{files: [numFiles]string{caPath, certPath, keyPath, filepath.Join(filepath.Dir(caPath), DenyFile)}}
	id.looked, id.stamps = time.Now(), id.stat()
	m, name, err := read(id.files)
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	id.now, id.name, id.denied, id.strangers = m, name, make(denied), make(denied)
	if err := id.listed(m); err != nil {
		return nil, fmt.Errorf("pki: deny list: %w", err)
	}
	return id, nil
}

// Name is who the certificate speaks for. It never changes: a new certificate for another name is not taken.
func (id *Identity) Name() Name { return id.name }

// Revision counts the changes of what this node shows and believes: another value means that connections should be
// judged again.
func (id *Identity) Revision() uint64 {
	id.current()
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.revision
}

// Shown is since when the present certificate is shown, the zero time if no other one ever was. A connection that is older
// was made with another one.
func (id *Identity) Shown() time.Time {
	id.current()
	id.mu.Lock()
	defer id.mu.Unlock()
	return id.shown
}

// Err tells why changed files are not in use, what is wrong with the dates of the certificate in use, or why revocations
// could not be kept; nil when all is well.
func (id *Identity) Err() error {
	m := id.current()
	id.mu.Lock()
	defer id.mu.Unlock()
	return errors.Join(id.err, m.dated(time.Now(), id.files[fileCert]), id.saveErr)
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

// Verify checks a peer's chain, leaf first, against what the files say now: authority, dates, usage, revocations and
// mesh. It returns the name the peer may use.
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
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: m.roots, Intermediates: between, CurrentTime: time.Now(), KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return Name{}, fmt.Errorf("pki: certificate of %s: %w: %s", name, err, advice(err))
	}
	if id.revoked(chains) {
		return Name{}, fmt.Errorf("pki: certificate of %s: %w: issue another one if the node is to come back", name, ErrRevoked)
	}
	if name.Mesh != id.name.Mesh {
		return Name{}, fmt.Errorf("pki: certificate of %s: this is mesh %s", name, id.name.Mesh)
	}
	return name, nil
}

// ErrRevoked is wrapped by Verify for a certificate that its authority has revoked.
var ErrRevoked = errors.New("revoked")

func (id *Identity) revoked(chains [][]*x509.Certificate) bool {
	id.mu.Lock()
	set := id.denied
	id.mu.Unlock()
	for _, chain := range chains {
		for i, c := range chain[:len(chain)-1] {
			if set[revokedKey{authorityID(chain[i+1]), c.SerialNumber.Text(16)}] != nil {
				return true
			}
		}
	}
	return false
}

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
			id.stamps = stamps
			id.reload(now)
		}
		id.save(now)
	}
	return id.now
}

func (id *Identity) reload(now time.Time) {
	m, name, err := read(id.files)
	if err == nil && m.dated(now, "") != nil && id.now.dated(now, "") == nil {
		err = m.dated(now, id.files[fileCert])
	}
	switch {
	case err != nil:
		id.err = fmt.Errorf("pki: changed files are not used: %w", err)
		return
	case name != id.name:
		id.err = fmt.Errorf("pki: changed files are not used: certificate is for %s, this is %s: restart the node", name, id.name)
		return
	}
	if !m.leaf.Equal(id.now.leaf) {
		id.shown = now
	}
	id.now, id.err = m, nil
	id.revision++
	if err := id.listed(m); err != nil {
		id.err = fmt.Errorf("pki: deny list: %w", err)
	}
}

// listed joins the revocations of the files. Those of authorities that are not trusted here, yet or any more, are put
// aside: their certificates are refused anyway.
func (id *Identity) listed(m *material) error {
	set := id.denied.clone()
	var bad error
	news := 0
	for _, r := range m.listed {
		n, err := set.join(m.authorities, time.Now(), r)
		news += n
		if errors.Is(err, errStranger) {
			id.strangers[r.revokedKey] = r
		} else {
			bad = errors.Join(bad, err)
		}
	}
	if news > 0 {
		id.denied, id.unsaved = set, true
		id.revision++
	}
	return bad
}

func (id *Identity) stat() (s [numFiles]stamp) {
	for i, path := range id.files {
		s[i] = stampOf(path)
	}
	return s
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}
