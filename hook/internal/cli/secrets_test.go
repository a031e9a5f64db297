package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// world returns what a command has of a world that consists of a home directory.
func world(home string, out io.Writer) *env {
	getenv := func(name string) string {
		return map[string]string{"SF_USE_GENERIC_UNIX_KEYCHAIN": "true"}[name]
	}
	c := new(console.Console).To(out, out)
	c.Started = time.Now()
	return &env{
		Env: &orgs.Env{
			Console: c, Stdin: strings.NewReader(""), Getenv: getenv, Home: home, Explain: explain,
			Store: sync.OnceValue(func() *orgauth.Store { return orgs.OpenStore(home, getenv) }),
		},
		secrets: out,
	}
}

// sampleOrg is the org for the sample project.
func sampleOrg() simorg.Config {
	return simorg.Config{
		Username: "admin@example.com.uat", SecretsInREST: true, Users: []simorg.User{{Username: "integration@example.com.uat"}},
	}
}

// bootstrapped returns an org with the sample app, and a home that is logged in to it as uat.
func bootstrapped(t *testing.T, settings string) (org *simorg.Server, home string) {
	t.Helper()
	org = simorgtest.Start(t, sampleOrg())
	return org, bootstrapSample(t, org, settings)
}

// bootstrapSample deploys and bootstraps the sample app, and returns a home that is logged in to it as uat.
func bootstrapSample(t *testing.T, org *simorg.Server, settings string) (home string) {
	t.Helper()
	project := filepath.Join(t.TempDir(), "project")
	if err := os.CopyFS(project, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	if settings != "" {
		file := filepath.Join(project, "sfdx-project.json")
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var document map[string]any
		if err := json.Unmarshal(data, &document); err != nil {
			t.Fatal(err)
		}
		document["plugins"] = json.RawMessage(settings)
		if data, err = json.Marshal(document); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := org.Deploy(ecakit.Sample, "testdata/eca-definition"); err != nil {
		t.Fatal(err)
	}
	home = t.TempDir()
	logIn(t, home, org, "admin@example.com.uat", "uat", false)
	if code, stdout, stderr := execute(t, home, "bootstrap", "-o", "uat", "--apply-policies", project); code != exitDone {
		t.Fatalf("%s%s", stdout, stderr)
	}
	return home
}

const sampleApp = "ErpConnector"

// TestATerminalShowsNoSecret unless it is asked to.
func TestATerminalShowsNoSecret(t *testing.T) {
	t.Parallel()
	org, home := bootstrapped(t, "")
	for _, show := range []bool{false, true} {
		var out bytes.Buffer
		e := world(home, &out)
		e.stdoutTerminal = true
		args := []string{"credentials", "-o", "uat", "--app", sampleApp}
		if show {
			args = append(args, "--show")
		}
		code := run(t.Context(), args, e)
		if shown := strings.Contains(out.String(), org.Pairs(sampleApp)[0].Secret); shown != show || (code == exitDone) != show {
			t.Errorf("with --show %t ended with %d, and the secret is shown: %t\n%s", show, code, shown, &out)
		}
	}
}

// TestAFileIsWrittenWholeOrNotAtAll: where one of several orgs fails, nothing is written.
func TestAFileIsWrittenWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	_, home := bootstrapped(t, "")
	empty := simorg.Start(simorg.Config{Username: "empty@example.com", SecretsInREST: true})
	t.Cleanup(empty.Close)
	logIn(t, home, empty, "empty@example.com", "empty", false)
	file := filepath.Join(t.TempDir(), "creds.json")
	if code, _, stderr := execute(t, home, "credentials", "-o", "uat", "-o", "empty", "--app", sampleApp, "--output", file); code != exitFailed || !strings.Contains(stderr, "1 of 2 orgs failed") {
		t.Errorf("ended with %d: %s", code, stderr)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); len(left) > 0 {
		t.Errorf("left %v, want nothing", left)
	}
	if hidden, _ := filepath.Glob(filepath.Join(filepath.Dir(file), ".eca*")); len(hidden) > 0 {
		t.Errorf("left %v, want nothing", hidden)
	}
}

// TestTheSettingIsSwitchedOffAgainAfterAnInterruption, also where reading was cut off.
func TestTheSettingIsSwitchedOffAgainAfterAnInterruption(t *testing.T) {
	t.Parallel()
	org, home := bootstrapped(t, "")
	client := &consumer.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens(org)}}
	if err := client.SetAccess(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	org.Inject(simorg.Fault{Fits: func(r simorg.Request) bool {
		if strings.Contains(r.Path, "/apps/oauth/credentials/") {
			cancel()
			return true
		}
		return false
	}, Delay: time.Minute})
	var out bytes.Buffer
	if code := run(ctx, []string{"credentials", "-o", "uat", "--app", sampleApp, "--enable-access", "--output", "-"}, world(home, &out)); code != exitFailed || !strings.Contains(out.String(), "interrupted") {
		t.Errorf("ended with %d: %s", code, &out)
	}
	if on, err := client.Access(t.Context()); err != nil || on {
		t.Errorf("afterwards the setting is %t, %v; want it off", on, err)
	}
}

