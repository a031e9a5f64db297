package cli

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// transcript names a file to which the eca of a script appends all that it
// prints, to be searched for secrets.
const transcript = "ECA_TEST_TRANSCRIPT"

// noRaceSleep is GORACE of the eca that tests start: the race detector would sleep for a second
// at the end of each.
const noRaceSleep = "atexit_sleep_ms=0"

// maxRun bounds a run of eca in a script, so that one that hangs fails its script.
const maxRun = time.Minute

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"eca": func() {
			time.AfterFunc(maxRun, func() { panic("eca has not ended") })
			e := newEnv()
			if name := os.Getenv(transcript); name != "" {
				f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
				if err != nil {
					panic(err)
				}
				e.secrets = os.Stdout // where they are meant to be, so that the transcript need not have them
				e.Stdout, e.Stderr = io.MultiWriter(os.Stdout, f, wholeLines{f}), io.MultiWriter(os.Stderr, f)
			}
			os.Exit(run(interruptible(), os.Args[1:], e))
		},
	})
}

// wholeLines notes in a transcript what was written to standard output in pieces
// that do not end with a line, questions aside.
type wholeLines struct{ transcript io.Writer }

const brokenLine = "[the line was written in pieces]"

func (w wholeLines) Write(p []byte) (int, error) {
	if !bytes.HasSuffix(p, []byte("\n")) && !bytes.HasSuffix(p, []byte(": ")) {
		fmt.Fprintln(w.transcript, brokenLine)
	}
	return len(p), nil
}

// stage is what one script plays on.
type stage struct {
	t    testing.TB
	orgs []*simorg.Server
	held chan bool // gets a value when an org holds a request; see fault

	keys bool // the output may have whole consumer keys
}

func (s *stage) org(ts *testscript.TestScript) *simorg.Server {
	if len(s.orgs) == 0 {
		ts.Fatalf("there is no org yet")
	}
	return s.orgs[len(s.orgs)-1]
}

type stageKey struct{}

func TestScripts(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			s := &stage{t: env.T().(testing.TB), held: make(chan bool, 1)}
			env.Values[stageKey{}] = s
			home := filepath.Join(env.WorkDir, "home")
			env.Setenv("HOME", home)
			env.Setenv("USERPROFILE", home) // what Windows calls it
			env.Setenv("GORACE", noRaceSleep)
			env.Setenv("ROOT", root)
			env.Setenv("SF_USE_GENERIC_UNIX_KEYCHAIN", "true")
			record := filepath.Join(env.WorkDir, ".transcript")
			env.Setenv(transcript, record)
			env.Defer(func() { searchSecrets(s, record) })
			return os.Mkdir(home, 0o700)
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"org": startOrg, "session": setSession, "login": writeLogin, "deploy": deploy, "fill": fill, "age": age, "install": install, "sent": sent,
			"forget": forget, "expire": expire, "component": component, "granted": granted, "stop": stopOrg, "fault": fault, "held": held, "apps": makeApps, "artifact": makeArtifact, "oneline": oneLineOnStderr, "exits": exits, "json": checkJSON,
			"handed": handed, "setting": setting, "mode": mode, "assign": assign, "callout": callout, "deactivate": deactivate, "withdraw": withdraw, "certificate": putCertificate, "recipes": runRecipes, "browse": browse,
		},
	})
}

// searchSecrets fails the test where the output of eca holds a token, a consumer
// secret, a whole consumer key, or a key to the store.
func searchSecrets(s *stage, record string) {
	data, err := os.ReadFile(record)
	if err != nil {
		return
	}
	output := string(data)
	if before, _, broken := strings.Cut(output, brokenLine); broken {
		s.t.Errorf("a line was written in pieces, so sfp could show it as two entries:\n%s", before[max(0, len(before)-400):])
	}
	secrets := append(simorgtest.StoreKeys(), "PRIVATE KEY")
	for _, org := range s.orgs {
		_, token, _ := strings.Cut(org.AccessToken(), "!")
		secrets = append(secrets, token)
		for _, c := range org.Components(eca.GlobalOAuthSettings) {
			secrets = append(secrets, c.Secret)
			if !s.keys {
				secrets = append(secrets, c.Fields["consumerKey"])
			}
		}
	}
	for _, secret := range secrets {
		if secret != "" && strings.Contains(output, secret) {
			s.t.Errorf("the output holds the secret %q:\n%s", secret, output)
		}
	}
}

