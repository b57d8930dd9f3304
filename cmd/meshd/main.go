package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/demo"
	"meshd/cmd/meshd/internal/suggest"
)

// version is what this binary calls itself; nodes of adjacent minor versions work together.
const version = "0.1.0"

// Exit codes, as documented by `meshd help`.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
	exitShort  = 3
)

// errUsage is wrapped by errors about how the program was called.
var errUsage = errors.New("wrong usage")

// command is one word after meshd.
type command struct {
	name, summary string
	run           func(args []string, out io.Writer) error
}

func commands() []command {
	return []command{
		{"run", "run a node", runNode},
		{"demo", "run a mesh of ten nodes on this machine, to play with", runDemo},
		{"total", "ask for the total of a metric over the whole mesh", askTotal},
		{"query", "evaluate PromQL over the history of the mesh", askQuery},
		{"series", "list the series that counted something", askSeries},
		{"top", "watch what counts most", askTop},
		{"explain", "show the cells and rules behind a total", askExplain},
		{"members", "list the nodes of the mesh", askMembers},
		{"status", "show how a node is", askStatus},
		{"config", "show or replace the configuration of the mesh", askConfig},
		{"drop", "drop what was counted on some series, everywhere", askDrop},
		{"remove", "stop expecting a node that is gone", askRemove},
		{"replay", "rebuild a hub's data directory from a durable log", runReplay},
		{"recompute", "correct what was counted by a wrong rule, from raw events", runRecompute},
		{"events", "print the raw events that a log of them has", printEvents},
		{"verify", "compare what a node holds with a durable log or another node", runVerify},
		{"bench", "measure, on this machine", runBench},
		{"simulate", "try a mesh and its faults in virtual time", runSimulate},
		{"ca", "make, sign and revoke certificates", runCA},
		{"version", "print the version", printVersion},
	}
}

func main() { os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr)) }

// execute does one command and returns the exit code.
func execute(args []string, out, errOut io.Writer) int {
	err := dispatch(args, out)
	var short *shortError
	switch {
	case err == nil, errors.Is(err, pflag.ErrHelp):
		return exitOK
	case errors.As(err, &short):
		fmt.Fprintln(errOut, "meshd:", short)
		return exitShort
	case errors.Is(err, errUsage):
		fmt.Fprintln(errOut, "meshd:", strings.TrimSuffix(err.Error(), ": "+errUsage.Error()))
		return exitUsage
	default:
		fmt.Fprintln(errOut, "meshd:", err)
		return exitFailed
	}
}

func dispatch(args []string, out io.Writer) error {
	if len(args) == 0 {
		printUsage(out)
		return usagef("no command given")
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "--help":
		if len(rest) == 0 {
			printUsage(out)
			return nil
		}
		name, rest = rest[0], []string{"--help"}
	case "--version":
		name = "version"
	}
	var known []string
	for _, c := range commands() {
		if c.name == name {
			return c.run(rest, out)
		}
		known = append(known, c.name)
	}
	return usagef("unknown command %q%s; `meshd help` lists the commands", name, suggest.Hint(name, known))
}

// usagef is an error about how the program was called.
func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %w", fmt.Errorf(format, args...), errUsage)
}

func printUsage(out io.Writer) {
	fmt.Fprint(out, "meshd counts, exactly, across sites that are far apart and badly connected.\n\nusage: meshd COMMAND [FLAGS]\n\n")
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-9s  %s\n", c.name, c.summary)
	}
	fmt.Fprint(out, `
meshd help COMMAND shows the flags of one command. To begin with: meshd demo.

exit codes: 0 done, or stopped as asked; 1 failed; 2 wrong command line, variable or configuration;
3 answered, but the answer covers less than was demanded
`)
}

func printVersion(args []string, out io.Writer) error {
	if len(args) > 0 && args[0] != "--help" {
		return usagef("version takes no arguments")
	}
	revision := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = ", revision " + s.Value
			}
		}
	}
	fmt.Fprintf(out, "meshd %s (%s, %s/%s%s)\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, revision)
	return nil
}

func runDemo(args []string, out io.Writer) error {
	if len(args) == 0 {
		return demo.Run(out)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := demo.Order(ctx, args, out)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Fprint(out, demo.Usage)
	case errors.Is(err, demo.ErrUsage):
		return usagef("%w", err)
	}
	return err
}
