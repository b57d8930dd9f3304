package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// revokedIn revokes a certificate of the authority in dir and returns the text.
func revokedIn(t *testing.T, dir, certOrSerial string) string {
	t.Helper()
	serial, err := Revoke(dir, certOrSerial)
	if err != nil {
		t.Fatal(err)
	}
	all, err := readDenied(filepath.Join(dir, DenyFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.serial == serial {
			return r.String()
		}
	}
	t.Fatalf("%s is not in the list", serial)
	return ""
}

func bundle(t *testing.T, dirs ...string) string {
	t.Helper()
	var all []byte
	for _, dir := range dirs {
		b, err := os.ReadFile(filepath.Join(dir, CAFile))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	path := filepath.Join(t.TempDir(), "bundle.crt")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// node is an identity with files of its own, so that nothing is shared with the authority but what a test hands over.
func node(t *testing.T, dir string, n Name) *Identity {
	t.Helper()
	issued(t, dir, n)
	id, err := Load(bundle(t, dir), filepath.Join(dir, n.Node+".crt"), filepath.Join(dir, n.Node+".key"))
	if err != nil {
		t.Fatal(err)
	}
	if err := id.Remember(filepath.Join(t.TempDir(), "revoked")); err != nil {
		t.Fatal(err)
	}
	return id
}

func refuses(id, peer *Identity) bool {
	_, err := id.Verify([]*x509.Certificate{peer.current().leaf}, x509.ExtKeyUsageClientAuth)
	return errors.Is(err, ErrRevoked)
}

func TestLearnedRevocationHoldsAndSurvivesARestart(t *testing.T) {
	dir := authorityIn(t, "prod")
	h, e := node(t, dir, hub1), node(t, dir, edge1)
	before := h.Revision()
	line := revokedIn(t, dir, filepath.Join(dir, "e1.crt"))
	if refuses(h, e) {
		t.Fatal("refused before it was told")
	}
	if n, err := h.Learn([]string{line, line}); n != 1 || err != nil {
		t.Fatalf("%d news, %v", n, err)
	}
	if !refuses(h, e) || h.Revision() == before {
		t.Error("what was learned has no effect")
	}
	if n, err := h.Learn([]string{line}); n != 0 || err != nil {
		t.Errorf("the second time: %d news, %v", n, err)
	}
	again, err := Load(h.files[fileAuthorities], h.files[fileCert], h.files[fileKey])
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Remember(h.files[fileLearned]); err != nil {
		t.Fatal(err)
	}
	if !refuses(again, e) {
		t.Error("a restart forgot the revocation")
	}
}

// A thief with a node's certificate and key can carry revocations but not make them: neither of others nor of another time.
func TestForgedRevocationsAreRefused(t *testing.T) {
	dir, other := authorityIn(t, "prod"), authorityIn(t, "prod")
	h, e := node(t, dir, hub1), node(t, dir, edge1)
	line := revokedIn(t, dir, filepath.Join(dir, "e1.crt"))
	f := strings.Fields(line)
	victim := h.current().leaf.SerialNumber.Text(16)
	foreign := strings.Fields(revokedIn(t, other, victim))
	thief := &authority{mesh: "prod", cert: h.current().issuer, key: e.current().pair.PrivateKey.(crypto.Signer)}
	own, err := thief.revoke(victim, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	for name, forged := range map[string]string{
		"another serial number":   strings.Join([]string{victim, f[1], f[2], f[3]}, " "),
		"another end":             strings.Join([]string{f[0], "2099-01-01T00:00:00Z", f[2], f[3]}, " "),
		"signed by a node's key":  own.String(),
		"of another authority":    strings.Join(foreign, " "),
		"another's signature":     strings.Join([]string{victim, foreign[1], f[2], foreign[3]}, " "),
		"no signature":            strings.Join([]string{victim, f[1], f[2], ""}, " "),
		"serial only":             victim,
		"upper case":              strings.ToUpper(line),
		"longer than any is":      line + strings.Repeat("A", MaxRevocationBytes),
		"two lines":               line + "\n" + line,
		"serial with a sign":      "-" + line,
		"serial with a zero":      "0" + line,
		"fraction of a second":    strings.Join([]string{f[0], strings.Replace(f[1], "Z", ".5Z", 1), f[2], f[3]}, " "),
		"spaces at the end":       line + " ",
		"nothing":                 "",
		"hash too short":          strings.Join([]string{f[0], f[1], f[2][:62], f[3]}, " "),
		"signature not in base64": strings.Join([]string{f[0], f[1], f[2], "!"}, " "),
	} {
		if n, err := h.Learn([]string{forged}); n != 0 || err == nil {
			t.Errorf("%s: %d news, %v", name, n, err)
		}
	}
	if refuses(e, h) || refuses(h, e) {
		t.Error("somebody is refused")
	}
	if lines, _ := h.Revocations(); len(lines) != 0 {
		t.Errorf("kept: %v", lines)
	}
}

func TestRevokeRefusesCertificatesOfAnotherAuthority(t *testing.T) {
	dir, other := authorityIn(t, "prod"), authorityIn(t, "prod")
	issued(t, other, edge1)
	if _, err := Revoke(dir, filepath.Join(other, "e1.crt")); err == nil || !strings.Contains(err.Error(), "give --dir") {
		t.Errorf("error %v, want advice", err)
	}
	if _, err := Revoke(dir, "neither"); err == nil {
		t.Error("revoked nothing in particular")
	}
}

// While the authority changes, revocations of the old one hold as long as it is trusted, and are kept beyond.
func TestRevocationsOutliveAChangeOfTheAuthority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before, after := authorityIn(t, "prod"), authorityIn(t, "prod")
		h, e := node(t, before, hub1), node(t, before, edge1)
		issued(t, after, hub1)
		copyFile := func(from, to string) {
			b, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			if err := writeFile(to, b); err != nil {
				t.Fatal(err)
			}
		}
		ca := h.files[fileAuthorities]
		if _, err := h.Learn([]string{revokedIn(t, before, filepath.Join(before, "e1.crt"))}); err != nil {
			t.Fatal(err)
		}
		copyFile(bundle(t, before, after), ca)
		time.Sleep(statEvery)
		copyFile(filepath.Join(after, "h1.crt"), h.files[fileCert])
		copyFile(filepath.Join(after, "h1.key"), h.files[fileKey])
		time.Sleep(statEvery)
		if h.Err() != nil || !refuses(h, e) || h.Shown() != time.Now() {
			t.Fatalf("with both authorities: %v, refuses %v", h.Err(), refuses(h, e))
		}
		copyFile(bundle(t, after), ca)
		time.Sleep(statEvery)
		if lines, digest := h.Revocations(); h.Err() != nil || len(lines) != 0 || digest != (denied{}).digest(time.Now()) {
			t.Errorf("with the new one only: %v, tells peers %v", h.Err(), lines)
		}
		restarted, err := Load(ca, h.files[fileCert], h.files[fileKey])
		if err != nil {
			t.Fatal(err)
		}
		if err := restarted.Remember(h.files[fileLearned]); err != nil {
			t.Fatal(err)
		}
		copyFile(bundle(t, before, after), ca) // the operator goes back
		time.Sleep(statEvery)
		if !refuses(h, e) || !refuses(restarted, e) {
			t.Error("the revocation is forgotten")
		}
	})
}

func TestRevocationsAreForgottenAfterTheirCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := authorityIn(t, "prod")
		h := node(t, dir, hub1)
		if _, _, err := Issue(dir, edge1, time.Hour); err != nil {
			t.Fatal(err)
		}
		line := revokedIn(t, dir, filepath.Join(dir, "e1.crt"))
		if _, err := h.Learn([]string{line}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(forgetAfter)
		if lines, _ := h.Revocations(); len(lines) != 1 {
			t.Errorf("%v before the end", lines)
		}
		time.Sleep(2 * time.Hour)
		if lines, _ := h.Revocations(); len(lines) != 0 {
			t.Errorf("%v after the end", lines)
		}
		if n, err := node(t, dir, Name{Mesh: "prod", Region: "eu", Node: "h2", Role: "hub"}).Learn([]string{line}); n != 0 || err != nil {
			t.Errorf("learned what is over: %d, %v", n, err)
		}
	})
}

