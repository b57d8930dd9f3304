package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"meshd/crdt"
)

func TestRulesOfTheMostExactFileCount(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for of, dc := range map[string]string{"": "all", "eu=": "eu", "eu/edge-1=": "one"} {
		file := filepath.Join(dir, dc+".yaml")
		if err := os.WriteFile(file, []byte("labels: {dc: "+dc+"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, of+file)
	}
	rule, err := loadRules(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ region, node, want string }{{"eu", "edge-1", "one"}, {"eu", "edge-2", "eu"}, {"us", "edge-1", "all"}} {
		s, err := rule(crdt.Origin{Region: c.region, Node: c.node}, &crdt.Series{Name: "m", Kind: crdt.KindCounter})
		if err != nil || s.Get("dc") != c.want {
			t.Errorf("%s of %s: %v, %v, want %s", c.node, c.region, s, err, c.want)
		}
	}
	if _, err := loadRules(append(files, files[0])); !errors.Is(err, errUsage) {
		t.Errorf("two files for the same nodes: %v", err)
	}
	if rule, err = loadRules(nil); err != nil {
		t.Fatal(err)
	}
	in := &crdt.Series{Name: "m", Kind: crdt.KindCounter}
	if s, err := rule(crdt.Origin{}, in); s != in || err != nil {
		t.Errorf("without rules: %v, %v", s, err)
	}
}
