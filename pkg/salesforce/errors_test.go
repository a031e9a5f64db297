package salesforce

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"
)

// refusedAddress returns the address of a port that nobody listens on.
func refusedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// silent serves connections that are never answered.
func silent(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
		}
	}()
	return listener.Addr().String()
}

// refusedHandshake returns the error of a client that speaks older TLS than its server.
func refusedHandshake(t *testing.T) error {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	server.StartTLS()
	defer server.Close()
	conn, err := tls.Dial("tcp", server.Listener.Addr().String(), &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
		t.Fatal("the server takes an older TLS than it may")
	}
	return err
}

// TestTransientNetwork asks of errors that net, net/http and crypto/tls really return
// whether they may pass.
func TestTransientNetwork(t *testing.T) {
	t.Parallel()
	get := func(client *http.Client, url string) error {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			t.Fatalf("%s answered", url)
		}
		return err
	}
	dial := func(d net.Dialer, address string) error {
		conn, err := d.Dial("tcp", address)
		if err == nil {
			conn.Close()
			t.Fatalf("%s was reached", address)
		}
		return err
	}
	quiet := "http://" + silent(t)
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	cut := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer cut.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	cancelled := func() error {
		req, err := http.NewRequestWithContext(ended, http.MethodGet, quiet, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = http.DefaultClient.Do(req)
		return err
	}
	for _, test := range []struct {
		name string
		err  error
		want bool
	}{
		{"the dial timed out", dial(net.Dialer{Timeout: time.Nanosecond}, "127.0.0.1:9"), true},
		{"the connection was refused", dial(net.Dialer{}, refusedAddress(t)), true},
		{"the header of the answer timed out", get(&http.Client{Transport: &http.Transport{ResponseHeaderTimeout: time.Millisecond}}, quiet), true},
		{"the client timed out", get(&http.Client{Timeout: time.Millisecond}, quiet), true},
		{"the TLS handshake timed out", get(&http.Client{Transport: &http.Transport{TLSHandshakeTimeout: time.Millisecond}}, "https"+quiet[4:]), true},
		{"the attempt timed out", &timeoutError{time.Second}, true},
		{"the lookup of the host timed out", &net.DNSError{Err: "i/o timeout", IsTimeout: true}, true},
		{"the name server is away", &net.DNSError{Err: "server misbehaving", IsTemporary: true}, true},
		{"the connection was cut", get(http.DefaultClient, cut.URL), true},
		{"the connection was reset", &net.OpError{Op: "read", Err: syscall.ECONNRESET}, true},
		{"the answer was cut", io.ErrUnexpectedEOF, true},
		{"HTTP/2 was told to go away", errors.New("http2: server sent GOAWAY and closed the connection"), true},
		{"an HTTP/2 stream was refused", errors.New("stream error: stream ID 3; REFUSED_STREAM"), true},

		{"there is no such host", &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", IsNotFound: true}}, false},
		{"there is no such address", dial(net.Dialer{}, "127.0.0.1"), false},
		{"the certificate is not trusted", get(&http.Client{}, secure.URL), false},
		{"the server wants no such TLS", refusedHandshake(t), false},
		{"the caller cancelled", cancelled(), false},
		{"something else", errors.New("x"), false},
	} {
		if got := isTransientNetwork(test.err); got != test.want {
			t.Errorf("%s: transient is %t, want %t: %v", test.name, got, test.want, test.err)
		}
	}
}

func TestErrorClasses(t *testing.T) {
	t.Parallel()
	platform := func(code string, status int) error { return &Error{Code: code, Status: status} }
	status := func(status int) error { return &StatusError{Host: "org", Status: status} }
	network := func(cause error) error { return NewNetworkError("org", cause) }
	refused := &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	reset := &net.OpError{Op: "read", Err: syscall.ECONNRESET}
	for _, test := range []struct {
		name                          string
		err                           error
		transient, uncertain, expired bool
	}{
		{"a locked record", platform("UNABLE_TO_LOCK_ROW", 500), true, false, false},
		{"an unavailable server", platform("SERVER_UNAVAILABLE", 500), true, true, false},
		{"a call that takes too long", platform("REQUEST_RUNNING_TOO_LONG", 400), true, true, false},
		{"the limit of a day", platform("REQUEST_LIMIT_EXCEEDED", 403), false, false, false},
		{"the limit of a day, as 503", platform("REQUEST_LIMIT_EXCEEDED", 503), false, true, false},
		{"any fault of a busy server", platform("UNKNOWN_EXCEPTION", 503), true, true, false},
		{"too many requests", platform("X", 429), true, true, false},
		{"a fault about a field", platform("INVALID_FIELD", 500), false, false, false},
		{"an expired session, SOAP", platform("INVALID_SESSION_ID", 500), false, false, true},
		{"a JWT-based token, SOAP", &Error{Code: "INVALID_SESSION_ID", Message: "INVALID_SESSION_ID: This session is not valid for use with the API", Status: 500}, false, false, false},
		{"an expired session, REST", platform("X", 401), false, false, true},
		{"a gateway without an answer", status(502), true, true, false},
		{"a server that is busy", status(503), true, true, false},
		{"a gateway that timed out", status(504), true, true, false},
		{"too many requests, of a proxy", status(429), true, true, false},
		{"a page", status(200), false, true, false},
		{"a broken server", status(500), false, true, false},
		{"no session", status(401), false, false, true},
		{"not found", status(404), false, false, false},
		{"a connection that was refused", network(refused), true, false, false},
		{"a connection that was cut", network(reset), true, true, false},
		{"nothing", nil, false, false, false},
		{"something else", errors.New("x"), false, false, false},
	} {
		for _, err := range []error{test.err, wrapped(test.err)} {
			if IsTransient(err) != test.transient || IsUncertain(err) != test.uncertain || IsSessionExpired(err) != test.expired {
				t.Errorf("%s is transient %t, uncertain %t, expired %t, want %t, %t, %t",
					test.name, IsTransient(err), IsUncertain(err), IsSessionExpired(err), test.transient, test.uncertain, test.expired)
			}
		}
	}
}

func wrapped(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("around: %w", errors.Join(err, errors.New("another")))
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	date := time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		name   string
		status int
		header string
		want   time.Duration
	}{
		{"seconds", 503, "7", 7 * time.Second},
		{"a date", 429, date, 90 * time.Second},
		{"a date that has passed", 503, "Mon, 02 Jan 2006 15:04:05 GMT", 0},
		{"nothing", 503, "", 0},
		{"nonsense", 503, "soon", 0},
		{"a negative number", 503, "-3", 0},
		{"another status", 502, "7", 0},
	} {
		err := asked(&StatusError{Status: test.status}, &Response{Status: test.status, Header: http.Header{"Retry-After": {test.header}}})
		if got := RetryAfter(wrapped(err)); got > test.want || got < test.want-2*time.Second {
			t.Errorf("%s: waits %s, want %s", test.name, got, test.want)
		}
		if !IsTransient(err) {
			t.Errorf("%s: it is not transient any more", test.name)
		}
	}
	final := asked(&Error{Code: "INVALID_FIELD"}, &Response{Status: 503, Header: http.Header{"Retry-After": {"7"}}})
	if got := RetryAfter(final); got != 0 {
		t.Errorf("an error that does not pass waits %s", got)
	}
}
