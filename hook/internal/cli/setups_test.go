package cli

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"text/tabwriter"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// maxRounds is how many requests may follow one another until the answer.
const maxRounds = 5

// parts are the components of the app App by type: field by field.
type parts map[string]map[string]string

// sound is an app whose client credentials flow works as robot.
func sound() parts {
	return parts{
		eca.Header:              {"contactEmail": "a@example.com", "distributionState": "Local"},
		eca.OAuthSettings:       {"commaSeparatedOauthScopes": "Api, RefreshToken"},
		eca.GlobalOAuthSettings: {"callbackUrl": "https://app.example.com/callback", "isClientCredentialsFlowEnabled": "true"},
		eca.PluginPolicies:      {"isEnabled": "true", "isOauthPluginEnabled": "true"},
		eca.OAuthPolicies:       {"isClientCredentialsFlowEnabled": "true", "clientCredentialsFlowUser": "robot@example.com"},
	}
}

// forJWT is sound for JWT bearer as robot, who has the permission set Users.
func forJWT(certificate string) parts {
	p := sound()
	p[eca.GlobalOAuthSettings] = map[string]string{"callbackUrl": "https://app.example.com/callback", "certificate": certificate}
	p[eca.OAuthPolicies] = map[string]string{"permittedUsersPolicyType": "AdminApprovedPreAuthorized", "commaSeparatedPermissionSet": "Users"}
	return p
}

// source returns the app as source.
func (p parts) source() fstest.MapFS {
	files := make(fstest.MapFS)
	for typ, fields := range p {
		ft := eca.Lookup(typ)
		name := map[string]string{eca.Header: "App", eca.OAuthSettings: "App_oauth", eca.GlobalOAuthSettings: "App_glbloauth", eca.PluginPolicies: "App_plcy", eca.OAuthPolicies: "App_oauthPlcy"}[typ]
		all := maps.Clone(fields)
		if all["label"] = "App"; typ != eca.Header {
			all["externalClientApplication"] = "App"
		}
		var b strings.Builder
		fmt.Fprintf(&b, "<%s xmlns=%q>", typ, metadata.Namespace)
		for _, field := range slices.Sorted(maps.Keys(all)) {
			fmt.Fprintf(&b, "<%s>%s</%[1]s>", field, all[field])
		}
		fmt.Fprintf(&b, "</%s>", typ)
		files[ft.Folder+"/"+name+"."+ft.Suffix+"-meta.xml"] = &fstest.MapFile{Data: []byte(b.String())}
	}
	return files
}

// set changes a field of a component.
func (p parts) set(typ, field, value string) { p[typ][field] = value }

// keyPair is a private key with its file.
type keyPair struct {
	signer crypto.Signer
	pem    []byte
}

