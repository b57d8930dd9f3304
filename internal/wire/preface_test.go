package wire

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// record is one of the small records with its own pair of functions.
func checkRecord[T any](t *rapid.T, v *T, appendTo func([]byte, *T) ([]byte, error), parse func([]byte) (*T, error)) {
	b, err := appendTo([]byte("x"), v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := parse(b[1:])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, got, same); diff != "" {
		t.Fatalf("record changed (-sent +received):\n%s", diff)
	}
	for i := range b[1:] {
		if _, err := parse(b[1 : 1+i]); err == nil {
			t.Fatalf("the first %d of %d bytes were accepted", i, len(b)-1)
		}
	}
	if _, err := parse(append(b[1:], 0)); err == nil {
		t.Fatal("a trailing byte was accepted")
	}
}

func drawPreface(t *rapid.T) *Preface {
	return &Preface{
		Version: rapid.Uint8Range(3, 255).Draw(t, "version"), MinVersion: rapid.Uint8Range(0, 3).Draw(t, "min version"),
		Mesh: drawName(t, "mesh"), Region: drawName(t, "region"), Node: drawName(t, "node"), Role: "hub",
		Inc: drawID(t), Nonce: drawID(t), Bulk: rapid.Bool().Draw(t, "bulk"), WallMs: rapid.Int64().Draw(t, "wall"),
		Advertise: rapid.StringN(0, 30, MaxAddressBytes).Draw(t, "address"), HTTP: "10.0.0.1:8946",
	}
}

func drawHubs(t *rapid.T) *Hubs {
	h := new(Hubs)
	for range rapid.IntRange(0, 5).Draw(t, "hubs") {
		h.Hubs = append(h.Hubs, Hub{Region: drawName(t, "region"), Node: drawName(t, "node"), Addr: "h:8946", Inc: drawID(t)})
	}
	return h
}

func drawRevoked(t *rapid.T) *Revoked {
	v := &Revoked{Lines: rapid.SliceOfN(rapid.StringN(0, 30, MaxRevocationBytes), 0, 5).Draw(t, "lines")}
	copy(v.Digest[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
	return v
}

func TestRevokedRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRecord(t, drawRevoked(t), AppendRevoked, ParseRevoked) })
}

func TestLongestListOfRevocationsFits(t *testing.T) {
	v := new(Revoked)
	for range MaxRevoked {
		v.Lines = append(v.Lines, strings.Repeat("x", MaxRevocationBytes))
	}
	b, err := AppendRevoked(nil, v)
	if err != nil || len(b) > MaxRevokedBytes {
		t.Fatalf("%d bytes, at most %d: %v", len(b), MaxRevokedBytes, err)
	}
	if got, err := ParseRevoked(b); err != nil || len(got.Lines) != MaxRevoked {
		t.Fatal(err)
	}
	for _, bad := range [][]string{append(v.Lines, "x"), {strings.Repeat("x", MaxRevocationBytes+1)}} {
		if b, err := AppendRevoked(nil, &Revoked{Lines: bad}); err == nil || len(b) > 0 {
			t.Errorf("appended %d revocations", len(bad))
		}
	}
}

func TestPrefaceRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRecord(t, drawPreface(t), AppendPreface, ParsePreface) })
}

func TestRefusalRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := &Refusal{Code: rapid.Uint16().Draw(t, "code"), Text: rapid.StringN(0, 50, MaxTextBytes).Draw(t, "text")}
		checkRecord(t, f, AppendRefusal, ParseRefusal)
	})
}

func TestHubsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { checkRecord(t, drawHubs(t), AppendHubs, ParseHubs) })
}

func TestRefusalTextIsCut(t *testing.T) {
	b, err := AppendRefusal(nil, &Refusal{Text: strings.Repeat("é", MaxTextBytes)})
	if err != nil {
		t.Fatal(err)
	}
	f, err := ParseRefusal(b)
	if err != nil || f.Text != strings.Repeat("é", MaxTextBytes/2) {
		t.Errorf("got %+v, %v", f, err)
	}
	b, err = AppendRefusal(nil, &Refusal{Text: "x" + strings.Repeat("é", MaxTextBytes)})
	if err != nil {
		t.Fatal(err)
	}
	f, err = ParseRefusal(b)
	if err != nil || f.Text != "x"+strings.Repeat("é", MaxTextBytes/2-1) {
		t.Errorf("a character was cut in two: %+v, %v", f, err)
	}
}

func TestPrefaceRefused(t *testing.T) {
	good := Preface{Version: 1, MinVersion: 1, Mesh: "m", Region: "r", Node: "n", Role: "edge"}
	tests := []struct {
		name string
		edit func(p *Preface)
		want error
	}{
		{"no mesh", func(p *Preface) { p.Mesh = "" }, ErrInvalid},
		{"versions", func(p *Preface) { p.MinVersion = 2 }, ErrInvalid},
		{"address", func(p *Preface) { p.Advertise = strings.Repeat("a", MaxAddressBytes+1) }, ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := good
			test.edit(&p)
			_, err := AppendPreface(nil, &p)
			wantError(t, err, test.want)
		})
	}
	_, err := AppendHubs(nil, &Hubs{Hubs: make([]Hub, MaxHubs+1)})
	wantError(t, err, ErrLimit)
	_, err = ParsePreface(make([]byte, MaxPrefaceBytes+1))
	wantError(t, err, ErrLimit)
	_, err = ParseHubs([]byte{tagPreface})
	wantError(t, err, ErrMalformed)
}

// TestHubsFit holds that the longest list of hubs stays within MaxPrefaceBytes.
func TestHubsFit(t *testing.T) {
	name := strings.Repeat("n", 63)
	h := new(Hubs)
	for range MaxHubs {
		h.Hubs = append(h.Hubs, Hub{Region: name, Node: name, Addr: strings.Repeat("a", MaxAddressBytes)})
	}
	b, err := AppendHubs(nil, h)
	if err != nil || len(b) > MaxPrefaceBytes {
		t.Errorf("%d bytes, %v, want at most %d", len(b), err, MaxPrefaceBytes)
	}
}

func TestSpeaks(t *testing.T) {
	tests := []struct {
		a, b Preface
		want uint8
		ok   bool
	}{
		{Preface{Version: 1, MinVersion: 1}, Preface{Version: 1, MinVersion: 1}, 1, true},
		{Preface{Version: 2, MinVersion: 1}, Preface{Version: 1, MinVersion: 1}, 1, true},
		{Preface{Version: 3, MinVersion: 2}, Preface{Version: 4, MinVersion: 3}, 3, true},
		{Preface{Version: 3, MinVersion: 2}, Preface{Version: 1, MinVersion: 1}, 1, false},
	}
	for _, test := range tests {
		for _, pair := range [][2]*Preface{{&test.a, &test.b}, {&test.b, &test.a}} {
			if v, ok := pair[0].Speaks(pair[1]); v != test.want || ok != test.ok {
				t.Errorf("%+v and %+v speak %d, %v, want %d, %v", pair[0], pair[1], v, ok, test.want, test.ok)
			}
		}
	}
}
