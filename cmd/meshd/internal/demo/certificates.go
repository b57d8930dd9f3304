package demo

import "meshd/internal/pki"

// meshName keeps the demo's nodes out of any real mesh, and any real node out of the demo's.
const meshName = "demo"

func (f folder) caFile() string              { return f.path("certificates", pki.CAFile) }
func (f folder) certFile(node string) string { return f.path("certificates", node+".crt") }
func (f folder) keyFile(node string) string  { return f.path("certificates", node+".key") }

// certify makes an authority and a certificate for every node.
func (f folder) certify(nodes []Node) error {
	if err := pki.Init(f.certs(), meshName); err != nil {
		return err
	}
	for _, n := range nodes {
		name := pki.Name{Mesh: meshName, Region: n.Region, Node: n.Name, Role: n.Role}
		if _, _, err := pki.Issue(f.certs(), name); err != nil {
			return err
		}
	}
	return nil
}
