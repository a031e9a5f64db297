package connection

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// read returns a component of testdata with some texts replaced, old and new in turn.
func read(t *testing.T, name string, replace ...string) *metadata.Component {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name + "-meta.xml")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(replace); i += 2 {
		if !strings.Contains(string(data), replace[i]) {
			t.Fatalf("%s has no %s", name, replace[i])
		}
	}
	c, err := metadata.Parse(strings.NewReader(strings.NewReplacer(replace...).Replace(string(data))))
	if err != nil {
		t.Fatal(err)
	}
	c.FullName = "Crm"
	return c
}

const (
	secretCredential = "secret.externalCredential"
	jwtCredential    = "jwt.externalCredential"
	namedCredential  = "crm.namedCredential"
	token            = "https://crm.my.salesforce.com/services/oauth2/token"
)

var (
	crm = Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com"}.Complete()
	jwt = Connection{
		NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com/", Certificate: "Crm_JWT", Username: "run@example.com",
		Audience: "https://login.salesforce.com",
	}.Complete()
)

func TestCheck(t *testing.T) {
	t.Parallel()
	parameter := func(typ, name, value string) []string {
		return []string{"    <label>", "<externalCredentialParameters><parameterName>" + name + "</parameterName><parameterType>" + typ + "</parameterType><parameterValue>" +
			value + "</parameterValue></externalCredentialParameters><label>"}
	}
	for _, test := range []struct {
		file    string
		replace []string
		want    string // RULE LEVEL FIELD PROBLEM, "" for no finding
	}{
		{secretCredential, nil, ""},
		{jwtCredential, nil, ""},
		{namedCredential, nil, ""},
		{secretCredential, []string{">Oauth<", ">JwtExchange<"}, "credential-protocol error authenticationProtocol external credentials do not support JwtExchange"},
		{secretCredential, []string{">Oauth<", ">Custom<", token, "nonsense"}, ""},
		{secretCredential, []string{">AuthProtocolVariant<", ">AuthProvider<", token, "nonsense"}, ""},
		{secretCredential, []string{">AuthProtocolVariant<", ">ExternalAuthIdentityProvider<", token, "nonsense"}, ""},
		{secretCredential, []string{">AuthProtocolVariant<", ">AuthParameter<"}, "credential-protocol warning externalCredentialParameters has neither"},
		{secretCredential, []string{">AuthProviderUrl<", ">AuthParameter<"}, "credential-protocol error externalCredentialParameters has no parameter AuthProviderUrl"},
		{secretCredential, []string{token, "crm.my.salesforce.com/services/oauth2/token"}, "token-url error externalCredentialParameters[1].parameterValue is not a URL"},
		{secretCredential, []string{token, "https://[::1"}, "token-url error externalCredentialParameters[1].parameterValue is not a URL"},
		{secretCredential, []string{"https://", "http://"}, "token-url error externalCredentialParameters[1].parameterValue sends the secret without encryption, by http"},
		{secretCredential, []string{token, "http://localhost:8080/services/oauth2/token"}, ""},
		{secretCredential, []string{"crm.my", "LOGIN"}, "token-url error externalCredentialParameters[1].parameterValue https://LOGIN.salesforce.com/services/oauth2/token is the login host"},
		{secretCredential, []string{"crm.my", "test"}, "token-url error externalCredentialParameters[1].parameterValue https://test.salesforce.com/services/oauth2/token is the login host"},
		{secretCredential, parameter("AuthParameter", "scope", "api"), "scope-against-salesforce error externalCredentialParameters[3].parameterValue sends a scope"},
		{secretCredential, append(parameter("AuthParameter", "scope", "api"), token, "https://idp.example.com/token"), ""},
		{secretCredential, parameter("AuthParameter", "Client_Secret", "x"), "secret-in-source error externalCredentialParameters[3].parameterValue holds a secret"},
		{secretCredential, parameter("AuthParameter", "Password", "x"), "secret-in-source error externalCredentialParameters[3].parameterValue holds a secret"},
		{secretCredential, parameter("AuthParameter", "Client_Secret", ""), ""},
		{secretCredential, parameter("AuthParameter", "Client_Secret", "{!$Credential.Password}"), ""},
		{jwtCredential, []string{`"https://login.salesforce.com"`, "https://login.salesforce.com"}, "claim-json error externalCredentialParameters[5].parameterValue the value of aud is not JSON"},
		{jwtCredential, []string{`"https://login.salesforce.com"`, "{!$Org.Url}"}, ""},
		{jwtCredential, []string{`"3MVG9KEY"`, "3MVG9KEY", `"run@example.com"`, "run@example.com"}, ""},
		{jwtCredential, []string{`"https://login.salesforce.com"`, "${AUDIENCE}"}, ""},
		// JWT bearer of a Connected App works at the login host.
		{jwtCredential, []string{token, "https://login.salesforce.com/services/oauth2/token"}, "token-url warning externalCredentialParameters[1].parameterValue https://login.salesforce.com/services/oauth2/token is the login host, which serves JWT bearer of Connected Apps"},
		{secretCredential, []string{token, "https://idp.example.com/oauth/token"}, ""},
		{secretCredential, []string{token, "${TARGET}/services/oauth2/token"}, ""},
		// Secrets, whatever the protocol.
		{secretCredential, append(parameter("AuthHeader", "X-Api-Key", "abc-123"), ">Oauth<", ">Custom<"), "secret-in-source error externalCredentialParameters[3].parameterValue holds a secret, by its name X-Api-Key"},
		{secretCredential, append(parameter("AuthHeader", "Authorization", "{!'Bearer ' &amp; $Credential.Crm.Token}"), ">Oauth<", ">Custom<"), ""},
		{secretCredential, append(parameter("AuthHeader", "Accept", "application/json"), ">Oauth<", ">Basic<"), ""},
		{secretCredential, parameter("AuthProviderUrlQueryParameter", "sig", "1a2b3c"), "secret-in-source error externalCredentialParameters[3].parameterValue holds a secret, by its name sig"},
		{jwtCredential, parameter("JwtHeaderClaim", "kid", "9f86d081884c7d659a2feaa0c55ad015"), ""},
		{secretCredential, []string{token, token + "?client_secret=abc-123"}, "secret-in-source error externalCredentialParameters[1].parameterValue holds a secret, by its name client_secret in the address"},
		{namedCredential, []string{"</label>", "</label><namedCredentialParameters><parameterName>Cookie</parameterName><parameterType>HttpHeader</parameterType><parameterValue>sid=1a2b</parameterValue></namedCredentialParameters>"}, "secret-in-source error namedCredentialParameters[0].parameterValue holds a secret, by its name Cookie"},
		{namedCredential, []string{"SecuredEndpoint", "Legacy", "</label>", "</label><endpoint>https://a:hunter2@b.example.com</endpoint>"}, "secret-in-source error endpoint holds a secret, the password in the address"},
		{namedCredential, []string{">Crm</externalCredential>", "></externalCredential>"}, "no-external-credential error  names no external credential"},
		{namedCredential, []string{">Crm</externalCredential>", "></externalCredential>", "SecuredEndpoint", "Legacy"}, ""},
	} {
		found := ""
		for _, f := range Check(read(t, test.file, test.replace...)) {
			found += fmt.Sprintf("%s %s %s %s\n", f.Rule, f.Level, f.Field, f.Problem)
			if f.Fix == "" {
				t.Errorf("%v has no fix", f)
			}
		}
		if test.want == "" && found != "" || !strings.HasPrefix(found, test.want) || strings.Count(found, "\n") > 1 {
			t.Errorf("%s with %q: found\n%swant %s", test.file, test.replace, found, test.want)
		}
	}
	if found := Check(&metadata.Component{Type: "Other"}); found != nil {
		t.Errorf("another type: %v", found)
	}
}

