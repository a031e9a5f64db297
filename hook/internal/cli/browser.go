package cli

import (
	"bufio"
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

// callback returns the callback URL for a login in a browser: one that leads to this machine if there is one, else
// the first one of a web page. local reports the former.
func callback(global *metadata.Component) (to *url.URL, local bool) {
	if to = loopback(global); to != nil {
		return to, true
	}
	var other *url.URL
	for _, text := range strings.Fields(global.Text("callbackUrl")) {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme == "":
		case u.Scheme == "https" || u.Scheme == "http":
			return u, false
		case other == nil:
			other = u // of an application, which a browser may not show
		}
	}
	return other, false
}

// browse lets a user log in to the app in a browser, and returns the login with the code with which the browser is
// redirected to a callback URL. If that leads to this machine, eca waits there. If not, the user gives eca the
// address.
func (c *verifyCmd) browse(ctx context.Context, e *env, work *orgs.Work, client *consumer.Client, app string, global *metadata.Component, conn *salesforce.Conn, scopes ...string) (*login.Login, error) {
	to, local := callback(global)
	if to == nil {
		return nil, fmt.Errorf("%s has no callback URL, like http://localhost:8787/callback; add one to globalOauthSettings.callbackUrl and run eca bootstrap", app)
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
	state, verifier := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	page := login.AuthorizeURL(conn.InstanceURL, pair.Key, to.String(), state, verifier, scopes...)
	receive := pasted
	if local {
		receive = received
	}
	code, err := receive(ctx, e, work, to, page, state)
	if err != nil {
		return nil, err
	}
	return login.Code(conn.InstanceURL, pair, to.String(), code, verifier), nil
}

// codeIn returns the authorization code of the query of a redirected URL, or the org's refusal.
func codeIn(q url.Values) (code string, err error) {
	code = q.Get("code")
	salesforce.NewSecret(code) // so that it is masked wherever it is printed, also within a refusal
	if refused := q.Get("error"); refused != "" || code == "" {
		return "", &salesforce.TokenRefusal{Host: "the org", Code: console.OneLine(salesforce.MaskSecrets(refused)), Description: console.OneLine(salesforce.MaskSecrets(q.Get("error_description")))}
	}
	return code, nil
}

// isState reports whether the query of a redirected URL belongs to the login that was begun with a state.
func isState(q url.Values, state string) bool {
	return subtle.ConstantTimeCompare([]byte(q.Get("state")), []byte(state)) == 1
}

// received waits on this machine for the browser that is redirected to the callback URL, and returns the code.
func received(ctx context.Context, e *env, work *orgs.Work, callback *url.URL, page, state string) (string, error) {
	listeners, err := listen(callback)
	if err != nil {
		return "", err
	}
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
		if r.URL.Path != path || !isState(q, state) {
			http.NotFound(w, r) // whoever that is, it is not the login that was begun here
			return
		}
		var got answer
		text := "The login has come back to eca. This window can be closed."
		if got.code, got.err = codeIn(q); got.err != nil {
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
	if e.stdoutTerminal && openBrowser(page) == nil {
		work.Note("waiting for the login in the browser; should none have opened, open:")
	} else {
		work.Note("open this page in a browser on this machine, and log in:")
	}
	work.Note("%s", page)
	work.Await("the login in the browser")
	select {
	case <-ctx.Done():
		return "", context.Cause(ctx)
	case got := <-answers:
		return got.code, got.err
	}
}

// maxPasted is how often somebody at a terminal is asked for the redirected URL.
const maxPasted = 3

// pasted asks for the address to which the browser is redirected, and returns the code: at a terminal, or from the
// first line of standard input.
func pasted(ctx context.Context, e *env, work *orgs.Work, callback *url.URL, page, state string) (code string, err error) {
	work.Note("open this page in a browser, and log in:")
	work.Note("%s", page)
	work.Note("the browser is then redirected to %s; give eca the whole address of that page, even if the page shows an error", callback)
	work.Await("the redirected URL")
	lines := bufio.NewScanner(e.Stdin)
	for attempt := 1; ; attempt++ {
		question := "Redirected URL"
		if !e.terminal {
			question = "" // the lines above say it
		}
		text, err := e.answer(ctx, lines, question)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			return "", errors.New("no redirected URL was given on standard input")
		}
		code, err = redirected(text, callback, state)
		if wrong, again := errors.AsType[*pastedError](err); again && e.terminal && attempt < maxPasted {
			work.Note("%s", wrong.Error())
			continue
		}
		return code, err
	}
}

// answer reads a line that is not empty. At a terminal it asks for the line first.
func (e *env) answer(ctx context.Context, lines *bufio.Scanner, question string) (text string, err error) {
	for text == "" && err == nil {
		text, err = e.question(ctx, lines, question)
	}
	return text, err
}

// pastedError reports a text that is not the redirected URL of the login. It repeats nothing of the text.
type pastedError struct{ problem string }

func (e *pastedError) Error() string { return "this is not the redirected URL: " + e.problem }

// redirected returns the code in the address to which a browser was redirected.
func redirected(text string, callback *url.URL, state string) (string, error) {
	u, err := url.Parse(strings.Trim(text, " \t\"'<>"))
	if err != nil || !strings.EqualFold(u.Scheme, callback.Scheme) || !strings.EqualFold(u.Host, callback.Host) || strings.Trim(u.Path, "/") != strings.Trim(callback.Path, "/") {
		return "", &pastedError{"it does not begin with " + callback.String()}
	}
	q := u.Query()
	if !isState(q, state) {
		return "", &pastedError{"its state is not the one of this login, so it belongs to another login or is cut off"}
	}
	return codeIn(q)
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
