package node

import (
	"fmt"
	"strings"

	"meshd/internal/mutant"
)

// withholds tells what a read may ask for and this edge does not hold, for people; "" if nothing. It refuses a read of
// metrics by name that are not held: what is here of them are this node's own counts.
func (c *Core) withholds(sel Select) (string, error) {
	if c.downlink == nil || mutant.On("downlink answered as whole") {
		return "", nil
	}
	held := "none"
	if p := c.downlink.Patterns(); len(p) > 0 {
		held = strings.Join(p, ",")
	}
	for _, name := range sel.Names {
		if !c.downlink.Name(name) {
			return "", fmt.Errorf("node: %s: %w: hubs send it the series of --downlink %s only; ask a hub, or another node", name, ErrNotHeld, held)
		}
	}
	if len(sel.Names) > 0 && held != "none" {
		return "", nil
	}
	return fmt.Sprintf("this edge holds the series of its --downlink %s only: others are not in the answer", held), nil
}