// TestVerifyInABrowser goes through the org's login page.
func TestVerifyInABrowser(t *testing.T) {
	t.Parallel()
	callback := fmt.Sprintf("http://localhost:%d/callback", unusedPort(t))
	_, home := bootstrapped(t, `{"eca": {"apps": {"ErpConnector": {"globalOauthSettings": {"callbackUrl": ["https://erp.example.com/cb", "`+callback+`"]}}}}}`)
	browse := regexp.MustCompile(`http://127\.0\.0\.1:\d+/services/oauth2/authorize\S+`)
	for _, test := range []struct {
		name, user, want string
		change           func(page string) string
	}{
		{"somebody logs in", "admin@example.com.uat", "logged in by authorization code as admin@example.com.uat", nil},
		{"somebody else's answer comes first", "integration@example.com.uat", "logged in by authorization code as integration@example.com.uat", func(page string) string {
			resp, err := http.Get(callback + "?code=forged&state=forged")
			if err != nil || resp.StatusCode != http.StatusNotFound {
				t.Errorf("a forged answer gives %v, %v", resp, err)
			}
			return page
		}},
		{"without PKCE", "admin@example.com.uat", "missing required code challenge", func(page string) string {
			return regexp.MustCompile(`&code_challenge=[^&]*`).ReplaceAllString(page, "")
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := &lines{found: make(chan string, 1), pattern: browse}
			done := make(chan int, 1)
			e := world(home, out)
			go func() { done <- run(t.Context(), []string{"verify", "-o", "uat", "--app", sampleApp, "--browser"}, e) }()
			var page string
			select {
			case page = <-out.found:
			case code := <-done:
				t.Fatalf("verify ended with %d before it named a page to open: %s", code, out)
			}
			if test.change != nil {
				page = test.change(page)
			}
			resp, err := http.PostForm(page, url.Values{"username": {test.user}})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			<-done
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("got %s, want %q", out, test.want)
			}
		})
	}
}

// unusedPort returns a port of the loopback that nothing listens on. It is below the ports that
// systems choose themselves, so that no other test gets it before this one uses it.
func unusedPort(t *testing.T) int {
	t.Helper()
	for port := 20000 + os.Getpid()%5000; port < 32768; port++ {
		if listener, err := net.Listen("tcp", fmt.Sprintf("localhost:%d", port)); err == nil {
			listener.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// lines is an output of which the first match of a pattern is told.
type lines struct {
	mu      sync.Mutex
	all     bytes.Buffer
	pattern *regexp.Regexp
	found   chan string
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all.Write(p)
	if match := l.pattern.FindString(l.all.String()); match != "" {
		select {
		case l.found <- match:
		default:
		}
	}
	return len(p), nil
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// TestRoundsOfCredentials bounds how many requests follow one another, which is what a distant
// org makes somebody wait for. It runs in a bubble of synctest, in which computing takes no time.
func TestRoundsOfCredentials(t *testing.T) {
	withoutSignals(t)
	synctest.Test(t, checkRounds)
}

// withoutSignals prepares a test for commands in a bubble of synctest.
func withoutSignals(t *testing.T) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt) // starts the goroutine of os/signal, which must be outside of the bubble
	signal.Stop(signals)
	t.Cleanup(func() { signal.Reset(syscall.SIGPIPE) }) // a signal must not reach the channel of a command in the bubble
}

func checkRounds(t *testing.T) {
	config := sampleOrg()
	config.Latency = time.Second
	org := inMemory(t, config)
	home := bootstrapSample(t, org, "")
	if err := org.Fill(os.DirFS("testdata/tokens"), "."); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args   []string
		rounds int
	}{
		{[]string{"revoke", "--yes", "--app", sampleApp}, 6},
		{[]string{"revoke", "--yes", "--app", sampleApp}, 2},
		{[]string{"credentials", "--output", filepath.Join(t.TempDir(), "creds.json"), "--app", sampleApp}, 2},
		{[]string{"verify", "--app", sampleApp}, 5},
		{[]string{"verify", "--all"}, 9},
		{[]string{"rotate", "--output", filepath.Join(t.TempDir(), "creds.json"), "--app", sampleApp}, 9},
	} {
		before := len(org.Requests())
		if code, stdout, stderr := execute(t, home, append(test.args, "-o", "uat")...); code != exitDone {
			t.Fatalf("%v: %s%s", test.args, stdout, stderr)
		}
		if n := simorg.Sequential(org.Requests()[before:]); n > test.rounds {
			t.Errorf("%s takes %d rounds of requests, want %d at most", test.args[0], n, test.rounds)
			for _, r := range org.Requests()[before:] {
				t.Log(r.Started.Format(time.TimeOnly), r.Method, r.Path, r.Operation, r.Type)
			}
		}
	}
}

// inMemory serves an org over pipes in memory, to which the commands of a test connect whatever
// address they dial. The test must not run in parallel to others.
func inMemory(t *testing.T, config simorg.Config) *simorg.Server {
	config.URL = "http://127.0.0.1:1"
	org := &simorg.Server{Org: simorg.New(config), URL: config.URL}
	conns := make(pipes)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond) // a request that follows another one comes later
		org.ServeHTTP(w, r)
	})}
	go server.Serve(conns)
	transport := http.DefaultTransport.(*http.Transport)
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if trace := httptrace.ContextClientTrace(ctx); trace != nil && trace.ConnectStart != nil {
			trace.ConnectStart(network, address)
		}
		client, server := net.Pipe()
		conns <- server
		return client, nil
	}
	t.Cleanup(func() {
		transport.DialContext = dial
		server.Close()
	})
	return org
}

// pipes is a listener of connections in memory.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	conn, open := <-p
	if !open {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error { close(p); return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }
