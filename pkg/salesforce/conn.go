// Package salesforce connects to one Salesforce org: instance URL, API version, access tokens,
// retries and errors.
//
// A Conn is a struct to fill in. The clients of single APIs (mdapi, restapi) wrap a Conn and
// add only the shape of their requests and answers:
//
//	conn := &salesforce.Conn{InstanceURL: "https://acme.my.salesforce.com", Tokens: tokens}
//	results, err := (&mdapi.Client{Conn: conn}).List(ctx, "ExternalClientApplication")
//
// The type of an error says where it comes from: *Error from the platform, *StatusError from
// something that answered in its place, *NetworkError if nothing answered. IsTransient,
// IsUncertain and IsSessionExpired classify errors of all packages of this module.
package salesforce

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/platform"
)

// Conn is a connection to one org. It is safe for concurrent use; its fields must not change
// once it is in use.
type Conn struct {
	// InstanceURL is the org's My Domain URL, like https://acme.my.salesforce.com. Tokens are
	// sent only there, and only over https, or over http to this machine's loopback.
	InstanceURL string

	// Version is the API version of all calls; 0 means apiversion.Latest.
	Version apiversion.Version

	// Tokens returns the access token for each call. If it is a Renewer and the org refuses the
	// session, the call is repeated once with a renewed token.
	Tokens oauth2.TokenSource

	// HTTPClient sends the requests; nil means a client that keeps connections open and drops
	// dead ones. Redirects are never followed, whatever the client's setting, because they
	// would send the token elsewhere.
	HTTPClient *http.Client

	// Timeout bounds each attempt of a call, from dialling to the last byte of the answer; 0
	// means DefaultTimeout. A timeout is a transient failure. The context bounds the call as a
	// whole.
	Timeout time.Duration

	// Retry retries transient failures, within one budget for all calls of the Conn; nil tries
	// once.
	Retry *Retry

	// UserAgent identifies the program in the org's logs; "" means DefaultUserAgent. SOAP calls
	// send it in CallOptions as well.
	UserAgent string
}

// Agent returns the User-Agent of the Conn's requests.
func (c *Conn) Agent() string {
	if c == nil {
		return DefaultUserAgent()
	}
	return cmp.Or(c.UserAgent, DefaultUserAgent())
}

// DefaultTimeout bounds one attempt of a call if Conn.Timeout is 0. The platform ends a
// synchronous call after two minutes (source: its documentation of API request limits).
const DefaultTimeout = 2 * time.Minute

// Renewer is a token source that can replace a token that the org no longer accepts.
type Renewer interface {
	oauth2.TokenSource
	// Renew returns a token other than the stale one. Several goroutines may call it at once,
	// after several refused calls.
	Renew(ctx context.Context, stale *oauth2.Token) (*oauth2.Token, error)
}

// Request is one call of an org's HTTP APIs.
type Request struct {
	Name   string // prefix of errors, like upsertMetadata; "" for none
	Method string
	Path   string // absolute path on the instance, with the query
	Header http.Header

	// Authorize sends the token in the Authorization header. SOAP has it in the body.
	Authorize bool

	// Body returns the body, which may contain the token; nil means no body. It is called for
	// each attempt.
	Body func(token Secret) ([]byte, error)

	// Idempotent reports that the call may be repeated, so transient failures are retried.
	// Other calls are sent once, because a lost answer does not tell whether the org has acted:
	// see IsUncertain and Retry.Do.
	Idempotent bool
}

// named prefixes an error with the name of the call.
func (r Request) named(err error) error {
	if r.Name == "" {
		return err
	}
	return fmt.Errorf("%s: %w", r.Name, err)
}

// Response is the answer of an org.
type Response struct {
	Host   string // the host that answered
	Status int    // the HTTP status
	Header http.Header
	Body   []byte // at most MaxAnswer bytes, with the session's token masked

	path string // of the resource
	mask masker
}

// APIVersion returns the API version of the Conn's calls.
func (c *Conn) APIVersion() apiversion.Version {
	if c == nil || c.Version == 0 {
		return apiversion.Latest
	}
	return c.Version
}

// Do makes a call and passes the answer to decode, whose error becomes the call's error. If the
// session has expired, Do repeats the call once with a renewed token. If the error is transient
// and the call is idempotent, Do retries it. Redirects and answers over MaxAnswer bytes fail
// without decode.
func (c *Conn) Do(ctx context.Context, r Request, decode func(*Response) error) error {
	if c == nil {
		return errors.New("no connection to an org")
	}
	if !r.Idempotent {
		return c.attempt(ctx, r, decode)
	}
	return c.Retry.Do(ctx, func() error { return c.attempt(ctx, r, decode) })
}

// attempt makes a call once, and again if the session has expired and can be renewed. Repeating
// is safe, because the org has not acted on a call whose session it refuses.
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
	refused := err
	fresh, err := renewer.Renew(ctx, token)
	if err == nil {
		fresh, err = usable(fresh)
	}
	if err != nil && ctx.Err() == nil {
		return &SessionError{Refused: refused, Err: err}
	} else if err != nil {
		return err
	}
	return c.exchange(ctx, r, fresh, decode)
}

