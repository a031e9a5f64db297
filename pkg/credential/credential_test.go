package credential

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const caller = "caller@example.com"

func connTo(o *simorg.Server) *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: o.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: o.AccessToken()})}
}

func upsert(t *testing.T, o *simorg.Server, typ, name, fields string) {
	t.Helper()
	c, err := metadata.Parse(strings.NewReader("<" + typ + ` xmlns="` + metadata.Namespace + `">` + fields + "</" + typ + ">"))
	if err != nil {
		t.Fatal(err)
	}
	c.FullName = name
	results, err := (&mdapi.Client{Conn: connTo(o)}).Upsert(t.Context(), []*metadata.Component{c})
	if err != nil || !results[0].Success {
		t.Fatalf("%s %s: %v, %+v", typ, name, err, results)
	}
}

// upsertFile upserts the credential of a file in testdata as Crm. PROVIDER stands for an org's URL.
func upsertFile(t *testing.T, o *simorg.Server, name, provider string) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + ".xml")
	if err != nil {
		t.Fatal(err)
	}
	c, err := metadata.Parse(strings.NewReader(strings.ReplaceAll(string(data), "PROVIDER", provider)))
	if err != nil {
		t.Fatal(err)
	}
	c.FullName = "Crm"
	results, err := (&mdapi.Client{Conn: connTo(o)}).Upsert(t.Context(), []*metadata.Component{c})
	if err != nil || !results[0].Success {
		t.Fatalf("%s: %v, %+v", name, err, results)
	}
}

// provider returns an org that is called: its app takes client credentials.
func provider(t *testing.T) (*simorg.Server, func() login.Credentials) {
	t.Helper()
	o := simorgtest.Start(t, simorg.Config{SecretsInREST: true})
	const app = "<externalClientApplication>Crm</externalClientApplication>"
	upsert(t, o, eca.Header, "Crm", "<contactEmail>a@example.com</contactEmail><distributionState>Local</distributionState><label>Crm</label>")
	upsert(t, o, eca.OAuthSettings, "Crm_oauth", "<commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>"+app+"<label>Crm</label>")
	upsert(t, o, eca.GlobalOAuthSettings, "Crm_glbloauth", "<callbackUrl>https://crm.example.com</callbackUrl>"+app+"<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><label>Crm</label>")
	upsert(t, o, eca.PluginPolicies, "Crm_plcy", app+"<isEnabled>true</isEnabled><isOauthPluginEnabled>true</isOauthPluginEnabled><label>Crm</label>")
	upsert(t, o, eca.OAuthPolicies, "Crm_oauthPlcy", "<clientCredentialsFlowUser>admin@example.com</clientCredentialsFlowUser>"+app+"<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><label>Crm</label>")
	return o, func() login.Credentials {
		main := o.Pairs("Crm")[0]
		return login.Credentials{Key: main.Key, Secret: salesforce.NewSecret(main.Secret)}
	}
}

// calling returns an org that calls, with a user who has the permission set Callers.
func calling(t *testing.T, config simorg.Config) *simorg.Server {
	t.Helper()
	config.Users, config.PermissionSets = []simorg.User{{Username: caller}}, []string{"Callers", "Others"}
	o := simorgtest.Start(t, config)
	rest := &restapi.Client{Conn: connTo(o)}
	var ids []string
	for _, soql := range []string{"SELECT Id FROM User WHERE Username = '" + caller + "'", "SELECT Id FROM PermissionSet WHERE Name = 'Callers'"} {
		found, err := restapi.Query[struct {
			ID string `json:"Id"`
		}](t.Context(), rest, soql)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, found[0].ID)
	}
	if _, err := rest.Create(t.Context(), "PermissionSetAssignment", map[string]any{"AssigneeId": ids[0], "PermissionSetId": ids[1]}); err != nil {
		t.Fatal(err)
	}
	return o
}

func crm(to *simorg.Server) connection.Connection {
	return connection.Connection{NamedCredential: "Crm", ProviderURL: to.URL, PermissionSets: []string{"Callers"}}
}

