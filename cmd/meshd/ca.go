package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/suggest"
	"meshd/internal/pki"
)

const caUsage = `usage: meshd ca init   [--dir DIR] [--mesh NAME] [--valid TIME]
       meshd ca issue  [--dir DIR] --node NAME [--region NAME] [--role hub|edge] [--valid TIME]
       meshd ca sign   [--dir DIR] [--valid TIME] REQUEST.csr        writes REQUEST.crt beside it
       meshd ca revoke [--dir DIR] NODE.crt|SERIAL

DIR is the authority's folder, meshd-ca if not given. A node needs its ca.crt, a certificate and a key; keep ca.key
away from nodes. Revoked certificates stand in deny.txt, signed by the authority: copy it beside the ca.crt of any one
hub, which tells all other nodes.
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
	valid := validFlag(fs, pki.AuthorityValid)
	if err := parseCA(fs, "init [flags]", 0, args, out); err != nil {
		return err
	}
	if err := pki.Init(*dir, *mesh, valid.time); err != nil {
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
	valid := validFlag(fs, pki.NodeValid)
	if err := parseCA(fs, "issue --node NAME [flags]", 0, args, out); err != nil {
		return err
	}
	if n.Node == "" {
		return usagef("ca issue: --node is missing")
	}
	cert, key, err := pki.Issue(*dir, n, valid.time)
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
	valid := validFlag(fs, pki.NodeValid)
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
	cert, name, err := pki.SignCSR(*dir, csr, valid.time)
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
	fmt.Fprintf(out, "revoked %s; copy %s beside the ca.crt of any hub: it reads the file within a second and tells all others\n",
		serial, filepath.Join(*dir, pki.DenyFile))
	return nil
}

// validity is how long a certificate is valid, in days or as Go writes durations.
type validity struct{ time time.Duration }

// validFlag adds --valid to fs.
func validFlag(fs *pflag.FlagSet, usual time.Duration) *validity {
	v := &validity{usual}
	fs.Var(v, "valid", "`time` after which the certificate ends: 90d, 36h")
	return v
}

func (v *validity) String() string {
	if day := 24 * time.Hour; v.time > 0 && v.time%day == 0 {
		return strconv.FormatInt(int64(v.time/day), 10) + "d"
	}
	return v.time.String()
}

func (v *validity) Set(s string) error {
	d, err := time.ParseDuration(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		var n int64
		n, err = strconv.ParseInt(days, 10, 16) // 89 years
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < time.Minute {
		return fmt.Errorf("%q: must be a time of at least a minute such as 90d or 36h", s)
	}
	v.time = d
	return nil
}

func (v *validity) Type() string { return "time" }

func parseCA(fs *pflag.FlagSet, about string, want int, args []string, out io.Writer) error {
	if err := parse(fs, "ca "+about, args, out); err != nil {
		return err
	}
	if fs.NArg() != want {
		return usagef("got %d arguments, want %d: ca %s", fs.NArg(), want, about)
	}
	return nil
}
