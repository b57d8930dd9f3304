package gossip

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"meshd/internal/pki"
	"meshd/internal/wire"
)

// papers are a node's certificate files, in a folder of its own as on a machine of its own.
type papers struct {
	t         *testing.T
	dir       string
	authority string
	name      pki.Name
}

// issue gives a node papers from the authority in dir.
func (m *mesh) issue(authority string, cfg *Config, valid time.Duration) *papers {
	m.t.Helper()
	p := &papers{m.t, m.t.TempDir(), authority, pki.Name{Region: cfg.Region, Node: cfg.Node, Role: string(cfg.Role)}}
	p.trust(authority)
	p.renew(valid)
	id, err := pki.Load(p.at(pki.CAFile), p.at("node.crt"), p.at("node.key"))
	if err != nil {
		m.t.Fatal(err)
	}
	if err := id.Remember(p.at("revoked")); err != nil {
		m.t.Fatal(err)
	}
	cfg.TLS, cfg.Insecure = id, false
	return p
}

func (p *papers) at(file string) string { return filepath.Join(p.dir, file) }

func (p *papers) read(path string) []byte {
	p.t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *papers) write(file string, b []byte) {
	p.t.Helper()
	if err := os.WriteFile(p.at(file), b, 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// trust makes the node believe these authorities and no others.
func (p *papers) trust(authorities ...string) {
	var all []byte
	for _, dir := range authorities {
		all = append(all, p.read(filepath.Join(dir, pki.CAFile))...)
	}
	p.write(pki.CAFile, all)
}

// renew replaces certificate and key.
func (p *papers) renew(valid time.Duration) {
	p.t.Helper()
	cert, key, err := pki.Issue(p.authority, p.name, valid)
	if err != nil {
		p.t.Fatal(err)
	}
	p.write("node.key", p.read(key))
	p.write("node.crt", p.read(cert))
}

// startWith starts a node with papers.
func (m *mesh) startWith(authority string, valid time.Duration, name string, join ...string) (*node, *papers) {
	m.t.Helper()
	cfg := m.config(name, join...)
	p := m.issue(authority, &cfg, valid)
	return m.start(cfg), p
}

// securedSeven is sevenNodes with papers.
func securedSeven(m *mesh, authority string, valid time.Duration) map[string]*papers {
	all := make(map[string]*papers)
	first := ""
	for _, name := range []string{"eu-h1", "eu-h2", "us-h1", "eu-e1", "eu-e2", "us-e1", "us-e2"} {
		var join []string
		if first != "" {
			join = []string{first}
		}
		var n *node
		n, all[name] = m.startWith(authority, valid, name, join...)
		if first == "" {
			first = n.addr
		}
	}
	m.until("all sessions", 15*time.Second, m.formed)
	return all
}

// revoke takes a node's certificate back and gives the list to one node's operator.
func revoke(t *testing.T, stolen, told *papers) {
	t.Helper()
	if _, err := pki.Revoke(stolen.authority, stolen.at("node.crt")); err != nil {
		t.Fatal(err)
	}
	told.write(pki.DenyFile, told.read(filepath.Join(stolen.authority, pki.DenyFile)))
}

func TestRevocationToldToOneHubShutsAStolenNodeOutEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		all := securedSeven(m, newAuthority(t), 0)
		honest := func(yes func(n *node) bool) func() bool {
			return func() bool {
				for name, n := range m.nodes {
					if name != "eu-e1" && name != "eu-h2" && !yes(n) {
						return false
					}
				}
				return true
			}
		}
		for i, stolen := range []string{"eu-e1", "eu-h2"} { // an edge of the other region, and a hub
			revoke(t, all[stolen], all["us-h1"])
			took := m.until("end of the sessions of "+stolen, 3*time.Second, honest(func(n *node) bool { return !slices.Contains(n.up(), stolen) }))
			m.until("everybody knows", 3*time.Second, honest(func(n *node) bool { return n.metric(t, "revocations") == float64(i+1) }))
			t.Logf("%s shut out everywhere after %v", stolen, took)
		}
		time.Sleep(5 * time.Minute)
		if !honest(func(n *node) bool { return !slices.Contains(n.up(), "eu-e1") && !slices.Contains(n.up(), "eu-h2") })() {
			t.Error("a revoked node is back")
		}
		h1 := m.nodes["eu-h1"]
		if h1.keys.to(m.nodes["eu-h2"].self.member(), "") != nil {
			t.Error("packets are still sealed for the stolen hub")
		}
		if n := h1.metric(t, "refusals_total", "certificate"); n < 2 || n > 120 {
			t.Errorf("%v refusals in 5 minutes: want a few, not a hot loop", n)
		}
		// A node that was away hears of it when it comes back, one that restarts still knows.
		late, _ := m.startWith(all["eu-h1"].authority, 0, "eu-e9", h1.addr)
		m.until("the late one knows", 5*time.Second, func() bool { return late.metric(t, "revocations") == 2 })
		id, err := pki.Load(all["eu-e2"].at(pki.CAFile), all["eu-e2"].at("node.crt"), all["eu-e2"].at("node.key"))
		if err != nil {
			t.Fatal(err)
		}
		if err := id.Remember(all["eu-e2"].at("revoked")); err != nil {
			t.Fatal(err)
		}
		if lines, _ := id.Revocations(); len(lines) != 2 {
			t.Errorf("after a restart %d revocations are known", len(lines))
		}
	})
}