// org [kind] [latency] [auto] [secrets] [unchecked] [propagation=TIME] [user=ADMIN] [set=NAME] [certificate=NAME] [active=USERNAME] [inactive=USERNAME] [mcp=SERVER] [agent=ID] [keys] [fact=ID=ANSWER]: starts a simulated
// org; the one last started is the one that the other commands are about. Requests to an unchecked one need not follow the WSDL.
// With keys, the output may have whole consumer keys.
func startOrg(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(stageKey{}).(*stage)
	config := simorg.Config{Username: "admin@example.com.uat", Users: []simorg.User{{Username: "integration@example.com.uat"}}}
	unchecked := false
	for _, arg := range args {
		switch latency, err := time.ParseDuration(arg); {
		case err == nil:
			config.Latency = latency
		case arg == "auto":
			config.Facts = platform.Answers{"policies-with-consumer": "created"}
		case arg == "devhub":
			config.Kind, config.DevHub = simorg.Production, true
		case arg == "secrets":
			config.SecretsInREST = true
		case arg == "unchecked":
			unchecked = true
		case arg == "keys":
			s.keys = true
		case strings.HasPrefix(arg, "mcp="):
			config.MCPServers = append(config.MCPServers, strings.TrimPrefix(arg, "mcp="))
		case strings.HasPrefix(arg, "agent="):
			config.Agents = append(config.Agents, simorg.Agent{ID: strings.TrimPrefix(arg, "agent=")})
		case strings.HasPrefix(arg, "fact="):
			id, answer, _ := strings.Cut(strings.TrimPrefix(arg, "fact="), "=")
			if config.Facts == nil {
				config.Facts = make(platform.Answers)
			}
			config.Facts[id] = answer
		case strings.HasPrefix(arg, "propagation="):
			config.Propagation, err = time.ParseDuration(strings.TrimPrefix(arg, "propagation="))
			ts.Check(err)
		case strings.HasPrefix(arg, "user="):
			config.Username = strings.TrimPrefix(arg, "user=")
		case strings.HasPrefix(arg, "set="):
			config.PermissionSets = append(config.PermissionSets, strings.TrimPrefix(arg, "set="))
		case strings.HasPrefix(arg, "certificate="):
			config.Certificates = append(config.Certificates, strings.TrimPrefix(arg, "certificate="))
		case strings.HasPrefix(arg, "active="):
			config.Users = append(config.Users, simorg.User{Username: strings.TrimPrefix(arg, "active=")})
		case strings.HasPrefix(arg, "inactive="):
			config.Users = append(config.Users, simorg.User{Username: strings.TrimPrefix(arg, "inactive="), Inactive: true})
		default:
			config.Kind = simorg.Kind(arg)
		}
	}
	var org *simorg.Server
	if unchecked {
		org = simorg.Start(config)
		s.t.Cleanup(org.Close)
	} else {
		org = simorgtest.Start(s.t, config)
	}
	s.orgs = append(s.orgs, org)
	ts.Setenv("ORG_URL", org.URL)
}

// browse USER FILE: logs in as the user to the next login that eca begins, as somebody with a browser does. If the
// callback URL leads to this machine, the browser goes there. If not, the redirected URL is written to the file,
// which is a pipe.
func browse(ts *testscript.TestScript, neg bool, args []string) {
	record, to := ts.Getenv(transcript), ts.MkAbs(args[1])
	before, _ := os.ReadFile(record) // there is none before the first command
	page := regexp.MustCompile(`http://127\.0\.0\.1:\d+/services/oauth2/authorize\S+`)
	go func() {
		for end := time.Now().Add(maxRun); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			data, _ := os.ReadFile(record)
			address := page.FindString(string(data[min(len(before), len(data)):]))
			if address == "" {
				continue
			}
			browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			resp, err := browser.PostForm(address, url.Values{"username": {args[0]}})
			if err != nil {
				return // the command tells that nobody logs in
			}
			resp.Body.Close()
			redirected := resp.Header.Get("Location")
			if strings.HasPrefix(redirected, "http://localhost:") {
				if resp, err := http.Get(redirected); err == nil {
					resp.Body.Close()
				}
				return
			}
			if pipe, err := os.OpenFile(to, os.O_WRONLY, 0); err == nil {
				fmt.Fprintln(pipe, redirected)
				pipe.Close()
			}
			return
		}
	}()
}

