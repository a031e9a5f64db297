package main

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

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// traffic counts the requests of a run and, with --verbose, prints them. It
// prints no header and no body, which hold the token.
type traffic struct {
	verbose  bool
	line     func(string) // prints a line
	requests atomic.Int64
	retries  atomic.Int64
	base     *http.Transport
}

// newTraffic returns the traffic of a run, which prints its lines with line.
func newTraffic(verbose bool, line func(string)) *traffic {
	return &traffic{verbose: verbose, line: line, base: salesforce.NewTransport()}
}

// retrying says that a failure is retried.
func (t *traffic) retrying(failure error, wait time.Duration) {
	t.retries.Add(1)
	t.line(fmt.Sprintf("%s; trying again in %s", oneLine(failure.Error()), duration(wait)))
}

// client returns the client of the run.
func (t *traffic) client() *http.Client { return &http.Client{Transport: t} }

// spares is how many connections are opened beyond those of the first round of requests,
// so that a wider round finds one for each of its requests. Two round trips, of TCP and
// TLS, are saved.
const spares = 2

// open opens spare connections to an instance, which become ready while the first requests
// are under way. It comes before these and waits for nothing. A request that is cancelled
// when its connection is about to be dialled is never sent, and yet net/http finishes
// dialling and keeps the connection for another request. Where the org speaks HTTP/2, which
// needs but one, net/http closes the others.
func (t *traffic) open(instanceURL string) {
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

// close ends the connections that are kept open.
func (t *traffic) close() { t.base.CloseIdleConnections() }

func (t *traffic) count() int { return int(t.requests.Load()) }

// retried returns how often something was tried again.
func (t *traffic) retried() int { return int(t.retries.Load()) }

// RoundTrip sends one request.
func (t *traffic) RoundTrip(r *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	started := time.Now()
	resp, err := t.base.RoundTrip(r)
	if t.verbose {
		outcome := "no answer"
		if err == nil {
			outcome = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode)) // the org's own words may hold anything
		}
		t.line(fmt.Sprintf("%s %s%s: %s in %d ms", r.Method, r.URL.Path, operation(r), outcome, time.Since(started).Milliseconds()))
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
