// Package transport sends the requests of a command: it counts them, traces them, and opens
// connections ahead.
package transport

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

// Transport sends the requests to one org. It is safe for concurrent use.
type Transport struct {
	// Trace, if not nil, is called after each request with a line about it. The line contains no
	// header and no body, which hold the token.
	Trace func(line string)

	requests atomic.Int64
	retries  atomic.Int64
	base     *http.Transport
	awaited  atomic.Pointer[string]       // what the work waits for besides an answer
	cut      atomic.Pointer[http.Request] // the first request that was cut off
	waiting  atomic.Int64                 // requests without an answer
	latest   atomic.Pointer[http.Request] // the request that was sent last
}

// New returns a transport with connections of its own.
func New(trace func(line string)) *Transport {
	return &Transport{Trace: trace, base: base()}
}

// Client returns an HTTP client that uses the transport.
func (t *Transport) Client() *http.Client { return &http.Client{Transport: t} }

// Requests returns the number of requests that were sent.
func (t *Transport) Requests() int { return int(t.requests.Load()) }

// Retries returns how often something was tried again, see Retried.
func (t *Transport) Retries() int { return int(t.retries.Load()) }

// Retried counts an attempt that is repeated.
func (t *Transport) Retried() { t.retries.Add(1) }

// Await notes what the work waits for, besides the answers of requests, until its next request.
func (t *Transport) Await(what string) { t.awaited.Store(&what) }

// Awaited returns what work waited for that was cut off, "" if it is not known.
func (t *Transport) Awaited() string {
	if what := t.awaited.Load(); what != nil {
		return *what
	}
	if r := t.cut.Load(); r != nil {
		return answer(r)
	}
	return ""
}

// Waiting returns the request whose answer the work waits for, "" if there is none.
func (t *Transport) Waiting() string {
	if r := t.latest.Load(); r != nil && t.waiting.Load() > 0 {
		return answer(r)
	}
	return ""
}

func answer(r *http.Request) string {
	return fmt.Sprintf("the answer of %s to %s %s%s", r.URL.Host, r.Method, r.URL.Path, operation(r))
}

// cutOff notes a request that has ended with its context.
func (t *Transport) cutOff(r *http.Request) {
	if r.Context().Err() != nil {
		t.cut.CompareAndSwap(nil, r)
	}
}

// body is the body of an answer.
type body struct {
	io.ReadCloser
	failed func()
}

// Read implements io.Reader.
func (b body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.failed()
	}
	return n, err
}

// Close ends the connections that are kept open.
func (t *Transport) Close() { t.base.CloseIdleConnections() }

// spares is how many connections are opened beyond those of the first round of requests,
// so that a wider round finds one for each of its requests. Two round trips, of TCP and
// TLS, are saved.
const spares = 4

// Open opens spare connections to an instance, which become ready while the first requests
// are under way. It comes before these and waits for nothing. A request that is cancelled
// when its connection is about to be dialled is never sent, and yet net/http finishes
// dialling and keeps the connection for another request. Where the org speaks HTTP/2, which
// needs but one, net/http closes the others.
func (t *Transport) Open(instanceURL string) {
	// No dial begins before all these requests have ended: one of them could be sent on a
	// connection that is ready by then.
	ended := make(chan struct{})
	defer close(ended)
	for range spares {
		ctx, cancel := context.WithCancel(context.Background())
		dial := func() {
			cancel()
			<-ended
		}
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
			DNSStart:     func(httptrace.DNSStartInfo) { dial() },
			ConnectStart: func(string, string) { dial() },
		})
		if req, err := http.NewRequestWithContext(ctx, http.MethodHead, instanceURL, nil); err == nil {
			if resp, err := t.base.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
		}
		cancel()
	}
}

// RoundTrip sends one request.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	started := time.Now()
	t.awaited.Store(nil)
	t.latest.Store(r)
	t.waiting.Add(1)
	resp, err := t.base.RoundTrip(r)
	t.waiting.Add(-1)
	if err != nil {
		t.cutOff(r)
	} else {
		resp.Body = body{resp.Body, func() { t.cutOff(r) }}
	}
	if t.Trace != nil {
		outcome := "no answer"
		if err == nil {
			outcome = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)) // the org's own words may hold anything
		}
		t.Trace(fmt.Sprintf("%s %s%s: %s in %d ms", r.Method, r.URL.Path, operation(r), outcome, time.Since(started).Milliseconds()))
	}
	return resp, err
}

var soapOperation = regexp.MustCompile(`<(\w+Metadata) xmlns="[^"]*">(?:<metadata xsi:type="(\w+)"|<type>(\w+))?`)

// operation tells a SOAP request's call and type.
func operation(r *http.Request) string {
	if r.GetBody == nil {
		return ""
	}
	body, err := r.GetBody()
	if err != nil {
		return ""
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return ""
	}
	match := soapOperation.FindSubmatch(data)
	if match == nil {
		return ""
	}
	return strings.TrimRight(" "+string(match[1])+" "+string(match[2])+string(match[3]), " ")
}
