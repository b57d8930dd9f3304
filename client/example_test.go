package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"meshd/client"
)

// startNode stands for a node: it takes everything. A real one is `meshd run`.
func startNode() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answers := map[string]string{"open": `{"session":"00000000000000000000000000000001"}`, "count": `{"accepted":1}`}
		if _, err := io.WriteString(w, answers[r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:]]); err != nil {
			panic(err)
		}
	}))
}

// A service makes its instruments once and counts into them from all its goroutines.
func Example() {
	node := startNode()
	defer node.Close()
	c, err := client.New(client.Config{
		Nodes:  []string{node.URL, "http://10.0.0.7:8946"}, // the node beside it, and one to fall back on
		Labels: map[string]string{"app": "shop"},
	})
	if err != nil {
		panic(err)
	}
	requests := c.Counter("http.requests", "path", "/cart")
	took := c.Timer("http.seconds", "path", "/cart")
	users := c.Unique("users")
	for _, user := range []string{"ann", "bob", "ann"} {
		watch := took.Start()
		requests.Inc()
		users.Add(user)
		watch.Stop()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(c.Close(ctx), c.Stats().Series, "series")
	// Output: <nil> 3 series
}

// A short job counts, and ends only when a node has it on disk.
func ExampleClient_Close() {
	node := startNode()
	defer node.Close()
	c, err := client.New(client.Config{Nodes: []string{node.URL}})
	if err != nil {
		panic(err)
	}
	c.Counter("jobs.done").Inc()
	c.Distribution("jobs.rows").Observe(1250)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := c.Close(ctx); err != nil {
		fmt.Println("not all of it arrived:", err)
	}
	fmt.Println(c.Stats().Reports, "report acknowledged")
	// Output: 1 report acknowledged
}

// A function that is kept warm flushes at the end of every call, since it may be frozen after it.
func ExampleClient_Flush() {
	node := startNode()
	defer node.Close()
	c, err := client.New(client.Config{Nodes: []string{node.URL}})
	if err != nil {
		panic(err)
	}
	calls := c.Counter("calls")
	handle := func(ctx context.Context) error {
		calls.Inc()
		return c.Flush(ctx)
	}
	fmt.Println(handle(context.Background()), handle(context.Background()))
	// Output: <nil> <nil>
}

// A till that is often offline: what it counts survives its restarts, and counts once when its node is back.
func ExampleConfig_buffer() {
	c, err := client.New(client.Config{Nodes: []string{"http://127.0.0.1:8946"}, BufferDir: "/var/lib/till/meshd"})
	if err != nil {
		log.Fatal(err)
	}
	c.Counter("sold", "till", "7").Inc()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	switch err := c.Close(ctx); {
	case errors.Is(err, client.ErrBuffered):
		log.Print("no node is reachable: kept for the next start")
	case err != nil:
		log.Print(err)
	}
}