// A thief has a node's key and may say what it likes: nobody else is denied by it.
func TestRevocationsThatAStolenNodeMakesUpAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		ca := newAuthority(t)
		h, victim := m.startWith(ca, 0, "eu-h1")
		thief, _ := m.startWith(ca, 0, "eu-e1", h.addr)
		m.until("session", 10*time.Second, func() bool { return slices.Equal(thief.up(), []string{"eu-h1"}) })
		other := newAuthority(t) // of the same mesh name, made by the thief
		cert, _, err := pki.Issue(other, victim.name, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := pki.Revoke(other, cert); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(victim.read(filepath.Join(other, pki.DenyFile)))), "\n")
		forged := strings.Fields(lines[len(lines)-1])
		s := thief.allSessions()[0]
		gr, err := thief.greet(t.Context(), s.conn, kindRevoked)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeRevoked(gr.stream, &wire.Revoked{Digest: [32]byte{1}}); err != nil {
			t.Fatal(err)
		}
		if _, err := readRevoked(gr.r); err != nil {
			t.Fatal(err)
		}
		if err := writeRevoked(gr.stream, &wire.Revoked{Lines: []string{strings.Join(forged, " "), "nonsense"}}); err != nil {
			t.Fatal(err)
		}
		m.until("refusal", 5*time.Second, func() bool { return h.metric(t, "refusals_total", "revocation") == 1 })
		if n := h.metric(t, "revocations"); n != 0 || len(h.up()) != 1 {
			t.Errorf("%v revocations, peers %v", n, h.up())
		}
	})
}

// Both ends' certificates are replaced in turn. No session is missed for a moment, and when the old certificates end
// nobody notices.
func TestRotatedCertificatesCostNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		const valid = 10 * time.Minute
		all := securedSeven(m, newAuthority(t), valid)
		end := time.Now().Add(valid)
		time.Sleep(time.Minute)
		for _, name := range []string{"eu-h1", "eu-e1", "us-h1", "us-e2", "eu-h2", "eu-e2", "us-e1"} {
			all[name].renew(time.Hour)
			if name == "us-h1" {
				time.Sleep(30 * time.Second)
			}
		}
		for time.Now().Before(end.Add(time.Minute)) {
			if !m.formed() {
				for name, n := range m.nodes {
					t.Logf("%s: peers %v, ended %v", name, n.up(), n.ended())
				}
				t.Fatalf("a session is missing %v before the old certificates end", time.Until(end))
			}
			time.Sleep(100 * time.Millisecond)
		}
		for name, n := range m.nodes {
			for _, err := range n.ended() {
				if !errors.Is(err, errReplaced) && !strings.Contains(err.Error(), errReplaced.Error()) {
					t.Errorf("%s: a session ended: %v", name, err)
				}
			}
			if n.metric(t, "refusals_total", "certificate")+n.metric(t, "refusals_total", "identity") > 0 {
				t.Errorf("%s: a certificate was refused", name)
			}
			if left := n.metric(t, "certificate_seconds_left", PeerCertificate); left < 40*60 {
				t.Errorf("%s: a session under an old certificate: %v s left", name, left)
			}
		}
		renewals := m.nodes["eu-h1"].metric(t, "sessions_renewed_total") + m.nodes["eu-e1"].metric(t, "sessions_renewed_total")
		if renewals < 4 || renewals > 20 {
			t.Errorf("%v renewals of a hub and an edge, want about one for each end of a session", renewals)
		}
	})
}