// SessionError reports that the org refused the session, and that it could not be renewed.
type SessionError struct {
	Refused error // the org's answer
	Err     error // of the Renewer
}

func (e *SessionError) Error() string {
	text := e.Err.Error()
	if answer, ok := errors.AsType[*Error](e.Refused); ok && answer.Code != "" {
		said := Error{Code: answer.Code, Message: answer.Message}
		text += "; the answer was " + said.Error()
	}
	return text
}

// Unwrap returns e.Err.
func (e *SessionError) Unwrap() error { return e.Err }

func (c *Conn) token() (*oauth2.Token, error) {
	if c.Tokens == nil {
		return nil, errors.New("the connection has no token source")
	}
	token, err := c.Tokens.Token()
	if err != nil {
		return nil, err
	}
	return usable(token)
}

func usable(token *oauth2.Token) (*oauth2.Token, error) {
	if token == nil || token.AccessToken == "" {
		return nil, errors.New("the token source returned no access token")
	}
	return token, nil
}

// exchange sends a request with a token and decodes the answer.
func (c *Conn) exchange(ctx context.Context, r Request, token *oauth2.Token, decode func(*Response) error) error {
	if err := ctx.Err(); err != nil {
		return err // before sending anything
	}
	secret := NewSecret(token.AccessToken)
	req, err := c.request(r, secret)
	if err != nil {
		return err
	}
	limit := cmp.Or(max(c.Timeout, 0), DefaultTimeout)
	own, cancel := context.WithTimeoutCause(ctx, limit, &timeoutError{limit})
	defer cancel()
	resp, err := c.send(req.WithContext(own))
	if err != nil {
		return r.named(c.failed(ctx, own, req, secret, err, "did not answer"))
	}
	defer resp.Body.Close()
	answer := &Response{Host: req.URL.Host, Status: resp.StatusCode, Header: resp.Header, path: req.URL.Path, mask: masker{secret}}
	if resp.StatusCode >= 300 && resp.StatusCode < 400 {
		refused := answer.Unexpected("a redirect, which would send the token elsewhere")
		if to, err := resp.Location(); err == nil && to.Host != "" {
			refused.Redirect, refused.What = to.Host, "a redirect to "+to.Host+", which would get the token"
		}
		return r.named(refused)
	}
	answer.Body, err = io.ReadAll(io.LimitReader(resp.Body, MaxAnswer+1))
	if err != nil {
		return r.named(c.failed(ctx, own, req, secret, err, "ended its answer early"))
	}
	if len(answer.Body) > MaxAnswer {
		return r.named(answer.tooLong())
	}
	// Mask the token in every answer: no caller needs it, and it could reach an output.
	answer.Body = bytes.ReplaceAll(answer.Body, []byte(token.AccessToken), []byte("(token)"))
	err = decode(answer)
	if failed, ok := errors.AsType[*Error](err); ok {
		failed.Version, failed.JWT = cmp.Or(failed.Version, answer.version()), strings.HasPrefix(token.AccessToken, "eyJ")
	}
	return asked(err, answer)
}

// request builds the HTTP request.
func (c *Conn) request(r Request, token Secret) (*http.Request, error) {
	instance, err := platform.ParseInstance(c.InstanceURL)
	if err != nil {
		return nil, err
	}
	ref, err := url.Parse(r.Path)
	if err != nil || ref.Host != "" || ref.Scheme != "" || ref.User != nil {
		return nil, errors.New("the request's path is not a path of the instance")
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
	req.Header.Set("User-Agent", c.Agent())
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

// failed returns the NetworkError for a failed request. It takes the cause from the contexts,
// because net/http reports a cancelled call, the end of either context and its own timeouts
// alike.
func (c *Conn) failed(ctx, own context.Context, req *http.Request, token Secret, err error, what string) error {
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err // the URL adds nothing to the host
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

// timeoutError reports that an attempt exceeded its time limit.
type timeoutError struct{ limit time.Duration }

func (e *timeoutError) Error() string { return fmt.Sprintf("no answer within %s", e.limit) }

func (e *timeoutError) Timeout() bool { return true }

// idleConnections is the number of idle connections kept per org. Most runs have fewer
// concurrent requests.
const idleConnections = 16

// NewTransport returns the transport that a Conn without an HTTPClient uses: that of net/http
// with more idle connections per host.
func NewTransport() *http.Transport {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	return transport
}

var defaultClient = sync.OnceValue(func() *http.Client { return &http.Client{Transport: NewTransport()} })

// WithoutRedirects returns a copy of a client that does not follow redirects, and that identifies
// itself with DefaultUserAgent if a request has no User-Agent.
func WithoutRedirects(c *http.Client) *http.Client {
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	own.Transport = named{c.Transport}
	return &own
}

// named adds the User-Agent to requests of other packages, like golang.org/x/oauth2.
type named struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (n named) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("User-Agent") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("User-Agent", DefaultUserAgent())
	}
	return cmp.Or(n.base, http.DefaultTransport).RoundTrip(r)
}

// CloseIdleConnections closes the idle connections of the base.
func (n named) CloseIdleConnections() { (&http.Client{Transport: n.base}).CloseIdleConnections() }
