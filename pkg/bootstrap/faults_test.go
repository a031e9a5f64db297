package bootstrap_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// everything is a project that uses all calls of a run: two apps, settings,
// policies that are applied, permission sets that are granted and assigned.
func everything() project {
	return applied(settings(`"One": {"permissionSets": ["Erp_Integration"], "assignToRunAsUser": true, "remoteSiteSetting": true, "globalOauthSettings": {"isDeviceFlowEnabled": true}}`).
		with(header("One")).with(header("Two")).
		with(policies("uat", "One", runAs("run@example.com")+"<permittedUsersPolicyType>AdminApprovedPreAuthorized</permittedUsersPolicyType>")).
		with(policies("uat", "Two", "<refreshTokenPolicyType>Zero</refreshTokenPolicyType>")))
}

// picture describes the components of an org, without the generated consumerKey and oauthLink.
func picture(o *org) string {
	var b strings.Builder
	for _, t := range eca.Types() {
		for _, c := range o.Components(t.Name) {
			delete(c.Fields, "consumerKey")
			delete(c.Fields, "oauthLink")
			for _, field := range []string{"callbackUrl", "url"} {
				if c.Fields[field] == o.URL {
					c.Fields[field] = "(the org)"
				}
			}
			fmt.Fprintln(&b, t.Name, c.FullName, c.Fields)
		}
	}
	fmt.Fprintln(&b, o.Granted("One"), o.Granted("Two"), o.Assigned("run@example.com"))
	return b.String()
}

// disturbed starts an org whose requests are not validated, because there are thousands of
// it; those of the undisturbed one are the same.
func disturbed(t *testing.T, config simorg.Config) *org {
	o := &org{Server: simorg.Start(config), t: t, alias: "uat", kind: platform.Sandbox}
	t.Cleanup(o.Close)
	return o
}

// prepared deploys the headers and returns the options of a run.
func (o *org) prepared(p project) *attempt {
	o.t.Helper()
	options, err := o.options(p, "def")
	if err != nil {
		o.t.Fatal(err)
	}
	o.deployHeaders(p)
	return options
}

// keys returns the consumers' keys and secrets, by component.
func keys(o *org) map[string]string {
	all := make(map[string]string)
	for _, c := range o.Components(eca.GlobalOAuthSettings) {
		all[c.FullName] = c.Fields["consumerKey"] + c.Secret
	}
	return all
}

// refusedAt is a transport whose n-th request finds nobody listening.
type refusedAt struct {
	http.RoundTripper
	n       int64
	counted atomic.Int64
}

