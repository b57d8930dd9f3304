package wire

import "fmt"

// Revoked is what two nodes tell each other about certificates that are not to be believed any more. The one that asks
// sends the digest of what it knows; the other answers with its own and, if they differ, with all it knows; the first
// sends what was missing there.
type Revoked struct {
	Digest [32]byte // of all the sender knows
	Lines  []string // revocations as package pki writes them, each signed; this package does not look inside
}

const revokedFields = 2

// AppendRevoked appends v. On error dst is returned unchanged.
func AppendRevoked(dst []byte, v *Revoked) ([]byte, error) {
	w := newWriter(append(dst, tagRevoked))
	w.array(revokedFields)
	w.bytes(v.Digest[:])
	w.limit("revocations", len(v.Lines), MaxRevoked)
	w.array(len(v.Lines))
	for _, line := range v.Lines {
		w.text("revocation", line, MaxRevocationBytes)
	}
	return w.sealed(dst, "revocations")
}

// ParseRevoked reads one list, the whole of b.
func ParseRevoked(b []byte) (*Revoked, error) {
	var v Revoked
	r, err := open(b, tagRevoked, MaxRevokedBytes)
	if err != nil {
		return nil, fmt.Errorf("wire: parse revocations: %w", err)
	}
	extra := r.array(revokedFields)
	if digest := r.raw(); r.err == nil && len(digest) != len(v.Digest) {
		r.fail(ErrMalformed, "digest of %d bytes", len(digest))
	} else {
		copy(v.Digest[:], digest)
	}
	if n := r.list("revocations", MaxRevoked, 1); n > 0 {
		v.Lines = make([]string, n)
	}
	for i := range v.Lines {
		v.Lines[i] = r.text("revocation", MaxRevocationBytes)
	}
	r.skip(extra)
	if err := r.end(); err != nil {
		return nil, fmt.Errorf("wire: parse revocations: %w", err)
	}
	return &v, nil
}
