package salesforce

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// IsTransient reports whether a retry may succeed soon: after a dropped connection, from a busy
// server, or on a locked record. An error with a method Transient() bool decides for itself and
// all it wraps.
func IsTransient(err error) bool {
	var is interface{ Transient() bool }
	return errors.As(err, &is) && is.Transient()
}

// IsUncertain reports whether the org may have acted on a failed call. An error with a method
// Uncertain() bool decides for itself and all it wraps.
func IsUncertain(err error) bool {
	var is interface{ Uncertain() bool }
	return errors.As(err, &is) && is.Uncertain()
}

// IsSessionExpired reports whether the org refused the access token: it expired, was revoked,
// or belongs to another org. An error with a method SessionExpired() bool decides for itself
// and all it wraps.
func IsSessionExpired(err error) bool {
	var is interface{ SessionExpired() bool }
	return errors.As(err, &is) && is.SessionExpired()
}

// Code returns the platform's code of an error, like NOT_FOUND, or "" if err is not of the platform.
func Code(err error) string {
	if answer, ok := errors.AsType[*Error](err); ok {
		return answer.Code
	}
	return ""
}

// Error is an error that the platform returned for a call. The call had no effect, unless
// Uncertain reports true.
type Error struct {
	Operation string // the call, like upsertMetadata; "" if the caller adds it
	Code      string // the platform's code, like INVALID_SESSION_ID
	Message   string // the platform's message
	Status    int    // the HTTP status; 500 for a SOAP fault
	Version   string // the API version that was called, like 68.0, "" for other resources
	JWT       bool   // the access token of the call was JWT-based

	// Acted reports that the org may have acted before it failed, whatever the code.
	Acted bool
}

func (e *Error) Error() string {
	var parts []string
	for _, part := range []string{e.Operation, e.Code, strings.TrimPrefix(e.Message, e.Code+": ")} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ": ")
}

// SessionExpired reports whether the org refused the access token. SOAP reports
// INVALID_SESSION_ID, REST also HTTP 401, which other refusals have as well.
func (e *Error) SessionExpired() bool {
	other := e.Code == "URL_NOT_RESET" || strings.HasPrefix(e.Code, "API_")
	return e.Code == "INVALID_SESSION_ID" && !e.NotForAPI() || e.Status == http.StatusUnauthorized && !other && !e.NotForAPI()
}

// NotForAPI reports whether the org does not accept the session for API calls, so that a renewed one is no better:
// SOAP refuses JWT-based access tokens before API version 68.0, and policies restrict sessions.
func (e *Error) NotForAPI() bool {
	return strings.Contains(e.Message, "session is not valid for use with the ")
}

// Uncertain reports whether the org may have acted before it failed.
func (e *Error) Uncertain() bool {
	return e.Acted || isBusy(e.Status) || e.Code == "SERVER_UNAVAILABLE" || e.Code == "REQUEST_RUNNING_TOO_LONG"
}

// Transient reports whether a retry may succeed soon. The daily limit of calls
// (REQUEST_LIMIT_EXCEEDED) is not transient, whatever its status.
func (e *Error) Transient() bool {
	switch e.Code {
	case "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG", "API_CURRENTLY_DISABLED":
		return true
	case "REQUEST_LIMIT_EXCEEDED":
		return false
	}
	return isBusy(e.Status)
}