func (t *refusedAt) RoundTrip(r *http.Request) (*http.Response, error) {
	if t.counted.Add(1) == t.n {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	return t.RoundTripper.RoundTrip(r)
}

// breakage is one way in which a request goes wrong.
type breakage struct {
	name  string
	fault *simorg.Fault // nil for a connection that is refused
	// heals says whether a run with a budget for retries succeeds: "yes", "soap" for SOAP
	// calls only, or "".
	heals string
	// more breaks the requests that follow in the same way: those with which a run looks
	// up what became of a write, for one.
	more int
}

// cuts reports whether a connection breaks, of which package net/http makes its own.
func (b breakage) cuts() bool { return b.fault != nil && (b.fault.Drop || b.fault.Truncate > 0) }

func breakages() []breakage {
	fault := func(f simorg.Fault) *simorg.Fault { return &f }
	after := func(f simorg.Fault) *simorg.Fault { f.After = true; return &f }
	const page = "<html><body>Down for maintenance</body></html>"
	return []breakage{
		{"connection refused", nil, "yes", 0},
		{"reset", fault(simorg.Fault{Drop: true}), "yes", 0},
		{"reset after the org acted", after(simorg.Fault{Drop: true}), "yes", 0},
		{"reset after the org acted, and twice more", after(simorg.Fault{Drop: true}), "yes", 2},
		{"cut off", fault(simorg.Fault{Truncate: 20}), "yes", 0},
		{"never answered", fault(simorg.Fault{Delay: time.Hour}), "yes", 0},
		{"never answered after the org acted", after(simorg.Fault{Delay: time.Hour}), "yes", 0},
		{"never answered after the org acted, and once more", after(simorg.Fault{Delay: time.Hour}), "yes", 1},
		{"502", fault(simorg.Fault{Status: 502, Body: page}), "yes", 0},
		{"502 after the org acted", after(simorg.Fault{Status: 502, Body: page}), "yes", 0},
		{"503", fault(simorg.Fault{Status: 503}), "yes", 0},
		{"503, and four times more", fault(simorg.Fault{Status: 503}), "yes", 4},
		{"504 after the org acted", after(simorg.Fault{Status: 504, Body: page}), "yes", 0},
		{"429", fault(simorg.Fault{Status: 429}), "yes", 0},
		{"a page", fault(simorg.Fault{Status: 200, Body: page}), "", 0},
		{"a page after the org acted", after(simorg.Fault{Status: 200, Body: page}), "", 0},
		{"session expired", fault(simorg.SOAPFault("INVALID_SESSION_ID", "expired")), "", 0},
		{"locked", fault(simorg.SOAPFault("UNABLE_TO_LOCK_ROW", "locked")), "soap", 0},
		{"unavailable", fault(simorg.SOAPFault("SERVER_UNAVAILABLE", "busy")), "soap", 0},
		{"unavailable after the org acted", after(simorg.SOAPFault("SERVER_UNAVAILABLE", "busy")), "soap", 0},
		{"unknown fault", fault(simorg.SOAPFault("UNKNOWN_EXCEPTION", "x")), "", 0},
		{"one component locked", fault(simorg.Fault{Refuse: "UNABLE_TO_LOCK_ROW"}), "yes", 0},
		{"one component refused", fault(simorg.Fault{Refuse: "UNKNOWN_EXCEPTION"}), "", 0},
	}
}

// TestEveryFaultEverywhere breaks each request of a run in turn, in each way. A
// plain second run has to end in the state of a run that was not disturbed, and a
// run with a budget for retries gets there by itself where the fault passes.
//
// Connections are cut on a network. All else happens in a bubble of synctest, where what is
// never answered takes no time. With -short, only every seventh case is tried.
func TestEveryFaultEverywhere(t *testing.T) {
	t.Parallel()
	tried := 0
	for _, variant := range []struct {
		name       string
		auto, bare bool
	}{{"as usual", false, false}, {"auto policies", true, false}, {"with the headers", false, true}} {
		config := people
		config.Facts = facts(variant.auto, false)
		p := everything()
		undisturbed := startOrg(t, config)
		undisturbed.bare = variant.bare
		undisturbed.mustRun(p)
		want, requests := picture(undisturbed), len(undisturbed.Requests())

		for _, b := range breakages() {
			var cases []disturbance
			for n := range requests {
				for _, retried := range []bool{false, true} {
					if tried++; !testing.Short() || tried%7 == 0 {
						cases = append(cases, disturbance{b, n, retried})
					}
				}
			}
			t.Run(b.name+", "+variant.name, func(t *testing.T) {
				t.Parallel()
				for _, d := range cases {
					if b.cuts() {
						o := disturbed(t, config)
						o.bare = variant.bare
						d.check(t, o, p, want)
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						o := clockedOrg(t, config)
						o.bare = variant.bare
						d.check(t, o, p, want)
					})
				}
			})
		}
	}
}

// disturbance is a breakage at one request of a run.
type disturbance struct {
	breakage
	n       int // the request, from 0
	retried bool
}

