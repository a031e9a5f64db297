package main

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// traffic counts the requests of a run and, with --verbose, prints them. It
// prints no header and no body, which hold the token.
type traffic struct {
	out      *output
	line     func(string) // prints a line
	requests atomic.Int64
	base     *http.Transport
}

// newTraffic returns the traffic of a run, which prints its lines with line.
func newTraffic(out *output, line func(string)) *traffic {
	return &traffic{out: out, line: line, base: salesforce.NewTransport()}
}

// retrying says that a failure is retried.
func (t *traffic) retrying(failure error, wait time.Duration) {
	t.out.retries.Add(1)
	t.line(fmt.Sprintf("%s; trying again in %s", oneLine(failure.Error()), duration(wait)))
}

// client returns the client of the run.
func (t *traffic) client() *http.Client { return &http.Client{Transport: t} }

// close ends the connections that are kept open.
func (t *traffic) close() { t.base.CloseIdleConnections() }

func (t *traffic) count() int { return int(t.requests.Load()) }

// RoundTrip sends one request.
func (t *traffic) RoundTrip(r *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	started := time.Now()
	resp, err := t.base.RoundTrip(r)
	if t.out.verbose {
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
