package cli

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// openRegular opens a file that is no pipe, device or directory.
func openRegular(name string) (*os.File, error) {
	shown := name
	if len(name) > maxName || strings.ContainsAny(name, "\r\n") { // rather the content of a file, such as a key
		shown = fmt.Sprintf("a text of %d bytes", len(name))
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%s does not exist", shown)
	case err != nil || !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file that can be read", shown)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read", shown)
	}
	return file, nil
}

// maxName is the maximum length in bytes of a file name that an error repeats.
const maxName = 255

// loopback returns the first of an app's callback URLs that leads to this machine over http.
func loopback(global *metadata.Component) *url.URL {
	for _, text := range strings.Fields(global.Text("callbackUrl")) {
		u, err := url.Parse(text)
		if err == nil && u.Scheme == "http" && u.Port() != "" && (u.Hostname() == "localhost" || u.Hostname() == "127.0.0.1" || u.Hostname() == "::1") {
			return u
		}
	}
	return nil
}

// browse lets a user log in to the app in a browser, and returns the login with the code that
// the browser brings to the callback URL.
func (c *verifyCmd) browse(ctx context.Context, e *env, work *orgs.Work, client *consumer.Client, app string, global *metadata.Component, conn *salesforce.Conn) (*login.Login, error) {
	callback := loopback(global)
	if callback == nil {
		return nil, fmt.Errorf("%s has no callback URL on this machine, like http://localhost:8787/callback; add one to globalOauthSettings.callbackUrl and run eca bootstrap", app)
	}
	pair := login.Credentials{Key: global.Text("consumerKey")}
	if global.Text("isConsumerSecretOptional") != "true" {
		_, err := c.during(ctx, e, client, work, app, func(*access) error {
			found, err := client.Find(ctx, app)
			if err == nil {
				pair, err = client.Credentials(ctx, found)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	listeners, err := listen(callback)
	if err != nil {
		return nil, err
	}
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	type answer struct {
		code string
		err  error
	}
	answers := make(chan answer, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		path := callback.Path
		if path == "" {
			path = "/"
		}
		if r.URL.Path != path || subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) != 1 {
			http.NotFound(w, r) // whoever that is, it is not the login that was begun here
			return
		}
		got := answer{code: q.Get("code")}
		text := "The login has come back to eca. This window can be closed."
		if refused := q.Get("error"); refused != "" || got.code == "" {
			got.err = &salesforce.TokenRefusal{Host: "the org", Code: console.OneLine(salesforce.MaskSecrets(refused)), Description: console.OneLine(salesforce.MaskSecrets(q.Get("error_description")))}
			text = "The org refused the login. See the output of eca for the reason."
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Connection", "close")
		fmt.Fprintf(w, "<!doctype html><title>eca</title><p>%s</p>", html.EscapeString(text))
		select {
		case answers <- got:
		default: // a second answer counts for nothing
		}
	})}
	for _, listener := range listeners {
		go server.Serve(listener)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		server.Shutdown(closing)
	}()
	page := login.AuthorizeURL(conn.InstanceURL, pair.Key, callback.String(), state, verifier)
	if e.stdoutTerminal && openBrowser(page) == nil {
		e.Line("  waiting for the login in the browser; should none have opened, open:")
	} else {
		e.Line("  open this page in a browser on this machine, and log in:")
	}
	e.Line("  %s", page)
	work.Await("the login in the browser")
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case got := <-answers:
		if got.err != nil {
			return nil, got.err
		}
		return login.Code(conn.InstanceURL, pair, callback.String(), got.code, verifier), nil
	}
}

// listen listens where a callback URL leads to. localhost is both loopbacks: on one that somebody
// else has, he would get the code.
func listen(callback *url.URL) (all []net.Listener, err error) {
	hosts := []string{callback.Hostname()}
	if hosts[0] == "localhost" {
		hosts = []string{"127.0.0.1", "::1"}
	}
	for _, host := range hosts {
		listener, listenErr := net.Listen("tcp", net.JoinHostPort(host, callback.Port()))
		switch {
		case listenErr == nil:
			all = append(all, listener)
		case len(all) > 0 && !errors.Is(listenErr, syscall.EADDRINUSE):
			// This machine has no such loopback.
		default:
			err = fmt.Errorf("the callback URL %s cannot be served here: port %s is in use", callback, callback.Port())
		}
	}
	if err != nil {
		for _, listener := range all {
			listener.Close()
		}
	}
	return all, err
}

// openBrowser opens a page in the user's browser.
func openBrowser(page string) error {
	command := []string{"xdg-open", page}
	switch runtime.GOOS {
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", page}
	case "darwin":
		command[0] = "open"
	}
	browser := exec.Command(command[0], command[1:]...)
	browser.Env = orgauth.ChildEnvironment()
	return browser.Start()
}
