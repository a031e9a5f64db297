package reconcile_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func client(org *simorg.Server) *mdapi.Client {
	return &mdapi.Client{Conn: &salesforce.Conn{
		InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()}),
		Retry: &salesforce.Retry{Budget: 5 * time.Second, First: time.Millisecond},
	}}
}

func stated(pairs ...string) metadata.Fields {
	s := make(metadata.Fields)
	for i := 0; i < len(pairs); i += 2 {
		s.Set(pairs[i], pairs[i+1])
	}
	return s
}

// site is a remote site: a component that belongs to no app and comes after nothing.
func site(name, url string) *metadata.Want {
	return &metadata.Want{
		Type: eca.Lookup(eca.RemoteSiteSetting), Names: []string{name},
		Fields: stated("url", url), Defaults: stated("isActive", "true", "disableProtocolSecurity", "false"),
	}
}

// apply brings wants to an org and returns what became of each.
func apply(t *testing.T, c *mdapi.Client, wants ...*metadata.Want) ([]reconcile.Outcome, error) {
	t.Helper()
	state, err := reconcile.Read(t.Context(), c, wants)
	if err != nil {
		t.Fatal(err)
	}
	run := state.Plan(nil).Start()
	err = run.Apply(t.Context(), nil)
	return run.Outcomes(), err
}

func said(outcomes []reconcile.Outcome) string {
	var all []string
	for _, o := range outcomes {
		all = append(all, fmt.Sprintf("%s %s %t", o.FullName, o.Action, o.OK()))
	}
	return strings.Join(all, ", ")
}

func writes(org *simorg.Server) int {
	return len(slices.DeleteFunc(org.Requests(), func(r simorg.Request) bool { return !r.Writes() }))
}

func Example() {
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	ctx, client := context.Background(), client(org)
	wants := []*metadata.Want{site("My_Domain", "https://acme.my.salesforce.com")}
	for range 2 {
		state, err := reconcile.Read(ctx, client, wants)
		if err != nil {
			fmt.Println(err)
			return
		}
		run := state.Plan(nil).Start()
		if err := run.Apply(ctx, nil); err != nil {
			fmt.Println(err)
		}
		for _, o := range run.Outcomes() {
			fmt.Println(o.FullName, o.Action, o.OK())
		}
	}
	// Output:
	// My_Domain create true
	// My_Domain unchanged true
}

// TestManyComponentsGoInBatches: 23 components of one type take three calls, and an update
// sends only those that differ, with all that they had.
func TestManyComponentsGoInBatches(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	var wants []*metadata.Want
	for i := range 23 {
		wants = append(wants, site(fmt.Sprintf("Site%02d", i), "https://a.example.com"))
	}
	if outcomes, err := apply(t, client(org), wants...); err != nil || writes(org) != 3 || len(org.Components(eca.RemoteSiteSetting)) != 23 {
		t.Errorf("%v: %d calls for %s", err, writes(org), said(outcomes))
	}
	org.ForgetRequests()
	wants[7].Fields = stated("url", "https://b.example.com")
	wants[7].Defaults = stated("isActive", "false") // which counts for new components only
	outcomes, err := apply(t, client(org), wants...)
	if err != nil || writes(org) != 1 || said(outcomes[7:8]) != "Site07 update true" {
		t.Errorf("%v: %d calls for %s", err, writes(org), said(outcomes))
	}
	if got := org.Components(eca.RemoteSiteSetting)[7].Fields; got["url"] != "https://b.example.com" || got["isActive"] != "true" {
		t.Errorf("the component is %v, want the new address and the rest as it was", got)
	}
}

// TestPlanDoesNotChange: what was planned stays what it was, whatever was done.
func TestPlanDoesNotChange(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	state, err := reconcile.Read(t.Context(), client(org), []*metadata.Want{site("A", "https://a.example.com")})
	if err != nil {
		t.Fatal(err)
	}
	plan := state.Plan(nil)
	before := fmt.Sprintf("%+v %d", plan.Steps, plan.Pending())
	run := plan.Start()
	if err := run.Apply(t.Context(), nil); err != nil || !run.Outcomes()[0].Applied {
		t.Fatalf("%v, %+v", err, run.Outcomes())
	}
	if after := fmt.Sprintf("%+v %d", plan.Steps, plan.Pending()); after != before || plan.Pending() != 1 {
		t.Errorf("the plan was %s and is %s", before, after)
	}
}

// header and settings are two components of which one comes after the other.
func header(app string) *metadata.Want {
	return &metadata.Want{Type: eca.Lookup(eca.Header), Names: []string{app}, Fields: stated("label", app)}
}

