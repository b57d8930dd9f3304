package replay

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestLocations(t *testing.T) {
	for _, tc := range []struct{ text, wantErr string }{
		{"embedded:/var/log/meshd", ""},
		{"embedded:log?keep=30d", ""},
		{"kafka:a:9092,b:9092/meshd?partitions=24&replicas=3&keep=90d", ""},
		{"kafka:a:9092/meshd?tls=on&user=u&password-file=f&mechanism=plain", ""},
		{"embedded:", "want embedded:DIR"},
		{"elsewhere", "want embedded:DIR or kafka:"},
		{"kafka:a:9092", "want kafka:HOST:PORT,HOST:PORT/TOPIC"},
		{"kafka:/t", "want kafka:HOST:PORT,HOST:PORT/TOPIC"},
		{"embedded:d?keep=long", "want a time such as 30d"},
		{"embedded:d?tls=on", `setting "tls" is unknown`},
		{"kafka:a:1/t?tls=maybe", "want on"},
		{"kafka:a:1/t?user=u", "give both or none"},
		{"kafka:a:1/t?mechanism=plain", "it needs user"},
		{"kafka:a:1/t?user=u&password-file=f&mechanism=ntlm", "want plain"},
		{"kafka:a:1/t?partitions=0", "want a number"},
	} {
		l, err := ParseLocation(tc.text)
		switch {
		case tc.wantErr == "" && (err != nil || l.String() != tc.text):
			t.Errorf("%s: %v", tc.text, err)
		case tc.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tc.wantErr)):
			t.Errorf("%s: error %v, want one with %q", tc.text, err, tc.wantErr)
		}
	}
	l, err := ParseLocation("embedded:d")
	if err != nil || l.embedded.KeepFor < 365*24*time.Hour {
		t.Errorf("an embedded log keeps what no snapshot has for %v: %v", l.embedded.KeepFor, err)
	}
}

// TestALogThatCannotBeOpenedIsNone: a caller that asks whether there is a log must not find one that holds a nil pointer.
func TestALogThatCannotBeOpenedIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, text := range []string{"embedded:" + file, "kafka:127.0.0.1:1/topic"} {
		at, err := ParseLocation(text)
		if err != nil {
			t.Fatal(err)
		}
		if log, err := at.Open(ctx, Options{}); err == nil || log != nil {
			t.Errorf("%s: log %v, error %v", text, log, err)
		}
	}
}
