package query

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxAnswerBytes bounds what a client reads: 10,000 results with every label at its longest stay below.
const maxAnswerBytes = 512 << 20

// Client asks a node's HTTP API. It is safe for concurrent use.
type Client struct {
	base  string // scheme and host
	at    string // as people write it
	token string
	http  *http.Client
}

// NewClient returns a client for the node at HOST:PORT, or at an http:// or https:// address. token is sent if it is
// not empty. Waiting is bounded by the contexts of the calls.
func NewClient(at, token string) (*Client, error) {
	base := at
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("query: %q is no address of a node: write HOST:PORT", at)
	}
	return &Client{base: u.Scheme + "://" + u.Host, at: u.Host, token: token, http: &http.Client{}}, nil
}

// TotalRequest is a request to /v1/total; see design section 9 and parseTotal for what its fields may hold.
type TotalRequest struct {
	Metric    string   // name or pattern; required
	Match     []string // conditions: "k=v", "k!=v", "k=~re", "k!~re"
	By        []string // labels to split by; "*" for all
	Quantiles []string // "0.5", "0.99"
	Kind      string   // "": all
	Agg       string   // "": the kind's default
	Top       int      // 0: all
	Require   float64  // share of nodes, 0 to 1; 0: anything will do
	MaxAge    time.Duration

	// Of a question about time, as /v1/total reads them; all "" for lifetimes.
	Start, End, Step, Window, Zone string
}

func (r *TotalRequest) values() url.Values {
	v := selectionValues(r.Metric, r.Match, r.Kind)
	v["by"], v["quantile"] = r.By, r.Quantiles
	if r.Agg != "" {
		v.Set("agg", r.Agg)
	}
	if r.Top != 0 {
		v.Set("top", strconv.Itoa(r.Top))
	}
	if r.Require != 0 {
		v.Set("require", strconv.FormatFloat(r.Require, 'g', -1, 64))
	}
	if r.MaxAge != 0 {
		v.Set("max_age", r.MaxAge.String())
	}
	for name, value := range map[string]string{"start": r.Start, "end": r.End, "step": r.Step, "window": r.Window, "tz": r.Zone} {
		if value != "" {
			v.Set(name, value)
		}
	}
	return v
}

func selectionValues(metric string, match []string, kind string) url.Values {
	v := url.Values{"metric": {metric}, "match": match}
	if kind != "" {
		v.Set("kind", kind)
	}
	return v
}

// StatusError is a refusal by the node.
type StatusError struct {
	Code int    // HTTP status
	Text string // what the node says, with what to do
}

// Error returns the node's own words: they say what to do.
func (e *StatusError) Error() string {
	if e.Text == "" {
		return fmt.Sprintf("query: the node answered with status %d", e.Code)
	}
	return "query: " + e.Text
}

// Total asks for totals. If the coverage is less than was asked for, both the answer and a *StatusError are returned.
func (c *Client) Total(ctx context.Context, r TotalRequest) (*TotalAnswer, error) {
	var a TotalAnswer
	err := c.ask(ctx, "/v1/total", r.values(), &a)
	if err != nil && len(a.Coverage.Regions) == 0 {
		return nil, err
	}
	return &a, err
}

// Explain asks for the cells behind the series of a metric. kind "" takes all kinds.
func (c *Client) Explain(ctx context.Context, metric string, match []string, kind string) (*ExplainAnswer, error) {
	return answer[ExplainAnswer](ctx, c, "/v1/explain", selectionValues(metric, match, kind))
}

// Members asks who is in the mesh.
func (c *Client) Members(ctx context.Context) (*MembersAnswer, error) {
	return answer[MembersAnswer](ctx, c, "/v1/members", nil)
}

// Status asks how the node is.
func (c *Client) Status(ctx context.Context) (*StatusAnswer, error) {
	return answer[StatusAnswer](ctx, c, "/v1/status", nil)
}

func answer[T any](ctx context.Context, c *Client, path string, v url.Values) (*T, error) {
	a := new(T)
	if err := c.ask(ctx, path, v, a); err != nil {
		return nil, err
	}
	return a, nil
}

// ask decodes the body into out whatever the status is, because a 503 may carry an answer too.
func (c *Client) ask(ctx context.Context, path string, v url.Values, out any) error {
	if len(v) > 0 {
		path += "?" + v.Encode()
	}
	return c.send(ctx, http.MethodGet, path, nil, out)
}

// send makes a request and decodes the answer as ask says.
func (c *Client) send(ctx context.Context, method, path string, doc []byte, out any) error {
	resp, err := c.request(ctx, method, path, doc)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswerBytes))
	if err != nil {
		return c.explainFailure(ctx, err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(body, out); err != nil {
			return fmt.Errorf("query: %s does not answer as meshd does: %w: is another program there?", c.at, err)
		}
		return nil
	}
	refusal := refusalOf(resp.StatusCode, body)
	if refusal.Text != "" {
		_ = json.Unmarshal(body, out) // refusals have no more than their text
	}
	return refusal
}

// request makes a request. The caller closes the answer's body.
func (c *Client) request(ctx context.Context, method, path string, doc []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(doc))
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explainFailure(ctx, err)
	}
	return resp, nil
}

// refusalOf reads what a node says when it refuses.
func refusalOf(code int, body []byte) *StatusError {
	refusal := &StatusError{Code: code}
	var e errorAnswer
	if json.Unmarshal(body, &e) == nil {
		refusal.Text = e.Error
	}
	return refusal
}

// explainFailure says in the operator's words why no answer came.
func (c *Client) explainFailure(ctx context.Context, err error) error {
	var dns *net.DNSError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("query: no node answers at %s: is meshd running there? (%w)", c.at, syscall.ECONNREFUSED)
	case errors.As(err, &dns):
		return fmt.Errorf("query: the name in %s is not known: write HOST:PORT of a node (%w)", c.at, dns)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("query: no answer from %s in time: is the network there? (%w)", c.at, ctx.Err())
	}
	return fmt.Errorf("query: ask %s: %w", c.at, err)
}
