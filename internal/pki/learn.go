package pki

import (
	"errors"
	"fmt"
	"time"

	"meshd/internal/mutant"
)

// Remember makes the identity keep the revocations that it learns in a file of the node's own, and takes what is in it.
// It is called before the identity is used.
func (id *Identity) Remember(path string) error {
	listed, err := readDenied(path)
	if err != nil {
		return fmt.Errorf("pki: revocations heard before: %w: remove the line, or the file: peers tell them again", err)
	}
	id.mu.Lock()
	defer id.mu.Unlock()
	id.files[fileLearned] = path
	id.stamps = id.stat()
	id.now.listed = append(id.now.listed, listed...)
	if err := id.listed(id.now); err != nil {
		return fmt.Errorf("pki: %s: %w: remove the line, or the file: peers tell them again", path, err)
	}
	id.unsaved = len(id.denied)+len(id.strangers) != len(listed)
	id.save(time.Now())
	return nil
}

// Learn joins revocations, as Revocations gave them to a peer, and returns how many were news. Those that are not what an
// authority trusted here has signed are an error and are left out; the others count.
func (id *Identity) Learn(lines []string) (news int, err error) {
	m := id.current()
	id.mu.Lock()
	set := id.denied.clone()
	id.mu.Unlock()
	for _, line := range lines {
		r, bad := parseRevocation(line)
		n := 0
		if bad == nil {
			n, bad = set.join(m.authorities, time.Now(), r) // signatures are checked without the lock
		}
		news, err = news+n, errors.Join(err, bad)
	}
	if news > 0 {
		id.take(set)
	}
	if err != nil {
		err = fmt.Errorf("pki: learn: %w", err)
	}
	return news, err
}

// take joins a checked set into the identity's own: another Learn may have been faster.
func (id *Identity) take(set denied) {
	id.mu.Lock()
	defer id.mu.Unlock()
	all := id.denied.clone()
	for key, r := range set {
		if old := all[key]; old == nil || r.until.After(old.until) {
			all[key] = r
		}
	}
	id.denied, id.unsaved = all, true
	id.revision++
	id.save(time.Now())
}

// save writes what the node's own file lacks. A failure is tried again at the next look at the files: the revocations hold
// meanwhile.
func (id *Identity) save(now time.Time) {
	path := id.files[fileLearned]
	if path == "" || !id.unsaved || mutant.On("revocation not kept") {
		return
	}
	if err := writeDenied(path, append(id.denied.lines(now), id.strangers.lines(now)...)); err != nil {
		id.saveErr = fmt.Errorf("pki: keep revocations: %w", err)
		return
	}
	id.unsaved, id.saveErr = false, nil
	id.stamps[fileLearned] = stampOf(path) // what others changed meanwhile is still seen
}

// Revocations returns those known of the authorities trusted now, as text, in a fixed order, with their digest: two nodes
// with equal digests know the same.
func (id *Identity) Revocations() (lines []string, digest [32]byte) {
	m := id.current()
	id.mu.Lock()
	set := id.denied
	id.mu.Unlock()
	trusted := set.of(m.authorities)
	return trusted.lines(time.Now()), trusted.digest(time.Now())
}

// Period is when a certificate is valid.
type Period struct{ From, Until time.Time }

// Periods returns those of the certificate in use and of the authority that issued it. A certificate whose authority is
// not known has none: zero.
func (id *Identity) Periods() (leaf, authority Period) {
	m := id.current()
	leaf = Period{m.leaf.NotBefore, m.leaf.NotAfter}
	if m.issuer != nil {
		authority = Period{m.issuer.NotBefore, m.issuer.NotAfter}
	}
	return leaf, authority
}