// session [HOST]: gives eca the org's session in the environment, at another name of this machine if one is given.
func setSession(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	ts.Setenv("SF_ACCESS_TOKEN", org.AccessToken())
	instance := org.URL
	if len(args) > 0 {
		instance = strings.Replace(instance, "127.0.0.1", args[0], 1)
	}
	ts.Setenv("SF_ORG_INSTANCE_URL", instance)
}

// login ALIAS [v2] [KIND]: writes the org's session into a store like sf's.
func writeLogin(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	ts.Check(simorgtest.LogIn(ts.Getenv("HOME"), org, args[0], args[1:]...))
}

// deploy DIR: deploys source to the org. With "!", the org has to refuse it.
func deploy(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	err := org.Deploy(os.DirFS(ts.MkAbs(args[0])), ".")
	switch {
	case neg && err == nil:
		ts.Fatalf("the org accepted %s", args[0])
	case !neg:
		ts.Check(err)
	}
}

// age DURATION: moves the creation dates of apps and consumers into the past.
func age(ts *testscript.TestScript, neg bool, args []string) {
	by, err := time.ParseDuration(args[0])
	ts.Check(err)
	ts.Value(stageKey{}).(*stage).org(ts).Age(by)
}

// fill DIR: adds Connected Apps and records to the org.
func fill(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Value(stageKey{}).(*stage).org(ts).Fill(os.DirFS(ts.MkAbs(args[0])), "."))
}

// install DIR NUMBER: installs a package with apps whose consumers are on the org that was started
// as the NUMBERth, from 0 on.
func install(ts *testscript.TestScript, neg bool, args []string) {
	s := ts.Value(stageKey{}).(*stage)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	err = s.org(ts).Install(s.orgs[n].Org, os.DirFS(ts.MkAbs(args[0])), ".")
	if neg != (err != nil) {
		ts.Fatalf("installing says %v", err)
	}
}

// sent [writes] N: the org got exactly N requests since it was last told to
// forget.
func sent(ts *testscript.TestScript, neg bool, args []string) {
	requests := ts.Value(stageKey{}).(*stage).org(ts).Requests()
	what := "requests"
	if args[0] == "writes" {
		what, args = "writes", args[1:]
		requests = slices.DeleteFunc(requests, func(r simorg.Request) bool { return !r.Writes() })
	}
	if want, err := strconv.Atoi(args[0]); err != nil || len(requests) != want {
		ts.Fatalf("the org got %d %s, not %s", len(requests), what, args[0])
	}
}

func forget(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(stageKey{}).(*stage).org(ts).ForgetRequests()
}

// stop: nobody listens where the org was.
func stopOrg(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(stageKey{}).(*stage).org(ts).Close()
}

func expire(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(stageKey{}).(*stage).org(ts).ExpireSessions()
}

// component TYPE NAME [FIELD VALUE]...: the org has the component with these
// values. With "!", it has none of that name.
func component(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	all := org.Components(args[0])
	i := slices.IndexFunc(all, func(c simorg.Component) bool { return c.FullName == args[1] })
	if neg {
		if i >= 0 {
			ts.Fatalf("the org has %s %s", args[0], args[1])
		}
		return
	}
	if i < 0 {
		ts.Fatalf("the org has no %s %s, only %v", args[0], args[1], all)
	}
	for n := 2; n+1 < len(args); n += 2 {
		if got := all[i].Fields[args[n]]; got != args[n+1] {
			ts.Fatalf("%s of %s is %q, not %q", args[n], args[1], got, args[n+1])
		}
	}
}