// keysOnce are the keys of the test: one for most set-ups, another, one that is too short, and one that is no RSA key.
var keysOnce = sync.OnceValue(func() (k struct{ main, other, short, ecdsa keyPair }) {
	for _, one := range []struct {
		to   *keyPair
		bits int
	}{{&k.main, 2048}, {&k.other, 2048}, {&k.short, 1024}} {
		key, err := rsa.GenerateKey(rand.Reader, one.bits)
		if err != nil {
			panic(err)
		}
		*one.to = keyPair{key, pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	k.ecdsa.signer = key
	return k
})

// certify returns a certificate of a key that expires after a time, with a number of host names.
func (k keyPair) certify(t *testing.T, left time.Duration, names int) string {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(left)}
	for i := range names {
		template.DNSNames = append(template.DNSNames, fmt.Sprintf("host-%d.certificates.example.com", i))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.signer.Public(), k.signer)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// broken is a set-up with one fault, or with some.
type broken struct {
	name    string
	config  func(*simorg.Config)
	app     func(*testing.T, *brokenApp)
	after   func(*testing.T, *simorg.Server)
	cause   refusal.Cause // that the report has, "" for a refused session
	message string        // a part of the error
}

// brokenApp is the app before it is deployed, and how it is verified.
type brokenApp struct {
	parts
	jwt      bool
	user     string
	host     string // "" is the org's own
	unwaited bool   // --wait 0s, for what has to be waited for
}

func jwt(change func(*testing.T, *brokenApp)) func(*testing.T, *brokenApp) {
	return func(t *testing.T, a *brokenApp) {
		a.jwt, a.user, a.parts = true, "robot@example.com", forJWT(keysOnce().main.certify(t, 1000*time.Hour, 0))
		if change != nil {
			change(t, a)
		}
	}
}

func certificate(of func() keyPair, left time.Duration, names int) func(*testing.T, *brokenApp) {
	return jwt(func(t *testing.T, a *brokenApp) {
		a.set(eca.GlobalOAuthSettings, "certificate", of().certify(t, left, names))
	})
}

func field(typ, field, value string) func(*testing.T, *brokenApp) {
	return func(_ *testing.T, a *brokenApp) { a.set(typ, field, value) }
}

func both(all ...func(*testing.T, *brokenApp)) func(*testing.T, *brokenApp) {
	return func(t *testing.T, a *brokenApp) {
		for _, change := range all {
			change(t, a)
		}
	}
}

var (
	preAuthorised = field(eca.OAuthPolicies, "permittedUsersPolicyType", "AdminApprovedPreAuthorized")
	elsewhere     = func(_ *testing.T, a *brokenApp) { a.host = "http://localhost:1" }
	unwaited      = func(_ *testing.T, a *brokenApp) { a.unwaited = true }
	flowOff       = field(eca.OAuthPolicies, "isClientCredentialsFlowEnabled", "false")
	unapproved    = field(eca.OAuthPolicies, "permittedUsersPolicyType", "AllSelfAuthorized")
	noRefresh     = field(eca.OAuthSettings, "commaSeparatedOauthScopes", "Api")
	dpop          = field(eca.GlobalOAuthSettings, "isDPopEnabled", "true")

	locked     = func(c *simorg.Config) { c.Locked = true }
	restricted = func(c *simorg.Config) { c.IPRestricted = true }
	young      = func(c *simorg.Config) { c.Propagation = time.Hour }

	inactive = func(_ *testing.T, org *simorg.Server) { org.Deactivate("robot@example.com") }
)

// set-ups that are broken, built from the table of refusals.
var setUps = []broken{
	{"new consumer", young, unwaited, nil, refusal.NewConsumer, "and the token endpoint does not know it yet"},
	{"old consumer that the endpoint does not know", func(c *simorg.Config) { c.Propagation = 9 * time.Hour }, nil,
		func(_ *testing.T, org *simorg.Server) { org.Age(2 * time.Hour) }, refusal.UnknownConsumer, "the org does not know the consumer key"},
	{"app off", nil, field(eca.PluginPolicies, "isEnabled", "false"), nil, refusal.AppOff, "App or its OAuth is switched off"},
	{"OAuth off", nil, nil, func(t *testing.T, org *simorg.Server) {
		off := parts{eca.PluginPolicies: {"isEnabled": "true", "isOauthPluginEnabled": "false"}}
		if err := org.Deploy(off.source(), "."); err != nil {
			t.Fatal(err)
		}
	}, refusal.AppOff, "App or its OAuth is switched off"},
	{"app off, new consumer", young, field(eca.PluginPolicies, "isEnabled", "false"), nil, refusal.AppOff, "App or its OAuth is switched off"},
	{"another secret", nil, nil, func(_ *testing.T, org *simorg.Server) {
		key := org.Pairs("App")[0].Key
		org.Inject(simorg.Fault{
			Fits: func(r simorg.Request) bool {
				return strings.Contains(r.Path, "/apps/oauth/credentials/0xI") && strings.Contains(r.Path, "/888")
			},
			Status: 200, Header: http.Header{"Content-Type": {"application/json"}}, Body: fmt.Sprintf(`{"id":"888000000000001","key":%q,"secret":"0123456789"}`, key),
		})
	}, refusal.WrongSecret, "the secret does not belong to the key"},
	{"flow off in the policies", nil, flowOff, nil, refusal.PoliciesFlowOff, "isClientCredentialsFlowEnabled is false in the OAuth policies"},
	{"flow off in the settings", nil, field(eca.GlobalOAuthSettings, "isClientCredentialsFlowEnabled", "false"), nil, refusal.FlowOff, "off in the global OAuth settings"},
	{"flow off in both", nil, both(flowOff, field(eca.GlobalOAuthSettings, "isClientCredentialsFlowEnabled", "false"), field(eca.GlobalOAuthSettings, "isPkceRequired", "false")), nil, refusal.FlowOff, "off in the global OAuth settings"},
	{"no policies", nil, func(_ *testing.T, a *brokenApp) { delete(a.parts, eca.OAuthPolicies) }, nil, refusal.NoPolicies, "App has no OAuth policies on the org"},
	{"run-as user renamed", nil, nil, func(_ *testing.T, org *simorg.Server) { org.Rename("robot@example.com", "robot@example.com.uat") }, refusal.UnknownUser, "the org has no user robot@example.com"},
	{"run-as user inactive", nil, nil, inactive, refusal.InactiveUser, "the user robot@example.com is not active"},
	{"nothing grants the app", nil, preAuthorised, nil, refusal.NoGrant, "no permission set grants it"},
	{"permission set not assigned", nil, both(preAuthorised, func(_ *testing.T, a *brokenApp) { a.set(eca.OAuthPolicies, "commaSeparatedPermissionSet", "Others") }), nil, refusal.NotAssigned, "robot@example.com has no permission set that grants it"},
	{"nothing grants the app, run-as user inactive", nil, preAuthorised, inactive, refusal.InactiveUser, "is not active"},
	{"another host", nil, elsewhere, nil, refusal.WrongHost, "localhost:1 is not http://127.0.0.1:1"},
	{"another host, flow off", nil, both(elsewhere, flowOff), nil, refusal.WrongHost, "localhost:1 is not http://127.0.0.1:1"},
	{"IP address", restricted, nil, nil, refusal.IPRestricted, "does not admit the IP address"},
	{"IP address, flow off", restricted, flowOff, nil, refusal.IPRestricted, "does not admit the IP address"},
	{"locked org", locked, nil, nil, refusal.InactiveOrg, "locked, closed or suspended"},
	{"DPoP", nil, dpop, nil, refusal.DPoPRequired, "DPoP"},
	{"mutual TLS", nil, field(eca.GlobalOAuthSettings, "isMtlsEnabled", "true"), nil, refusal.MTLSRequired, "mutual TLS"},
	{"DPoP, flow off", nil, both(dpop, flowOff), nil, refusal.DPoPRequired, "DPoP"},

	{"JWT, no certificate", nil, jwt(func(_ *testing.T, a *brokenApp) { delete(a.parts[eca.GlobalOAuthSettings], "certificate") }), nil, refusal.NoCertificate, "no certificate for App"},
	{"JWT, certificate without RSA", nil, certificate(func() keyPair { return keysOnce().ecdsa }, 1000*time.Hour, 0), nil, refusal.NotRSA, "no RSA key"},
	{"JWT, short key", nil, certificate(func() keyPair { return keysOnce().short }, 1000*time.Hour, 0), nil, refusal.ShortKey, "less than 2048 bits"},
	{"JWT, large certificate", nil, certificate(func() keyPair { return keysOnce().main }, 1000*time.Hour, 100), nil, refusal.LargeCertificate, "larger than 4 KB"},
	{"JWT, expired certificate", nil, certificate(func() keyPair { return keysOnce().main }, -time.Hour, 0), nil, refusal.ExpiredCertificate, "expired on"},
	{"JWT, certificate of another key", nil, certificate(func() keyPair { return keysOnce().other }, 1000*time.Hour, 0), nil, refusal.OtherCertificate, "belongs to another private key"},
	{"JWT, expired certificate of another key", nil, certificate(func() keyPair { return keysOnce().other }, -time.Hour, 0), nil, refusal.ExpiredCertificate, "expired on"},
	{"JWT, misspelt user", nil, jwt(func(_ *testing.T, a *brokenApp) { a.user = "rob@example.com" }), nil, refusal.UnknownUser, "the org has no user rob@example.com"},
	{"JWT, misspelt user, refused as the assertion", func(c *simorg.Config) { c.Facts = platform.Answers{"jwt-unknown-user": "invalid assertion"} },
		jwt(func(_ *testing.T, a *brokenApp) { a.user = "rob@example.com" }), nil, refusal.UnknownUser, "the org has no user rob@example.com"},
	{"JWT, inactive user", nil, jwt(nil), inactive, refusal.InactiveUser, "is not active"},
	{"JWT, inactive user who never approved", nil, both(jwt(nil), unapproved), inactive, refusal.InactiveUser, "is not active"},
	{"JWT, not pre-authorised", nil, both(jwt(nil), unapproved), nil, refusal.NotApproved, "all users may authorise App themselves"},
	{"JWT, nothing grants the app", nil, jwt(func(_ *testing.T, a *brokenApp) { delete(a.parts[eca.OAuthPolicies], "commaSeparatedPermissionSet") }), nil, refusal.NoGrant, "no permission set grants it"},
	{"JWT, permission set not assigned", nil, jwt(func(_ *testing.T, a *brokenApp) { a.set(eca.OAuthPolicies, "commaSeparatedPermissionSet", "Others") }), nil, refusal.NotAssigned, "robot@example.com has no permission set that grants it"},
	{"JWT, no scope RefreshToken", nil, both(jwt(nil), noRefresh), nil, refusal.NoRefreshScope, "needs the scope RefreshToken"},
	{"JWT, not pre-authorised, no scope RefreshToken", nil, both(jwt(nil), unapproved, noRefresh), nil, refusal.NotApproved, "all users may authorise App themselves"},
	{"JWT, no policies", nil, jwt(func(_ *testing.T, a *brokenApp) { delete(a.parts, eca.OAuthPolicies) }), nil, refusal.NotApproved, "all users may authorise App themselves"},
	{"JWT, app off", nil, both(jwt(nil), field(eca.PluginPolicies, "isEnabled", "false")), nil, refusal.AppOff, "switched off"},
	{"JWT, another host", nil, both(jwt(nil), elsewhere), nil, refusal.WrongHost, "localhost:1 is not http://127.0.0.1:1"},
	{"JWT, new consumer", young, both(jwt(nil), unwaited), nil, refusal.NewConsumer, "does not know it yet"},
	{"JWT, IP address", restricted, jwt(nil), nil, refusal.IPRestricted, "does not admit the IP address"},
	{"JWT, DPoP", nil, both(jwt(nil), dpop), nil, refusal.DPoPRequired, "DPoP"},

	{"ended session", nil, nil, func(_ *testing.T, org *simorg.Server) { org.ExpireSessions() }, "", "the answer was INVALID_SESSION_ID"},
	{"IP policy of sessions", func(c *simorg.Config) { c.SessionsRefused = true }, nil, nil, "", "an IP policy excludes this machine"},
	{"JWT-based session in an older org", func(c *simorg.Config) { c.Version = 67 }, field(eca.GlobalOAuthSettings, "isNamedUserJwtEnabled", "true"),
		nil, "", "SOAP does not accept JWT-based access tokens before API version 68.0"},
}

// TestBrokenSetUps: for each broken set-up, verify names the real cause after a few rounds of requests.
func TestBrokenSetUps(t *testing.T) {
	withoutSignals(t)
	t.Chdir(t.TempDir()) // where there is no project
	keysOnce()
	var table bytes.Buffer
	columns := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "set-up\trounds\tcause\tsentence")
	waited := 0
	for _, s := range setUps {
		t.Run(s.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rounds, got, message := s.verify(t)
				fmt.Fprintf(columns, "%s\t%d\t%s\t%s\n", s.name, rounds, cmp.Or(got, "-"), message)
				if rounds > maxRounds {
					t.Errorf("it takes %d rounds of requests, want %d at most", rounds, maxRounds)
				}
				if got != s.cause || !strings.Contains(message, s.message) {
					t.Errorf("the cause is %q in %q, want %q and %q", got, message, s.cause, s.message)
				}
				if strings.Contains(message, "--timeout") || s.cause == refusal.NewConsumer {
					waited++
				}
			})
		})
	}
	columns.Flush()
	t.Logf("%d set-ups, %d of which have to be waited for:\n%s", len(setUps), waited, &table)
	if len(setUps) < 40 {
		t.Errorf("only %d set-ups", len(setUps))
	}
}

