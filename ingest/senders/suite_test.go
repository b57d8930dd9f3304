package senders

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The receiver suite of the Prometheus project, Apache License 2.0. Its go.mod declares another path than the one it is found at, so it
// cannot be required: the module is downloaded, its sum compared, and its tests run in a copy of it.
const (
	suite      = "github.com/prometheus/compliance/remotewrite/receiver@v0.0.0-20260806071727-67b8327a2e93"
	suiteSum   = "h1:VPMEZpXBAlaQrdz+ER6AQ9ArmxkYSy/SxkUixEwtH3Q="
	suiteTests = 39
)

func TestReceiverSuite(t *testing.T) {
	download := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", suite)
	download.Dir = t.TempDir() // of no module
	text, err := download.Output()
	var module struct{ Dir, Sum, Error string }
	if jsonErr := json.Unmarshal(text, &module); jsonErr != nil || err != nil {
		t.Fatalf("download %s: %v, %s", suite, err, module.Error)
	}
	if module.Sum != suiteSum {
		t.Fatalf("the suite has the sum %s, want %s", module.Sum, suiteSum)
	}
	dir := filepath.Join(t.TempDir(), "suite")
	if err := os.CopyFS(dir, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, "n1")
	config := write(t, t.TempDir(), "config.yml", fmt.Sprintf("remote_write: [{name: meshd, url: 'http://%s/api/v1/write'}]\n", n.http))
	tests := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-json", "-run=^Test", ".")
	tests.Dir, tests.Env = dir, append(os.Environ(), "PROMETHEUS_RW2_COMPLIANCE_CONFIG_FILE="+config)
	out, err := tests.Output()
	passed := map[string]bool{}
	for lines := json.NewDecoder(bytes.NewReader(out)); lines.More(); {
		var line struct{ Action, Test, Output string }
		if err := lines.Decode(&line); err != nil {
			t.Fatal(err)
		}
		switch top := line.Test != "" && !bytes.ContainsRune([]byte(line.Test), '/'); {
		case line.Action == "fail" && line.Test != "":
			t.Errorf("%s fails", line.Test)
		case line.Action == "skip":
			t.Errorf("%s is skipped", line.Test)
		case line.Action == "pass" && top:
			passed[line.Test] = true
		}
	}
	if err != nil || len(passed) != suiteTests {
		t.Errorf("%d tests pass, want %d: %v\n%s", len(passed), suiteTests, err, out[max(0, len(out)-8000):])
	}
}