// granted APP|USERNAME [NAME]...: these permission sets grant the app, or are
// assigned to the user, and no others.
func granted(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	got := org.Granted(args[0])
	if strings.Contains(args[0], "@") {
		got = org.Assigned(args[0])
	}
	if !slices.Equal(got, args[1:]) && len(got)+len(args) > 1 {
		ts.Fatalf("%s has %v", args[0], got)
	}
}

// fault OPERATION CODE: the next such call is answered with a SOAP fault, or
// with an HTTP status where CODE is a number, cut off where it is "drop", or never
// answered where it is "hold"; held waits until the org has got it.
func fault(ts *testscript.TestScript, neg bool, args []string) {
	f := simorg.SOAPFault(args[1], "injected")
	if status, err := strconv.Atoi(args[1]); err == nil {
		f = simorg.Fault{Status: status, Body: "<html>a page</html>"}
	} else if args[1] == "drop" {
		f = simorg.Fault{Drop: true}
	}
	s := ts.Value(stageKey{}).(*stage)
	f.Fits = func(r simorg.Request) bool { return r.Operation == args[0] }
	if args[1] == "hold" {
		f = simorg.Fault{Delay: time.Hour, Fits: func(r simorg.Request) bool {
			fits := r.Operation == args[0]
			if fits {
				s.held <- true
			}
			return fits
		}}
	}
	s.org(ts).Inject(f)
}

// held: waits until the org holds the request that "fault OPERATION hold" is about.
func held(ts *testscript.TestScript, neg bool, args []string) {
	select {
	case <-ts.Value(stageKey{}).(*stage).held:
	case <-time.After(maxRun):
		ts.Fatalf("the org got no such request")
	}
}

// apps DIR N: writes headers of N apps.
func makeApps(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	for i := range n {
		content := `<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><distributionState>Local</distributionState></ExternalClientApplication>`
		ts.Check(os.WriteFile(filepath.Join(dir, fmt.Sprintf("App%02d.eca-meta.xml", i)), []byte(content), 0o600))
	}
}

// oneline: what the last command printed on standard error is one line of eca's, and at most one hint.
func oneLineOnStderr(ts *testscript.TestScript, neg bool, args []string) {
	if text := ts.ReadFile("stderr"); !oneError.MatchString(text) {
		ts.Fatalf("standard error is not one line with at most one hint: %q", text)
	}
}

var oneError = regexp.MustCompile(`^error: [^\n]+\n(hint: [^\n]+\n)?$`)

// exits CODE COMMAND...: runs eca and checks its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	code := 0
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("the exit code is %d, not %s", code, args[0])
	}
}

// json [PATH VALUE]...: what the last command printed on standard output is one
// JSON document with these values.
func checkJSON(ts *testscript.TestScript, neg bool, args []string) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	var document any
	ts.Check(d.Decode(&document))
	if d.Decode(new(any)) != io.EOF {
		ts.Fatalf("there is more than one document")
	}
	for n := 0; n+1 < len(args); n += 2 {
		value := document
		for _, key := range strings.Split(args[n], ".") {
			switch v := value.(type) {
			case map[string]any:
				value = v[key]
			case []any:
				i, err := strconv.Atoi(key)
				ts.Check(err)
				value = v[i]
			default:
				value = nil
			}
		}
		if got := fmt.Sprint(value); got != args[n+1] {
			ts.Fatalf("%s is %s, not %s", args[n], got, args[n+1])
		}
	}
}

// handed pair|key|env [FILE]: what the last command printed, or a file, holds the credentials of
// MyApp on the org, and nothing else.
func handed(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	name := "stdout"
	if len(args) > 1 {
		name = args[1]
	}
	pair := org.Pairs("MyApp")[0]
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	ids, err := (&consumer.Client{Conn: conn}).Find(context.Background(), "MyApp")
	ts.Check(err)
	want := fmt.Sprintf("{\"base_url\":%q,\"client_id\":%q,\"client_secret\":%q,\"app_id\":%q,\"consumer_id\":%q}\n", org.URL, pair.Key, pair.Secret, ids.AppID, ids.ID)
	switch args[0] {
	case "key":
		want = fmt.Sprintf("{\"base_url\":%q,\"client_id\":%q,\"app_id\":%q,\"consumer_id\":%q}\n", org.URL, pair.Key, ids.AppID, ids.ID)
	case "env":
		want = fmt.Sprintf("ECA_BASE_URL=%s\nECA_CLIENT_ID=%s\nECA_CLIENT_SECRET=%s\nECA_APP_ID=%s\nECA_CONSUMER_ID=%s\n", org.URL, pair.Key, pair.Secret, ids.AppID, ids.ID)
	}
	if got := ts.ReadFile(name); (got == want) == neg {
		ts.Fatalf("%s holds %q, and the credentials are %q", name, got, want)
	}
}

