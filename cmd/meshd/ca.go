package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/suggest"
	"meshd/internal/pki"
)

const caUsage = `usage: meshd ca init   [--dir DIR] [--mesh NAME]
       meshd ca issue  [--dir DIR] --node NAME [--region NAME] [--role hub|edge]
       meshd ca sign   [--dir DIR] REQUEST.csr        writes REQUEST.crt beside it
       meshd ca revoke [--dir DIR] NODE.crt|SERIAL

DIR is the authority's folder, meshd-ca if not given. A node needs its ca.crt, a certificate and a key; keep ca.key
away from nodes. Revoked certificates stand in deny.txt: copy it beside the ca.crt of every node.
`

// runCA does one of the certificate commands.
func runCA(args []string, out io.Writer) error {
	verbs := map[string]func([]string, io.Writer) error{"init": caInit, "issue": caIssue, "sign": caSign, "revoke": caRevoke}
	if len(args) == 0 {
		fmt.Fprint(out, caUsage)
		return usagef("ca: no command given")
	}
	if args[0] == "--help" || args[0] == "-h" {
		fmt.Fprint(out, caUsage)
		return nil
	}
	verb, ok := verbs[args[0]]
	if !ok {
		return usagef("ca: unknown command %q%s", args[0], suggest.Hint(args[0], []string{"init", "issue", "sign", "revoke"}))
	}
	return verb(args[1:], out)
}

// caFlags is a flag set with the authority's folder in it.
func caFlags() (fs *pflag.FlagSet, dir *string) {
	fs = pflag.NewFlagSet("meshd ca", pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {}
	return fs, fs.String("dir", "meshd-ca", "`folder` of the authority")
}

func caInit(args []string, out io.Writer) error {
	fs, dir := caFlags()
	mesh := fs.String("mesh", "default", "`name` of the mesh whose nodes trust each other")
	if err := parseCA(fs, "init [flags]", 0, args, out); err != nil {
		return err
	}
	if err := pki.Init(*dir, *mesh); err != nil {
		return err
	}
	fmt.Fprintf(out, "made %s for mesh %s; keep %s secret and backed up\n",
		filepath.Join(*dir, pki.CAFile), *mesh, filepath.Join(*dir, pki.KeyFile))
	return nil
}

func caIssue(args []string, out io.Writer) error {
	fs, dir := caFlags()
	var n pki.Name
	fs.StringVar(&n.Node, "node", "", "`name` of the node (required)")
	fs.StringVar(&n.Region, "region", "default", "`name` of its region")
	fs.StringVar(&n.Role, "role", "hub", "`hub|edge`")
	if err := parseCA(fs, "issue --node NAME [flags]", 0, args, out); err != nil {
		return err
	}
	if n.Node == "" {
		return usagef("ca issue: --node is missing")
	}
	cert, key, err := pki.Issue(*dir, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "made %s and %s; run the node with\n  --tls-ca %s --tls-cert %s --tls-key %s\n",
		cert, key, filepath.Join(*dir, pki.CAFile), cert, key)
	return nil
}

// maxRequestBytes bounds a signing request: those of one key and one name have about 500 bytes.
const maxRequestBytes = 64 << 10

func caSign(args []string, out io.Writer) error {
	fs, dir := caFlags()
	if err := parseCA(fs, "sign REQUEST.csr [flags]", 1, args, out); err != nil {
		return err
	}
	request := fs.Arg(0)
	f, err := os.Open(request)
	if err != nil {
		return fmt.Errorf("ca sign: %w", err)
	}
	defer f.Close()
	csr, err := io.ReadAll(io.LimitReader(f, maxRequestBytes))
	if err != nil {
		return fmt.Errorf("ca sign: %w", err)
	}
	cert, name, err := pki.SignCSR(*dir, csr)
	if err != nil {
		return err
	}
	certFile := strings.TrimSuffix(request, ".csr") + ".crt"
	if err := os.WriteFile(certFile, cert, 0o644); err != nil { // certificates are public
		return fmt.Errorf("ca sign: %w", err)
	}
	fmt.Fprintf(out, "made %s for %s\n", certFile, name)
	return nil
}

func caRevoke(args []string, out io.Writer) error {
	fs, dir := caFlags()
	if err := parseCA(fs, "revoke NODE.crt|SERIAL [flags]", 1, args, out); err != nil {
		return err
	}
	serial, err := pki.Revoke(*dir, fs.Arg(0))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "revoked %s; copy %s beside the ca.crt of every node, which reads it again by itself\n",
		serial, filepath.Join(*dir, pki.DenyFile))
	return nil
}

func parseCA(fs *pflag.FlagSet, about string, want int, args []string, out io.Writer) error {
	if err := parse(fs, "ca "+about, args, out); err != nil {
		return err
	}
	if fs.NArg() != want {
		return usagef("got %d arguments, want %d: ca %s", fs.NArg(), want, about)
	}
	return nil
}