func TestCheckPair(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		named, external []string
		found           bool
	}{
		{nil, nil, false},
		{[]string{"crm.my", "CRM.my"}, nil, false},
		{[]string{"crm.my", "erp.my"}, nil, true},
		{[]string{"crm.my", "erp.my"}, []string{"/services/oauth2/token", "/token"}, false}, // not Salesforce's
		{[]string{"crm.my", "erp.my"}, []string{"crm.my", "login"}, false},                  // Check reports it
		{[]string{"https://crm.my.salesforce.com", "/path"}, nil, false},
		{[]string{"crm.my", "erp.my"}, []string{token, "/services/oauth2/token"}, false},
		{[]string{"https://crm.my.salesforce.com", "https://[::1"}, nil, false},
	} {
		found := CheckPair(read(t, namedCredential, test.named...), read(t, secretCredential, test.external...))
		if (len(found) == 1) != test.found || test.found && (found[0].Rule != "token-url" || found[0].Level != finding.Warning) {
			t.Errorf("%q with %q: %v", test.named, test.external, found)
		}
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	named, secret, jwt := read(t, namedCredential), read(t, secretCredential), read(t, jwtCredential)
	got := fmt.Sprintln(External(named), Endpoint(named), TokenURL(secret), NamedPrincipals(secret), Variant(secret), Variant(jwt), Issuer(jwt))
	if want := "Crm https://crm.my.salesforce.com " + token + " [Integration] ClientCredentialsClientSecret JwtBearer 3MVG9KEY\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if Issuer(secret) != "" {
		t.Errorf("a credential without claims has the issuer %s", Issuer(secret))
	}
	if bare := read(t, jwtCredential, `"3MVG9KEY"`, "3MVG9KEY"); Issuer(bare) != "3MVG9KEY" {
		t.Errorf("the issuer of a claim without quotes is %q", Issuer(bare))
	}
	if External(&metadata.Component{}) != "" || Endpoint(&metadata.Component{}) != "" || Issuer(nil) != "" {
		t.Error("an empty component has parts")
	}
}

