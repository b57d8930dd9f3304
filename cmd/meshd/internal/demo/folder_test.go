package demo

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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
	if err := os.WriteFile(f.data("old"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	release()
	again, err := f.open()
	if err != nil {
		t.Fatalf("after the first ended: %v", err)
	}
	defer again()
	if _, err := os.Stat(f.data("old")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("data of the last demo is still there: %v", err)
	}
}

func TestStateIsReadBack(t *testing.T) {
	f := folder(t.TempDir())
	if _, err := f.readState(); !errors.Is(err, errNone) {
		t.Errorf("without a demo: %v, want %v", err, errNone)
	}
	want := state{PID: 7, Control: "127.0.0.1:1", Nodes: plan(0)}
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

func TestFollow(t *testing.T) {
	var out strings.Builder
	var got [][]netip.AddrPort
	in := strings.NewReader(`{"block":["127.0.0.1:1","127.0.0.1:2"]}` + "\n" + `{"block":[]}` + "\n")
	err := Follow(in, &out, func(peers []netip.AddrPort) { got = append(got, peers) })
	if !Ended(err) {
		t.Errorf("at the end of the pipe: %v, want an orderly end", err)
	}
	if len(got) != 2 || len(got[0]) != 2 || got[0][1].Port() != 2 || len(got[1]) != 0 {
		t.Errorf("orders %v, want two peers, then none", got)
	}
	if out.String() != "ok\nok\n" {
		t.Errorf("answers %q, want two", out.String())
	}
	if err := Follow(strings.NewReader("nonsense\n"), &out, nil); err == nil || Ended(err) {
		t.Errorf("nonsense: %v, want an error", err)
	}
}
