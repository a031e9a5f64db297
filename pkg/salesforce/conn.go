// Package salesforce is the way to one Salesforce org: where it is, which API version it
// is spoken to in, where tokens come from, and what happens to a call that fails.
//
// A Conn is a value to fill in. The clients of single APIs (mdapi, restapi) are made of
// one and add nothing but the shape of their requests and answers:
//
//	conn := &salesforce.Conn{InstanceURL: "https://acme.my.salesforce.com", Tokens: tokens}
//	results, err := (&mdapi.Client{Conn: conn}).List(ctx, "ExternalClientApplication")
//
// An error says what it is by type: *Error where the platform answered one, *StatusError
// where something else answered in its place, *NetworkError where nobody did. What a
// caller decides on is asked with IsTransient, IsUncertain and IsSessionExpired, which
// work for errors of every package here.
package salesforce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apiversion"
)

// Conn is a connection to one org. Its fields are not changed once it is in use. It may
// be used by several goroutines.
type Conn struct {
	// InstanceURL is the org's My Domain URL, like https://acme.my.salesforce.com. A
	// token is sent nowhere else, and only over https, or over http to this machine's
	// loopback.
	InstanceURL string

	// Version is the API version of all calls; 0 is apiversion.Latest.
	Version apiversion.Version

	// Tokens gives the access token of each call. A Renewer is asked once for a fresh
	// token where the org does not accept the session, and the call is repeated.
	Tokens oauth2.TokenSource

	// HTTPClient sends the requests; nil is one that keeps connections open and gives
	// up on dead ones. Redirects are never followed, whatever it says, because they
	// would carry the token elsewhere.
	HTTPClient *http.Client

	// Timeout bounds each attempt of a call, from the dial to the last byte of the
	// answer; 0 is DefaultTimeout. An attempt that it ends is a transient failure. The
	// call as a whole is bounded by its context.
	Timeout time.Duration

	// Retry retries transient failures; nil tries once. It is one budget for all
	// calls of the Conn.
	Retry *Retry
}

// DefaultTimeout is how long one attempt of a call may take where a Conn says nothing
// else. The platform ends a synchronous call after two minutes, from its documentation of
// API request limits.
const DefaultTimeout = 2 * time.Minute

// Renewer is a source of tokens that can replace one that the org no longer accepts.
type Renewer interface {
	oauth2.TokenSource
	// Renew returns another token than the stale one. It is called by several
	// goroutines at once where several calls were refused.
	Renew(ctx context.Context, stale *oauth2.Token) (*oauth2.Token, error)
}

// Request is one call of an org's HTTP APIs.
type Request struct {
	Name   string // what errors call it, like upsertMetadata; "" for nothing
	Method string
	Path   string // on the instance, absolute, with its query
	Header http.Header

	// Authorize puts the token into the Authorization header. SOAP has it in the body.
	Authorize bool

	// Body makes the body, of which the token can be part; nil is none. It is called
	// once for each attempt.
	Body func(token Secret) ([]byte, error)

	// Idempotent says that making the call twice is making it once, so that it is
	// retried after transient failures. Other calls are sent once, since an answer that
	// was lost does not tell whether the org has acted: see IsUncertain and Retry.Do.
	Idempotent bool
}

// named puts the name of the call before an error.
func (r Request) named(err error) error {
	if r.Name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", r.Name, err)
}

// Response is the answer of an org.
type Response struct {
	Host   string // who answered
	Status int    // the HTTP status
	Header http.Header
	Body   []byte // at most MaxAnswer bytes; a token of the session in it is taken out

	mask masker
}

// APIVersion returns the version of the Conn's calls.
func (c *Conn) APIVersion() apiversion.Version {
	if c == nil || c.Version == 0 {
		return apiversion.Latest
	}
	return c.Version
}

// Do makes a call and has its answer decoded. What decode returns is the call's error: if
// it is one of an expired session, the call is made once more with a renewed token, and
// if it is transient, an idempotent call is retried. Redirects, and answers over
// MaxAnswer, are errors before that.
func (c *Conn) Do(ctx context.Context, r Request, decode func(*Response) error) error {
	if c == nil {
		return errors.New("there is no connection to an org")
	}
	if !r.Idempotent {
		return c.attempt(ctx, r, decode)
	}
	return c.Retry.Do(ctx, func() error { return c.attempt(ctx, r, decode) })
}