// inject prepares an org for the disturbance. It returns the request that it happens to, and
// what ends it.
func (d disturbance) inject(o *org) (hit *simorg.Request, over *atomic.Bool) {
	hit, over = new(simorg.Request), new(atomic.Bool)
	if d.fault == nil {
		return hit, over
	}
	seen := -1
	fault := *d.fault
	fault.Fits = func(r simorg.Request) bool {
		if seen++; seen == d.n {
			*hit = r
		}
		return seen == d.n
	}
	o.Inject(fault)
	for range d.more {
		again := *d.fault
		again.Fits = func(simorg.Request) bool { return seen >= d.n && !over.Load() }
		o.Inject(again)
	}
	return hit, over
}

// check runs disturbed, looks at what became of it, and runs again plainly.
func (d disturbance) check(t *testing.T, o *org, p project, want string) {
	t.Helper()
	name := fmt.Sprintf("at request %d, retried %v", d.n+1, d.retried)
	options := o.prepared(p)
	hit, over := d.inject(o)
	if d.fault == nil {
		options.Conn.HTTPClient = &http.Client{Transport: &refusedAt{RoundTripper: o.client.Transport, n: int64(d.n + 1)}}
	}
	var waited atomic.Int64
	if d.retried {
		options.Conn.Retry = &salesforce.Retry{Budget: 10 * time.Second, First: time.Millisecond, Notify: func(error, time.Duration) { waited.Add(1) }}
	}
	_, err := options.run(t.Context())
	over.Store(true)
	first := keys(o)
	heals := d.retried && (d.heals == "yes" || d.heals == "soap" && hit.Operation != "")
	if d.fault != nil && d.fault.Refuse != "" && !strings.HasSuffix(hit.Operation, "upsertMetadata") {
		heals = true // nothing was refused
	}
	if heals && err != nil {
		t.Errorf("%s: the run ended with %v", name, err)
	}
	if heals && picture(o) != want {
		t.Errorf("%s: the org has\n%swant\n%s", name, picture(o), want)
	}
	if heals {
		lookedUp(t, name, o.Requests())
	}
	if !heals && err != nil && !d.retried && waited.Load() > 0 {
		t.Errorf("%s: a run without a budget waited", name)
	}
	if err != nil && (strings.Contains(err.Error(), o.AccessToken()) || len(err.Error()) > 2000) {
		t.Errorf("%s: ended with %v", name, err)
	}

	// The next night.
	report, err := o.run(p)
	if err != nil {
		t.Errorf("%s: the second run ended with %v", name, err)
		return
	}
	if heals && touched(report) > 0 {
		t.Errorf("%s: the second run did %s", name, actions(report))
	}
	if got := picture(o); got != want {
		t.Errorf("%s: after the second run the org has\n%swant\n%s", name, got, want)
	}
	after := keys(o)
	for consumer, key := range first {
		if after[consumer] != key {
			t.Errorf("%s: the consumer %s has changed", name, consumer)
		}
	}
}

// lookedUp checks that no component was sent twice without having been read in
// between.
func lookedUp(t *testing.T, name string, requests []simorg.Request) {
	t.Helper()
	sent := make(map[string]bool)
	for _, r := range requests {
		for _, fullName := range r.FullNames {
			key := r.Type + " " + fullName
			switch r.Operation {
			case "upsertMetadata":
				if sent[key] {
					t.Errorf("%s: %s was sent again without a look", name, key)
				}
				sent[key] = true
			case "readMetadata":
				delete(sent, key)
			}
		}
	}
}

