package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func authorityIn(t *testing.T, mesh string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := Init(dir, mesh, 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

func issued(t *testing.T, dir string, n Name) *Identity {
	t.Helper()
	cert, key, err := Issue(dir, n, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := Load(filepath.Join(dir, CAFile), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// shake runs a TLS handshake between two identities and returns both ends' errors.
func shake(t *testing.T, server, client *Identity) (serverErr, clientErr error) {
	t.Helper()
	a, b := net.Pipe()
	defer func() { _, _ = a.Close(), b.Close() }()
	done := make(chan error, 1)
	go func() {
		conn := tls.Server(a, server.ServerTLS())
		err := conn.Handshake()
		if err == nil {
			_, err = conn.Write([]byte("x"))
		}
		_ = a.Close()
		done <- err
	}()
	conn := tls.Client(b, client.ClientTLS())
	_, clientErr = conn.Read(make([]byte, 1)) // the client learns of the server's verdict when it reads
	_ = b.Close()
	return <-done, clientErr
}

var (
	hub1  = Name{Mesh: "prod", Region: "eu", Node: "h1", Role: "hub"}
	edge1 = Name{Mesh: "prod", Region: "eu", Node: "e1", Role: "edge"}
)

func TestNodesOfOneMeshAcceptEachOther(t *testing.T) {
	dir := authorityIn(t, "prod")
	h, e := issued(t, dir, hub1), issued(t, dir, edge1)
	if s, c := shake(t, h, e); s != nil || c != nil {
		t.Fatalf("handshake: %v, %v", s, c)
	}
	leaf, ca := h.Periods()
	if left := time.Until(leaf.Until); h.Name() != hub1 || left < NodeValid-time.Hour || ca.Until.Before(leaf.Until) || h.Err() != nil {
		t.Errorf("identity %v until %v, authority until %v, %v", h.Name(), leaf.Until, ca.Until, h.Err())
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 6 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, f := range files {
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", f.Name(), info.Mode())
		}
	}
}

func TestRefusedHandshakes(t *testing.T) {
	t.Run("another authority", func(t *testing.T) {
		h, e := issued(t, authorityIn(t, "prod"), hub1), issued(t, authorityIn(t, "prod"), edge1)
		_, err := shake(t, h, e)
		if _, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok || !strings.Contains(err.Error(), "--tls-ca") {
			t.Errorf("error %v, want advice on the authority", err)
		}
	})
	t.Run("another mesh of a trusted authority", func(t *testing.T) {
		prod, staging := authorityIn(t, "prod"), authorityIn(t, "staging")
		bundle := filepath.Join(t.TempDir(), "bundle.crt")
		var all []byte
		for _, dir := range []string{prod, staging} {
			b, err := os.ReadFile(filepath.Join(dir, CAFile))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
		if err := os.WriteFile(bundle, all, 0o600); err != nil {
			t.Fatal(err)
		}
		load := func(dir string, n Name) *Identity {
			issued(t, dir, n)
			id, err := Load(bundle, filepath.Join(dir, n.Node+".crt"), filepath.Join(dir, n.Node+".key"))
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		other := edge1
		other.Mesh = "staging"
		if _, err := shake(t, load(prod, hub1), load(staging, other)); err == nil || !strings.Contains(err.Error(), "this is mesh staging") {
			t.Errorf("error %v, want one that names the mesh", err)
		}
	})
	t.Run("expired", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := authorityIn(t, "prod")
			h, e := issued(t, dir, hub1), issued(t, dir, edge1)
			time.Sleep(NodeValid + time.Hour)
			if _, err := h.Verify([]*x509.Certificate{e.current().leaf}, x509.ExtKeyUsageClientAuth); err == nil || !strings.Contains(err.Error(), "meshd ca issue") {
				t.Errorf("error %v, want advice", err)
			}
			if h.Err() == nil || !strings.Contains(h.Err().Error(), "replace file and key") {
				t.Errorf("own certificate has ended: %v", h.Err())
			}
		})
	})
	t.Run("revoked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			dir := authorityIn(t, "prod")
			h, e := issued(t, dir, hub1), issued(t, dir, edge1)
			if _, err := Revoke(dir, filepath.Join(dir, "e1.crt")); err != nil {
				t.Fatal(err)
			}
			time.Sleep(statEvery)
			chain := []*x509.Certificate{e.current().leaf}
			if _, err := h.Verify(chain, x509.ExtKeyUsageClientAuth); !errors.Is(err, ErrRevoked) {
				t.Errorf("error %v, want revoked", err)
			}
		})
	})
}

func TestIdentityFollowsItsFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := authorityIn(t, "prod")
		id := issued(t, dir, hub1)
		first := id.current().leaf.SerialNumber
		if _, _, err := Issue(dir, hub1, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statEvery)
		if second := id.current().leaf.SerialNumber; second.Cmp(first) == 0 || id.Err() != nil {
			t.Fatalf("certificate was not taken: %v", id.Err())
		}

		// Files that cannot be used leave the last good ones in use, and say so.
		second := id.current().leaf.SerialNumber
		if err := os.WriteFile(filepath.Join(dir, "h1.crt"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statEvery)
		if id.current().leaf.SerialNumber.Cmp(second) != 0 || id.Err() == nil {
			t.Errorf("half-written file: error %v", id.Err())
		}
		if _, _, err := Issue(dir, hub1, 0); err != nil {
			t.Fatal(err)
		}
		time.Sleep(statEvery)
		if id.Err() != nil || id.current().leaf.SerialNumber.Cmp(second) == 0 {
			t.Errorf("repaired file is not taken: %v", id.Err())
		}
	})
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	dir := authorityIn(t, "prod")
	issued(t, dir, hub1)
	issued(t, dir, edge1)
	in := func(name string) string { return filepath.Join(dir, name) }
	tests := map[string]struct{ ca, cert, key, want string }{
		"no authority":   {"none", in("h1.crt"), in("h1.key"), "none is missing"},
		"no certificate": {in(CAFile), "none", in("h1.key"), "issue one with meshd ca issue"},
		"no key":         {in(CAFile), in("h1.crt"), "none", "set --tls-key"},
		"other key":      {in(CAFile), in("h1.crt"), in("e1.key"), "use the pair that was issued together"},
		"key as cert":    {in(CAFile), in("h1.key"), in("h1.key"), "holds no certificate"},
		"authority's":    {in(CAFile), in(CAFile), in(KeyFile), "names no meshd node"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := Load(tt.ca, tt.cert, tt.key)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
	if _, err := Load(in(CAFile), "none", in("h1.key")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := os.WriteFile(in(DenyFile), []byte("# ok\nnot a number\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(in(CAFile), in("h1.crt"), in("h1.key")); err == nil || !strings.Contains(err.Error(), "line 2") || !strings.Contains(err.Error(), "not a revocation") {
		t.Errorf("malformed deny list: %v", err)
	}
}

func TestAuthorityRefuses(t *testing.T) {
	dir := authorityIn(t, "prod")
	if err := Init(dir, "prod", 0); err == nil {
		t.Error("replaced an authority")
	}
	for _, n := range []Name{
		{Mesh: "staging", Region: "eu", Node: "x", Role: "hub"},
		{Region: "eu", Node: "a/b", Role: "hub"},
		{Region: "eu", Node: "ca", Role: "hub"},
		{Region: "", Node: "x", Role: "hub"},
		{Region: "eu", Node: "x", Role: "admin"},
		{Region: "eu", Node: strings.Repeat("x", 64), Role: "hub"},
	} {
		if _, _, err := Issue(dir, n, 0); err == nil {
			t.Errorf("issued for %+v", n)
		}
	}
	if err := Init(filepath.Join(t.TempDir(), "x"), "a..b", 0); err == nil {
		t.Error("made an authority for a mesh name that no URI can hold")
	}
}

func TestSignedRequest(t *testing.T) {
	dir := authorityIn(t, "prod")
	csr, key, err := Request(edge1)
	if err != nil {
		t.Fatal(err)
	}
	cert, name, err := SignCSR(dir, csr, 0)
	if err != nil || name != edge1 {
		t.Fatalf("signed for %v: %v", name, err)
	}
	if err := errors.Join(writeFile(filepath.Join(dir, "e1.crt"), cert), writeFile(filepath.Join(dir, "e1.key"), key)); err != nil {
		t.Fatal(err)
	}
	if id, err := Load(filepath.Join(dir, CAFile), filepath.Join(dir, "e1.crt"), filepath.Join(dir, "e1.key")); err != nil || id.Name() != edge1 {
		t.Errorf("load: %v", err)
	}
	if _, _, err := SignCSR(dir, []byte("no request"), 0); err == nil {
		t.Error("signed garbage")
	}
	other := edge1
	other.Mesh = "staging"
	if csr, _, err = Request(other); err != nil {
		t.Fatal(err)
	}
	if _, _, err := SignCSR(dir, csr, 0); err == nil {
		t.Error("signed for another mesh")
	}
}

func TestNamesSurviveTheURI(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		part := rapid.StringMatching(`[A-Za-z0-9_-][A-Za-z0-9._-]{0,60}[A-Za-z0-9_-]`)
		n := Name{
			Mesh: rapid.StringMatching(`[a-z0-9_-]{1,20}(\.[a-z0-9_-]{1,20})?`).Draw(t, "mesh"), Region: part.Draw(t, "region"),
			Node: part.Draw(t, "node"), Role: rapid.SampledFrom([]string{"hub", "edge"}).Draw(t, "role"),
		}
		u, err := url.Parse(n.URI().String())
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseURI(u); err != nil || got != n {
			t.Fatalf("%s read as %+v, %v", u, got, err)
		}
	})
}

func FuzzParseURI(f *testing.F) {
	f.Add(hub1.URI().String())
	f.Add("spiffe://m/region/r/node/n/role/hub?x=1")
	f.Add("spiffe://u@m/region/%2e/node/n/role/hub#f")
	f.Add("spiffe://m/region/r/node/n/role/hub#") // net/url drops an empty fragment and
	f.Add("SPIFFE://m/region/r/node/n/role/hub")  // the case of the scheme before a certificate is looked at
	f.Fuzz(func(t *testing.T, s string) {
		u, err := url.Parse(s)
		if err != nil {
			return
		}
		if n, err := parseURI(u); err == nil && n.URI().String() != u.String() {
			t.Fatalf("%q was taken for %q", u, n.URI())
		}
	})
}
