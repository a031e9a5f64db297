package preflight_test

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
)

// fields are the texts of a component's elements.
type fields map[string]string

func component(typ, fullName string, texts fields) *metadata.Component {
	f := make(metadata.Fields)
	for name, text := range texts {
		f.Set(name, text)
	}
	return metadata.New(typ, fullName, f)
}

// policies returns policies of the app App that a deployment brings.
func policies(texts fields) preflight.Policies {
	texts = maps.Clone(texts)
	if texts == nil {
		texts = make(fields)
	}
	texts["externalClientApplication"] = "App"
	return preflight.Policies{App: "App", Component: component(eca.OAuthPolicies, "P", texts), File: "P.xml", Package: "pol"}
}

// facts is an org with one of everything.
type facts struct {
	refused string // the object whose query the org refuses
	granted bool
}

func (f facts) Refused(object string) error {
	if object == f.refused {
		return errors.New("INSUFFICIENT_ACCESS")
	}
	return nil
}

func (facts) ActiveUser(name string) (exists, active bool) {
	return name == "active@example.com" || name == "gone@example.com", name == "active@example.com"
}

func (facts) HasPermissionSet(name string) bool { return name == "Known" }

func (facts) HasProfile(name string) bool { return name == "Known" }

func (facts) WithNamespace(name string) string {
	if name == "Managed" {
		return "ns__Managed"
	}
	return ""
}

func (f facts) IsGranted(app string) bool { return f.granted && app == "App" }

// check compares findings with "rule level field problem", the last being a part of it.
func check(t *testing.T, got []finding.Finding, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d findings, want %d", len(got), len(want))
	}
	for i, f := range got {
		if f.App != "App" || f.File != "P.xml" || f.Fix == "" {
			t.Errorf("%+v, want an app, a file and a fix", f)
		}
		if i >= len(want) {
			t.Errorf("found %s %s %s %s", f.Rule, f.Level, f.Field, f.Problem)
			continue
		}
		parts := strings.SplitN(want[i], " ", 4)
		if found := fmt.Sprintf("%s %s %s", f.Rule, f.Level, f.Field); found != strings.Join(parts[:3], " ") || !strings.Contains(f.Problem+f.Says, parts[3]) {
			t.Errorf("found %s %s (%s), want %s", found, f.Problem, f.Says, want[i])
		}
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	newest := apiversion.Latest
	for _, test := range []struct {
		name      string
		component *metadata.Component
		version   apiversion.Version
		want      string // rule and level
	}{
		{"unknown", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "nonsense": "1"}), newest, "unknown-element warning"},
		{"unknown in a later version", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "nonsense": "1"}), newest + 1, "unknown-element warning"},
		{"deprecated", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "isNamedUserJwtEnabled": "false"}), newest, "unknown-element warning"},
		{"newer", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "namedUserJwtSessionTimeoutType": "Custom"}), 64, "newer-than-project warning"},
		{"wrong", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "permittedUsersPolicyType": "X"}), newest, "unknown-value warning"},
		{"no boolean", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "isClientCredentialsFlowEnabled": "yes"}), newest, "wrong-value error"},
		{"wrong in a later version", component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App", "permittedUsersPolicyType": "X"}), newest + 1, "unknown-value warning"},
		{"missing", component(eca.OAuthPolicies, "P", nil), newest, "missing-element error"},
		{"missing in a later version", component(eca.OAuthPolicies, "P", nil), newest + 1, "missing-element error"},
		{"secret", component(eca.GlobalOAuthSettings, "G", fields{"externalClientApplication": "App", "consumerSecret": "topsecret"}), newest, "secret-in-source error"},
	} {
		t.Run(test.name, func(t *testing.T) {
			all := preflight.Fields(test.component, test.version)
			if len(all) != 1 || fmt.Sprint(all[0].Rule, " ", all[0].Level) != test.want || all[0].App != eca.App(test.component) {
				t.Errorf("found %+v, want %s", all, test.want)
			}
		})
	}
	twice := component(eca.OAuthPolicies, "P", fields{"externalClientApplication": "App"})
	twice.Fields = append(twice.Fields, metadata.Field{Name: "startUrl", Text: "a"}, metadata.Field{Name: "startUrl", Text: "b"})
	if all := preflight.Fields(twice, newest); len(all) == 0 || !slices.ContainsFunc(all, func(f finding.Finding) bool { return f.Rule == "repeated-element" }) {
		t.Errorf("found %+v, want a repeated element", all)
	}
}

func TestSource(t *testing.T) {
	t.Parallel()
	newest := apiversion.Latest
	flow := func(user string) fields {
		return fields{"isClientCredentialsFlowEnabled": "true", "clientCredentialsFlowUser": user}
	}
	first := policies(nil)
	first.Component, first.File = component(eca.OAuthPolicies, "First", nil), "First.xml"
	same := first
	same.Component = component(eca.OAuthPolicies, "p", nil)
	for _, test := range []struct {
		name          string
		fields        fields
		change        func(*preflight.Policies)
		deployed, org apiversion.Version
		want          []string
	}{
		{"sound", flow("a@example.com"), nil, 0, newest, nil},
		{"unknown", fields{"nonsense": "1"}, nil, 0, newest, []string{"unknown-element warning nonsense "}},
		{"unknown to us, on a later org", fields{"nonsense": "1"}, nil, newest, newest + 1, []string{"unknown-element warning nonsense "}},
		{"unknown, text replaced", fields{"nonsense": "1"}, func(p *preflight.Policies) { p.Replaced = true }, 0, newest, []string{"unknown-element warning nonsense "}},
		{"unknown, and applied", fields{"nonsense": "1"}, func(p *preflight.Policies) { p.Applied, p.Replaced = true, true }, 0, newest, nil},
		{"deprecated", fields{"isNamedUserJwtEnabled": "false"}, nil, 0, newest, []string{"unknown-element warning isNamedUserJwtEnabled "}},
		{"newer than the project and the org", fields{"namedUserJwtSessionTimeoutType": "Custom"}, nil, 64, 64, []string{"newer-than-project error namedUserJwtSessionTimeoutType 65.0"}},
		{"newer than the project alone", fields{"namedUserJwtSessionTimeoutType": "Custom"}, nil, 64, newest, []string{"newer-than-project warning namedUserJwtSessionTimeoutType 65.0"}},
		{"newer than the org, without a project's version", fields{"namedUserJwtSessionTimeoutType": "Custom"}, nil, 0, 64, []string{"newer-than-project warning namedUserJwtSessionTimeoutType 65.0"}},
		{"a second file", nil, func(p *preflight.Policies) { p.First = &first }, 0, newest, []string{"record-name error  App also has policies in First.xml"}},
		{"a second file, text replaced", nil, func(p *preflight.Policies) { p.First, p.Replaced = &first, true }, 0, newest, []string{"record-name warning  duplicates value on First"}},
		{"a second file, applied", nil, func(p *preflight.Policies) { p.First, p.Replaced, p.Applied = &first, true, true }, 0, newest, []string{"record-name error  First.xml"}},
		{"a second file of the same name", nil, func(p *preflight.Policies) { p.First = &same }, 0, newest, nil},
		{"no user", flow(" "), nil, 0, newest, []string{"run-as-user error clientCredentialsFlowUser no user is named"}},
		{"no user, applied", flow(" "), func(p *preflight.Policies) { p.Applied = true }, 0, newest, nil},
		{"a placeholder that nobody replaces", flow("{username}"), nil, 0, newest, []string{"run-as-user error clientCredentialsFlowUser is not replaced"}},
		{"a placeholder, applied", flow("{username}"), func(p *preflight.Policies) { p.Applied = true }, 0, newest, nil},
		{"a placeholder, flow off", fields{"clientCredentialsFlowUser": "{username}"}, nil, 0, newest, nil},
		{"permission sets by ID", fields{"commaSeparatedPermissionSet": "Known, 0PS000000000001"}, nil, 0, newest, []string{
			"permission-set error commaSeparatedPermissionSet 0PS000000000001 is an ID"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policies(test.fields)
			if test.change != nil {
				test.change(&p)
			}
			check(t, p.Source(test.deployed, test.org), test.want...)
		})
	}
}

