package pki

import (
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A deny list is a text file with one revocation a line; '#' starts a comment. The file that an operator places beside
// the authorities and the one that a node keeps of what it heard have the same form.

// forgetAfter is how long a revocation is kept after its certificate has ended by itself: clocks differ.
const forgetAfter = 24 * time.Hour

// denied is a set of revocations, each checked against its authority. It only grows, but for those whose certificates
// have ended.
type denied map[revokedKey]*revocation

// join adds revocations that are signed by one of the authorities and not over, and returns how many were news. It goes on
// after an error: the others are as true. Of two about one certificate the one that lasts longer stays.
func (d denied) join(authorities []*x509.Certificate, now time.Time, all ...*revocation) (news int, err error) {
	for _, r := range all {
		old := d[r.revokedKey]
		switch {
		case now.After(r.until.Add(forgetAfter)), old != nil && !r.until.After(old.until):
			continue
		case old == nil && len(d) >= MaxRevocations:
			err = errors.Join(err, fmt.Errorf("more than %d revocations: issue certificates for a shorter time", MaxRevocations))
			continue
		}
		if bad := r.check(authorities); bad != nil {
			err = errors.Join(err, bad)
			continue
		}
		d[r.revokedKey] = r
		news++
	}
	return news, err
}

// lines is the set as text, sorted, without what is over.
func (d denied) lines(now time.Time) []string {
	var out []string
	for _, r := range d {
		if !now.After(r.until.Add(forgetAfter)) {
			out = append(out, r.String())
		}
	}
	slices.Sort(out)
	return out
}

// digest is equal for two sets that deny the same certificates as long. Signatures play no part in it: one message has
// many of them.
func (d denied) digest(now time.Time) [32]byte {
	var out []string
	for _, r := range d {
		if !now.After(r.until.Add(forgetAfter)) {
			out = append(out, r.body())
		}
	}
	slices.Sort(out)
	return sha256.Sum256([]byte(strings.Join(out, "\n")))
}

func (d denied) clone() denied { return maps.Clone(d) }

// of returns those that the authorities have signed.
func (d denied) of(authorities []*x509.Certificate) denied {
	ids := make(map[string]bool)
	for _, ca := range authorities {
		ids[authorityID(ca)] = true
	}
	out := make(denied)
	for key, r := range d {
		if ids[key.authority] {
			out[key] = r
		}
	}
	return out
}

const denyHeader = "# Certificates that are not to be believed any more: SERIAL UNTIL AUTHORITY SIGNATURE.\n" +
	"# Written by meshd ca revoke and by nodes; a copy of this file is as good as the original.\n"

func writeDenied(path string, lines []string) error {
	text := denyHeader
	if len(lines) > 0 {
		text += strings.Join(lines, "\n") + "\n"
	}
	return writeFile(path, []byte(text))
}

// readDenied returns the revocations of a file; a missing one is empty. A line that is none is an error: a list with a
// typing mistake would otherwise let a revoked node in.
func readDenied(path string) (all []*revocation, err error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		r, err := parseRevocation(line)
		if err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, i+1, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// Revoke adds one of the authority's certificates to the deny list in dir, signed by the authority, and returns its serial
// number. The certificate is given as the path of its file or as its serial number; by serial number it stays on the
// list until the authority ends.
func Revoke(dir, certOrSerial string) (serial string, err error) {
	a, err := openAuthority(dir)
	if err != nil {
		return "", err
	}
	serial, until, err := a.revocable(certOrSerial)
	if err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	path := filepath.Join(dir, DenyFile)
	listed, err := readDenied(path)
	if err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	r, err := a.revoke(serial, until)
	if err != nil {
		return "", fmt.Errorf("pki: %w", err)
	}
	all := make(denied)
	if _, err := all.join([]*x509.Certificate{a.cert}, time.Now(), append(listed, r)...); err != nil {
		return "", fmt.Errorf("pki: %s: %w", path, err)
	}
	return serial, writeDenied(path, all.lines(time.Now()))
}

func (a *authority) revocable(certOrSerial string) (serial string, until time.Time, err error) {
	if n, ok := new(big.Int).SetString(certOrSerial, 16); ok && n.Sign() > 0 {
		return n.Text(16), a.cert.NotAfter, nil
	}
	certs, err := readCerts(certOrSerial)
	if err != nil {
		return "", time.Time{}, fmt.Errorf("%w: give a certificate's file or its serial number in hexadecimal", err)
	}
	if err := certs[0].CheckSignatureFrom(a.cert); err != nil {
		return "", time.Time{}, fmt.Errorf("%s was not issued by this authority: give --dir of the one that did: %w", certOrSerial, err)
	}
	return certs[0].SerialNumber.Text(16), certs[0].NotAfter, nil
}
