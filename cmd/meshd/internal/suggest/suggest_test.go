package suggest

import "testing"

func TestClosest(t *testing.T) {
	known := []string{"run", "demo", "total", "members", "status", "http-token-file", "statsd"}
	for _, tc := range []struct{ word, want string }{
		{"rnu", "run"},
		{"totl", "total"},
		{"member", "members"},
		{"STATUS", "status"},
		{"statsdd", "statsd"},
		{"http-tokenfile", "http-token-file"},
		{"bananas", ""},
		{"", ""},
	} {
		if got, ok := Closest(tc.word, known); got != tc.want || ok != (tc.want != "") {
			t.Errorf("Closest(%q) = %q, %v, want %q", tc.word, got, ok, tc.want)
		}
	}
	if got := Hint("totl", known); got != `; did you mean "total"?` {
		t.Errorf("Hint = %q", got)
	}
	if got := Hint("bananas", known); got != "" {
		t.Errorf("Hint of a far word = %q", got)
	}
}