// claims returns the wanted claims of a JWT as NAME=TEXT.
func claims(want *metadata.Want) string {
	var all []string
	for _, f := range want.Fields[externalParameters] {
		if part(f, "parameterType") == "JwtBodyClaim" {
			all = append(all, part(f, "parameterName")+"="+part(f, "parameterValue"))
		}
	}
	return strings.Join(all, " ")
}

func TestClaims(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		existing *metadata.Component
		key      string
		want     string
	}{
		{nil, "3MVG9KEY", `iss=3MVG9KEY sub=run@example.com aud="https://login.salesforce.com"`},
		// The same claims keep their spelling.
		{read(t, jwtCredential), "3MVG9KEY", `iss="3MVG9KEY" sub="run@example.com" aud="https://login.salesforce.com"`},
		{read(t, jwtCredential, `"3MVG9KEY"`, "3MVG9KEY", `"run@example.com"`, "run@example.com"), "3MVG9KEY", `iss=3MVG9KEY sub=run@example.com aud="https://login.salesforce.com"`},
		{read(t, jwtCredential), "3MVG9NEW", `iss=3MVG9NEW sub="run@example.com" aud="https://login.salesforce.com"`},
		{read(t, jwtCredential, `"https://login.salesforce.com"`, "https://login.salesforce.com"), "3MVG9KEY",
			`iss="3MVG9KEY" sub="run@example.com" aud=https://login.salesforce.com`},
		{read(t, jwtCredential, "login", "test"), "3MVG9KEY", `iss="3MVG9KEY" sub="run@example.com" aud="https://login.salesforce.com"`},
	} {
		if got := claims(jwt.Wants(test.existing, nil, test.key)[0]); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
	if got := claims(crm.Wants(nil, nil, "3MVG9KEY")[0]); got != "" {
		t.Errorf("a connection with a secret has the claims %s", got)
	}
}

