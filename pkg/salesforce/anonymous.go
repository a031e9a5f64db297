package salesforce

import (
	"cmp"
	"context"
	"io"
)

// WithoutToken returns a connection to another address with the settings of c, for Ask: it has no token.
func (c *Conn) WithoutToken(address string) *Conn {
	return &Conn{InstanceURL: address, HTTPClient: c.HTTPClient, Timeout: c.Timeout, Retry: c.Retry, UserAgent: c.UserAgent}
}

// Ask makes a call without a token, and returns the answer whatever its status. It neither uses Tokens nor
// follows redirects, whose target is in the header Location of the answer. Transient failures are retried if
// the call is idempotent. The error is a *NetworkError or, for an answer over MaxAnswer bytes, a *StatusError.
func (c *Conn) Ask(ctx context.Context, r Request) (*Response, error) {
	r.Authorize = false
	var answer *Response
	once := func() (err error) {
		answer, err = c.ask(ctx, r)
		return err
	}
	retry := c.Retry
	if !r.Idempotent {
		retry = nil
	}
	err := retry.Do(ctx, once)
	return answer, err
}

func (c *Conn) ask(ctx context.Context, r Request) (*Response, error) {
	req, err := c.request(r, Secret{})
	if err != nil {
		return nil, err
	}
	limit := cmp.Or(max(c.Timeout, 0), DefaultTimeout)
	own, cancel := context.WithTimeoutCause(ctx, limit, &timeoutError{limit})
	defer cancel()
	resp, err := c.send(req.WithContext(own))
	if err != nil {
		return nil, r.named(c.failed(ctx, own, req, Secret{}, err, "did not answer"))
	}
	defer resp.Body.Close()
	answer := &Response{Host: req.URL.Host, Status: resp.StatusCode, Header: resp.Header, path: req.URL.Path}
	if answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1)); err != nil {
		return nil, r.named(c.failed(ctx, own, req, Secret{}, err, "ended its answer early"))
	}
	if len(answer.Body) > MaxAnswer {
		return nil, r.named(answer.tooLong())
	}
	return answer, nil
}