// TestSlowAnswers has an answer at each request that comes after the deadline.
func TestSlowAnswers(t *testing.T) {
	t.Parallel()
	p := everything()
	undisturbed := startOrg(t, people)
	undisturbed.mustRun(p)
	want, requests := picture(undisturbed), len(undisturbed.Requests())
	for n := range requests {
		for _, after := range []bool{false, true} {
			o := disturbed(t, people)
			options := o.prepared(p)
			seen, reached := -1, make(chan bool, 1)
			o.Inject(simorg.Fault{Delay: time.Hour, After: after, Fits: func(simorg.Request) bool {
				if seen++; seen == n {
					reached <- true
				}
				return seen == n
			}})
			options.Conn.Retry = &salesforce.Retry{Budget: time.Hour}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				<-reached
				time.Sleep(5 * time.Millisecond) // for the org to act
				cancel()
			}()
			started := time.Now()
			if _, err := options.run(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("request %d: ended with %v", n+1, err)
			}
			if took := time.Since(started); took > time.Minute {
				t.Errorf("request %d: it took %s to give up", n+1, took)
			}
			o.mustRun(p)
			if got := picture(o); got != want {
				t.Errorf("request %d: after the second run the org has\n%swant\n%s", n+1, got, want)
			}
		}
	}
}

// TestOrgThatGoesAway: an org that goes away after the first write ends the run when the
// budget is spent, not when each of the reads that look for it has spent one of its own.
func TestOrgThatGoesAway(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		org := simorg.New(people)
		p := everything()
		if err := org.Deploy(p.fs(), "src/def"); err != nil {
			t.Fatal(err)
		}
		source, err := wanted.Load(wanted.Location{Project: p.fs(), Package: "def", Sibling: p.fs()})
		if err != nil {
			t.Fatal(err)
		}
		written := false
		for range 1000 {
			org.Inject(simorg.Fault{Status: 503, Fits: func(r simorg.Request) bool {
				away := written
				written = written || r.Operation == "upsertMetadata"
				return away
			}})
		}
		conn := &salesforce.Conn{
			InstanceURL: "https://acme.my.salesforce.com", HTTPClient: &http.Client{Transport: simorgtest.InProcess(org)},
			Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()}),
			Retry:  &salesforce.Retry{Budget: time.Second},
		}
		started := time.Now()
		_, err = bootstrap.Run(t.Context(), conn, source, bootstrap.Options{Alias: "uat", Kind: platform.Sandbox})
		if took := time.Since(started); !salesforce.IsTransient(err) || took > 1100*time.Millisecond {
			t.Errorf("ended after %s with %v, want about the budget of a second", took, err)
		}
	})
}

// TestLastingFault ends with the fault itself when the patience is over.
func TestLastingFault(t *testing.T) {
	t.Parallel()
	for _, fault := range []simorg.Fault{{Status: 503}, simorg.SOAPFault("UNABLE_TO_LOCK_ROW", "locked"), {Refuse: "UNABLE_TO_LOCK_ROW"}} {
		o := startOrg(t, simorg.Config{})
		p := simple()
		options := o.prepared(p)
		fault.Fits = func(r simorg.Request) bool { return r.Operation == "upsertMetadata" }
		for range 100 {
			o.Inject(fault)
		}
		var waited atomic.Int64
		options.Conn.Retry = &salesforce.Retry{Budget: 100 * time.Millisecond, First: 5 * time.Millisecond, Notify: func(error, time.Duration) { waited.Add(1) }}
		report, err := options.run(t.Context())
		if err == nil || waited.Load() == 0 || !strings.Contains(err.Error(), "503") && !strings.Contains(err.Error(), "UNABLE_TO_LOCK_ROW") {
			t.Errorf("ended with %v after %d waits", err, waited.Load())
		}
		if report.Apps[0].Components[0].Done {
			t.Errorf("the report is %+v", report.Apps[0])
		}
	}
}

// TestPatienceIsBounded: the run's deadline counts more than the patience.
func TestPatienceIsBounded(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := simple()
	options, err := o.options(p, "def")
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		o.Inject(simorg.Fault{Status: 503})
	}
	options.Conn.Retry = &salesforce.Retry{Budget: time.Hour, First: 10 * time.Millisecond}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := options.run(ctx); err == nil {
		t.Error("got success, want an error")
	}
}