// The authority changes in three steps: trust both, issue anew, trust the new one only.
func TestRotatedAuthorityCostsNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		before, after := newAuthority(t), newAuthority(t)
		all := securedSeven(m, before, 0)
		step := func(each func(p *papers)) {
			for _, p := range all {
				each(p)
				time.Sleep(time.Second)
			}
			for range 10 * 100 {
				if !m.formed() {
					t.Fatal("a session is missing")
				}
				time.Sleep(100 * time.Millisecond)
			}
		}
		step(func(p *papers) { p.trust(before, after) })
		step(func(p *papers) { p.authority = after; p.renew(0) })
		step(func(p *papers) { p.trust(after) })
		revoke(t, all["eu-e1"], all["us-h1"]) // by the new authority
		m.until("end of its sessions", 3*time.Second, func() bool { return len(m.nodes["eu-e1"].up()) == 0 })
	})
}

func TestExpiredCertificateIsAlarmedOfAndRenewalBringsTheNodeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMesh(t)
		defer m.stop()
		ca := newAuthority(t)
		h, _ := m.startWith(ca, 0, "eu-h1")
		e, files := m.startWith(ca, 40*time.Minute, "eu-e1", h.addr)
		session := func() bool { return slices.Equal(e.up(), []string{"eu-h1"}) }
		m.until("session", 10*time.Second, session)
		alarm := func(n *node, of string) Alarm {
			for _, c := range n.Certificates() {
				if c.Of == of {
					return c.Alarm
				}
			}
			return -1
		}
		if a := alarm(e, OwnCertificate); a != AlarmNone {
			t.Errorf("alarm %q at the start", a)
		}
		last := time.Until(e.Certificates()[0].Until)
		for _, step := range []struct {
			left time.Duration
			want Alarm
		}{{30 * time.Minute, AlarmMonth}, {15 * time.Minute, AlarmWeek}, {8 * time.Minute, AlarmDay}} { // shares of 100 minutes: it began an hour ago
			time.Sleep(last - step.left)
			last = step.left
			if own, peer := alarm(e, OwnCertificate), alarm(h, PeerCertificate); own != step.want || peer != step.want {
				t.Errorf("%v left: alarms %q and %q, want %q", step.left, own, peer, step.want)
			}
			if left := e.metric(t, "certificate_seconds_left", OwnCertificate); left > step.left.Seconds() || left < step.left.Seconds()-1 {
				t.Errorf("metric says %v s, want %v", left, step.left)
			}
		}
		if !session() {
			t.Fatal("the session is gone before the end")
		}
		time.Sleep(last)
		m.until("end of the session", 2*guardEvery, func() bool { return len(h.up()) == 0 })
		time.Sleep(time.Hour)
		if alarm(e, OwnCertificate) != AlarmOver || e.Trust().Err == nil {
			t.Errorf("alarm %q, %v", alarm(e, OwnCertificate), e.Trust().Err)
		}
		_, _, err := e.ask(t.Context(), h.addr)
		if no, ok := errors.AsType[*refusedError](err); !ok || no.code != refuseIdentity || !strings.Contains(no.text, "meshd ca issue") {
			t.Errorf("refused with %v, want what to do", err)
		}
		if n := e.metric(t, "refusals_total", "identity"); n < 20 || n > 200 {
			t.Errorf("%v refusals in an hour", n)
		}
		files.renew(0)
		t.Logf("back %v after the renewal", m.until("session after the renewal", 5*time.Second, session))
	})
}
