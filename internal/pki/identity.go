package pki

// Identity is a node's certificate with its key and what it trusts.
type Identity struct{ name Name }

// Name is who the certificate speaks for.
func (id *Identity) Name() Name { return id.name }