func settings(app string, after *metadata.Want) *metadata.Want {
	return &metadata.Want{
		Type: eca.Lookup(eca.OAuthSettings), Names: []string{app + "_oauth"}, After: []*metadata.Want{after},
		Is:     func(c *metadata.Component) bool { return eca.App(c) == app },
		Fields: stated("commaSeparatedOauthScopes", "Api"), Defaults: stated("externalClientApplication", app),
	}
}

// TestWhatComesAfterARefusalStops: a component that the org refuses stops what comes after
// it, and nothing else.
func TestWhatComesAfterARefusalStops(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	bad, good := header("Bad__Name"), header("Good")
	outcomes, err := apply(t, client(org), settings("Bad__Name", bad), settings("Good", good), bad, good)
	if err != nil || said(outcomes) != "Bad__Name_oauth create false, Good_oauth create true, Bad__Name create false, Good create true" {
		t.Errorf("%v: %s", err, said(outcomes))
	}
	var refused *mdapi.ComponentError
	if !errors.As(outcomes[2].Err, &refused) || outcomes[0].Err != nil || outcomes[0].Applied {
		t.Errorf("the refused one says %v, what comes after it %v", outcomes[2].Err, outcomes[0].Err)
	}
}

// TestDueHoldsBack: a run can be carried out in parts; what is not due, and what comes after
// it, waits.
func TestDueHoldsBack(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	app := header("App")
	oauth := settings("App", app)
	state, err := reconcile.Read(t.Context(), client(org), []*metadata.Want{app, oauth})
	if err != nil {
		t.Fatal(err)
	}
	run := state.Plan(nil).Start()
	if err := run.Apply(t.Context(), func(w *metadata.Want) bool { return w == oauth }); err != nil || writes(org) > 0 || run.Of(oauth).Err != nil {
		t.Errorf("%v: %d writes although what comes before is not due, %+v", err, writes(org), run.Of(oauth))
	}
	if err := run.Apply(t.Context(), nil); err != nil || !run.Of(app).OK() || !run.Of(oauth).OK() {
		t.Errorf("%v: %s", err, said(run.Outcomes()))
	}
}

// TestExistsUnderAnotherName: a duplicate that the org refuses is looked up and changed.
func TestExistsUnderAnotherName(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{Facts: platform.Answers{"components-listed": "empty"}})
	app := header("App")
	other := settings("App", app)
	other.Names = []string{"nobody_would_guess"}
	if _, err := apply(t, client(org), app, other); err != nil {
		t.Fatal(err)
	}
	wanted := settings("App", app)
	wanted.Fields = stated("commaSeparatedOauthScopes", "Api, Web")
	outcomes, err := apply(t, client(org), app, wanted)
	if err != nil || said(outcomes) != "App unchanged true, nobody_would_guess update true" {
		t.Errorf("%v: %s", err, said(outcomes))
	}
	if all := org.Components(eca.OAuthSettings); len(all) != 1 || all[0].Fields["commaSeparatedOauthScopes"] != "Api, Web" {
		t.Errorf("the org has %v", all)
	}
}

// TestMadeMeanwhile: what the platform makes by itself is found, not made once more.
func TestMadeMeanwhile(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{Facts: platform.Answers{"policies-with-consumer": "created"}})
	app := header("App")
	oauth := settings("App", app)
	of := func(c *metadata.Component) bool { return eca.App(c) == "App" }
	link := stated("externalClientApplication", "App")
	global := &metadata.Want{Type: eca.Lookup(eca.GlobalOAuthSettings), Names: []string{"App_glbloauth"}, Is: of, Defaults: link, After: []*metadata.Want{oauth}}
	plugins := &metadata.Want{
		Type: eca.Lookup(eca.PluginPolicies), Names: []string{"App_plcy", "App_defaultPolicy"}, Is: of, AutoCreated: true, Trusted: true,
		Fields: stated("isEnabled", "true"), Defaults: link, After: []*metadata.Want{global},
	}
	org.ForgetRequests()
	outcomes, err := apply(t, client(org), app, oauth, global, plugins)
	if err != nil || said(outcomes[3:]) != "App_defaultPolicy unchanged true" {
		t.Errorf("%v: %s", err, said(outcomes))
	}
	for _, r := range org.Requests() {
		if r.Writes() && r.Type == eca.PluginPolicies {
			t.Error("policies that the platform had made were written")
		}
	}
}

