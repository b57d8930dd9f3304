package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"gopkg.in/yaml.v3"

	"meshd/cmd/meshd/internal/suggest"
)

// envPrefix starts every variable that is ours: an unknown one is a misspelled setting.
const envPrefix = "MESHD_"

// maxFileBytes bounds the YAML file: a thousand times what all settings need.
const maxFileBytes = 1 << 20

// Load builds the settings from the command line, the environment (as os.Environ gives it) and the file that either
// of them names. It returns pflag.ErrHelp when help was asked for.
func Load(args, environ []string) (*Config, error) {
	c := &Config{HostMetrics: true, Memory: defaultMemory}
	var file string
	fs := newFlags(c, &file)
	if err := parseFlags(fs, args); err != nil {
		return nil, err
	}
	if err := applyEnv(fs, environ); err != nil {
		return nil, err
	}
	if file != "" {
		if err := applyFile(fs, file); err != nil {
			return nil, fmt.Errorf("--config: %w", err)
		}
	}
	if err := c.complete(os.Hostname); err != nil {
		return nil, err
	}
	return c, nil
}

func parseFlags(fs *pflag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if unknown := new(pflag.NotExistError); errors.As(err, &unknown) {
		name := unknown.GetSpecifiedName()
		return fmt.Errorf("unknown flag --%s%s", name, suggest.Hint("--"+name, prefixed(fs, "--")))
	}
	if err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: settings are given as flags", fs.Arg(0))
	}
	return nil
}

// applyEnv sets every flag that the command line left alone from its variable. An empty value counts as given, so that
// a setting of the file can be emptied.
func applyEnv(fs *pflag.FlagSet, environ []string) error {
	environ = slices.Sorted(slices.Values(environ)) // the first error must not depend on the shell
	for _, kv := range environ {
		name, value, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, envPrefix) {
			continue
		}
		f := fs.Lookup(strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(name, envPrefix)), "_", "-"))
		if f == nil || f.Hidden || envName(f.Name) != name {
			known := make([]string, 0, 32)
			fs.VisitAll(func(f *pflag.Flag) { known = append(known, envName(f.Name)) })
			return fmt.Errorf("unknown variable %s%s", name, suggest.Hint(name, known))
		}
		if f.Changed {
			continue
		}
		if err := fs.Set(f.Name, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// applyFile sets every flag that neither command line nor environment gave from the keys of a YAML file.
func applyFile(fs *pflag.FlagSet, file string) error {
	b, err := readLimited(file)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(b)).Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", file, err)
	}
	if len(doc.Content) == 0 {
		return nil // empty, or comments only
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("%s:%d: must be a list of `key: value`", file, root.Line)
	}
	seen := make(map[string]bool)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		f := fs.Lookup(key.Value)
		switch {
		case f == nil || f.Hidden || f.Name == "config":
			return fmt.Errorf("%s:%d: unknown key %q%s", file, key.Line, key.Value, suggest.Hint(key.Value, prefixed(fs, "")))
		case seen[f.Name]:
			return fmt.Errorf("%s:%d: key %q is given twice", file, key.Line, key.Value)
		}
		seen[f.Name] = true
		if f.Changed {
			continue
		}
		text, err := scalarText(value)
		if err == nil {
			err = fs.Set(f.Name, text)
		}
		if err != nil {
			return fmt.Errorf("%s:%d: key %q: %w", file, value.Line, key.Value, err)
		}
	}
	return nil
}

// scalarText is a YAML value as the text that the flag would be given: a list is joined by commas.
func scalarText(n *yaml.Node) (string, error) {
	switch n.Kind {
	case yaml.ScalarNode:
		return n.Value, nil
	case yaml.SequenceNode:
		items := make([]string, len(n.Content))
		for i, item := range n.Content {
			if item.Kind != yaml.ScalarNode {
				return "", errors.New("list items must be plain values")
			}
			items[i] = item.Value
		}
		return strings.Join(items, ","), nil
	default:
		return "", errors.New("must be a plain value or a list of them")
	}
}

func readLimited(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxFileBytes {
		return nil, fmt.Errorf("%s: larger than %s: not a configuration", file, formatSize(maxFileBytes))
	}
	return b, nil
}

func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// prefixed lists the names of all flags that users may know about.
func prefixed(fs *pflag.FlagSet, prefix string) []string {
	var names []string
	fs.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, prefix+f.Name)
		}
	})
	return names
}
