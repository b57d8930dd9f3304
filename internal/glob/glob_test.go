package glob

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		glob     string
		yes, not []string
	}{
		{"http.requests", []string{"http.requests"}, []string{"http_requests", "http.requests2", ""}},
		{"*", []string{"a", "a.b.c", "größe", "a\nb"}, nil},
		{"http.*", []string{"http.", "http.a.b"}, []string{"http", "xhttp.a"}},
		{"h?t", []string{"hat", "hüt"}, []string{"ht", "haat"}},
		{"{http,grpc}.requests", []string{"http.requests", "grpc.requests"}, []string{"http", "http,grpc.requests"}},
		{"a{b,c{d,e}}", []string{"ab", "acd", "ace"}, []string{"ac", "abd"}},
		{"a{,b}", []string{"a", "ab"}, []string{"b"}},
		{`a\*b`, []string{"a*b"}, []string{"axb"}},
		{`a\{b\,`, []string{"a{b,"}, []string{"ab"}},
		{"a,b", []string{"a,b"}, []string{"a", "b"}},
		{"a[b]+(c)|^$.", []string{"a[b]+(c)|^$."}, []string{"ab"}},
	} {
		match, err := Compile(c.glob)
		if err != nil {
			t.Errorf("%q: %v", c.glob, err)
			continue
		}
		for _, s := range c.yes {
			if !match(s) {
				t.Errorf("%q does not match %q", c.glob, s)
			}
		}
		for _, s := range c.not {
			if match(s) {
				t.Errorf("%q matches %q", c.glob, s)
			}
		}
	}
}

func TestGlobRefuses(t *testing.T) {
	for _, glob := range []string{"", "a{b", "a}b", `a\`, "{{a}", strings.Repeat("a", MaxBytes+1)} {
		if _, err := Compile(glob); err == nil {
			t.Errorf("%.20q is accepted", glob)
		}
	}
}

// plainGlob is '*' and '?' by their definition.
func plainGlob(glob, s []rune) bool {
	switch {
	case len(glob) == 0:
		return len(s) == 0
	case glob[0] == '*':
		return plainGlob(glob[1:], s) || len(s) > 0 && plainGlob(glob, s[1:])
	}
	return len(s) > 0 && (glob[0] == '?' || glob[0] == s[0]) && plainGlob(glob[1:], s[1:])
}

func TestGlobIsWhatItsDefinitionSays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		glob := rapid.StringOfN(rapid.RuneFrom([]rune("ab.*?ü")), 1, 8, -1).Draw(t, "glob")
		s := rapid.StringOfN(rapid.RuneFrom([]rune("ab.ü")), 0, 8, -1).Draw(t, "name")
		match, err := Compile(glob)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := match(s), plainGlob([]rune(glob), []rune(s)); got != want {
			t.Fatalf("%q matches %q: %v, want %v", glob, s, got, want)
		}
	})
}

// A pattern whose alternatives can be chosen in 2^100 ways: a matcher that tries them one by one does not come back.
func TestHostileGlobEnds(t *testing.T) {
	match, err := Compile(strings.Repeat("{a,aa}", 100) + "b")
	if err != nil {
		t.Fatal(err)
	}
	if match(strings.Repeat("a", 200) + "c") {
		t.Error("matches without the b at its end")
	}
	if !match(strings.Repeat("a", 150) + "b") {
		t.Error("does not match what it should")
	}
}