// TestAtOnce has several runs on one org at the same time, for the same app and
// for different ones, with an org that locks now and then.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	for _, variant := range []struct {
		name       string
		auto, bare bool
	}{{"as usual", false, false}, {"auto policies", true, false}, {"with the headers", false, true}} {
		config := people
		config.Facts = facts(variant.auto, false)
		p := everything()
		undisturbed := startOrg(t, config)
		undisturbed.bare = variant.bare
		undisturbed.mustRun(p)
		want := picture(undisturbed)
		rounds := 40
		if testing.Short() {
			rounds = 12
		}
		for round := range rounds {
			o := disturbed(t, config)
			o.bare = variant.bare
			o.deployHeaders(p)
			for n := range 3 {
				seen := -1
				o.Inject(simorg.Fault{Refuse: "UNABLE_TO_LOCK_ROW", Fits: func(r simorg.Request) bool {
					if r.Operation == "upsertMetadata" {
						seen++
					}
					return seen == n*2+round%3
				}})
			}
			// Two hooks for both apps, and one each for one app alone.
			projects := []project{p, p, p.with(project{}), p.with(project{})}
			for file := range header("One") {
				delete(projects[2], file)
			}
			for file := range header("Two") {
				delete(projects[3], file)
			}
			var wg sync.WaitGroup
			var mu sync.Mutex
			var seen []string
			for _, q := range projects {
				wg.Go(func() {
					options, err := o.options(q, "def")
					if err != nil {
						t.Error(err)
						return
					}
					options.Conn.Retry = &salesforce.Retry{Budget: 20 * time.Second, First: time.Millisecond}
					_, err = options.run(t.Context())
					for _, key := range keys(o) {
						mu.Lock()
						seen = append(seen, key)
						mu.Unlock()
					}
					if err != nil {
						t.Errorf("%s, round %d: one of several at once ended with %v", variant.name, round, err)
					}
				})
			}
			wg.Wait()
			if got := picture(o); got != want {
				t.Errorf("%s, round %d: the org has\n%swant\n%s", variant.name, round, got, want)
			}
			slices.Sort(seen)
			if n := len(slices.Compact(seen)); n != 2 {
				t.Errorf("%s, round %d: %d consumers were seen", variant.name, round, n)
			}
			if report := o.mustRun(p); touched(report) > 0 {
				t.Errorf("%s, round %d: a further run did %s", variant.name, round, actions(report))
			}
		}
	}
}

// TestLongCall: only waiting uses the patience up, not the work between faults.
func TestLongCall(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := simple()
	options := o.prepared(p)
	long := simorg.SOAPFault("REQUEST_RUNNING_TOO_LONG", "long")
	long.Delay = 300 * time.Millisecond
	long.Fits = func(r simorg.Request) bool { return r.Operation == "upsertMetadata" }
	o.Inject(long)
	options.Conn.Retry = &salesforce.Retry{Budget: 200 * time.Millisecond, First: time.Millisecond}
	if _, err := options.run(t.Context()); err != nil {
		t.Error(err)
	}
}

// grants runs with many permission sets and returns what the report says of them,
// beside what the org has.
func grants(t *testing.T, retry *salesforce.Retry, faults ...simorg.Fault) (said, has int, uncertain int, err error) {
	config := people
	config.PermissionSets = nil
	var quoted []string
	for i := range 12 {
		name := fmt.Sprintf("Set%02d", i)
		config.PermissionSets = append(config.PermissionSets, name)
		quoted = append(quoted, `"`+name+`"`)
	}
	config.Latency = 10 * time.Millisecond
	o := startOrg(t, config)
	p := settings(`"MyApp": {"permissionSets": [` + strings.Join(quoted, ",") + `]}`).with(header("MyApp"))
	options := o.prepared(p)
	for _, f := range faults {
		o.Inject(f)
	}
	options.Conn.Retry = retry
	report, err := options.run(t.Context())
	for _, c := range report.Apps[0].Components {
		if c.Type == "SetupEntityAccess" && c.Done {
			said++
		}
		if c.Type == "SetupEntityAccess" && c.Uncertain {
			uncertain++
		}
	}
	return said, len(o.Granted("MyApp")), uncertain, err
}

