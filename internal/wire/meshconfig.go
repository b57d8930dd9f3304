package wire

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"

	"meshd/crdt"
)

// MeshConfig is the mesh's configuration, one document for all nodes, or, without Body, the name of one: what the
// sender has. Of two documents the greater ID counts, and counts whole.
type MeshConfig struct {
	ID   ConfigID
	Full bool   // Body is here
	Body []byte // JSON; its meaning is the node's
}

// ConfigID names a document. The zero ConfigID is that of a mesh that was never configured.
type ConfigID struct {
	Version      uint64   // one more than that of the document that its author replaced; 0: none
	Stamp        crdt.HLC // when it was made, by the author's clock
	Region, Node string   // the author
	Sum          uint64   // first 8 bytes of the SHA-256 of the document
}

// SumConfig returns the sum of a document.
func SumConfig(body []byte) uint64 {
	sum := sha256.Sum256(body)
	return binary.BigEndian.Uint64(sum[:])
}

// Compare orders documents: the higher version, of equal ones that of the later stamp. The rest makes the order total.
func (id ConfigID) Compare(o ConfigID) int {
	return cmp.Or(cmp.Compare(id.Version, o.Version), cmp.Compare(id.Stamp, o.Stamp),
		strings.Compare(id.Region, o.Region), strings.Compare(id.Node, o.Node), cmp.Compare(id.Sum, o.Sum))
}

const configFields = 7

func (m *MeshConfig) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.config(m)
	return w.done()
}

func (w *writer) config(m *MeshConfig) {
	w.array(configFields)
	w.uint(m.ID.Version)
	w.uint(uint64(m.ID.Stamp))
	w.text("region", m.ID.Region, crdt.MaxNameBytes)
	w.text("node", m.ID.Node, crdt.MaxNameBytes)
	w.uint(m.ID.Sum)
	w.bool(m.Full)
	w.limit("bytes of configuration", len(m.Body), MaxConfigBytes)
	w.bytes(m.Body)
	w.keep(m.check())
}

func parseMeshConfig(b []byte) (*MeshConfig, error) {
	r := newReader(b)
	m := r.config()
	return m, r.end()
}

func (r *reader) config() *MeshConfig {
	var m MeshConfig
	extra := r.array(configFields)
	m.ID.Version, m.ID.Stamp = r.uint(), crdt.HLC(r.uint())
	m.ID.Region, m.ID.Node = r.text("region", crdt.MaxNameBytes), r.text("node", crdt.MaxNameBytes)
	m.ID.Sum, m.Full = r.uint(), r.bool()
	if b := r.raw(); len(b) > MaxConfigBytes {
		r.fail(ErrLimit, "%d bytes of configuration, want at most %d", len(b), MaxConfigBytes)
	} else {
		m.Body = append([]byte(nil), b...)
	}
	r.skip(extra)
	if r.err == nil {
		r.keepAs(m.check())
	}
	return &m
}

// check reports what cannot be: a document without an author, a body that is not the one that is named.
func (m *MeshConfig) check() error {
	switch {
	case m.ID == ConfigID{}:
		if m.Full || len(m.Body) > 0 {
			return fmt.Errorf("%w: a configuration without a version", ErrInvalid)
		}
		return nil
	case m.ID.Version == 0 || m.ID.Version > MaxConfigVersion:
		return fmt.Errorf("%w: configuration of version %d", ErrInvalid, m.ID.Version)
	case m.Full && m.ID.Sum != SumConfig(m.Body), !m.Full && len(m.Body) > 0:
		return fmt.Errorf("%w: configuration %d has another body", ErrInvalid, m.ID.Version)
	}
	for _, name := range []string{m.ID.Region, m.ID.Node} {
		if err := crdt.CheckName(name); err != nil {
			return fmt.Errorf("%w: author of configuration %d: %w", ErrInvalid, m.ID.Version, err)
		}
	}
	return nil
}

// AppendStoredConfig appends a document behind the version byte. On error dst is returned unchanged.
func AppendStoredConfig(dst []byte, m *MeshConfig) ([]byte, error) {
	w := newWriter(append(dst, Version))
	w.config(m)
	return w.sealed(dst, "stored configuration")
}

// ParseStoredConfig reads one record, the whole of b.
func ParseStoredConfig(b []byte) (*MeshConfig, error) {
	m, err := parseStored(b, parseMeshConfig)
	if err != nil {
		return nil, fmt.Errorf("wire: parse stored configuration: %w", err)
	}
	return m, nil
}
