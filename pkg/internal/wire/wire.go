// Package wire is what mdapi, restapi and orgauth share of talking to a
// Salesforce instance: where a token may go, and how an answer is read.
package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/internal/words"
)

// MaxAnswer is the most bytes of an answer that are read, after decompression.
//
// The answers of these calls hold kilobytes.
const MaxAnswer = 4 << 20

// MaxMarks is the most XML tags and attributes, or JSON objects and members, that an
// answer may have. Each takes some hundred bytes when parsed, whatever its size in the
// answer. A query's page of 2000 records has some ten thousand.
const MaxMarks = 250_000

// ParseInstance checks that tokens may be sent to an instance URL: https, or
// http where the host is this machine's loopback. Path, query and user
// information have no place in it.
func ParseInstance(raw string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(strings.TrimSpace(raw), "/"))
	if err != nil || u.Host == "" {
		// The text is not repeated: whatever was put here by mistake may be secret.
		return nil, errors.New("the instance URL is not a URL like https://example.my.salesforce.com")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the instance URL has a port that does not exist")
		}
	}
	if u.Hostname() == "" || u.ForceQuery || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" {
		return nil, fmt.Errorf("the instance URL has more than a scheme and the host %s", u.Host)
	}
	if u.Scheme == "https" || u.Scheme == "http" && isLoopback(u.Hostname()) {
		return u, nil
	}
	return nil, fmt.Errorf("a token is sent over https only, and the instance URL %s://%s is not (http is for this machine's own loopback)", u.Scheme, u.Host)
}

