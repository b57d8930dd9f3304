package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
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
	return &url.URL{Scheme: "spiffe", Host: n.Mesh, Path: "/region/" + n.Region + "/node/" + n.Node + "/role/" + n.Role}
}

// validate refuses names that a URI or an operator would misread.
func (n Name) validate() error {
	for _, f := range []struct{ what, value string }{{"mesh", n.Mesh}, {"region", n.Region}, {"node", n.Node}} {
		if f.value == "" || len(f.value) > maxNameBytes || strings.ContainsFunc(f.value, notInNames) {
			return fmt.Errorf("%s name %q: use 1 to %d letters, digits, '-', '_' and '.'", f.what, f.value, maxNameBytes)
		}
	}
	if slices.Contains(strings.Split(n.Mesh, "."), "") { // it stands where URIs have a host
		return fmt.Errorf("mesh name %q: no dot at the ends or beside another", n.Mesh)
	}
	if n.Role != "hub" && n.Role != "edge" {
		return fmt.Errorf("role %q: use hub or edge", n.Role)
	}
	return nil
}

// maxNameBytes and notInNames are the mesh's rule for names everywhere (package crdt).
const maxNameBytes = 63

func notInNames(c rune) bool {
	return c != '-' && c != '_' && c != '.' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
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
	parts := strings.Split(u.EscapedPath(), "/")
	if u.Scheme != "spiffe" || len(parts) != 7 || parts[1] != "region" || parts[3] != "node" || parts[5] != "role" {
		return Name{}, ErrNoName
	}
	n := Name{Mesh: u.Host, Region: parts[2], Node: parts[4], Role: parts[6]}
	if n.validate() != nil || *n.URI() != *u {
		return Name{}, ErrNoName
	}
	return n, nil
}