// isBusy reports whether an HTTP status means that the org, or a proxy before it, is busy.
func isBusy(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// StatusError is an answer that the API does not define: a status without its body, a page of a proxy
// or of a network that wants a login, a redirect.
type StatusError struct {
	Host   string
	Status int    // the HTTP status
	What   string // what is wrong with the answer

	Page     bool          // it is an HTML page
	Redirect string        // the host to which it redirects, "" if it does not
	Version  string        // the API version that was called, like 68.0, "" for other resources
	Wait     time.Duration // how long to wait before the next request, 0 if it does not say so
}

// Unexpected returns the error for an answer that is not what the API defines.
func (r *Response) Unexpected(what string) *StatusError {
	e := &StatusError{Host: r.Host, Status: r.Status, What: what, Page: r.isPage(), Version: r.version(), Wait: r.wait()}
	switch {
	case e.Status == http.StatusGone && e.Version != "":
		e.What = "API version " + e.Version + " is retired or not supported"
	case e.Page:
		e.What = "an HTML page, " + what
	}
	return e
}

// tooLong returns the error for an answer over MaxAnswer bytes.
func (r *Response) tooLong() *StatusError {
	return r.Unexpected(fmt.Sprintf("more than %d MiB", MaxAnswer>>20))
}

// isPage reports whether the answer is an HTML page.
func (r *Response) isPage() bool {
	begin := strings.ToLower(string(bytes.TrimSpace(r.Body[:min(len(r.Body), 200)])))
	begin = strings.TrimPrefix(begin, "\ufeff")
	return strings.HasPrefix(begin, "<!doctype html") || strings.HasPrefix(begin, "<html") || strings.HasPrefix(begin, "<head") ||
		len(r.Body) == 0 && strings.HasPrefix(strings.ToLower(r.Header.Get("Content-Type")), "text/html")
}

var versionInPath = regexp.MustCompile(`^/services/(?:data/v|Soap/\w/)(\d+\.\d)(?:/|$)`)

// version returns the API version of the resource that was called, "" if it has none.
func (r *Response) version() string {
	if match := versionInPath.FindStringSubmatch(r.path); match != nil {
		return match[1]
	}
	return ""
}

// wait returns how long the answer asks to wait, see RFC 9110, section 10.2.3.
func (r *Response) wait() time.Duration {
	value := strings.TrimSpace(r.Header.Get("Retry-After"))
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(0, time.Until(date))
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered HTTP %d %s: %s", e.Host, e.Status, http.StatusText(e.Status), e.What)
}

// SessionExpired reports whether the org, or a proxy before it, refused the session.
func (e *StatusError) SessionExpired() bool { return e.Status == http.StatusUnauthorized }

// Uncertain reports whether the org may have acted although the answer is invalid.
func (e *StatusError) Uncertain() bool {
	return e.Status >= 500 || e.Status == http.StatusOK || e.Status == http.StatusTooManyRequests
}

// Transient reports whether a proxy before the org got no answer from it.
func (e *StatusError) Transient() bool { return isBusy(e.Status) }

// NetworkError reports why there was no answer. Its text is masked. The wrapped error is for
// errors.Is and errors.As, and must not be printed.
type NetworkError struct {
	Host string // the host that was called
	Err  error  // from net, net/http or crypto/tls, or the context's error

	message   string
	transient bool
	uncertain bool
}

// NewNetworkError returns the error for a host that did not answer. The cause decides whether
// it is transient, and whether the request may have been sent.
func NewNetworkError(host string, cause error) *NetworkError {
	return &NetworkError{
		Host: host, Err: cause, message: masker{}.message(fmt.Sprintf("%s did not answer: %v", host, cause)),
		transient: isTransientNetwork(cause), uncertain: !neverSent(cause),
	}
}

func (e *NetworkError) Error() string { return e.message }

// Unwrap returns e.Err.
func (e *NetworkError) Unwrap() error { return e.Err }

// Uncertain reports whether the org may have acted. If the connection failed, it has not.
func (e *NetworkError) Uncertain() bool { return e.uncertain }

// Transient reports whether the network may recover soon.
func (e *NetworkError) Transient() bool { return e.transient }

// isTransientNetwork reports whether a network error is temporary: a connection that was cut,
// refused or timed out. An unknown host or address, an untrusted certificate and a cancelled
// call are not.
func isTransientNetwork(err error) bool {
	var (
		name    *net.DNSError
		address *net.AddrError
		op      *net.OpError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &address), errors.As(err, &op) && op.Op == "remote error":
		return false // "remote error" is a TLS alert; crypto/tls exports no type for it
	case errors.As(err, &name):
		return !name.IsNotFound
	case errors.As(err, &timeout) && timeout.Timeout():
		return true
	case errors.As(err, &op), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return true
	}
	// net/http has no types for these.
	for _, text := range []string{"http2: ", "stream error: ", "connection error: ", "closed idle connection"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// neverSent reports whether an error proves that the request was not sent.
func neverSent(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &certificate)
}

// askedError is a transient error with the wait that its sender requested.
type askedError struct {
	error
	wait time.Duration
}

func (e *askedError) Unwrap() error { return e.error }

// asked adds the wait of an answer's Retry-After (RFC 9110, section 10.2.3) to a transient
// error.
func asked(err error, answer *Response) error {
	if !IsTransient(err) || answer.Status != http.StatusTooManyRequests && answer.Status != http.StatusServiceUnavailable {
		return err
	}
	wait := answer.wait()
	if wait <= 0 {
		return err
	}
	return &askedError{err, wait}
}

// RetryAfter returns the wait that the sender of an error requested, 0 if none.
func RetryAfter(err error) time.Duration {
	if with, ok := errors.AsType[*askedError](err); ok {
		return with.wait
	}
	return 0
}
