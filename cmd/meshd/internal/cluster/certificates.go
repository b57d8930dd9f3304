package cluster

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"meshd/internal/pki"
)

func (c *Cluster) certs() string                    { return filepath.Join(c.cfg.Dir, "certificates") }
func (c *Cluster) certFile(node, ext string) string { return filepath.Join(c.certs(), node+ext) }

// certify issues a certificate for a node that has none yet.
func (c *Cluster) certify(n Node) error {
	if _, err := os.Stat(filepath.Join(c.certs(), pki.CAFile)); errors.Is(err, fs.ErrNotExist) {
		if err := pki.Init(c.certs(), c.cfg.Mesh, 0); err != nil {
			return err
		}
	}
	if _, err := os.Stat(c.certFile(n.runsAs(), ".crt")); err == nil {
		return nil
	}
	_, _, err := pki.Issue(c.certs(), pki.Name{Mesh: c.cfg.Mesh, Region: n.Region, Node: n.runsAs(), Role: n.Role}, 0)
	return err
}
