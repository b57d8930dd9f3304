//go:build mutants

package mutant

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Tables is the environment variable that names the directory into which tables of kills are written, for who runs
// the tests to show.
const Tables = "MESHD_MUTANT_TABLES"

// Show writes a table in Markdown to standard output and to the directory of Tables, if there is one.
func Show(name, table string) error {
	fmt.Print(table)
	dir := os.Getenv(Tables)
	if dir == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "mutants-"+name+".md"), []byte(table), 0o644)
}

// Publish replaces the table of a name in docs/testing.md, below the module's root.
func Publish(root, name, table string) error {
	file := filepath.Join(root, "docs", "testing.md")
	begin, end := "<!-- mutants: "+name+" -->\n", "<!-- end of "+name+" -->\n"
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, found := strings.Cut(rest, end)
	if !ok || !found {
		return fmt.Errorf("mutant: %s has no place for the table of %s: want the lines %q and %q", file, name, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+table+end+after), 0o644)
}
