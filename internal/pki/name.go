package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Name is who a certificate speaks for.
type Name struct {
	Mesh, Region, Node, Role string
}

// String renders the name for people: "node e1 (edge) of region eu in mesh default".
func (n Name) String() string {
	return fmt.Sprintf("node %s (%s) of region %s in mesh %s", n.Node, n.Role, n.Region, n.Mesh)
}

// URI returns the SPIFFE-style URI that carries the name.
func (n Name) URI() *url.URL {
	e := url.PathEscape
	return &url.URL{
		Scheme:  "spiffe",
		Host:    n.Mesh,
		Path:    "/region/" + n.Region + "/node/" + n.Node + "/role/" + n.Role,
		RawPath: "/region/" + e(n.Region) + "/node/" + e(n.Node) + "/role/" + e(n.Role),
	}
}

// validate refuses names that a URI or an operator would misread.
func (n Name) validate() error {
	for _, f := range []struct{ what, value string }{{"mesh", n.Mesh}, {"region", n.Region}, {"node", n.Node}} {
		if f.value == "" || len(f.value) > 64 {
			return fmt.Errorf("%s name has %d bytes: use 1 to 64", f.what, len(f.value))
		}
	}
	for _, c := range n.Mesh {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789-._", c) {
			return fmt.Errorf("mesh name %q: use lower case letters, digits, '-', '.' and '_' only", n.Mesh)
		}
	}
	if n.Role != "hub" && n.Role != "edge" {
		return fmt.Errorf("role %q: use hub or edge", n.Role)
	}
	return nil
}

// ErrNoName is returned for a certificate without exactly one well-formed mesh URI.
var ErrNoName = errors.New("certificate names no meshd node: issue it with meshd ca issue or sign")

// NameOf reads the name out of a certificate.
func NameOf(cert *x509.Certificate) (Name, error) {
	if len(cert.URIs) != 1 {
		return Name{}, ErrNoName
	}
	return parseURI(cert.URIs[0])
}

func parseURI(u *url.URL) (Name, error) {
	parts := strings.Split(strings.TrimPrefix(u.EscapedPath(), "/"), "/")
	if u.Scheme != "spiffe" || len(parts) != 6 || parts[0] != "region" || parts[2] != "node" || parts[4] != "role" {
		return Name{}, ErrNoName
	}
	n := Name{Mesh: u.Host}
	for _, p := range []struct {
		to   *string
		from string
	}{{&n.Region, parts[1]}, {&n.Node, parts[3]}, {&n.Role, parts[5]}} {
		s, err := url.PathUnescape(p.from)
		if err != nil {
			return Name{}, ErrNoName
		}
		*p.to = s
	}
	if n.validate() != nil {
		return Name{}, ErrNoName
	}
	return n, nil
}
