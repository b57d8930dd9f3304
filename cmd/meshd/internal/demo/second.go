package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/cluster"
	"meshd/cmd/meshd/internal/suggest"
)

// Usage is the help of `meshd demo`.
const Usage = `usage: meshd demo                              run ten nodes on this machine until Ctrl-C
       meshd demo status                       show them, from another terminal
       meshd demo cut NODE|REGION              lose every datagram between it and the others
       meshd demo heal [NODE|REGION]           end that cut, or all of them
       meshd demo kill NODE|REGION             end the processes at once, as a power cut would
       meshd demo restart NODE|REGION [--wipe] start them again, with --wipe on an empty disk
`

// ErrUsage is wrapped by errors about how a command was written.
var ErrUsage = errors.New("see `meshd demo --help`")

// Order does one of the commands for the second terminal; args begins with its name.
func Order(ctx context.Context, args []string, out io.Writer) error {
	fs := pflag.NewFlagSet("meshd demo", pflag.ContinueOnError)
	fs.Usage = func() {}
	wipe := fs.Bool("wipe", false, "")
	if err := fs.Parse(args); errors.Is(err, pflag.ErrHelp) {
		return err
	} else if err != nil {
		return fmt.Errorf("demo: %w: %w", err, ErrUsage)
	}
	verb, target := fs.Arg(0), fs.Arg(1)
	verbs := []string{"status", "cut", "heal", "kill", "restart"}
	f, err := userFolder()
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	switch {
	case fs.NArg() > 2 || verb == "status" && target != "":
		return fmt.Errorf("demo %s: too many arguments: %w", verb, ErrUsage)
	case *wipe && verb != "restart":
		return fmt.Errorf("demo %s: --wipe belongs to restart: %w", verb, ErrUsage)
	case verb == "status":
		return showStatus(ctx, f, out)
	case (verb == "cut" || verb == "kill" || verb == "restart") && target == "":
		return fmt.Errorf("demo %s: name a node or a region: %w", verb, ErrUsage)
	case verb == "cut" || verb == "heal" || verb == "kill" || verb == "restart":
		query := url.Values{"target": {target}}
		if *wipe {
			query.Set("wipe", "1")
		}
		if _, err := f.call(ctx, http.MethodPost, "/"+verb, query); err != nil {
			return fmt.Errorf("demo: %w", err)
		}
		return nil
	default:
		return fmt.Errorf("demo: unknown command %q%s: %w", verb, suggest.Hint(verb, verbs), ErrUsage)
	}
}

func showStatus(ctx context.Context, f folder, out io.Writer) error {
	body, err := f.call(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	var nodes []cluster.State
	if err := json.Unmarshal(body, &nodes); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	printNodes(out, nodes)
	return nil
}