// A full disk must not let a revoked node in: what cannot be kept holds all the same, and is kept later.
func TestRevocationThatCannotBeWrittenHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := authorityIn(t, "prod")
		h, e := node(t, dir, hub1), node(t, dir, edge1)
		good := h.files[fileLearned]
		h.files[fileLearned] = filepath.Join(good, "no", "such", "folder")
		if n, err := h.Learn([]string{revokedIn(t, dir, filepath.Join(dir, "e1.crt"))}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if !refuses(h, e) || h.Err() == nil {
			t.Errorf("refuses %v, error %v", refuses(h, e), h.Err())
		}
		h.files[fileLearned] = good
		time.Sleep(statEvery)
		if err := h.Err(); err != nil {
			t.Error(err)
		}
		if b, err := os.ReadFile(good); err != nil || !bytes.Contains(b, []byte(e.current().leaf.SerialNumber.Text(16))) {
			t.Errorf("not written later: %v", err)
		}
	})
}

// Nodes whose clock is wrong until the network tells them the time start all the same.
func TestCertificateOutsideItsTimeIsLoadedAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := authorityIn(t, "prod")
		cert, key, err := Issue(dir, hub1, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		id, err := Load(filepath.Join(dir, CAFile), cert, key)
		if err != nil {
			t.Fatal(err)
		}
		if err := id.Err(); err == nil || !strings.Contains(err.Error(), "meshd ca issue") {
			t.Errorf("error %v, want advice", err)
		}
		old := make(map[string][]byte)
		for _, file := range []string{cert, key} {
			if old[file], err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := Issue(dir, hub1, time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statEvery)
		if err := id.Err(); err != nil {
			t.Errorf("after the renewal: %v", err)
		}
		// One that has ended does not replace one that is good.
		good := id.current().leaf
		for file, was := range old {
			if err := writeFile(file, was); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(statEvery)
		if err := id.Err(); !id.current().leaf.Equal(good) || err == nil || !strings.Contains(err.Error(), "not used") {
			t.Errorf("an old certificate replaced a good one: %v", err)
		}
	})
}

