package credential

import (
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/simorg"
)

func TestExamineForetellsTheCallout(t *testing.T) {
	t.Parallel()
	to, pair := provider(t)
	token := to.URL + "/services/oauth2/token"
	ec := func(parameters string) string {
		return `<authenticationProtocol>Oauth</authenticationProtocol>` + parameters + `<label>Crm</label>`
	}
	p := func(typ, name, value string) string {
		text := `<externalCredentialParameters><parameterGroup>DefaultGroup</parameterGroup><parameterName>` + name + `</parameterName><parameterType>` + typ + `</parameterType>`
		if value != "" {
			text += `<parameterValue>` + value + `</parameterValue>`
		}
		return text + `</externalCredentialParameters>`
	}
	variant, at, principal := p("AuthProtocolVariant", "Oauth", "ClientCredentialsClientSecret"), p("AuthProviderUrl", "U", token), p("NamedPrincipal", "Integration", "")
	for _, test := range []struct {
		name   string
		change func(from *simorg.Server)
		rule   string // of the first error, "" for none
		works  bool
	}{
		{"sound", func(*simorg.Server) {}, "", true},
		{"a scope", func(from *simorg.Server) {
			upsert(t, from, connection.ExternalCredential, "Crm", ec(p("AuthParameter", "Scope", "api")+variant+at+principal))
		}, "scope-against-salesforce", false},
		{"the login host", func(from *simorg.Server) {
			upsert(t, from, connection.ExternalCredential, "Crm", ec(variant+p("AuthProviderUrl", "U", "https://login.salesforce.com/services/oauth2/token")+principal))
		}, "token-url", false},
		{"no principal", func(from *simorg.Server) {
			upsert(t, from, connection.ExternalCredential, "Crm", ec(variant+at))
		}, "no-principal", false},
		{"another principal, without a secret", func(from *simorg.Server) {
			upsert(t, from, connection.ExternalCredential, "Crm", ec(variant+at+p("NamedPrincipal", "Other", "")))
		}, "not-configured", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			from := calling(t, simorg.Config{})
			if _, err := Connect(t.Context(), connTo(from), crm(to), pair(), Options{}); err != nil {
				t.Fatal(err)
			}
			test.change(from)
			x, err := Examine(t.Context(), connTo(from), "Crm")
			if err != nil {
				t.Fatal(err)
			}
			rule, says := "", ""
			for _, f := range x.Findings {
				if f.Level == finding.Error && rule == "" {
					rule, says = f.Rule, f.Says
				}
			}
			if rule != test.rule {
				t.Errorf("found %v, want %q first", x.Findings, test.rule)
			}
			err = from.Callout("Crm", caller)
			if (err == nil) != test.works {
				t.Errorf("the callout says %v", err)
			}
			if test.rule == "scope-against-salesforce" && !strings.Contains(err.Error(), says) {
				t.Errorf("the callout says %v, foretold was %q", err, says)
			}
			if test.works && (x.Status != "Configured" || x.ClientID != pair().Key || len(x.Callers) != 1 || x.Callers[0].Users != 1 || !x.Callers[0].Reads) {
				t.Errorf("got %+v", x)
			}
		})
	}
	from := calling(t, simorg.Config{})
	other := calling(t, simorg.Config{})
	two := ec(variant + at + principal + strings.Replace(p("NamedPrincipal", "Other", ""), "DefaultGroup", "Other", 1))
	if _, err := Connect(t.Context(), connTo(other), crm(to), pair(), Options{}); err != nil {
		t.Fatal(err)
	}
	upsert(t, other, connection.ExternalCredential, "Crm", two)
	if x, err := Examine(t.Context(), connTo(other), "Crm"); err != nil || len(x.Principals) != 2 || len(x.Findings) != 1 || !strings.Contains(x.Findings[0].Problem, "Other is NotConfigured") {
		t.Errorf("of two principals got %+v, %v", x, err)
	}
	if x, err := Examine(t.Context(), connTo(from), "Nothing"); err != nil || len(x.Findings) != 1 || x.Findings[0].Rule != "no-named-credential" {
		t.Errorf("of nothing got %+v, %v", x, err)
	}
	open := crm(to)
	open.PermissionSets = nil
	if _, err := Connect(t.Context(), connTo(from), open, pair(), Options{}); err != nil {
		t.Fatal(err)
	}
	if x, err := Examine(t.Context(), connTo(from), "Crm"); err != nil || len(x.Findings) != 1 || x.Findings[0].Rule != "no-access" {
		t.Errorf("without access got %+v, %v", x, err)
	}
}

