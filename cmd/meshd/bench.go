package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/bench"
	"meshd/cmd/meshd/internal/suggest"
)

// runBench is `meshd bench`.
func runBench(args []string, out io.Writer) error {
	if len(args) == 0 {
		printBenchUsage(out)
		return usagef("bench: name a measurement")
	}
	if args[0] == "--help" || args[0] == "-h" {
		printBenchUsage(out)
		return nil
	}
	var known []string
	for _, b := range bench.List() {
		if b.Name == args[0] {
			return measure(b, args[1:], out)
		}
		known = append(known, b.Name)
	}
	return usagef("bench: unknown measurement %q%s", args[0], suggest.Hint(args[0], known))
}

func printBenchUsage(out io.Writer) {
	fmt.Fprint(out, "usage: meshd bench NAME [flags]\n\nMeasures on this machine and prints one JSON object: the figure, its bar, the raw limit, the machine.\n\n")
	for _, b := range bench.List() {
		fmt.Fprintf(out, "  %-10s  %s\n", b.Name, b.Summary)
	}
	fmt.Fprint(out, "\nmeshd bench NAME --help shows the flags. A figure that misses its bar is a result; a wrong count fails.\n")
}

// measure runs one measurement and prints its report: JSON on out, a line for people on the standard error.
func measure(b bench.Bench, args []string, out io.Writer) error {
	fs := pflag.NewFlagSet("meshd bench "+b.Name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	o := b.Bind(fs)
	if err := parse(fs, "bench "+b.Name+" [flags]", args, out); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return usagef("bench %s: unexpected argument %q", b.Name, fs.Arg(0))
	}
	if err := o.Prepare(fs); err != nil {
		return usagef("%w", err)
	}
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	rep, err := o.Run(ctx, exe, "meshd bench "+strings.Join(append([]string{b.Name}, args...), " "), os.Stderr)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(rep); err != nil {
		return err
	}
	fmt.Fprintln(os.Stderr, rep.Line())
	if len(rep.Wrong) > 0 {
		return errors.New("bench " + b.Name + ": counts were wrong, see above")
	}
	return nil
}
