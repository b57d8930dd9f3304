package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meshd/query"
)

func TestConfigurationsAreReadAsYAMLOrJSON(t *testing.T) {
	for text, want := range map[string]string{
		"silence: 30s\nseries: 5000\n":         `{"series":5000,"silence":"30s"}`,
		`{"series": 5000}`:                     `{"series":5000}`,
		"":                                     `{}`,
		"# version 3 by eu/hub-1\nseries: 1\n": `{"series":1}`,
	} {
		path := filepath.Join(t.TempDir(), "mesh.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if doc, err := readConfig(path); err != nil || string(doc) != want {
			t.Errorf("%q is read as %s, %v; want %s", text, doc, err, want)
		}
	}
	for _, text := range []string{"- a", "a: [", "5"} {
		path := filepath.Join(t.TempDir(), "mesh.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if doc, err := readConfig(path); err == nil {
			t.Errorf("%q is read as %s", text, doc)
		}
	}
}

// TestAConfigurationCanBeChangedAndSetAgain: what get prints is what set reads.
func TestAConfigurationCanBeChangedAndSetAgain(t *testing.T) {
	a := &query.ConfigAnswer{
		Version: 3, Author: "eu/hub-1", Made: query.Time{Time: time.UnixMilli(1_800_000_000_000)}, Config: []byte(`{"series":5000,"silence":"30s"}`),
	}
	var out strings.Builder
	if err := renderConfig(&out, a); err != nil || !strings.HasPrefix(out.String(), "# version 3 by eu/hub-1 at 2027-01-15T08:00:00Z\n") {
		t.Fatalf("%s (%v)", out.String(), err)
	}
	path := filepath.Join(t.TempDir(), "mesh.yaml")
	if err := os.WriteFile(path, []byte(out.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if doc, err := readConfig(path); err != nil || string(doc) != string(a.Config) {
		t.Errorf("set again as %s, %v", doc, err)
	}
}
