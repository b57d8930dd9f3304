package gossip

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshd/internal/pki"
	"meshd/internal/wire"
)

// identityFor issues a certificate from the authority in dir and loads it.
func identityFor(t *testing.T, dir string, cfg Config) *pki.Identity {
	t.Helper()
	cert, key, err := pki.Issue(dir, pki.Name{Region: cfg.Region, Node: cfg.Node, Role: string(cfg.Role)}, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := pki.Load(filepath.Join(dir, pki.CAFile), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func (m *mesh) secure(dir string, cfg Config) Config {
	cfg.TLS, cfg.Insecure = identityFor(m.t, dir, cfg), false
	return cfg
}

func newAuthority(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "ca")
	if err := pki.Init(dir, "test", 0); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMeshWithCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		ca := newAuthority(t)
		h := m.start(m.secure(ca, m.config("eu-h1")))
		h2 := m.start(m.secure(ca, m.config("us-h1", h.addr)))
		e := m.start(m.secure(ca, m.config("eu-e1", h2.addr)))
		m.until("sessions", 10*time.Second, func() bool {
			return slices.Equal(e.up(), []string{"eu-h1"}) && slices.Equal(h2.up(), []string{"eu-h1"}) && len(h2.alive()) == 2
		})

		// Revoking ends the session and keeps the node out, without a restart anywhere.
		if _, err := pki.Revoke(ca, filepath.Join(ca, "eu-e1.crt")); err != nil {
			t.Fatal(err)
		}
		m.until("revoked node is out", 2*guardEvery, func() bool { return len(e.up()) == 0 })
		time.Sleep(5 * time.Minute)
		if up := h.up(); slices.Contains(up, "eu-e1") {
			t.Errorf("revoked node is back: %v", up)
		}
		if n := h.metric(t, "refusals_total", "certificate"); n < 2 || n > 40 {
			t.Errorf("%v refusals in 5 minutes: want a few, not a hot loop", n)
		}
	})
}

// A hub is being dialed, or asked, under the old certificate while the new one is put in place. What it says then must not be
// held against the new one: the node would stay away for up to ten seconds more.
func TestARefusalOnItsWayIsPardonedToo(t *testing.T) {
	const addr = "10.0.0.1:8946"
	shown := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	no := &refusedError{code: refuseIdentity}
	b := newBook(identity{region: "eu", node: "eu-e1"}, &Config{Role: Edge, Homes: 1, Link: LAN})
	b.learn(shown.Add(-time.Second), true, hub{Region: "eu", Node: "eu-h1", Addr: addr})
	next := func() time.Time { return b.targets[addr].next }
	dial := func(at time.Time) {
		t.Helper()
		if list, _, _ := b.due(at); len(list) != 1 {
			t.Fatalf("%d hubs dialed, want 1", len(list))
		}
	}
	for n := range 20 {
		b.targets[addr].refusals, b.targets[addr].next = 10, time.Time{}
		dial(shown.Add(-time.Millisecond))
		b.pardon(shown, shown)
		b.dialed(addr, no, shown.Add(time.Millisecond))
		if wait := next().Sub(shown); wait > time.Second+time.Millisecond {
			t.Fatalf("%d: refused again before it showed the new certificate: waits %v", n, wait)
		}
		var asked patience
		_ = asked.may(addr, shown, 1)
		if held := asked.note(addr, shown, 2, no); held != nil || !asked.may(addr, shown, 2) {
			t.Fatal("a join address waits for a certificate that was replaced")
		}
	}
	// What is refused under the new one is.
	for n := 1; n <= 20; n++ {
		dial(next().Add(time.Millisecond))
		b.dialed(addr, no, next())
		if got := b.targets[addr].refusals; got != n {
			t.Fatalf("%d refusals are counted, want %d", got, n)
		}
	}
}

