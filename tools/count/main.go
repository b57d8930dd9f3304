// Command count adds up files of `go test -json` events and prints one line, "N passed, N failed, N skipped". Subtests
// count. A package that failed without a failed test (it did not compile, or died) counts as one failure.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// event is the part of a test event that is counted.
type event struct {
	Action, Package, Test string
}

func main() {
	counts := make(map[string]int)
	for _, name := range os.Args[1:] {
		if err := count(name, counts); err != nil {
			fmt.Fprintln(os.Stderr, "count:", err)
			os.Exit(1)
		}
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", counts["pass"], counts["fail"], counts["skip"])
}

func count(name string, counts map[string]int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	failed := make(map[string]bool) // packages with a failed test
	for events := json.NewDecoder(f); ; {
		var e event
		if err := events.Decode(&e); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		switch {
		case e.Test != "":
			counts[e.Action]++
			failed[e.Package] = failed[e.Package] || e.Action == "fail"
		case e.Action == "fail" && !failed[e.Package]:
			counts["fail"]++
		}
	}
}