// TestOrg checks policies against an org. Every rule of the preflight is broken at least once.
func TestOrg(t *testing.T) {
	t.Parallel()
	user := func(name string) fields {
		return fields{"isClientCredentialsFlowEnabled": "true", "clientCredentialsFlowUser": name}
	}
	applied := func(p *preflight.Policies, _ *preflight.Org) { p.Applied = true }
	refused := func(object string) func(*preflight.Policies, *preflight.Org) {
		return func(_ *preflight.Policies, o *preflight.Org) { o.Facts = facts{refused: object} }
	}
	has := func(c *metadata.Component) func(string) *metadata.Component {
		return func(typ string) *metadata.Component {
			if typ == c.Type {
				return c
			}
			return nil
		}
	}
	other := has(component(eca.OAuthPolicies, "App_other", nil))
	off := component(eca.PluginPolicies, "App_plcy", fields{"isOauthPluginEnabled": "false", "isEnabled": "true"})
	disabled := component(eca.PluginPolicies, "App_plcy", fields{"isOauthPluginEnabled": "true", "isEnabled": "false"})
	global := component(eca.GlobalOAuthSettings, "G", fields{"isNamedUserJwtEnabled": "false"})
	jwt := fields{"namedUserJwtSessionTimeoutType": "Custom"}
	admin := func(more fields) fields {
		all := fields{"permittedUsersPolicyType": "AdminApprovedPreAuthorized"}
		maps.Copy(all, more)
		return all
	}
	broken := make(map[string]bool)
	for _, test := range []struct {
		name   string
		fields fields
		change func(*preflight.Policies, *preflight.Org)
		want   []string
	}{
		{"sound", user("active@example.com"), nil, nil},
		{"no such user", user("nobody@example.com"), nil, []string{"run-as-user error clientCredentialsFlowUser there is no user nobody@example.com"}},
		{"no such user, text replaced", user("nobody@example.com"), func(p *preflight.Policies, _ *preflight.Org) { p.Replaced = true }, []string{
			"run-as-user warning clientCredentialsFlowUser nobody@example.com"}},
		{"no such user, applied", user("nobody@example.com"), func(p *preflight.Policies, _ *preflight.Org) { p.Replaced, p.Applied = true, true }, []string{
			"run-as-user error clientCredentialsFlowUser nobody@example.com"}},
		{"no such user, flow off", fields{"clientCredentialsFlowUser": "nobody@example.com"}, nil, nil},
		{"inactive user", user("gone@example.com"), nil, []string{"run-as-user error clientCredentialsFlowUser gone@example.com is inactive"}},
		{"a placeholder", user("{username}"), nil, nil},
		{"users refused", user("nobody@example.com"), refused(preflight.UserObject), []string{"run-as-user warning clientCredentialsFlowUser was not checked, because the org refused the query of User (INSUFFICIENT_ACCESS)"}},
		{"no user, not applied", user(""), nil, nil}, // Source reports this
		{"no user", user(""), applied, []string{"run-as-user error clientCredentialsFlowUser no user is named"}},
		{"no user, but one on the org", user(""), func(p *preflight.Policies, o *preflight.Org) {
			p.Applied = true
			o.Find = has(component(eca.OAuthPolicies, "P", user("active@example.com")))
		}, nil},
		{"no user, none on the org", user(""), func(p *preflight.Policies, o *preflight.Org) {
			p.Applied = true
			o.Find = has(component(eca.OAuthPolicies, "P", nil))
		}, []string{"run-as-user error clientCredentialsFlowUser no user is named"}},

		{"permission sets", fields{"commaSeparatedPermissionSet": "Known, Unknown"}, nil, []string{"permission-set error commaSeparatedPermissionSet couldn't find permission sets called Unknown"}},
		{"a permission set of the project", fields{"commaSeparatedPermissionSet": "Ours"}, nil, []string{"permission-set warning commaSeparatedPermissionSet but Ours.xml adds it"}},
		{"a managed permission set", fields{"commaSeparatedPermissionSet": "Managed"}, nil, []string{"permission-set warning commaSeparatedPermissionSet ns__Managed"}},
		{"a permission set by ID", fields{"commaSeparatedPermissionSet": "0PS000000000001"}, nil, nil}, // Source reports this
		{"permission sets refused", fields{"commaSeparatedPermissionSet": "Unknown, Managed"}, refused(preflight.PermissionSetObject), []string{"permission-set warning commaSeparatedPermissionSet was not checked"}},

		{"profiles", fields{"commaSeparatedProfile": "Known, Unknown"}, nil, []string{"profile error commaSeparatedProfile there are no profiles called Unknown on this org"}},
		{"a standard profile", fields{"commaSeparatedProfile": "system administrator"}, nil, []string{"profile error commaSeparatedProfile System Administrator is a standard profile: standard profiles have names in the org's language"}},
		{"a standard profile by its name in source", fields{"commaSeparatedProfile": "Admin"}, nil, []string{"profile error commaSeparatedProfile although System Administrator is a standard profile"}},
		{"a profile by ID", fields{"commaSeparatedProfile": "00e000000000001"}, refused(preflight.ProfileObject), []string{"profile warning commaSeparatedProfile 00e000000000001 is an ID"}},
		{"profiles refused", fields{"commaSeparatedProfile": "Unknown"}, refused(preflight.ProfileObject), []string{"profile warning commaSeparatedProfile was not checked"}},

		{"another record", nil, func(_ *preflight.Policies, o *preflight.Org) { o.Find = other }, []string{"record-name error  under the name App_other"}},
		{"another record, applied", nil, func(p *preflight.Policies, o *preflight.Org) { p.Applied, o.Find = true, other }, []string{"record-name warning  App_other"}},
		{"another record, unknown package", nil, func(p *preflight.Policies, o *preflight.Org) { p.Package, o.Find = "", other }, []string{"record-name warning  App_other"}},
		{"another record, unknown package, applied", nil, func(p *preflight.Policies, o *preflight.Org) { p.Package, p.Applied, o.Find = "", true, other }, nil},
		{"another record, not deployed", nil, func(p *preflight.Policies, o *preflight.Org) { p.LeftOut, o.Find = true, other }, nil},
		{"the record of the first file", nil, func(p *preflight.Policies, o *preflight.Org) {
			o.Find, p.First = other, &preflight.Policies{Component: component(eca.OAuthPolicies, "App_other", nil)}
		}, nil},

		{"OAuth off", nil, func(_ *preflight.Policies, o *preflight.Org) { o.Find = has(off) }, []string{"oauth-off error  isOauthPluginEnabled is false in App_plcy"}},
		{"app off", nil, func(_ *preflight.Policies, o *preflight.Org) { o.Find = has(disabled) }, []string{"oauth-off warning  isEnabled is false in App_plcy"}},
		{"OAuth off, switched on by the run", nil, func(_ *preflight.Policies, o *preflight.Org) {
			o.Find, o.Will = has(off), has(component(eca.PluginPolicies, "App_plcy", fields{"isOauthPluginEnabled": "true", "isEnabled": "true"}))
		}, nil},
		{"OAuth off, switched on by the deployment", nil, func(p *preflight.Policies, o *preflight.Org) {
			o.Find = has(off)
			p.Plugins = []*metadata.Component{component(eca.PluginPolicies, "X", fields{"externalClientApplication": "app", "isOauthPluginEnabled": "true"})}
		}, nil},
		{"OAuth off, another app switched on", nil, func(p *preflight.Policies, o *preflight.Org) {
			o.Find = has(off)
			p.Plugins = []*metadata.Component{component(eca.PluginPolicies, "X", fields{"externalClientApplication": "Other", "isOauthPluginEnabled": "true"})}
		}, []string{"oauth-off error  isOauthPluginEnabled"}},
		{"OAuth off, switched on too late", nil, func(p *preflight.Policies, o *preflight.Org) {
			o.Find, p.Applied = has(off), true
			p.Plugins = []*metadata.Component{component(eca.PluginPolicies, "X", fields{"externalClientApplication": "App", "isOauthPluginEnabled": "true"})}
		}, []string{"oauth-off error  isOauthPluginEnabled"}},

		{"JWT session", jwt, func(_ *preflight.Policies, o *preflight.Org) { o.Find = has(global) }, []string{"jwt-session error namedUserJwtSessionTimeoutType issues no JWT-based tokens"}},
		{"JWT session, switched on by the run", jwt, func(_ *preflight.Policies, o *preflight.Org) {
			o.Find, o.Will = has(global), has(component(eca.GlobalOAuthSettings, "G", fields{"isNamedUserJwtEnabled": "true"}))
		}, nil},
		{"JWT session, switched off by the run", jwt, func(_ *preflight.Policies, o *preflight.Org) {
			o.Find = has(component(eca.GlobalOAuthSettings, "G", fields{"isNamedUserJwtEnabled": "true"}))
			o.Will = has(component(eca.GlobalOAuthSettings, "G", fields{"isNamedUserJwtEnabled": "false"}))
		}, []string{"jwt-session error namedUserJwtSessionTimeoutType "}},
		{"JWT session, no settings on the org", jwt, nil, nil},
		{"no JWT session", nil, func(_ *preflight.Policies, o *preflight.Org) { o.Find = has(global) }, nil},

		{"nobody", admin(nil), nil, []string{"locked-out warning permittedUsersPolicyType nobody is"}},
		{"granted on the org", admin(nil), func(_ *preflight.Policies, o *preflight.Org) { o.Facts = facts{granted: true} }, nil},
		{"granted by the run", admin(nil), func(_ *preflight.Policies, o *preflight.Org) { o.Granted = true }, nil},
		{"granted by the policies", admin(fields{"commaSeparatedPermissionSet": "Known"}), nil, nil},
		// Whether profiles grant an app is not certain.
		{"granted by a profile", admin(fields{"commaSeparatedProfile": "Known"}), nil, []string{"profiles-only warning commaSeparatedProfile perhaps they are refused"}},
		{"granted by a profile and the org", admin(fields{"commaSeparatedProfile": "Known"}), func(_ *preflight.Policies, o *preflight.Org) { o.Facts = facts{granted: true} }, nil},
		{"granted by a profile and the run", admin(fields{"commaSeparatedProfile": "Known"}), func(_ *preflight.Policies, o *preflight.Org) { o.Granted = true }, nil},
		{"granted by a profile and a permission set", admin(fields{"commaSeparatedProfile": "Known", "commaSeparatedPermissionSet": "Known"}), nil, nil},
		{"apps refused", admin(nil), refused(preflight.AppObject), []string{"locked-out warning permittedUsersPolicyType refused the query of ExternalClientApplication"}},
		{"grants refused", admin(nil), refused(preflight.SetupEntityAccess), []string{"locked-out warning permittedUsersPolicyType refused the query of SetupEntityAccess"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := policies(test.fields)
			org := preflight.Org{
				Facts: facts{}, Find: func(string) *metadata.Component { return nil },
				PermissionSetFile: func(name string) string {
					if name == "Ours" {
						return "Ours.xml"
					}
					return ""
				},
			}
			if test.change != nil {
				test.change(&p, &org)
			}
			found := p.Org(org)
			check(t, found, test.want...)
			for _, f := range found {
				broken[f.Rule] = true
			}
		})
	}
	document, err := os.ReadFile("../lint/RULES.md")
	if err != nil {
		t.Fatal(err)
	}
	_, own, found := strings.Cut(string(document), "\n## Preflight")
	if !found {
		t.Error("RULES.md has no section about the preflight")
	}
	for _, rule := range finding.ParseRules(own) {
		if !broken[rule.ID] {
			t.Errorf("no test breaks %s", rule.ID)
		}
	}
}
