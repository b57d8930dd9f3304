package bubble

import (
	"os"
	"path/filepath"
	"time"

	"meshd/internal/pki"
)

// secure makes all nodes that start from now on use certificates.
func (m *mesh) secure() {
	m.t.Helper()
	m.authority = m.newAuthority()
}

func (m *mesh) newAuthority() string {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "ca")
	if err := pki.Init(dir, meshName, 0); err != nil {
		m.t.Fatal(err)
	}
	return dir
}

// identity is of the machine's own files, which nobody else reads.
func (h *machine) identity() (*pki.Identity, error) {
	if h.papers == "" {
		h.papers = h.m.t.TempDir()
		h.trust(h.m.authority)
		h.issue(h.m.valid)
	}
	id, err := pki.Load(h.paper(pki.CAFile), h.paper("node.crt"), h.paper("node.key"))
	if err != nil {
		return nil, err
	}
	return id, id.Remember(filepath.Join(h.papers, "revoked.txt"))
}

func (h *machine) paper(name string) string { return filepath.Join(h.papers, name) }

// bring copies files into one of the machine's.
func (h *machine) bring(name string, from ...string) {
	h.m.t.Helper()
	var all []byte
	for _, path := range from {
		b, err := os.ReadFile(path)
		if err != nil {
			h.m.t.Fatal(err)
		}
		all = append(all, b...)
	}
	if err := os.WriteFile(h.paper(name), all, 0o600); err != nil {
		h.m.t.Fatal(err)
	}
}

// trust makes the machine believe these authorities and no others.
func (h *machine) trust(authorities ...string) {
	var files []string
	for _, dir := range authorities {
		files = append(files, filepath.Join(dir, pki.CAFile))
	}
	h.bring(pki.CAFile, files...)
}

// issue replaces certificate and key by new ones of the mesh's authority; valid 0 means the usual time.
func (h *machine) issue(valid time.Duration) {
	h.m.t.Helper()
	role := "edge"
	if h.hub {
		role = "hub"
	}
	cert, key, err := pki.Issue(h.m.authority, pki.Name{Region: h.region, Node: h.name, Role: role}, valid)
	if err != nil {
		h.m.t.Fatal(err)
	}
	h.bring("node.key", key)
	h.bring("node.crt", cert)
}

// revoke takes a machine's certificate back and gives the list to one other machine.
func (m *mesh) revoke(stolen, told *machine) {
	m.t.Helper()
	if _, err := pki.Revoke(m.authority, stolen.paper("node.crt")); err != nil {
		m.t.Fatal(err)
	}
	told.bring(pki.DenyFile, filepath.Join(m.authority, pki.DenyFile))
}