// Joining is a join: any order, grouping and repetition of what nodes tell each other gives the same set.
func TestRevocationsJoinInAnyOrder(t *testing.T) {
	dir := authorityIn(t, "prod")
	a, err := openAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	var all []*revocation
	for i := range 6 {
		r, err := a.revoke(big.NewInt(int64(1+i/2)).Text(16), now.Add(time.Duration(1+i)*time.Hour)) // two of each
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	trusted := []*x509.Certificate{a.cert}
	want := make(denied)
	if n, err := want.join(trusted, now, all...); err != nil || n != 6 || len(want) != 3 {
		t.Fatalf("%d news, %d revocations, %v", n, len(want), err)
	}
	rapid.Check(t, func(t *rapid.T) {
		got := make(denied)
		order := append(rapid.Permutation(all).Draw(t, "order"), rapid.SliceOf(rapid.SampledFrom(all)).Draw(t, "again")...)
		for len(order) > 0 {
			n := rapid.IntRange(1, len(order)).Draw(t, "at once")
			was := got.clone()
			if _, err := got.join(trusted, now, order[:n]...); err != nil {
				t.Fatal(err)
			}
			for key, r := range was {
				if got[key] == nil || got[key].until.Before(r.until) {
					t.Fatal("the set shrank")
				}
			}
			order = order[n:]
		}
		if got.digest(now) != want.digest(now) || !slices.Equal(got.lines(now), want.lines(now)) {
			t.Fatal("another set")
		}
	})
}

func TestRevocationsAreBounded(t *testing.T) {
	set := make(denied)
	for i := range MaxRevocations {
		key := revokedKey{serial: big.NewInt(int64(i + 1)).Text(16)}
		set[key] = &revocation{revokedKey: key}
	}
	more := &revocation{revokedKey: revokedKey{serial: "more"}, until: time.Now().Add(time.Hour)}
	if n, err := set.join(nil, time.Now(), more); n != 0 || err == nil || len(set) != MaxRevocations {
		t.Errorf("%d news, %v", n, err)
	}
}

func FuzzParseRevocation(f *testing.F) {
	f.Add("5f3a 2027-11-22T00:00:00Z " + strings.Repeat("ab", 32) + " MEUCIQ==")
	f.Add("0 0 0 0")
	f.Fuzz(func(t *testing.T, line string) {
		r, err := parseRevocation(line)
		if err == nil && r.String() != line {
			t.Fatalf("%q was read as %q", line, r)
		}
		if err == nil && r.check(nil) == nil {
			t.Fatal("believed without an authority")
		}
	})
}

func BenchmarkCheckRevocation(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "ca")
	if err := Init(dir, "prod", 0); err != nil {
		b.Fatal(err)
	}
	a, err := openAuthority(dir)
	if err != nil {
		b.Fatal(err)
	}
	r, err := a.revoke("5f3a", time.Now().Add(time.Hour))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := r.check([]*x509.Certificate{a.cert}); err != nil {
			b.Fatal(err)
		}
	}
}
