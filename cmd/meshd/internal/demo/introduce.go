package demo

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"meshd/cmd/meshd/internal/cluster"
)

// introduce prints where the nodes are and commands that work as they stand.
func (sc *screen) introduce() {
	printNodes(sc.out, sc.s.Status())
	nodes := sc.nodes
	east, west := nodes[2], nodes[7] // the first edge of each region
	fmt.Fprint(sc.out, strings.NewReplacer(
		"MESHD", sc.command, "EAST_HTTP", east.HTTP, "WEST_HTTP", west.HTTP,
		"EAST_STATSD", strings.Replace(east.StatsD, ":", "/", 1), "EAST", east.Name, "WEST", west.Name,
		"FOLDER", string(sc.folder),
	).Replace(introduction))
}

const introduction = `
Logs, certificates and data lie in FOLDER.
All ten nodes share this machine, so each counts the same host: the mesh's host metrics are ten times one host's.

Any node answers for the whole mesh, and says what its answer is missing:
  curl 'http://EAST_HTTP/v1/total?metric=demo.orders&by=region'
  MESHD total 'demo.*' --at WEST_HTTP
  MESHD total demo.latency_ms --quantile 0.5,0.99 --at WEST_HTTP

Count something in the east, ask for it in the west:
  curl -d '{"event":"my.clicks","value":5}' http://EAST_HTTP/v1/events
  echo 'my.clicks:1|c' > /dev/udp/EAST_STATSD     # in bash
  MESHD total my.clicks --at WEST_HTTP

Cut the regions apart from a second terminal: both go on counting, and after the heal the total is exact:
  MESHD demo cut east
  MESHD total demo.orders --by region --at EAST_HTTP
  MESHD total demo.orders --by region --at WEST_HTTP
  MESHD demo heal east

Kill a node; nothing that it acknowledged is lost:
  MESHD demo kill WEST
  MESHD demo restart WEST           # add --wipe to lose its disk
  MESHD demo status

Ctrl-C ends all of it.

`

func printNodes(out io.Writer, nodes []cluster.State) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NODE\tROLE\tSTATE\tPID\tHTTP\tSTATSD")
	for _, n := range nodes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\thttp://%s\t%s\n", n.Name, n.Role, n.State, n.PID, n.HTTP, n.StatsD)
	}
	_ = w.Flush() // to a terminal; the process ends by signal if it is gone
}
