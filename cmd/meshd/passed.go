package main

import (
	"os"

	"github.com/spf13/pflag"

	"meshd/cmd/meshd/internal/config"
)

// passed are flags of a command that mean what those of meshd run mean, so that it can be called with a node's own settings.
type passed struct {
	fs    *pflag.FlagSet
	names []string
	given map[string]*string
}

func newPassed(fs *pflag.FlagSet, names ...string) *passed {
	p := &passed{fs, names, map[string]*string{}}
	for _, name := range names {
		p.given[name] = fs.String(name, "", "as of meshd run")
	}
	return p
}

// load reads the settings once the flags are parsed.
func (p *passed) load() (*config.Config, error) {
	var settings []string
	for _, name := range p.names {
		if p.fs.Changed(name) {
			settings = append(settings, "--"+name+"="+*p.given[name])
		}
	}
	return config.Load(settings, os.Environ())
}
