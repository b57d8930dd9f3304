package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

func read(files [numFiles]string) (*material, Name, error) {
	roots, err := readCerts(files[fileAuthorities])
	if err != nil {
		return nil, Name{}, fmt.Errorf("authorities: %w: set --tls-ca to the mesh's %s", err, CAFile)
	}
	certs, err := readCerts(files[fileCert])
	if err != nil {
		return nil, Name{}, fmt.Errorf("certificate: %w: set --tls-cert, or issue one with meshd ca issue", err)
	}
	key, err := readKey(files[fileKey])
	if err != nil {
		return nil, Name{}, fmt.Errorf("key: %w: set --tls-key to the file issued with the certificate", err)
	}
	leaf := certs[0]
	if !samePublic(leaf.PublicKey, key.Public()) {
		return nil, Name{}, fmt.Errorf("%s does not match %s: use the pair that was issued together", files[fileKey], files[fileCert])
	}
	name, err := NameOf(leaf)
	if err != nil {
		return nil, Name{}, fmt.Errorf("%s: %w", files[fileCert], err)
	}
	m := &material{
		authorities: roots, roots: x509.NewCertPool(), leaf: leaf,
		pair: &tls.Certificate{PrivateKey: key, Leaf: leaf},
	}
	for _, file := range []int{fileDeny, fileLearned} {
		if files[file] == "" {
			continue
		}
		listed, err := readDenied(files[file])
		if err != nil {
			return nil, Name{}, fmt.Errorf("deny list: %w", err)
		}
		m.listed = append(m.listed, listed...)
	}
	for _, c := range roots {
		m.roots.AddCert(c)
	}
	for _, c := range certs {
		m.pair.Certificate = append(m.pair.Certificate, c.Raw)
	}
	return m, name, m.usable(files, certs[1:])
}

// usable finds at the start what every peer would otherwise refuse without this operator seeing why. Dates are looked at
// elsewhere: they change by themselves.
func (m *material) usable(files [numFiles]string, rest []*x509.Certificate) error {
	between := x509.NewCertPool()
	for _, c := range rest {
		between.AddCert(c)
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		chains, err := m.leaf.Verify(x509.VerifyOptions{
			Roots: m.roots, Intermediates: between, CurrentTime: m.leaf.NotAfter, KeyUsages: []x509.ExtKeyUsage{usage},
		})
		if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
			continue // the authority's own end: peers refuse it, Verify says why
		}
		if err != nil {
			return fmt.Errorf("%s is not accepted by %s: %w: %s", files[fileCert], files[fileAuthorities], err, advice(err))
		}
		m.issuer = chains[0][len(chains[0])-1]
	}
	return nil
}

// dated tells whether the certificate's time is now; file is named in the advice.
func (m *material) dated(now time.Time, file string) error {
	ends := m.leaf.NotAfter
	what := "certificate"
	if m.issuer != nil && m.issuer.NotAfter.Before(ends) {
		ends, what = m.issuer.NotAfter, "authority of the certificate"
	}
	switch {
	case now.Before(m.leaf.NotBefore):
		return fmt.Errorf("pki: certificate %s begins at %s and it is %s: peers refuse it: set this node's clock",
			file, date(m.leaf.NotBefore), date(now))
	case now.After(ends):
		return fmt.Errorf("pki: %s %s ended at %s: peers refuse it: replace file and key by what meshd ca issue makes (no restart), or set this node's clock",
			what, file, date(ends))
	}
	return nil
}

func date(t time.Time) string { return t.UTC().Format(time.RFC3339) }