// IsLoopback reports whether a URL leads to this machine's own loopback.
func IsLoopback(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && isLoopback(u.Hostname())
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// WithoutRedirects returns the client such that it does not follow redirects:
// the body and headers that they would carry along hold the token.
func WithoutRedirects(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}

// Renewer is a source of tokens that can replace one that the org no longer
// accepts.
type Renewer interface {
	oauth2.TokenSource
	Renew(ctx context.Context, stale *oauth2.Token) (*oauth2.Token, error)
}

// Repeat makes a call, and makes it once more with a renewed token where the org
// does not accept the session and tokens can be renewed.
func Repeat[T any](ctx context.Context, tokens oauth2.TokenSource, call func() (T, error)) (T, error) {
	used, err := tokens.Token()
	if err != nil {
		var none T
		return none, err
	}
	result, err := call()
	var answer interface{ SessionExpired() bool }
	renewer, ok := tokens.(Renewer)
	if !ok || !errors.As(err, &answer) || !answer.SessionExpired() {
		return result, err
	}
	if _, err := renewer.Renew(ctx, used); err != nil {
		return result, err
	}
	return call()
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

// SessionExpired reports whether the org, or what stands before it, does not
// accept the session.
func (e *StatusError) SessionExpired() bool { return e.Status == http.StatusUnauthorized }

// Uncertain reports whether the org may have acted although the answer is none.
func (e *StatusError) Uncertain() bool { return e.Status >= 500 || e.Status == http.StatusOK }

// Transient reports whether the same request may well be answered soon: what
// stands before the org has no answer of it.
func (e *StatusError) Transient() bool { return TransientStatus(e.Status) }

// TransientStatus reports whether an HTTP status says that somebody is busy.
func TransientStatus(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// TransientCode reports whether an error with that code of the platform passes.
func TransientCode(code string) bool {
	return code == "UNABLE_TO_LOCK_ROW" || code == "SERVER_UNAVAILABLE" || code == "REQUEST_RUNNING_TOO_LONG"
}

// Answer is what came back on a request.
type Answer struct {
	Status int // the HTTP status
	Body   []byte

	token string
}

// maxMessage is the most bytes of a foreign message that are passed on.
const maxMessage = 2000

// What secrets look like that an org could put into a message.
var (
	consumerKey    = regexp.MustCompile(`3MVG9[\w.]{12,}`)
	consumerSecret = regexp.MustCompile(`\b[0-9A-Fa-f]{64}\b`)
	privateKey     = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)`)
)

// Mask makes a message that the org wrote fit to be shown: the session's token
// is taken out, consumer keys are shortened, and so is a message of unusual
// length.
func (a *Answer) Mask(message string) string {
	if a.token != "" {
		message = strings.ReplaceAll(message, a.token, "(token)")
	}
	for _, known := range []struct{ is, shown string }{{url.QueryEscape(a.token), "(token)"}, {url.PathEscape(a.token), "(token)"}} {
		if known.is != "" {
			message = strings.ReplaceAll(message, known.is, known.shown)
		}
	}
	message = privateKey.ReplaceAllString(message, "(private key)")
	message = consumerSecret.ReplaceAllString(message, "(secret)")
	message = consumerKey.ReplaceAllStringFunc(message, words.ShortKey)
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}

// maskedError is an error whose text was masked. What it wraps can be looked for
// and must not be printed.
type maskedError struct {
	message   string
	err       error
	uncertain bool
}

func (e *maskedError) Error() string { return e.message }

func (e *maskedError) Unwrap() error { return e.err }

// Uncertain reports whether the org may have acted although no answer came. A
// connection that never was tells that it has not.
func (e *maskedError) Uncertain() bool { return e.uncertain }

// Network reports that this is about the way to the org.
func (e *maskedError) Network() bool { return true }

// Transient reports whether the network may be better soon.
func (e *maskedError) Transient() bool { return TransientNetwork(e.err) }

// TransientNetwork reports whether an error of the network may pass: connections
// that were cut, refused or timed out. An address or a name that does not exist, a
// certificate that is not trusted, and a run that was ended stay as they are.
func TransientNetwork(err error) bool {
	var name *net.DNSError
	var address *net.AddrError
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.As(err, &address), errors.As(err, &certificate):
		return false
	case errors.As(err, &name):
		return !name.IsNotFound
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	case errors.As(err, &timeout) && timeout.Timeout():
		return true
	}
	// net/http has no types for these.
	return strings.HasPrefix(err.Error(), "http2:") || strings.Contains(err.Error(), "closed idle connection")
}

// Do sends a request with the session's token, which prepare puts into it, and
// returns the answer. It is read up to MaxAnswer and refused beyond; a redirect
// is refused as well. No error holds the token; of the answer, Mask takes it out.
func Do(ctx context.Context, client *http.Client, tokens oauth2.TokenSource, prepare func(token string) (*http.Request, error)) (*Answer, error) {
	token, err := tokens.Token()
	if err != nil {
		return nil, err
	}
	req, err := prepare(token.AccessToken)
	if err != nil {
		return nil, err
	}
	if client == nil {
		client = http.DefaultClient
	}
	answer := &Answer{token: token.AccessToken}
	failed := func(err error, format string) error {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err // the URL around it says nothing that the host doesn't
		}
		// What ended the context is no word about this request.
		var op *net.OpError
		never := ctx.Err() == nil && errors.As(err, &op) && op.Op == "dial"
		return &maskedError{answer.Mask(fmt.Sprintf(format, req.URL.Host, err)), err, !never}
	}
	if err := ctx.Err(); err != nil {
		return nil, err // and nothing was sent
	}
	resp, err := WithoutRedirects(client).Do(req.WithContext(ctx))
	if err != nil {
		return nil, failed(err, "%s did not answer: %v")
	}
	defer resp.Body.Close()
	answer.Status = resp.StatusCode
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return nil, &StatusError{req.URL.Host, resp.StatusCode, "a redirect, which is not followed because it would carry the token elsewhere; use the org's own My Domain URL"}
	}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return nil, failed(err, "the answer of %s broke off: %v")
	}
	if len(answer.Body) > MaxAnswer {
		return nil, &StatusError{req.URL.Host, resp.StatusCode, fmt.Sprintf("more than %d MiB", MaxAnswer>>20)}
	}
	if token.AccessToken != "" {
		// No answer needs the token, and what holds it could end up in an output.
		answer.Body = bytes.ReplaceAll(answer.Body, []byte(token.AccessToken), []byte("(token)"))
	}
	return answer, nil
}