// TestNothingIsSentAgainWithoutALook: a write whose answer was lost has been carried out.
func TestNothingIsSentAgainWithoutALook(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	org.Inject(simorg.Fault{Drop: true, After: true, Fits: simorg.Request.Writes})
	outcomes, err := apply(t, client(org), site("A", "https://a.example.com"))
	if err != nil || said(outcomes) != "A create true" || writes(org) != 1 || outcomes[0].Uncertain {
		t.Errorf("%v: %s with %d writes", err, said(outcomes), writes(org))
	}
	// Without a budget, nobody knows.
	once := client(org)
	once.Conn.Retry = nil
	org.Inject(simorg.Fault{Drop: true, After: true, Fits: simorg.Request.Writes})
	outcomes, err = apply(t, once, site("B", "https://b.example.com"))
	if !salesforce.IsUncertain(err) || !outcomes[0].Uncertain || outcomes[0].OK() {
		t.Errorf("%v: %+v, want an uncertain outcome", err, outcomes[0])
	}
}

// TestMismatch: an org that accepts a component and keeps something else is told on.
func TestMismatch(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	read := 0
	org.Inject(simorg.Fault{
		Fits:   func(r simorg.Request) bool { read++; return r.Operation == "readMetadata" && read > 2 },
		Status: 200,
		Body:   `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><readMetadataResponse><result><records><fullName>A</fullName><url>https://other.example.com</url></records></result></readMetadataResponse></s:Body></s:Envelope>`,
	})
	outcomes, err := apply(t, client(org), site("A", "https://a.example.com"))
	var mismatch *reconcile.MismatchError
	if err != nil || !errors.As(outcomes[0].Err, &mismatch) || !strings.Contains(outcomes[0].Err.Error(), `url is "https://other.example.com" instead of "https://a.example.com"`) || outcomes[0].OK() {
		t.Errorf("%v: %+v", err, outcomes[0])
	}
}

// TestNamesAreInOrder: if several components fit, the first of the names counts.
func TestNamesAreInOrder(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	if _, err := apply(t, client(org), site("A", "https://a.example.com"), site("B", "https://b.example.com")); err != nil {
		t.Fatal(err)
	}
	for _, is := range []func(*metadata.Component) bool{nil, func(*metadata.Component) bool { return true }} {
		first, second := site("A", ""), site("B", "")
		first.Names, second.Names = []string{"none", "a", "b"}, []string{"none", "b", "a"}
		first.Is, second.Is = is, is
		state, err := reconcile.Read(t.Context(), client(org), []*metadata.Want{first, second})
		if err != nil || state.Find(first).FullName != "A" || state.Find(second).FullName != "B" {
			t.Errorf("%v: found %v and %v", err, state.Find(first), state.Find(second))
		}
	}
}

// shows makes the org show a remote site with another address in the reads after a write.
func shows(org *simorg.Server, name string) {
	written := false
	org.Inject(simorg.Fault{
		Fits: func(r simorg.Request) bool {
			written = written || r.Operation == "upsertMetadata"
			return written && r.Operation == "readMetadata"
		},
		Status: 200,
		Body: `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><readMetadataResponse><result><records><fullName>` +
			name + `</fullName><url>https://other.example.com</url></records></result></readMetadataResponse></s:Body></s:Envelope>`,
	})
}

// TestTrustedNeedsAFreshRead: a trusted component is read back too, unless it was compared with a read
// just before the write.
func TestTrustedNeedsAFreshRead(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	shows(org, "A")
	trusted := site("A", "https://a.example.com")
	trusted.Trusted = true
	outcomes, err := apply(t, client(org), trusted)
	if err != nil || !errors.As(outcomes[0].Err, new(*reconcile.MismatchError)) {
		t.Errorf("%v: %+v, want a mismatch", err, outcomes[0])
	}
}

// TestUpdateOfAutoCreatedWaits: a component that the platform may create is not written before the
// components that it depends on are confirmed, even if it exists.
func TestUpdateOfAutoCreatedWaits(t *testing.T) {
	t.Parallel()
	org := simorgtest.Start(t, simorg.Config{})
	root, auto := site("A", "https://a.example.com"), site("B", "https://a.example.com")
	if _, err := apply(t, client(org), root, auto); err != nil {
		t.Fatal(err)
	}
	org.ForgetRequests()
	root, auto = site("A", "https://b.example.com"), site("B", "https://b.example.com")
	auto.After, auto.AutoCreated = []*metadata.Want{root}, true
	shows(org, "A")
	outcomes, err := apply(t, client(org), root, auto)
	if err != nil || outcomes[0].Err == nil || outcomes[1].Applied || writes(org) != 1 {
		t.Errorf("%v: %s with %d writes, want the second one unwritten", err, said(outcomes), writes(org))
	}
}
