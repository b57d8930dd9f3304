package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"meshd/internal/mutant"
)

// MaxRevocationBytes bounds a revocation as text: a serial of 20 bytes (RFC 5280), a date, 32 bytes of authority and a
// signature of 72 bytes take 224 characters.
const MaxRevocationBytes = 256

// MaxRevocations bounds what a node remembers: of 5,000 nodes with a certificate a month, a sixth revoked in a year, 2.3
// MB. Only the authority's key makes more.
const MaxRevocations = 10_000

// revocation is an authority's word that one of its certificates is not to be believed any more. Anybody may carry it,
// nobody but the authority can make it, and nothing takes it back: a set of them only grows, and joining two sets is
// their union. As text, on disk and between nodes:
//
//	SERIAL UNTIL AUTHORITY SIGNATURE
//
// The serial number is in lower-case hexadecimal without leading zeros. UNTIL is when the certificate ends by itself, in
// UTC to the second; from then on the revocation may be forgotten. AUTHORITY is the SHA-256 of the authority's public
// key (SubjectPublicKeyInfo) in hexadecimal. SIGNATURE is base64 of ECDSA with SHA-256 over signedPrefix and the first
// three fields.
type revocation struct {
	revokedKey
	until     time.Time
	signature string
}

// revokedKey names one certificate.
type revokedKey struct {
	authority string // hexadecimal
	serial    string // hexadecimal
}

// signedPrefix keeps what is signed here apart from everything else that the authority's key signs: certificates are
// DER and begin with 0x30.
const signedPrefix = "meshd revocation 1\n"

var (
	// errForged is wrapped for a revocation that its authority did not sign.
	errForged = errors.New("not signed by the authority it names")
	// errStranger is wrapped for one of an authority that is not trusted here: its certificates are refused anyway.
	errStranger = errors.New("of an authority that is not trusted here")
)

func (r *revocation) body() string {
	return r.serial + " " + r.until.UTC().Format(time.RFC3339) + " " + r.authority
}

// String is the canonical text.
func (r *revocation) String() string { return r.body() + " " + r.signature }

// parseRevocation reads the canonical text and nothing else, so that equal revocations are equal bytes. It checks no
// signature.
func parseRevocation(line string) (*revocation, error) {
	fields := strings.Split(line, " ")
	if len(line) > MaxRevocationBytes || len(fields) != 4 {
		return nil, errors.New("not a revocation: want SERIAL UNTIL AUTHORITY SIGNATURE, as meshd ca revoke writes it")
	}
	serial, ok := new(big.Int).SetString(fields[0], 16)
	if !ok || serial.Sign() <= 0 {
		return nil, errors.New("not a serial number in hexadecimal")
	}
	until, err := time.Parse(time.RFC3339, fields[1])
	if err != nil {
		return nil, errors.New("not a date")
	}
	id, err := hex.DecodeString(fields[2])
	if err != nil || len(id) != sha256.Size {
		return nil, errors.New("not the hash of an authority's key")
	}
	if _, err := base64.StdEncoding.DecodeString(fields[3]); err != nil {
		return nil, errors.New("not a signature")
	}
	r := &revocation{revokedKey{hex.EncodeToString(id), serial.Text(16)}, until, fields[3]}
	if r.String() != line {
		return nil, errors.New("not written as meshd ca revoke writes it")
	}
	return r, nil
}

// authorityID names an authority by its key, which outlives its certificate.
func authorityID(ca *x509.Certificate) string {
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// check verifies the signature against the trusted authorities.
func (r *revocation) check(authorities []*x509.Certificate) error {
	for _, ca := range authorities {
		if authorityID(ca) != r.authority {
			continue
		}
		if mutant.On("revocation unsigned") {
			return nil
		}
		signature, err := base64.StdEncoding.DecodeString(r.signature)
		if err == nil {
			err = ca.CheckSignature(x509.ECDSAWithSHA256, []byte(signedPrefix+r.body()), signature)
		}
		if err != nil {
			return fmt.Errorf("revocation of %s: %w: %w", r.serial, errForged, err)
		}
		return nil
	}
	return fmt.Errorf("revocation of %s: %w", r.serial, errStranger)
}

// revoke signs a revocation of one of the authority's certificates.
func (a *authority) revoke(serial string, until time.Time) (*revocation, error) {
	key, ok := a.key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("the authority's key is not ECDSA: make authorities with meshd ca init")
	}
	r := &revocation{revokedKey: revokedKey{authorityID(a.cert), serial}, until: until.UTC().Truncate(time.Second)}
	sum := sha256.Sum256([]byte(signedPrefix + r.body()))
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		return nil, err
	}
	r.signature = base64.StdEncoding.EncodeToString(signature)
	return r, nil
}
