//go:build slow && unix

package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestEveryNodeOfADemoAnswersTheSame asks all ten nodes, two hubs and three edges of two regions, the same expressions by `meshd query`
// and compares the bytes: once the windows are published, it does not matter whom somebody asks.
func TestEveryNodeOfADemoAnswersTheSame(t *testing.T) {
	t.Parallel()
	m := startDemo(t)
	first := time.Now().Truncate(10 * time.Second)
	sum := 0
	for i, n := range m.nodes {
		m.count(n.Name, "e2e.clicks", 1<<i)
		sum += 1 << i
	}
	m.wantTotal("", "e2e.clicks", sum)
	at := first.Add(30 * time.Second)
	for _, q := range []struct {
		args []string
		want string // in the answer, once it is whole
	}{
		{[]string{`sum(increase({"e2e.clicks"}[1m]))`}, fmt.Sprint(sum)},
		{[]string{`sum by (region) (increase({"e2e.clicks"}[1m]))`}, "east"},
		{[]string{`sum(rate({"e2e.clicks"}[1m]))`, "-o", "csv"}, ""},
		{[]string{`e2e_clicks`}, `{"e2e.clicks"} is`},
	} {
		args := append([]string{"query", q.args[0], "--time", at.UTC().Format(time.RFC3339)}, q.args[1:]...)
		ask := func(n demoNode) string {
			out, err := exec.Command(meshd(), append(args, "--at", n.HTTP)...).CombinedOutput()
			if err != nil {
				return fmt.Sprintf("%v: %s", err, out)
			}
			return string(out)
		}
		deadline := time.Now().Add(settle)
		for {
			want, apart := ask(m.nodes[0]), ""
			for _, n := range m.nodes[1:] {
				if got := ask(n); got != want {
					apart = fmt.Sprintf("%s says\n%s%s says\n%s", m.nodes[0].Name, want, n.Name, got)
				}
			}
			whole := !regexp.MustCompile("incomplete|no hub").MatchString(want)
			if apart == "" && whole && strings.Contains(want, q.want) {
				t.Logf("%s:\n%s", strings.Join(args, " "), want)
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%v: %s\nlast:\n%s", q.args, apart, want)
			}
			time.Sleep(500 * time.Millisecond) // between two questions to other processes
		}
	}
}