// TestGrantsAreTold: of grants at the same time, one that fails says nothing of the
// others.
func TestGrantsAreTold(t *testing.T) {
	t.Parallel()
	post := func(r simorg.Request) bool { return r.Writes() && strings.Contains(r.Path, "SetupEntityAccess") }
	for _, f := range []simorg.Fault{{Drop: true}, {Status: 503, After: true}, {Status: 400, After: true, Body: `[{"errorCode": "REQUEST_RUNNING_TOO_LONG", "message": "x"}]`}} {
		f.Fits = post
		said, has, uncertain, err := grants(t, nil, f)
		if err == nil || said != 11 || uncertain != 1 || f.After != (has == 12) {
			t.Errorf("%+v: %d are said to be there and %d to be uncertain, %d are: %v", f, said, uncertain, has, err)
		}
		said, has, uncertain, err = grants(t, &salesforce.Retry{Budget: 5 * time.Second, First: time.Millisecond}, f)
		if err != nil || said != 12 || has != 12 || uncertain != 0 {
			t.Errorf("%+v: patiently, %d are said to be there and %d to be uncertain, %d are: %v", f, said, uncertain, has, err)
		}
	}
	// Without a look nothing is sent again, and what nobody knows is said to be so.
	posted := false
	faults := []simorg.Fault{{Status: 503, After: true, Fits: func(r simorg.Request) bool {
		posted = posted || post(r)
		return post(r)
	}}}
	for range 100 {
		faults = append(faults, simorg.Fault{Status: 503, Fits: func(r simorg.Request) bool { return posted && strings.Contains(r.Path, "FROM+SetupEntityAccess") }})
	}
	said, has, uncertain, err := grants(t, &salesforce.Retry{Budget: 50 * time.Millisecond, First: 5 * time.Millisecond}, faults...)
	if err == nil || said != 11 || has != 12 || uncertain != 1 {
		t.Errorf("without a look, %d are said to be there and %d to be uncertain, %d are: %v", said, uncertain, has, err)
	}
}

// TestForcedAfterALostAnswer: an org that keeps a field as it likes has acted all the
// same.
func TestForcedAfterALostAnswer(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{Facts: platform.Answers{"pkce-forced": "forced"}})
	p := settings(`"MyApp": {"globalOauthSettings": {"isPkceRequired": false}}`).with(header("MyApp"))
	options := o.prepared(p)
	o.Inject(simorg.Fault{Drop: true, After: true, Fits: func(r simorg.Request) bool {
		return r.Operation == "upsertMetadata" && r.Type == eca.GlobalOAuthSettings
	}})
	options.Conn.Retry = &salesforce.Retry{Budget: 5 * time.Second, First: time.Millisecond}
	report, err := options.run(t.Context())
	if err != nil || report.Apps[0].Components[1].Action != reconcile.Create || len(report.Apps[0].Warnings) == 0 {
		t.Errorf("%+v, %v", report.Apps[0], err)
	}
	if n := len(slices.DeleteFunc(o.writes(), func(r simorg.Request) bool { return r.Type != eca.GlobalOAuthSettings })); n != 1 {
		t.Errorf("%d writes", n)
	}
}

// TestBusyWithAFault: a SOAP fault that comes with 503 is one of a busy server,
// whatever it says.
func TestBusyWithAFault(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	p := simple()
	options := o.prepared(p)
	f := simorg.SOAPFault("UNKNOWN_EXCEPTION", "x")
	f.Status = 503
	o.Inject(f)
	options.Conn.Retry = &salesforce.Retry{Budget: 5 * time.Second, First: time.Millisecond}
	if _, err := options.run(t.Context()); err != nil {
		t.Error(err)
	}
}
