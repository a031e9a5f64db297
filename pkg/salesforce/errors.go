package salesforce

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// IsTransient reports whether the same call may well succeed soon: a connection that was
// cut, a server that is busy, a record that somebody else has locked. An error that has a
// method Transient() bool answers for itself and what it wraps.
func IsTransient(err error) bool {
	var is interface{ Transient() bool }
	return errors.As(err, &is) && is.Transient()
}

// IsUncertain reports whether nobody can tell if the org has acted on a call that failed.
// An error that has a method Uncertain() bool answers for itself and what it wraps.
func IsUncertain(err error) bool {
	var is interface{ Uncertain() bool }
	return errors.As(err, &is) && is.Uncertain()
}

// IsSessionExpired reports whether the org does not accept the access token: it expired,
// was revoked, or belongs to another org. An error that has a method SessionExpired() bool
// answers for itself and what it wraps.
func IsSessionExpired(err error) bool {
	var is interface{ SessionExpired() bool }
	return errors.As(err, &is) && is.SessionExpired()
}

// Error is an error that the platform answered a call with. Nothing of the call was done
// then, unless it is uncertain.
type Error struct {
	Operation string // the call, like upsertMetadata; "" where the caller says it
	Code      string // the platform's code, like INVALID_SESSION_ID
	Message   string // in the platform's words
	Status    int    // the HTTP status, which is 500 for a SOAP fault

	// Acted says that the org may have acted before it gave up, whatever the code is.
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

// SessionExpired reports whether the org does not accept the access token. SOAP says so
// by INVALID_SESSION_ID, and REST by HTTP 401 as well.
func (e *Error) SessionExpired() bool {
	return e.Code == "INVALID_SESSION_ID" || e.Status == http.StatusUnauthorized
}

// Uncertain reports whether the org may have acted before it gave up.
func (e *Error) Uncertain() bool {
	return e.Acted || isBusy(e.Status) || e.Code == "SERVER_UNAVAILABLE" || e.Code == "REQUEST_RUNNING_TOO_LONG"
}

// Transient reports whether the same call may well succeed soon. The daily limit of calls
// (REQUEST_LIMIT_EXCEEDED) does not pass, whatever status it comes with.
func (e *Error) Transient() bool {
	switch e.Code {
	case "UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG":
		return true
	case "REQUEST_LIMIT_EXCEEDED":
		return false
	}
	return isBusy(e.Status)
}

// isBusy reports whether an HTTP status says that somebody is busy, be it the org or what
// stands before it.
func isBusy(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// StatusError is an answer that is not what the API defines: a status without a body that
// belongs to it, the page of a proxy, a redirect.
type StatusError struct {
	Host   string
	Status int    // the HTTP status
	What   string // what is wrong with the answer
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered HTTP %d %s: %s", e.Host, e.Status, http.StatusText(e.Status), e.What)
}

// SessionExpired reports whether the org, or what stands before it, does not accept the
// session.
func (e *StatusError) SessionExpired() bool { return e.Status == http.StatusUnauthorized }

// Uncertain reports whether the org may have acted although the answer is none.
func (e *StatusError) Uncertain() bool {
	return e.Status >= 500 || e.Status == http.StatusOK || e.Status == http.StatusTooManyRequests
}

// Transient reports whether what stands before the org had no answer of it.
func (e *StatusError) Transient() bool { return isBusy(e.Status) }

// NetworkError is why no answer came. Its text is masked; what it wraps can be looked for
// and must not be printed.
type NetworkError struct {
	Host string // who was called
	Err  error  // of net, net/http or crypto/tls, or that of the call's context

	message   string
	transient bool
	uncertain bool
}

// NewNetworkError returns the error for a host that did not answer, and why. It says
// whether that may pass and whether anything was sent, as far as the cause tells.
func NewNetworkError(host string, cause error) *NetworkError {
	return &NetworkError{
		Host: host, Err: cause, message: masker{}.message(fmt.Sprintf("%s did not answer: %v", host, cause)),
		transient: isTransientNetwork(cause), uncertain: !neverSent(cause),
	}
}

func (e *NetworkError) Error() string { return e.message }

// Unwrap returns the cause.
func (e *NetworkError) Unwrap() error { return e.Err }

// Uncertain reports whether the org may have acted although no answer came. A connection
// that never was tells that it has not.
func (e *NetworkError) Uncertain() bool { return e.uncertain }

// Transient reports whether the network may be better soon.
func (e *NetworkError) Transient() bool { return e.transient }

// isTransientNetwork reports whether an error of the network may pass: a connection that
// was cut, refused or timed out. A host or address that does not exist, a certificate that
// is not trusted, and a call that somebody has cancelled stay as they are.
func isTransientNetwork(err error) bool {
	var (
		name    *net.DNSError
		address *net.AddrError
		op      *net.OpError
		timeout interface{ Timeout() bool }
	)
	switch {
	case errors.Is(err, context.Canceled), errors.As(err, &address), errors.As(err, &op) && op.Op == "remote error":
		return false // the last is an alert of TLS, for which crypto/tls has no exported type
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

// neverSent reports whether an error shows that the request did not reach anybody.
func neverSent(err error) bool {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &certificate)
}

// askedError is a transient error with how long its sender wants to be left alone.
type askedError struct {
	error
	wait time.Duration
}

func (e *askedError) Unwrap() error { return e.error }

// asked adds what an answer's Retry-After says (RFC 9110, section 10.2.3) to an error that
// is transient.
func asked(err error, answer *Response) error {
	if !IsTransient(err) || answer.Status != http.StatusTooManyRequests && answer.Status != http.StatusServiceUnavailable {
		return err
	}
	value := strings.TrimSpace(answer.Header.Get("Retry-After"))
	wait := time.Duration(0)
	if seconds, parseErr := strconv.ParseUint(value, 10, 31); parseErr == nil {
		wait = time.Duration(seconds) * time.Second
	} else if date, parseErr := http.ParseTime(value); parseErr == nil {
		wait = time.Until(date)
	}
	if wait <= 0 {
		return err
	}
	return &askedError{err, wait}
}

// retryAfter returns how long the sender of an error wants to be left alone, 0 where it
// did not say.
func retryAfter(err error) time.Duration {
	if with, ok := errors.AsType[*askedError](err); ok {
		return with.wait
	}
	return 0
}
