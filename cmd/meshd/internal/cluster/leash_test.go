package cluster

import (
	"net/netip"
	"strings"
	"testing"
)

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
