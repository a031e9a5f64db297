package advice_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

func TestFix(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ rule, org, app, want string }{
		{"certificate-expires", "", "Erp", "do it; eca bootstrap"},
		{string(repair.NullLink), "uat", "Erp", "do it; eca repair -o uat --app Erp --yes"},
		{"unknown-element", "uat", "Erp", "do it"},
	} {
		if got := advice.Fix("do it", test.rule, test.org, test.app); got != test.want {
			t.Errorf("%s: %q, want %q", test.rule, got, test.want)
		}
	}
}

// TestAuditCommands: names are words of a shell, and a command can name all apps of an org if it takes several.
func TestAuditCommands(t *testing.T) {
	t.Parallel()
	find := func(rule, which string) audit.Finding {
		return audit.Finding{Finding: finding.Finding{Rule: rule}, Case: which}
	}
	of := func(rule string, kind audit.Kind) audit.Finding {
		return audit.Finding{Finding: finding.Finding{Rule: rule}, Kind: kind}
	}
	for _, test := range []struct {
		f       audit.Finding
		project bool
		apps    []string
		want    string
	}{
		{find("not-installed", ""), false, []string{"Data Loader's"}, `eca revoke -o prod --not-installed --app 'Data Loader'\''s'`},
		{find("has-to-move", audit.CaseConvert), true, []string{"A", "B"}, "eca migrate -o prod --app A --app B"},
		{find("has-to-move", audit.CaseConvert), false, []string{"A"}, ""},
		{find("has-to-move", audit.CaseVendor), true, []string{"A"}, ""},
		{find("open-to-all", ""), true, []string{"A"}, ""},          // an app that no project declares
		{of("plugin-off", audit.External), true, []string{"A"}, ""}, // no project declares it
		{of("unused", audit.External), false, []string{"ns__A"}, "eca disable -o prod --app ns__A"},
		{of("unused", audit.Connected), false, []string{"A"}, ""}, // without tokens
		{of("secrets-over-rest", audit.OrgItself), false, nil, "eca repair -o prod --close-access"},
	} {
		if got, _ := advice.Audit(test.project)(test.f, "prod", test.apps); got != test.want {
			t.Errorf("%s %s: %q, want %q", test.f.Rule, test.f.Case, got, test.want)
		}
	}
}

func TestError(t *testing.T) {
	t.Parallel()
	component := func(code, message string) error {
		return &bootstrap.ComponentFailure{App: "Erp", Type: "ExtlClntAppOauthSettings", Err: &mdapi.ComponentError{Code: code, Message: message}}
	}
	for _, test := range []struct {
		err  error
		want string // a part of the hint; "" for none
	}{
		{errors.New("anything"), ""},
		{&apps.NotFoundError{App: "Erp"}, "--app"},
		{&apps.NotFoundError{App: "Erp", Similar: []string{"Erp1"}}, ""}, // the error suggests the app
		{&orgauth.Error{Reason: orgauth.ErrUnknownOrg, Login: "uat"}, "sf org login web --alias uat"},
		{&orgauth.Error{Reason: orgauth.ErrUnknownOrg, Login: "me@example.com"}, "sf org login web --alias ALIAS"},
		{&orgauth.Error{Reason: orgauth.ErrExpired}, "SF_ACCESS_TOKEN"},
		{&orgauth.Error{Reason: orgauth.ErrStore}, ""},
		{&apps.NoOAuthError{App: "Erp"}, "eca bootstrap"},
		{&consumer.AccessError{Setting: true}, "--enable-access"},
		{&consumer.AccessError{}, "ViewClientSecret"},
		{&salesforce.NetworkError{}, "proxy"},
		{&salesforce.NetworkError{Err: &net.DNSError{Name: "acme.my.saleforce.com", IsNotFound: true}}, "did you mean acme.my.salesforce.com?"},
		{&salesforce.NetworkError{Err: &net.DNSError{Name: "acme--uat.sandbox.my.salesforce.con", IsNotFound: true}}, "did you mean acme--uat.sandbox.my.salesforce.com?"},
		{&salesforce.NetworkError{Err: &net.DNSError{Name: "acme.my.salesforce.com", IsNotFound: true}}, "correct the instance URL, or check the DNS"},
		{&salesforce.Error{Code: "REQUEST_LIMIT_EXCEEDED"}, "tomorrow"},
		{&salesforce.Error{Code: "INVALID_SESSION_ID", Message: "This session is not valid for use with the API", JWT: true}, "isNamedUserJwtEnabled"},
		{&salesforce.Error{Code: "INVALID_SESSION_ID", Message: "This session is not valid for use with the API"}, "login IP ranges"},
		{component("INVALID_CROSS_REFERENCE_KEY", "no"), "header of Erp"},
		{component("UNKNOWN_EXCEPTION", `because "oauthLink" is null`), "eca repair --app Erp --yes"},
		{component("INVALID_TYPE", "Element x invalid at this location"), "--api-version"},
	} {
		got := advice.Error(fmt.Errorf("uat: %w", test.err))
		if test.want == "" && got != "" || !strings.Contains(got, test.want) {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
}