func TestWants(t *testing.T) {
	t.Parallel()
	wants := crm.Wants(nil, nil, "")
	if len(wants) != 2 || wants[0].Type.Name != ExternalCredential || wants[1].Type.Name != NamedCredential || len(wants[1].After) != 1 || wants[1].After[0] != wants[0] {
		t.Fatalf("got %+v, want the external credential first", wants)
	}
	if wants[0].Names[0] != "Crm" || wants[1].Names[0] != "Crm" || len(wants[0].After) > 0 {
		t.Errorf("got %+v", wants)
	}
	// A new connection has no conflicts with itself, and nothing of it is wrong.
	components, err := crm.Components()
	if err != nil || len(components) != 2 {
		t.Fatal(components, err)
	}
	if conflicts := crm.Conflicts(components[0], components[1]); len(conflicts) > 0 {
		t.Errorf("conflicts of a new connection: %v", conflicts)
	}
	for _, c := range components {
		if found := append(Check(c), CheckPair(components[1], components[0])...); len(found) > 0 {
			t.Errorf("findings about a new connection: %v", found)
		}
		if problems := Lookup(c.Type).Problems(c, 0); len(problems) > 0 {
			t.Errorf("problems of a new connection: %v", problems)
		}
	}
	// What an org has stays: names of parameters, the principal and its group.
	for _, test := range []struct {
		c        Connection
		external *metadata.Component
	}{{crm, read(t, secretCredential)}, {jwt, read(t, jwtCredential)}} {
		named := read(t, namedCredential)
		for i, want := range test.c.Wants(test.external, named, "3MVG9KEY") {
			is := []*metadata.Component{test.external, named}[i]
			if _, changes := want.Type.Overlay(is, want.Fields); len(changes) > 0 {
				t.Errorf("%s changes: %v", is.Type, changes)
			}
		}
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		external, named []string
		want            string // WHAT: IS, WANTED of all differences
	}{
		{nil, nil, ""},
		{[]string{">Oauth<", ">Custom<"}, nil, "protocol: Custom, Oauth"},
		{[]string{"ClientCredentialsClientSecret", "JwtBearer"}, nil, "variant: JwtBearer, ClientCredentialsClientSecret"},
		{[]string{"crm.my", "erp.my"}, nil, "token URL: https://erp.my.salesforce.com/services/oauth2/token, " + token},
		{[]string{"crm.my", "CRM.my"}, []string{"salesforce.com<", "salesforce.com/<"}, ""},
		{[]string{">NamedPrincipal<", ">PerUserPrincipal<"}, nil, "principal: per user, one for all"},
		{nil, []string{"SecuredEndpoint", "Legacy"}, "type: Legacy, SecuredEndpoint"},
		// Retrieved legacy ones have no type, and fields of their own.
		{nil, []string{"<namedCredentialType>SecuredEndpoint</namedCredentialType>", ""}, "type: Legacy, SecuredEndpoint"},
		{nil, []string{"<namedCredentialType>SecuredEndpoint</namedCredentialType>", "<endpoint>https://erp</endpoint><principalType>NamedUser</principalType><protocol>Password</protocol><username>u</username>"},
			"type: Legacy, SecuredEndpoint endpoint: https://erp,  protocol: Password,  principalType: NamedUser,  username: u, "},
		{nil, []string{"<namedCredentialType>SecuredEndpoint</namedCredentialType>", "<username>u</username>"}, "type: Legacy, SecuredEndpoint username: u, "},
		{nil, []string{"</namedCredentialType>", "</namedCredentialType><principalType>Anonymous</principalType>"}, "principalType: Anonymous, "},
		{[]string{"<parameterType>AuthProtocolVariant<", "<authProvider>Google</authProvider><parameterType>AuthProvider<"}, nil, "Auth. Provider: Google, "},
		{nil, []string{"crm.my", "erp.my", ">Crm</external", ">Erp</external"},
			"endpoint: https://erp.my.salesforce.com, https://crm.my.salesforce.com external credential: Erp, Crm"},
	} {
		var all []string
		conflicts := crm.Conflicts(read(t, secretCredential, test.external...), read(t, namedCredential, test.named...))
		for _, d := range conflicts {
			all = append(all, d.What+": "+d.Is+", "+d.Wanted)
		}
		if got := strings.Join(all, " "); got != test.want {
			t.Errorf("%q, %q: got %s, want %s", test.external, test.named, got, test.want)
		}
		if len(conflicts) > 1 && conflicts[0].What == "endpoint" {
			err := error(&ConflictError{conflicts})
			if _, ok := errors.AsType[*ConflictError](err); !ok || !strings.Contains(err.Error(), "its endpoint is https://erp") || !strings.HasSuffix(err.Error(), "(and 1 more)") {
				t.Errorf("the error is %v", err)
			}
		}
	}
	if conflicts := crm.Conflicts(nil, nil); len(conflicts) > 0 {
		t.Errorf("conflicts with nothing: %v", conflicts)
	}
}

