package demo

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"meshd/cmd/meshd/internal/cluster"
)

func TestFolderIsOneDemosAtATime(t *testing.T) {
	f := folder(t.TempDir())
	release, err := f.open()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.open(); err == nil || !strings.Contains(err.Error(), "running already") {
		t.Errorf("a second demo got error %v, want one that says a demo is running already", err)
	}
	if err := os.MkdirAll(f.path("data", "old"), 0o700); err != nil {
		t.Fatal(err)
	}
	release()
	again, err := f.open()
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	defer again()
	if _, err := os.Stat(f.path("data", "old")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data of the last demo is still there: %v", err)
	}
}

func TestStateIsReadBack(t *testing.T) {
	f := folder(t.TempDir())
	if _, err := f.readState(); !errors.Is(err, errNone) {
		t.Errorf("without a demo: %v, want %v", err, errNone)
	}
	want := state{PID: 7, Control: "127.0.0.1:1", Nodes: []cluster.Node{{Name: "n", Region: "r"}}}
	if err := f.writeState(want); err != nil {
		t.Fatal(err)
	}
	got, err := f.readState()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

func TestTokenIsThisUsersOnly(t *testing.T) {
	f := folder(t.TempDir())
	if _, err := f.writeToken(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(f.tokenFile())
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("token file has mode %v, want 0600", info.Mode())
	}
}
