package main

import (
	"net"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meshd": main})
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
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"hold": hold},
	})
}

// hold takes a free port of a network (tcp or udp) for the rest of the script and puts its address into a variable:
// hold NETWORK VARIABLE.
func hold(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hold NETWORK VARIABLE")
	}
	var c interface{ Close() error }
	var addr net.Addr
	if args[0] == "tcp" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		c, addr = l, l.Addr()
	} else {
		p, err := net.ListenPacket("udp", "127.0.0.1:0")
		ts.Check(err)
		c, addr = p, p.LocalAddr()
	}
	ts.Defer(func() { _ = c.Close() })
	ts.Setenv(args[1], addr.String())
}
