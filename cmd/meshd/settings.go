package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"meshd/query"
)

const configUsage = `usage: meshd config get [flags]        print the mesh's configuration as YAML
       meshd config set FILE [flags]   make a YAML or JSON file the mesh's configuration; - is standard input

Any node takes it and passes it on to all others, which apply it without a restart. Of two that are set at the same
time, the later one counts, whole. meshd status shows which version a node and its neighbours have.

silence: 10s       how long a node may not be complete before coverage calls it missing; more where links flush seldom
series: 100000     series of its own that a node takes; the samples of others go to meshd.overflow
forget:            what hubs keep of processes that are over
  after: 30d       how long after the last change they become one sum a node; off = never
  alone: false     also at a hub that knows of no other hub of its region
`

// askConfig shows or replaces the mesh's configuration.
func askConfig(args []string, out io.Writer) error {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" {
		fmt.Fprint(out, configUsage)
		if len(args) == 0 {
			return usagef("config needs get or set FILE")
		}
		return pflag.ErrHelp
	}
	switch args[0] {
	case "get":
		return ask(newQuestion("config get [flags]"), args[1:], out, 0, func(ctx context.Context, c *query.Client) (*query.ConfigAnswer, error) {
			return c.Config(ctx)
		}, renderConfig)
	case "set":
		q := newQuestion("config set FILE [flags]")
		version := q.flags.Uint64("if-version", 0, "refuse unless this is the `version` it replaces")
		return ask(q, args[1:], out, 1, func(ctx context.Context, c *query.Client) (*query.ConfigAnswer, error) {
			doc, err := readConfig(q.flags.Arg(0))
			if err != nil {
				return nil, err
			}
			if !q.flags.Changed("if-version") {
				version = nil
			}
			return c.SetConfig(ctx, doc, version)
		}, renderConfig)
	}
	return usagef("config %q: there are get and set", args[0])
}

// readConfig reads a YAML or JSON file and returns it as JSON.
func readConfig(path string) ([]byte, error) {
	var raw []byte
	var err error
	if path == "-" {
		raw, err = io.ReadAll(os.Stdin)
	} else {
		raw, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	doc := map[string]any{}
	if err := yaml.NewDecoder(bytes.NewReader(raw)).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return json.Marshal(doc)
}

// renderConfig writes a configuration so that it can be changed and set again.
func renderConfig(out io.Writer, a *query.ConfigAnswer) error {
	var doc any
	if err := json.Unmarshal(a.Config, &doc); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	text, err := yaml.Marshal(doc)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if a.Version == 0 {
		_, err = fmt.Fprintf(out, "# the mesh was never configured\n%s", text)
		return err
	}
	_, err = fmt.Fprintf(out, "# version %d by %s at %s\n%s", a.Version, a.Author, a.Made.UTC().Format("2006-01-02T15:04:05Z"), text)
	return err
}