func TestRefusals(t *testing.T) {
	tests := map[string]struct {
		change func(m *mesh, cfg *Config) // of the edge that wants to join eu-h1
		reason string
		text   string
	}{
		"other mesh": {
			change: func(_ *mesh, cfg *Config) { cfg.Mesh = "staging" },
			reason: "mesh", text: "set --mesh alike",
		},
		"versions after its next": {
			change: func(_ *mesh, cfg *Config) {
				cfg.Versions = Versions{Lowest: wire.Version + 1, Highest: wire.Version + 2}
			},
			reason: "version", text: fmt.Sprintf("eu-e1 speaks protocol versions %d to %d, eu-h1 %d to %d: upgrade eu-h1, one version at a time",
				wire.Version+1, wire.Version+2, wire.MinVersion, wire.Version),
		},
		"its own address": {
			change: func(m *mesh, cfg *Config) { cfg.Nonce = m.nodes["eu-h1"].cfg.Nonce },
			reason: "self", text: "remove its own address",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMesh(t)
				defer m.stop()
				h := m.start(m.config("eu-h1"))
				cfg := m.config("eu-e1", h.addr)
				tt.change(m, &cfg)
				e := m.start(cfg)
				time.Sleep(time.Minute)
				if len(h.up()) > 0 || len(e.up()) > 0 {
					t.Fatal("there is a session")
				}
				if n := h.metric(t, "refusals_total", tt.reason); n == 0 || n > 15 {
					t.Errorf("%v refusals for reason %s in a minute, want some and no hot loop", n, tt.reason)
				}
				_, _, err := e.ask(t.Context(), h.addr)
				if err == nil || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want advice %q", err, tt.text)
				}
			})
		})
	}
}

func TestCertificateOfAnotherNodeIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		ca := newAuthority(t)
		h := m.start(m.secure(ca, m.config("eu-h1")))

		mine, other := m.config("eu-e1", h.addr), m.config("eu-e2")
		mine.Insecure, mine.TLS = false, identityFor(t, ca, other)
		mine.Handler, mine.Listen = newRecorder(), "127.0.0.1:0"
		if _, err := New(mine); err == nil || !strings.Contains(err.Error(), "certificate is for node eu-e2") {
			t.Fatalf("started with another node's certificate: %v", err)
		}

		// A node that lies does not check itself.
		conn, err := m.net.Listen("10.0.0.99:1")
		if err != nil {
			t.Fatal(err)
		}
		other.TLS, other.Insecure, other.Conn, other.Handler = mine.TLS, false, conn, newRecorder()
		liar, err := New(other)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = liar.Close() }()
		liar.cfg.Node = "eu-e1"
		_, _, err = liar.ask(t.Context(), h.addr)
		no, ok := errors.AsType[*refusedError](err)
		if !ok || no.code != refuseIdentity || no.ours || !strings.Contains(no.text, "its certificate is for node eu-e2") {
			t.Errorf("error %v, want a refusal that names the certificate's node", err)
		}
	})
}

func TestOtherAuthorityIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		h := m.start(m.secure(newAuthority(t), m.config("eu-h1")))
		e := m.start(m.secure(newAuthority(t), m.config("eu-e1", h.addr)))
		time.Sleep(time.Minute)
		if len(h.up())+len(e.up()) > 0 {
			t.Fatal("there is a session")
		}
		if n := e.metric(t, "refusals_total") + h.metric(t, "refusals_total"); n == 0 {
			t.Error("nothing was counted")
		}
		_, _, err := e.ask(t.Context(), h.addr)
		if err == nil || !strings.Contains(err.Error(), "another authority") {
			t.Errorf("error %v, want one that names the authority", err)
		}
	})
}

func TestDialerIsRefusedByEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		a := m.start(m.config("eu-e1"))
		b := m.start(m.config("eu-e2"))
		time.Sleep(time.Second)
		_, _, err := b.connect(t.Context(), a.addr, kindSession, sessionConfig(b.timing))
		if no, ok := errors.AsType[*refusedError](err); !ok || no.code != refuseRole {
			t.Errorf("error %v, want a refusal for the role", err)
		}
		_, _, err = b.connect(t.Context(), a.addr, 99, linkConfig())
		if no, ok := errors.AsType[*refusedError](err); !ok || no.code != refuseMalformed {
			t.Errorf("error %v, want a refusal for the kind of stream", err)
		}
	})
}