// setting on|off: whether the org lets its REST API read secrets. setting is on|off: checks it.
func setting(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}
	client := &consumer.Client{Conn: conn}
	if args[0] == "is" {
		on, err := client.Access(context.Background())
		ts.Check(err)
		if on != (args[1] == "on") {
			ts.Fatalf("the setting is on: %t", on)
		}
		return
	}
	ts.Check(client.SetAccess(context.Background(), args[0] == "on"))
}

// mode FILE OCTAL: a file has these permissions.
func mode(ts *testscript.TestScript, neg bool, args []string) {
	info, err := os.Stat(ts.MkAbs(args[0]))
	ts.Check(err)
	if got := strconv.FormatUint(uint64(info.Mode().Perm()), 8); got != args[1] {
		ts.Fatalf("%s has the mode %s, want %s", args[0], got, args[1])
	}
}

// assign USER SET: gives a user of the org a permission set.
func assign(ts *testscript.TestScript, neg bool, args []string) {
	org := ts.Value(stageKey{}).(*stage).org(ts)
	rest := &restapi.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens(org)}}
	var ids []string
	for _, soql := range []string{"SELECT Id FROM User WHERE Username = " + restapi.Quote(args[0]), "SELECT Id FROM PermissionSet WHERE Name = " + restapi.Quote(args[1])} {
		found, err := restapi.Query[struct {
			ID string `json:"Id"`
		}](context.Background(), rest, soql)
		ts.Check(err)
		ids = append(ids, found[0].ID)
	}
	_, err := rest.Create(context.Background(), "PermissionSetAssignment", map[string]any{"AssigneeId": ids[0], "PermissionSetId": ids[1]})
	ts.Check(err)
}

// callout NAME USER [WORDS]: Apex of the user calls a named credential of the org, which works; or
// with "!", is refused with these words.
func callout(ts *testscript.TestScript, neg bool, args []string) {
	err := ts.Value(stageKey{}).(*stage).org(ts).Callout(args[0], args[1])
	switch {
	case !neg:
		ts.Check(err)
	case err == nil || len(args) > 2 && !strings.Contains(err.Error(), args[2]):
		ts.Fatalf("the callout says %v", err)
	}
}

// deactivate USER: makes a user of the org inactive.
func deactivate(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(stageKey{}).(*stage).org(ts).Deactivate(args[0])
}

// withdraw [PERMISSION...]: takes permissions from the administrator of the org, and gives others back.
func withdraw(ts *testscript.TestScript, neg bool, args []string) {
	ts.Value(stageKey{}).(*stage).org(ts).Withdraw(args...)
}

// certificate APP DAYS: gives an app of the org a certificate that expires in so many days.
func putCertificate(ts *testscript.TestScript, neg bool, args []string) {
	days, err := strconv.Atoi(args[1])
	ts.Check(err)
	until := time.Now().AddDate(0, 0, days)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.AddDate(-1, 0, 0), NotAfter: until}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	ts.Check(err)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	ts.Check(err)
	org := ts.Value(stageKey{}).(*stage).org(ts)
	conn := &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens(org)}
	has, err := apps.Component(context.Background(), conn, args[0], eca.GlobalOAuthSettings)
	ts.Check(err)
	want, _ := eca.Lookup(eca.GlobalOAuthSettings).Overlay(has, metadata.Stated("certificate", base64.StdEncoding.EncodeToString(der)))
	results, err := (&mdapi.Client{Conn: conn}).Update(context.Background(), []*metadata.Component{want})
	ts.Check(err)
	if !results[0].Success {
		ts.Fatalf("the org refuses the certificate: %v", results[0].Errors)
	}
}