// TestReplacing: of a credential that serves another purpose, nothing stays. The other one keeps what it has.
func TestReplacing(t *testing.T) {
	t.Parallel()
	external := read(t, secretCredential)
	old := read(t, namedCredential, "<namedCredentialType>SecuredEndpoint</namedCredentialType>", "<endpoint>https://erp</endpoint><principalType>NamedUser</principalType><protocol>Password</protocol>")
	for _, conflict := range []bool{true, false} {
		named := old
		if !conflict {
			named = read(t, namedCredential)
		}
		wants := crm.Replacing(external, named, "")
		if _, changes := wants[0].Type.Overlay(external, wants[0].Fields); len(changes) > 0 {
			t.Errorf("the external credential changes: %v", changes)
		}
		after, changes := wants[1].Type.Overlay(named, wants[1].Fields)
		if !conflict {
			if len(changes) > 0 {
				t.Errorf("without a conflict, the named credential changes: %v", changes)
			}
			continue
		}
		if remaining := crm.Conflicts(nil, after); len(remaining) > 0 || after.Text("endpoint") != "" || after.Text("namedCredentialType") != "SecuredEndpoint" {
			t.Errorf("after a replacement: %v, %v", remaining, after)
		}
		if !slices.ContainsFunc(changes, func(c metadata.Change) bool { return c.Field == "endpoint" && c.From == "https://erp" && c.To == "" }) {
			t.Errorf("the changes are %v", changes)
		}
	}
	// Principals and other parameters of the old one go, too.
	other := read(t, secretCredential, "crm.my", "erp.my", "</parameterType>", "</parameterType><description>old</description>", ">Integration<", ">Old<")
	wants := crm.Replacing(other, nil, "")
	after, _ := wants[0].Type.Overlay(other, wants[0].Fields)
	if got := NamedPrincipals(after); len(got) != 1 || got[0] != DefaultPrincipal {
		t.Errorf("the principals are %v", got)
	}
}

func TestConnectionErrors(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Connection){
		`"C 2" cannot be the name of the named credential`:     func(c *Connection) { c.NamedCredential, c.ExternalCredential = "C 2", "C" },
		`"C__2" cannot be the name of the external credential`: func(c *Connection) { c.ExternalCredential = "C__2" },
		`"P_" cannot be the name of the principal`:             func(c *Connection) { c.Principal = "P_" },
		`https`:                                  func(c *Connection) { c.ProviderURL = "ftp://crm" },
		`JWT bearer needs the user to log in as`: func(c *Connection) { c.Username = "" },
	} {
		c := jwt
		change(&c)
		if err := c.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
		if _, err := c.Components(); err == nil {
			t.Errorf("%s: there are components", want)
		}
	}
	if got := (Connection{NamedCredential: "Crm_Live", ProviderURL: "https://a/"}).Complete(); got.Label != "Crm Live" || got.Principal != DefaultPrincipal || got.Audience != "https://a" || got.ExternalCredential != "Crm_Live" {
		t.Errorf("the defaults are %+v", got)
	}
}
