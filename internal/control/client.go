package control

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
	"time"
)

// ErrNotRunning says that no daemon answers on the socket.
var ErrNotRunning = errors.New("no nitrod answers")

// Client asks a running daemon. Thread-safety: any number of goroutines.
type Client struct {
	socket string
	http   http.Client
}

// NewClient returns a client of the daemon whose control socket is at path. It
// waits for an answer for half a minute.
func NewClient(path string) *Client { return NewPatientClient(path, 30*time.Second) }

// NewPatientClient is NewClient with another time to wait.
func NewPatientClient(path string, patience time.Duration) *Client {
	c := &Client{socket: path}
	c.http.Timeout = patience
	c.http.Transport = &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}}
	return c
}

// Get asks for path with a query and decodes the answer into out.
func (c *Client) Get(path string, query url.Values, out any) error {
	u := url.URL{Scheme: "http", Host: "nitrod", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	return c.do(req, out)
}

// Post sends in to path and decodes the answer into out.
func (c *Client) Post(path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://nitrod"+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	return c.do(req, out)
}

// Delete asks for the removal of what path and query name.
func (c *Client) Delete(path string, query url.Values) error {
	u := url.URL{Scheme: "http", Host: "nitrod", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequest(http.MethodDelete, u.String(), nil)
	if err != nil {
		return err
	}
	return c.do(req, new(struct{}))
}

func (c *Client) do(req *http.Request, out any) error {
	resp, err := c.http.Do(req)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return fmt.Errorf("%w on %s: %w", ErrNotRunning, c.socket, op.Err)
		}
		return fmt.Errorf("nitrod on %s: %w", c.socket, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var p Problem
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&p) == nil && p.Error != "" {
			return errors.New(p.Error)
		}
		return fmt.Errorf("nitrod on %s answered %s", c.socket, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(out)
}