// attempt makes a call once, and again where the session can be renewed. The org has not
// acted on a call whose session it refuses.
func (c *Conn) attempt(ctx context.Context, r Request, decode func(*Response) error) error {
	token, err := c.token()
	if err != nil {
		return err
	}
	err = c.exchange(ctx, r, token, decode)
	renewer, ok := c.Tokens.(Renewer)
	if !ok || !IsSessionExpired(err) {
		return err
	}
	fresh, err := renewer.Renew(ctx, token)
	if err == nil {
		fresh, err = usable(fresh)
	}
	if err != nil {
		return err
	}
	return c.exchange(ctx, r, fresh, decode)
}

func (c *Conn) token() (*oauth2.Token, error) {
	if c.Tokens == nil {
		return nil, errors.New("the connection has no source of access tokens")
	}
	token, err := c.Tokens.Token()
	if err != nil {
		return nil, err
	}
	return usable(token)
}

func usable(token *oauth2.Token) (*oauth2.Token, error) {
	if token == nil || token.AccessToken == "" {
		return nil, errors.New("the source of access tokens has none")
	}
	return token, nil
}

// exchange sends a request with a token and decodes what comes back.
func (c *Conn) exchange(ctx context.Context, r Request, token *oauth2.Token, decode func(*Response) error) error {
	if err := ctx.Err(); err != nil {
		return err // and nothing is sent
	}
	secret := NewSecret(token.AccessToken)
	req, err := c.request(r, secret)
	if err != nil {
		return err
	}
	limit := c.Timeout
	if limit <= 0 {
		limit = DefaultTimeout
	}
	own, cancel := context.WithTimeoutCause(ctx, limit, &timeoutError{limit})
	defer cancel()
	resp, err := c.send(req.WithContext(own))
	if err != nil {
		return r.named(c.failed(ctx, own, req, secret, err, "did not answer"))
	}
	defer resp.Body.Close()
	answer := &Response{Host: req.URL.Host, Status: resp.StatusCode, Header: resp.Header, mask: masker{secret}}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		return r.named(&StatusError{answer.Host, resp.StatusCode, "a redirect, which is not followed because it would carry the token elsewhere; use the org's own My Domain URL"})
	}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return r.named(c.failed(ctx, own, req, secret, err, "broke off its answer"))
	}
	if len(answer.Body) > MaxAnswer {
		return r.named(&StatusError{answer.Host, resp.StatusCode, fmt.Sprintf("more than %d MiB", MaxAnswer>>20)})
	}
	// No answer needs the token, and what holds it could end up in an output.
	answer.Body = bytes.ReplaceAll(answer.Body, []byte(token.AccessToken), []byte("(token)"))
	return asked(decode(answer), answer)
}

// request builds the HTTP request.
func (c *Conn) request(r Request, token Secret) (*http.Request, error) {
	instance, err := ParseInstance(c.InstanceURL)
	if err != nil {
		return nil, err
	}
	ref, err := url.Parse(r.Path)
	if err != nil || ref.Host != "" || ref.Scheme != "" || ref.User != nil {
		return nil, errors.New("the org refers to another place than a path of its own")
	}
	var body []byte
	if r.Body != nil {
		if body, err = r.Body(token); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequest(r.Method, instance.ResolveReference(ref).String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range r.Header {
		req.Header[name] = values
	}
	if r.Authorize {
		req.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	return req, nil
}

func (c *Conn) send(req *http.Request) (*http.Response, error) {
	client := c.HTTPClient
	if client == nil {
		client = defaultClient()
	}
	return WithoutRedirects(client).Do(req)
}

// failed words an error of the network. Who ended the call is asked of its contexts, since
// net/http reports the end of either of them, and time-outs of its own, in the same way.
func (c *Conn) failed(ctx, own context.Context, req *http.Request, token Secret, err error, what string) error {
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err // the URL around it says nothing that the host doesn't
	}
	if ctx.Err() == nil && own.Err() != nil {
		err = context.Cause(own)
	}
	failure := NewNetworkError(req.URL.Host, err)
	failure.message = masker{token}.message(fmt.Sprintf("%s %s: %v", failure.Host, what, err))
	if ctx.Err() != nil {
		failure.transient, failure.uncertain = false, true
	}
	return failure
}

// timeoutError says that an attempt took longer than it may.
type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %s", e.limit) }

func (e *timeoutError) Timeout() bool { return true }

// idleConnections is how many connections are kept open to an org, which is more than
// most runs have requests under way at once.
const idleConnections = 16

// NewTransport returns a transport as a Conn without an HTTPClient uses one: that of
// net/http, with as many idle connections as a run has requests under way at once.
func NewTransport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	return transport
}

var defaultClient = sync.OnceValue(func() *http.Client { return &http.Client{Transport: NewTransport()} })

// WithoutRedirects returns a copy of a client that does not follow redirects.
func WithoutRedirects(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &own
}
