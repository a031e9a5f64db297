package bootstrap_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

const (
	certificateStated = `"certificate": "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"`
	withoutRefresh    = `, "oauthSettings": {"commaSeparatedOauthScopes": "Api"}`
)

// TestHiddenCertificate: an update of global settings without the certificate clears the one that
// the org does not show, and ends logins with JWT bearer.
func TestHiddenCertificate(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		answer, before, after string // the fact, and what the project states for MyApp
		other, together       bool   // another app has a certificate, and is in the same project
		own                   bool   // the session is a login with MyApp
		refused               bool
	}{
		"hidden":                             {answer: "withheld", before: certificateStated, refused: true},
		"stated":                             {answer: "withheld", before: certificateStated, after: certificateStated + ", "},
		"shown":                              {answer: "shown", before: certificateStated},
		"shown, in a session of the app":     {answer: "shown", before: certificateStated, own: true},
		"perhaps none":                       {answer: "shown", refused: true},
		"stated as none":                     {answer: "shown", after: `"certificate": "none", `},
		"another app shows one":              {answer: "shown", other: true},
		"another app shows one, own session": {answer: "shown", other: true, own: true, refused: true},
		"the project's other app shows one":  {answer: "shown", other: true, together: true},
		"the same, own session":              {answer: "shown", other: true, together: true, own: true, refused: true},
		"another app's is hidden":            {answer: "withheld", other: true, refused: true},
		"own session, stated as none":        {answer: "shown", own: true, after: `"certificate": "none", `},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := startOrg(t, simorg.Config{Facts: platform.Answers{"certificate-shown": test.answer}})
			if test.other {
				o.mustRun(settings(`"Other": {"globalOauthSettings": {` + certificateStated + `}}`).with(header("Other")))
			}
			o.mustRun(settings(`"MyApp": {"globalOauthSettings": {` + test.before + `}}`).with(header("MyApp")))
			certificate := globalOf(o).Fields["certificate"]
			changed := settings(`"MyApp": {"globalOauthSettings": {` + test.after + `"isDeviceFlowEnabled": true}}`).with(header("MyApp"))
			if test.together {
				changed = changed.with(header("Other"))
			}
			for _, planOnly := range []bool{true, false} {
				options, err := o.options(changed, "")
				if err != nil {
					t.Fatal(err)
				}
				options.PlanOnly = planOnly
				if test.own {
					options.ClientID = globalOf(o).Fields["consumerKey"]
				}
				_, err = options.run(t.Context())
				hidden, _ := errors.AsType[*bootstrap.HiddenCertificateError](err)
				if (err != nil) != test.refused || test.refused && (hidden == nil || hidden.App != "MyApp") {
					t.Errorf("plan only %v: ended with %v, refused should be %v", planOnly, err, test.refused)
				}
			}
			global := globalOf(o)
			if global.Fields["certificate"] != certificate || (global.Fields["isDeviceFlowEnabled"] == "true") == test.refused {
				t.Errorf("the global settings are %v", global)
			}
		})
	}
}

// TestNoOtherAppIsRead: only an update is a reason to read all apps of the org.
func TestNoOtherAppIsRead(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(simple().with(header("Other")))
	o.ForgetRequests()
	o.mustRun(simple())
	for _, r := range o.Requests() {
		if strings.Contains(r.Path, "FROM+ExternalClientApplication") {
			t.Errorf("a run without changes reads all apps: %s", r.Path)
		}
	}
}

// TestCertificateAmongManyApps: one call reads ten apps, and the one with a certificate is another.
func TestCertificateAmongManyApps(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	others := settings(`"Zed": {"globalOauthSettings": {` + certificateStated + `}}`).with(header("Zed"))
	for i := range 12 {
		others = others.with(header(fmt.Sprintf("Other%02d", i)))
	}
	o.mustRun(others)
	o.mustRun(simple())
	o.mustRun(settings(`"MyApp": {"globalOauthSettings": {"isDeviceFlowEnabled": true}}`).with(header("MyApp")))
}

// TestScopesWithoutJWT: without RefreshToken, no login with JWT bearer can end. OfflineAccess is a synonym.
func TestScopesWithoutJWT(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(settings(`"MyApp": {"globalOauthSettings": {}` + withoutRefresh + `}`).with(header("MyApp")))
	o.mustRun(settings(`"MyApp": {"globalOauthSettings": {"isDeviceFlowEnabled": true}` + withoutRefresh + `}`).with(header("MyApp")))

	synonym := strings.Replace(withoutRefresh, "Api", "Api, OfflineAccess", 1)
	o.mustRun(settings(`"MyApp": {"globalOauthSettings": {}` + synonym + `}`).with(header("MyApp")))
	_, err := o.run(settings(`"MyApp": {"globalOauthSettings": {"isCodeCredFlowEnabled": true}` + synonym + `}`).with(header("MyApp")))
	if _, ok := errors.AsType[*bootstrap.HiddenCertificateError](err); !ok {
		t.Errorf("with the scope OfflineAccess, the run ends with %v", err)
	}
}

// TestOwnAppStaysOn: a session does not end itself.
func TestOwnAppStaysOn(t *testing.T) {
	t.Parallel()
	o := startOrg(t, simorg.Config{})
	o.mustRun(simple())
	options, err := o.options(settings(`"MyApp": {"pluginPolicies": {"isOauthPluginEnabled": false}}`).with(header("MyApp")), "")
	if err != nil {
		t.Fatal(err)
	}
	options.ClientID = globalOf(o).Fields["consumerKey"]
	var own *bootstrap.OwnAppError
	if _, err := options.run(t.Context()); !errors.As(err, &own) || own.App != "MyApp" {
		t.Errorf("ended with %v, want that the session is a login with MyApp", err)
	}
	options.ClientID = "PlatformCLI"
	if _, err := options.run(t.Context()); err != nil {
		t.Errorf("another session: %v", err)
	}
}

// globalOf returns the global OAuth settings of MyApp.
func globalOf(o *org) simorg.Component {
	all := o.Components(eca.GlobalOAuthSettings)
	return all[slices.IndexFunc(all, func(c simorg.Component) bool { return c.Fields["externalClientApplication"] == "MyApp" })]
}
