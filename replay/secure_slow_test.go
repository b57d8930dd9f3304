//go:build slow && linux

package replay_test

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"meshd/replay"
	"meshd/replay/replaytest"
)

// TestRealKafkaWithTLSAndPasswords: as people write it, one mechanism after the other; and what is wrong is refused, not retried for ever.
func TestRealKafkaWithTLSAndPasswords(t *testing.T) {
	b, access := replaytest.NewSecureBroker(t, "..")
	b.Start(t)
	wrong := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(wrong, []byte("not that one"), 0o600); err != nil {
		t.Fatal(err)
	}
	all := url.Values{
		"partitions": {"1"}, "replicas": {"1"}, "tls-ca": {access.CA}, "user": {access.User}, "password-file": {access.Password},
	}
	const missing = "\x00"
	for i, row := range []struct {
		name    string
		change  map[string]string
		refused bool
	}{
		{"by default", nil, false},
		{"plain", map[string]string{"mechanism": "plain"}, false},
		{"scram-sha-256", map[string]string{"mechanism": "scram-sha-256"}, false},
		{"scram-sha-512", map[string]string{"mechanism": "scram-sha-512"}, false},
		{"plain, wrong password", map[string]string{"mechanism": "plain", "password-file": wrong}, true},
		{"scram-sha-256, wrong password", map[string]string{"mechanism": "scram-sha-256", "password-file": wrong}, true},
		{"scram-sha-512, unknown user", map[string]string{"mechanism": "scram-sha-512", "user": "nobody"}, true},
		{"no password", map[string]string{"user": missing, "password-file": missing}, true},
		{"a broker that the system does not trust", map[string]string{"tls-ca": missing, "tls": "on"}, true},
		{"no TLS", map[string]string{"tls-ca": missing}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			settings := maps.Clone(all)
			for name, v := range row.change {
				if settings.Del(name); v != missing {
					settings.Set(name, v)
				}
			}
			loc, err := replay.ParseLocation("kafka:" + access.Addr + "/secure?" + settings.Encode())
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			log, err := loc.Open(ctx, replay.Options{Mesh: "m"})
			if row.refused {
				if err == nil {
					_ = log.Close()
				}
				if err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("taken, or tried for ever: %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = log.Close() }()
			add(t, log, i, i+1)
			if got, err := read(t, log, nil); err != nil || len(got) != 2*(i+1) || got[2*i+1] != i {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
}