// TestUnmanaged: what this module does not make gets no verdict, and nothing else of it is read.
func TestUnmanaged(t *testing.T) {
	t.Parallel()
	to, _ := provider(t)
	from := calling(t, simorg.Config{})
	upsert(t, from, connection.NamedCredential, "Legacy", "<endpoint>https://old.example.com</endpoint><label>Old</label>")
	named := func(name string) {
		upsert(t, from, connection.NamedCredential, name, `<calloutStatus>Enabled</calloutStatus><generateAuthorizationHeader>false</generateAuthorizationHeader><label>X</label>`+
			`<namedCredentialParameters><externalCredential>`+name+`</externalCredential><parameterName>ExternalCredential</parameterName><parameterType>Authentication</parameterType></namedCredentialParameters>`+
			`<namedCredentialType>SecuredEndpoint</namedCredentialType>`)
	}
	parameter := func(typ, name, element, value string) string {
		return `<externalCredentialParameters>` + map[bool]string{true: element + `<parameterGroup>G</parameterGroup>`, false: `<parameterGroup>G</parameterGroup>`}[element != ""] +
			`<parameterName>` + name + `</parameterName><parameterType>` + typ + `</parameterType>` + value + `</externalCredentialParameters>`
	}
	value := func(text string) string { return "<parameterValue>" + text + "</parameterValue>" }
	url, variant, principal := parameter("AuthProviderUrl", "U", "", value(to.URL+"/services/oauth2/token")), parameter("AuthProtocolVariant", "Oauth", "", value("ClientCredentialsClientSecret")), parameter("NamedPrincipal", "Integration", "", "")
	for name, test := range map[string]struct{ protocol, parameters, want string }{
		"Custom":   {"Custom", principal, "the protocol Custom"},
		"Aws":      {"AwsSv4", principal, "the protocol AwsSv4"},
		"PerUser":  {"Oauth", variant + url + parameter("PerUserPrincipal", "Me", "", ""), "per-user principals"},
		"Provider": {"Oauth", parameter("AuthProvider", "P", "<authProvider>Google</authProvider>", ""), "an Auth. Provider"},
		"Browser":  {"Oauth", parameter("AuthProtocolVariant", "Oauth", "", value("ClientCredentialsJwtAssertion")) + url + principal, "the variant ClientCredentialsJwtAssertion"},
		"Else":     {"Oauth", variant + parameter("AuthProviderUrl", "U", "", value("https://id.example.com/token")) + principal, "tokens of id.example.com"},
		"Legacy":   {"", "", "the type Legacy"},
	} {
		if test.protocol != "" {
			upsert(t, from, connection.ExternalCredential, name, "<authenticationProtocol>"+test.protocol+"</authenticationProtocol>"+test.parameters+"<label>X</label>")
			named(name)
		}
		from.ForgetRequests()
		x, err := Examine(t.Context(), connTo(from), name)
		if err != nil || !strings.Contains(x.Unmanaged, test.want) || len(x.Findings) > 0 {
			t.Errorf("%s: got %+v, %v", name, x, err)
		}
		if n := len(from.Requests()); n > 2 {
			t.Errorf("%s takes %d requests", name, n)
		}
	}
	mine := "Mine"
	upsert(t, from, connection.ExternalCredential, mine, "<authenticationProtocol>Oauth</authenticationProtocol>"+variant+url+principal+parameter("PerUserPrincipal", "Me", "", "")+"<label>X</label>")
	named(mine)
	if x, err := Examine(t.Context(), connTo(from), mine); err != nil || x.Unmanaged != "" || len(x.Findings) == 0 {
		t.Errorf("with a named principal: %+v, %v", x, err)
	}
}