func TestACalloutWorksAfterConnect(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]simorg.Config{"": {}, "nothing stored is not found": {Facts: platform.Answers{"no-stored-credential": "not-found"}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to, pair := provider(t)
			from := calling(t, config)
			if err := from.Callout("Crm", caller); err == nil {
				t.Error("a callout works before")
			}
			plan, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{PlanOnly: true})
			if err != nil || plan.Pending != 5 || plan.Changed != 0 {
				t.Errorf("the plan is %+v, %v; want 5 pending", plan, err)
			}
			report, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{})
			if err != nil || report.Changed != 5 || report.Pending != 0 || report.Status != "Configured" || report.Secret != SecretStored {
				t.Fatalf("got %+v, %v; want 5 changes", report, err)
			}
			if err := from.Callout("Crm", caller); err != nil {
				t.Errorf("afterwards a callout says %v", err)
			}
			before := len(from.Requests())
			again, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{})
			if err != nil || again.Changed != 0 || again.Pending != 0 || again.Secret != SecretUnchanged {
				t.Errorf("the second run gives %+v, %v; want no change", again, err)
			}
			for _, r := range from.Requests()[before:] {
				if r.Method != http.MethodGet && r.Operation != "readMetadata" && r.Operation != "listMetadata" {
					t.Errorf("the second run writes: %s %s %s", r.Method, r.Path, r.Operation)
				}
			}
		})
	}
}

// TestARotatedPairIsPut: another key replaces what is stored.
func TestARotatedPairIsPut(t *testing.T) {
	t.Parallel()
	for _, shown := range platform.Lookup("client-id-shown").Answers {
		to, pair := provider(t)
		from := calling(t, simorg.Config{Facts: platform.Answers{"client-id-shown": shown}})
		if _, err := Connect(t.Context(), connTo(from), crm(to), login.Credentials{Key: "3MVG9old", Secret: salesforce.NewSecret("old")}, Options{}); err != nil {
			t.Fatal(err)
		}
		if err := from.Callout("Crm", caller); err == nil || !strings.Contains(err.Error(), "client identifier invalid") {
			t.Errorf("with the old pair a callout says %v", err)
		}
		report, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{})
		if err != nil || report.Secret != SecretReplaced || report.Changed != 1 {
			t.Errorf("got %+v, %v; want the secret replaced", report, err)
		}
		if err := from.Callout("Crm", caller); err != nil {
			t.Errorf("afterwards a callout says %v", err)
		}
	}
}

// TestWhatOthersAddedSurvives: a principal with its secret, parameters, a description.
func TestWhatOthersAddedSurvives(t *testing.T) {
	t.Parallel()
	to, pair := provider(t)
	from := calling(t, simorg.Config{})
	upsertFile(t, from, "others", to.URL)
	other := crm(to)
	other.Principal, other.PermissionSets = "Batch", nil
	if _, err := Connect(t.Context(), connTo(from), other, login.Credentials{Key: "batch", Secret: salesforce.NewSecret("batch secret")}, Options{}); err != nil {
		t.Fatal(err)
	}
	report, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if id, secret := from.Stored("Crm", "Batch"); id != "batch" || secret != "batch secret" {
		t.Errorf("the other principal's secret is %q, %q", id, secret)
	}
	found, err := (&mdapi.Client{Conn: connTo(from)}).Read(t.Context(), connection.ExternalCredential, "Crm")
	if err != nil {
		t.Fatal(err)
	}
	c := found[0]
	if c.Text("label") != "Our CRM" || c.Text("description") != "ours" || count(c, "AuthHeader") != 1 || count(c, "NamedPrincipal") != 2 || count(c, "AuthProviderUrl") != 1 {
		t.Errorf("the external credential is %+v after %+v", c, report)
	}
}

// count returns the number of an external credential's parameters of a type.
func count(c *metadata.Component, typ string) (n int) {
	for _, f := range c.Fields {
		if slices.ContainsFunc(f.Fields, func(part metadata.Field) bool { return part.Name == "parameterType" && part.Text == typ }) {
			n++
		}
	}
	return n
}

func TestCredentialsForSomethingElseAreRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, file, what string
	}{
		{"another endpoint", "another-endpoint", "endpoint"},
		{"a legacy one", "legacy", "type"},
		{"a legacy one as orgs return it", "legacy-without-type", "type"},
		{"another protocol", "another-protocol", "protocol"},
		{"another variant", "another-variant", "variant"},
		{"principals of users", "principals-of-users", "principal"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			to, pair := provider(t)
			from := calling(t, simorg.Config{})
			upsertFile(t, from, test.file, "")
			before := fmt.Sprint(from.Components(connection.ExternalCredential), from.Components(connection.NamedCredential))
			_, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{})
			conflict, ok := errors.AsType[*connection.ConflictError](err)
			if !ok || conflict.Differences[0].What != test.what {
				t.Fatalf("got %v, want a conflict about the %s", err, test.what)
			}
			if after := fmt.Sprint(from.Components(connection.ExternalCredential), from.Components(connection.NamedCredential)); after != before {
				t.Errorf("a refusal changed %s to %s", before, after)
			}
			replaced, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{Replace: true})
			if err != nil {
				t.Fatalf("with Replace got %v", err)
			}
			if what := replaced.Replaced[0].What; what != test.what {
				t.Errorf("the report names the %s as replaced, want the %s", what, test.what)
			}
			after := fmt.Sprint(from.Components(connection.ExternalCredential), from.Components(connection.NamedCredential))
			if strings.Contains(after, "else.example.com") || strings.Contains(after, "PerUserPrincipal") {
				t.Errorf("of the old one stays something: %s", after)
			}
			if again, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{}); err != nil || again.Changed != 0 || len(again.Replaced) > 0 {
				t.Errorf("the next run gives %+v, %v", again, err)
			}
			if err := from.Callout("Crm", caller); err != nil {
				t.Errorf("replaced, a callout says %v", err)
			}
		})
	}
}

// TestAConnectionThatDiedIsFinished breaks each request in each way; the next run converges.
func TestAConnectionThatDiedIsFinished(t *testing.T) {
	t.Parallel()
	to, pair := provider(t)
	for kind, fault := range map[string]simorg.Fault{"before": {Drop: true}, "after": {Drop: true, After: true}, "busy": {Status: 503, Body: "busy"}} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			for at := int64(1); ; at++ {
				from := calling(t, simorg.Config{})
				var n atomic.Int64
				fault.Fits = func(simorg.Request) bool { return n.Add(1) == at }
				from.Inject(fault)
				_, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{})
				if n.Load() < at {
					if err != nil {
						t.Fatalf("without a fault got %v", err)
					}
					return
				}
				if _, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{}); err != nil {
					t.Errorf("request %d: the next run gives %v", at, err)
				}
				if err := from.Callout("Crm", caller); err != nil {
					t.Errorf("request %d: in the end a callout says %v", at, err)
				}
				if last, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{}); err != nil || last.Changed != 0 {
					t.Errorf("request %d: a third run gives %+v, %v", at, last, err)
				}
				from.Close()
			}
		})
	}
}

func TestJWTBearerNeedsNoSecret(t *testing.T) {
	t.Parallel()
	to, pair := provider(t)
	from := calling(t, simorg.Config{Certificates: []string{"Crm_Login"}})
	c := crm(to)
	c.Certificate, c.Username = "Crm_Logon", "robot@example.com"
	missing, _ := Connect(t.Context(), connTo(from), c, login.Credentials{Key: pair().Key}, Options{})
	if _, err := Connect(t.Context(), connTo(from), c, login.Credentials{Key: pair().Key}, Options{}); missing != nil || err == nil || err.Error() != "there is no certificate Crm_Logon on this org (is Crm_Login meant?)" {
		t.Errorf("a certificate that is not there: %v", err)
	}
	c.Certificate = "Crm_Login"
	report, err := Connect(t.Context(), connTo(from), c, login.Credentials{Key: pair().Key}, Options{})
	if err != nil || report.Secret != SecretNone || report.Status != "Configured" {
		t.Errorf("got %+v, %v", report, err)
	}
	if again, err := Connect(t.Context(), connTo(from), c, login.Credentials{Key: pair().Key}, Options{}); err != nil || again.Changed != 0 {
		t.Errorf("the second run gives %+v, %v", again, err)
	}
}

func TestCheckCatchesWhatCannotBe(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]connection.Connection{
		"named credential":         {NamedCredential: "a b", ProviderURL: "https://x.my.salesforce.com"},
		"name of the principal":    {NamedCredential: "Crm", Principal: "1", ProviderURL: "https://x.my.salesforce.com"},
		"must be https":            {NamedCredential: "Crm", ProviderURL: "http://x.my.salesforce.com"},
		"needs the user to log in": {NamedCredential: "Crm", ProviderURL: "https://x.my.salesforce.com", Certificate: "C"},
	} {
		if _, err := Connect(context.Background(), nil, c, login.Credentials{}, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
