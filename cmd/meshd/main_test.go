package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"meshd/client"
)

func TestMain(m *testing.M) {
	testscript.Main(built{m}, map[string]func(){"meshd": main, "job": job})
}

// job is a short job that links package client: it counts three clicks at the nodes that it is given, and one distinct user, and ends.
func job() {
	c, err := client.New(client.Config{Nodes: os.Args[1:]})
	if err == nil {
		c.Counter("clicks").Add(3)
		c.Unique("users").Add("ann")
		c.Timer("took").Observe(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		err = c.Close(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("done")
}

// TestScripts runs the command line as users do; every script's name is what it claims.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(env *testscript.Env) error {
			env.Setenv("HOME", env.WorkDir)
			env.Setenv("XDG_CACHE_HOME", env.WorkDir+"/cache")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"hold": hold, "free": free, "ready": ready, "count": count, "post": post, "totals": totals, "ago": ago, "answers": answers, "archived": archived, "flip": flip, "turn": turn, "code": code, "target": target,
		},
	})
}

// hold takes a free port of a network (tcp or udp) for the rest of the script and puts its address into a variable:
// hold NETWORK VARIABLE.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	c := listen(ts, neg, args)
	ts.Defer(func() { _ = c.Close() })
}

// free is hold for a port that the script's own programs are to take.
func free(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(listen(ts, neg, args).Close())
}

func listen(ts *testscript.TestScript, neg bool, args []string) io.Closer {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold|free tcp|udp VARIABLE")
	}
	if args[0] == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		ts.Setenv(args[1], l.Addr().String())
		return l
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[1], p.LocalAddr().String())
	return p
}

// ready waits until the node with this HTTP address says that it is: ready ADDRESS.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready ADDRESS")
	}
	const attempts, pause = 600, 50 * time.Millisecond
	for range attempts {
		if resp, err := http.Get("http://" + args[0] + "/readyz"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		time.Sleep(pause) // between two questions to another process
	}
	ts.Fatalf("%s is not ready after %s", args[0], attempts*pause)
}

// count posts one event and prints the answer: count ADDRESS EVENT.
func count(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: count ADDRESS EVENT")
	}
	post(ts, false, []string{args[0], "/v1/events", "application/x-ndjson", args[1]})
}

// post sends a body and prints the answer: post ADDRESS PATH TYPE BODY.
func post(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: post ADDRESS PATH TYPE BODY")
	}
	resp, err := http.Post("http://"+args[0]+args[1], args[2], strings.NewReader(args[3]))
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	fmt.Fprintf(ts.Stdout(), "%d %s", resp.StatusCode, body)
}

// ago sets a variable to a time before now, in ms since the Unix epoch: ago NAME DURATION.
func ago(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: ago NAME DURATION")
	}
	d, err := time.ParseDuration(args[1])
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(time.Now().Add(-d).UnixMilli()))
}

// answers waits until an expression has one value: answers ADDRESS PROMQL VALUE.
func answers(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: answers ADDRESS PROMQL VALUE")
	}
	const attempts, pause = 600, 50 * time.Millisecond
	var body []byte
	for range attempts {
		resp, err := http.Get("http://" + args[0] + "/api/v1/query?query=" + url.QueryEscape(args[1]))
		ts.Check(err)
		body, err = io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		var answer struct {
			Data struct{ Result []struct{ Value [2]any } }
		}
		if json.Unmarshal(body, &answer) == nil && len(answer.Data.Result) == 1 && answer.Data.Result[0].Value[1] == args[2] {
			return
		}
		time.Sleep(pause) // between two questions to another process
	}
	ts.Fatalf("%s does not answer %s to %s within %s, but %s", args[0], args[2], args[1], attempts*pause, body)
}

// totals waits until a node answers with a total for a metric: totals ADDRESS METRIC VALUE.
func totals(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: totals ADDRESS METRIC VALUE")
	}
	const attempts, pause = 600, 50 * time.Millisecond
	var body []byte
	for range attempts {
		resp, err := http.Get("http://" + args[0] + "/v1/total?metric=" + url.QueryEscape(args[1]))
		ts.Check(err)
		body, err = io.ReadAll(resp.Body)
		ts.Check(errors.Join(err, resp.Body.Close()))
		var answer struct{ Results []struct{ Value float64 } }
		ts.Check(json.Unmarshal(body, &answer))
		if len(answer.Results) == 1 && fmt.Sprint(answer.Results[0].Value) == args[2] {
			return
		}
		time.Sleep(pause) // between two questions to another process
	}
	ts.Fatalf("%s does not answer %s for %s within %s, but %s", args[0], args[2], args[1], attempts*pause, body)
}