// verify verifies the set-up's login, and returns the rounds of requests until the answer, and the answer.
func (s broken) verify(t *testing.T) (rounds int, cause refusal.Cause, message string) {
	config := simorg.Config{
		Username: "admin@example.com", SecretsInREST: true, Users: []simorg.User{{Username: "robot@example.com"}}, PermissionSets: []string{"Users", "Others"},
		Latency: time.Second,
	}
	if s.config != nil {
		s.config(&config)
	}
	org := inMemory(t, config)
	app := &brokenApp{parts: sound()}
	if s.app != nil {
		s.app(t, app)
	}
	if err := org.Deploy(app.source(), "."); err != nil {
		t.Fatal(err)
	}
	if !config.SessionsRefused {
		assignSet(t, org, config.Version, "robot@example.com", "Users")
	}
	home := t.TempDir()
	logIn(t, home, org, "admin@example.com", "uat", false)
	var variables map[string]string
	if app.host != "" {
		variables = map[string]string{"SF_ACCESS_TOKEN": org.AccessToken(), "SF_ORG_INSTANCE_URL": app.host}
	}
	if config.Version == 67 && !app.jwt { // a session of the app itself
		variables = map[string]string{"SF_ACCESS_TOKEN": clientToken(t, org), "SF_ORG_INSTANCE_URL": org.URL}
		home = t.TempDir()
	}
	if s.after != nil {
		s.after(t, org)
	}
	args := []string{"--json", "verify", "-o", "uat", "--app", "App"}
	if app.jwt {
		key := filepath.Join(t.TempDir(), "key.pem")
		if err := os.WriteFile(key, keysOnce().main.pem, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--jwt-key", key, "--username", app.user)
	}
	if app.unwaited {
		args = append(args, "--wait", "0s")
	}
	org.ForgetRequests()
	code, stdout, stderr := executeWith(t, home, variables, args...)
	var document struct {
		Error  struct{ Message, Hint string }
		Report struct{ Cause refusal.Cause }
	}
	if err := json.Unmarshal([]byte(stdout), &document); err != nil || code != exitFailed {
		t.Fatalf("ended with %d: %v\n%s%s", code, err, stdout, stderr)
	}
	if document.Error.Hint == "" {
		t.Errorf("%q has no hint", document.Error.Message)
	}
	rounds = simorg.Sequential(org.Requests())
	time.Sleep(time.Minute) // requests that are still under way end
	if rounds > maxRounds {
		for _, r := range org.Requests() {
			t.Log(r.Started.Format(time.TimeOnly), r.Method, r.Path, r.Operation, r.Type)
		}
	}
	if !app.jwt && s.cause != "" && !s.unseenByAll() {
		_, stdout, stderr := executeWith(t, home, variables, "--json", "verify", "--all", "-o", "uat")
		if !strings.Contains(stdout, fmt.Sprintf(`"cause": %q`, s.cause)) {
			t.Errorf("verify --all does not find the cause: %s%s", stdout, stderr)
		}
		time.Sleep(time.Minute)
	}
	return rounds, document.Report.Cause, document.Error.Message
}

// unseenByAll reports whether verify --all finds another cause: it does not log in if the flow is off in the policies
// or there are none, and it does log in with an app that requires a proof.
func (s broken) unseenByAll() bool {
	return slices.Contains([]refusal.Cause{refusal.PoliciesFlowOff, refusal.DPoPRequired, refusal.MTLSRequired, refusal.WrongSecret}, s.cause) ||
		s.name == "flow off in both" || s.name == "another host, flow off" || s.name == "IP address, flow off"
}

// ownClient returns an HTTP client without the connections of other bubbles.
func ownClient(t *testing.T) *http.Client {
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	t.Cleanup(client.CloseIdleConnections)
	return client
}

// assignSet assigns a permission set to a user.
func assignSet(t *testing.T, org *simorg.Server, v apiversion.Version, user, set string) {
	t.Helper()
	rest := &restapi.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Version: cmp.Or(v, apiversion.Latest), Tokens: tokens(org), HTTPClient: ownClient(t)}}
	var ids []string
	for _, soql := range []string{"SELECT Id FROM User WHERE Username = " + restapi.Quote(user), "SELECT Id FROM PermissionSet WHERE Name = " + restapi.Quote(set)} {
		found, err := restapi.Query[struct {
			ID string `json:"Id"`
		}](context.Background(), rest, soql)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", soql, err)
		}
		ids = append(ids, found[0].ID)
	}
	if _, err := rest.Create(context.Background(), "PermissionSetAssignment", map[string]any{"AssigneeId": ids[0], "PermissionSetId": ids[1]}); err != nil {
		t.Fatal(err)
	}
}

// clientToken returns an access token of the app by client credentials.
func clientToken(t *testing.T, org *simorg.Server) string {
	t.Helper()
	main := org.Pairs("App")[0]
	resp, err := ownClient(t).PostForm(org.URL+"/services/oauth2/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {main.Key}, "client_secret": {main.Secret}})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatalf("no token: %v", err)
	}
	return answer.Token
}
