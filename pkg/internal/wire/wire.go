// Package wire is what mdapi, restapi and orgauth share of talking to a
// Salesforce instance: where a token may go, and how an answer is read.
package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"
)

// MaxAnswer is the most bytes of an answer that are read, after decompression.
const MaxAnswer = 16 << 20

// ParseInstance checks that tokens may be sent to an instance URL: https, or
// http where the host is this machine's loopback. Path, query and user
// information have no place in it.
func ParseInstance(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSpace(raw), "/"))
	if err != nil || u.Host == "" {
		// The text is not repeated: whatever was put here by mistake may be secret.
		return nil, errors.New("the instance URL is not a URL like https://example.my.salesforce.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" {
		return nil, fmt.Errorf("the instance URL has more than a scheme and the host %s", u.Host)
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, fmt.Errorf("a token is sent over https only, and the instance URL %s://%s is not (http is for this machine's own loopback)", u.Scheme, u.Host)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// withoutRedirects returns the client such that it does not follow redirects:
// the body and headers that they would carry along hold the token.
func withoutRedirects(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// StatusError is an answer that is not what the API says: a status without a
// body that the API defines, a page of a proxy, a redirect.
type StatusError struct {
	Host   string
	Status int    // the HTTP status
	What   string // what is wrong with the answer
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered HTTP %d %s: %s", e.Host, e.Status, http.StatusText(e.Status), e.What)
}

// Do sends a request with the session's token, which prepare puts into it, and
// returns the answer's status and body. The answer is read up to MaxAnswer and
// refused beyond; a redirect is refused as well. Neither an error nor the body
// holds the token: where the org repeats it, in a message say, it is masked.
func Do(ctx context.Context, client *http.Client, tokens oauth2.TokenSource, prepare func(token string) (*http.Request, error)) (status int, body []byte, err error) {
	token, err := tokens.Token()
	if err != nil {
		return 0, nil, err
	}
	req, err := prepare(token.AccessToken)
	if err != nil {
		return 0, nil, err
	}
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := withoutRedirects(client).Do(req.WithContext(ctx))
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // the URL around it says nothing that the host doesn't
		}
		return 0, nil, fmt.Errorf("%s did not answer: %w", req.URL.Host, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return resp.StatusCode, nil, &StatusError{req.URL.Host, resp.StatusCode, "a redirect, which is not followed because it would carry the token elsewhere; use the org's own My Domain URL"}
	}
	body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return resp.StatusCode, nil, fmt.Errorf("the answer of %s broke off: %w", req.URL.Host, err)
	}
	if len(body) > MaxAnswer {
		return resp.StatusCode, nil, &StatusError{req.URL.Host, resp.StatusCode, fmt.Sprintf("more than %d MiB", MaxAnswer>>20)}
	}
	if token.AccessToken != "" {
		body = bytes.ReplaceAll(body, []byte(token.AccessToken), []byte("(token)"))
	}
	return resp.StatusCode, body, nil
}
