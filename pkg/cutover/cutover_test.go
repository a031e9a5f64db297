package cutover

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/fstest"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// filled starts an org with Connected Apps, by name and label, and records.
func filled(t *testing.T, config simorg.Config, apps map[string]string, records string) (*simorg.Server, *Client) {
	t.Helper()
	org := simorgtest.Start(t, config)
	source, err := os.ReadFile("testdata/Connected.connectedApp-meta.xml")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{"records.json": {Data: []byte(records)}}
	for name, label := range apps {
		files[name+connectedapp.Suffix] = &fstest.MapFile{Data: bytes.ReplaceAll(source, []byte("LABEL"), []byte(label))}
	}
	if err := org.Fill(files, "."); err != nil {
		t.Fatal(err)
	}
	return org, &Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}}
}

// external creates an External Client App with a consumer.
func external(t *testing.T, c *Client, name, label string) {
	t.Helper()
	component := func(typ, suffix string, fields ...string) *metadata.Component {
		all := metadata.Fields{"label": {{Name: "label", Text: label}}}
		for pair := range slices.Chunk(fields, 2) {
			all[pair[0]] = []metadata.Field{{Name: pair[0], Text: pair[1]}}
		}
		return metadata.New(typ, name+suffix, all)
	}
	for _, component := range []*metadata.Component{
		component(eca.Header, "", "contactEmail", "a@example.com"),
		component(eca.OAuthSettings, "_oauth", "commaSeparatedOauthScopes", "Api", "externalClientApplication", name),
		component(eca.GlobalOAuthSettings, "_glbl", "callbackUrl", "https://a.example.com", "externalClientApplication", name),
	} {
		results, err := c.md().Upsert(t.Context(), []*metadata.Component{component})
		if err != nil || !results[0].Success {
			t.Fatal(err, results)
		}
	}
}

// TestReadFromAnOrg reads apps of an org, of which one is another vendor's.
func TestReadFromAnOrg(t *testing.T) {
	t.Parallel()
	apps := map[string]string{"Vendor": "Vendor"}
	for i := range 12 {
		apps[fmt.Sprintf("App%02d", i)] = fmt.Sprint("App ", i)
	}
	_, c := filled(t, simorg.Config{UnreadableApps: []string{"Vendor"}, Facts: platform.Answers{"unreadable-app-spoils-batch": "yes"}}, apps, "{}")
	got, unread, err := c.Read(t.Context())
	if err != nil || len(got) != 12 || len(unread) != 1 || unread[0].App != "Vendor" || !strings.Contains(unread[0].Error(), "Load of metadata from db failed") {
		t.Fatalf("read %d, %v, %v", len(got), unread, err)
	}
	a := got[3]
	if a.Name != "App03" || a.Label() != "App 3" || a.Fields[eca.OAuthPolicies]["permittedUsersPolicyType"][0].Text != "AdminApprovedPreAuthorized" || a.Wrong() != nil {
		t.Errorf("read %+v", a)
	}
	for _, f := range a.Findings {
		if f.Line != 0 || f.File != "" || strings.Contains(f.String(), "topsecret") {
			t.Errorf("found %+v", f)
		}
	}
	if one, _, err := c.Read(t.Context(), "app05"); err != nil || len(one) != 1 || one[0].Name != "App05" {
		t.Errorf("one: %v, %v", one, err)
	}
	if _, _, err := c.Read(t.Context(), "App05", "Nobody"); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("an app that is not there: %v", err)
	}
}

// TestCutOver looks who uses which of two apps: where their labels differ, and where they do not.
func TestCutOver(t *testing.T) {
	t.Parallel()
	records, err := os.ReadFile("testdata/records.json")
	if err != nil {
		t.Fatal(err)
	}
	users := []simorg.User{{Username: "ann@example.com"}, {Username: "bob@example.com"}}
	org, c := filled(t, simorg.Config{Users: users, WithoutObjects: nil}, map[string]string{"Erp": "Old one", "Crm": "Same", "Alone": "Alone"}, string(records))
	external(t, c, "Erp", "New one")
	external(t, c, "Crm", "Same")
	got, err := c.Status(t.Context())
	if err != nil || len(got.Replacements) != 2 || len(got.Unseen) != 0 {
		t.Fatalf("got %+v, %v", got, err)
	}
	crm, erp := got.Replacements[0], got.Replacements[1]
	if len(erp.Old) != 2 || erp.Old[0].Username != "bob@example.com" || erp.Old[1].Tokens != 2 || erp.Old[1].LastUsed.Day() != 3 || len(erp.New) != 1 || erp.New[0].Username != "bob@example.com" || !erp.HasConsumer || len(erp.Either) != 0 {
		t.Errorf("Erp: %+v", erp)
	}
	if len(crm.Old) != 1 || crm.Old[0].Username != "ann@example.com" || len(crm.Either) != 1 || crm.Either[0].Username != "bob@example.com" || len(crm.New) != 0 {
		t.Errorf("Crm: %+v", crm)
	}
	// Counting changes nothing.
	if r, err := c.RevokeOld(t.Context(), "erp", false); err != nil || r.Tokens != 2 || r.Revoked != 0 {
		t.Errorf("counted %+v, %v", r, err)
	}
	if r, err := c.RevokeOld(t.Context(), "Erp", true); err != nil || r.Tokens != 2 || r.Revoked != 2 {
		t.Errorf("revoked %+v, %v", r, err)
	}
	// Of two apps with one label only the tokens that are the old one's for sure.
	if r, err := c.RevokeOld(t.Context(), "Crm", true); err != nil || r.Tokens != 1 || r.Revoked != 1 || r.Unclear != 1 {
		t.Errorf("revoked %+v, %v", r, err)
	}
	if r, err := c.RevokeOld(t.Context(), "Erp", true); err != nil || r.Tokens != 0 || r.Revoked != 0 {
		t.Errorf("a second time: %+v, %v", r, err)
	}
	if _, err := c.RevokeOld(t.Context(), "Alone", true); !errors.Is(err, ErrNoReplacement) {
		t.Errorf("an app without a successor: %v", err)
	}
	var revoked []string
	for _, r := range org.Requests() {
		if strings.HasSuffix(r.Path, "/revoke") {
			revoked = append(revoked, string(r.Body))
		}
		if strings.Contains(r.Path, "DeleteToken") && strings.Contains(r.Path, "Alone") {
			t.Error("tokens of an app without a successor were read")
		}
	}
	if len(revoked) != 3 || strings.Contains(strings.Join(revoked, " "), "d5") || strings.Contains(strings.Join(revoked, " "), "d7") || strings.Contains(strings.Join(revoked, " "), "d3") {
		t.Errorf("revoked %v", revoked)
	}
}

// TestTwins refuses to revoke tokens that could be another app's.
func TestTwins(t *testing.T) {
	t.Parallel()
	_, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Same", "Other": "Same"}, `{"OauthToken": [{"AppName": "Same", "UserId": "005000000000001AAA", "DeleteToken": "d"}]}`)
	external(t, c, "Erp", "New")
	if r, err := c.RevokeOld(t.Context(), "Erp", true); err == nil || r != nil || !strings.Contains(err.Error(), "2 Connected Apps have the label Same") {
		t.Errorf("revoked %+v, %v", r, err)
	}
}

// TestAppsWithOneLabel tells uses of apps apart whose label others have: Connected Apps with an item
// of the app menu, and External Client Apps, whose tokens have none.
func TestAppsWithOneLabel(t *testing.T) {
	t.Parallel()
	_, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Same", "Other": "Same"}, `{
		"AppMenuItem": [{"Id": "0DS000000000001AAA", "ApplicationId": "0H4000000002AAA"}, {"Id": "0DS000000000002AAA", "ApplicationId": "0H4000000003AAA"}],
		"OauthToken": [{"AppName": "Same", "UserId": "005000000000001AAA", "AppMenuItemId": "0DS000000000001AAA", "DeleteToken": "d"}, {"AppName": "Same", "UserId": "005000000000001AAA", "AppMenuItemId": "0DS000000000002AAA", "DeleteToken": "e"}]}`)
	external(t, c, "Erp", "New")
	if got, err := c.Status(t.Context()); err != nil || len(got.Replacements) != 1 || len(got.Replacements[0].Either) != 1 || got.Replacements[0].Either[0].Tokens != 2 {
		t.Errorf("two Connected Apps: %+v, %v", got, err)
	}

	org, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Same"}, `{"OauthToken": [{"AppName": "Same", "UserId": "005000000000001AAA", "DeleteToken": "d"}]}`)
	external(t, c, "Erp", "New")
	external(t, c, "Portal", "Same")
	if got, err := c.Status(t.Context(), "Erp"); err != nil || len(got.Replacements[0].Old) != 0 || len(got.Replacements[0].Either) != 1 {
		t.Errorf("another External Client App: %+v, %v", got, err)
	}
	if r, err := c.RevokeOld(t.Context(), "Erp", true); err != nil || r.Revoked != 0 || r.Unclear != 1 || org.Count("OauthToken") != 1 {
		t.Errorf("another External Client App: %+v, %v", r, err)
	}
}

// TestUnclearTokens: tokens without an item of the app menu are unclear if the app's tokens have one,
// and so are tokens whose item the org does not show. They are not revoked.
func TestUnclearTokens(t *testing.T) {
	t.Parallel()
	const token = `{"AppName": "Erp old", "UserId": "005000000000001AAA", "AppMenuItemId": %s, "DeleteToken": %q}`
	const item = `"AppMenuItem": [{"Id": "0DS000000000001AAA", "ApplicationId": "0H4000000002AAA"}]` // of the first app
	own, other, none := fmt.Sprintf(token, `"0DS000000000001AAA"`, "own"), fmt.Sprintf(token, `"0DS000000000009AAA"`, "other"), fmt.Sprintf(token, "null", "none")
	for name, test := range map[string]struct {
		records          string
		revoked, unclear int
	}{
		"one with an item":   {`{` + item + `, "OauthToken": [` + own + `, ` + none + `]}`, 1, 1},
		"a hidden item":      {`{"OauthToken": [` + other + `]}`, 0, 1},
		"none with an item":  {`{"OauthToken": [` + none + `]}`, 1, 0},
		"all with its item":  {`{` + item + `, "OauthToken": [` + own + `]}`, 1, 0},
		"a hidden, one none": {`{"OauthToken": [` + other + `, ` + none + `]}`, 1, 1},
	} {
		org, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Erp old"}, test.records)
		external(t, c, "Erp", "New")
		before := org.Count("OauthToken")
		r, err := c.RevokeOld(t.Context(), "Erp", true)
		if err != nil || r.Revoked != test.revoked || r.Unclear != test.unclear || org.Count("OauthToken") != before-test.revoked {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestNoReplacement: an app of a managed package and an app without a consumer replace nothing.
func TestNoReplacement(t *testing.T) {
	t.Parallel()
	const tokens = `"OauthToken": [{"AppName": "Erp old", "UserId": "005000000000001AAA", "DeleteToken": "d"}]`
	for name, records := range map[string]string{
		"managed":     `{"ExternalClientApplication": [{"Id": "0xI000000000700AAA", "DeveloperName": "Erp", "NamespacePrefix": "ns", "DistributionState": "Managed"}], "ExtlClntAppOauthSettings": [{"ExternalClientApplicationId": "0xI000000000700AAA", "OauthLink": "00D:888"}], ` + tokens + `}`,
		"no consumer": `{"ExternalClientApplication": [{"Id": "0xI000000000700AAA", "DeveloperName": "Erp"}], "ExtlClntAppOauthSettings": [{"ExternalClientApplicationId": "0xI000000000700AAA"}], ` + tokens + `}`,
	} {
		org, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Erp old"}, records)
		if r, err := c.RevokeOld(t.Context(), "Erp", true); !errors.Is(err, ErrNoReplacement) || org.Count("OauthToken") != 1 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
}

// TestRecordsThatAreRefused revokes nothing where the org does not show which apps it has.
func TestRecordsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, object := range []string{"ConnectedApplication", "ExternalClientApplication", "ExtlClntAppOauthSettings"} {
		org, c := filled(t, simorg.Config{WithoutObjects: []string{object}}, map[string]string{"Erp": "Erp old"}, `{"OauthToken": [{"AppName": "Erp old", "UserId": "005000000000001AAA", "DeleteToken": "d"}]}`)
		external(t, c, "Erp", "New")
		if got, err := c.Status(t.Context(), "Erp"); err != nil || !got.Blind {
			t.Errorf("%s: %+v, %v", object, got, err)
		}
		if r, err := c.RevokeOld(t.Context(), "Erp", true); err == nil || r != nil || !strings.Contains(err.Error(), "does not show whose tokens") || org.Count("OauthToken") != 1 {
			t.Errorf("%s: revoked %+v, %v", object, r, err)
		}
	}
}

// TestTokensThatStay does not count a token that the org calls unknown, and lists again.
func TestTokensThatStay(t *testing.T) {
	t.Parallel()
	org, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Erp old"}, `{"OauthToken": [{"AppName": "Erp old", "UserId": "005000000000001AAA", "DeleteToken": "d"}]}`)
	external(t, c, "Erp", "New")
	org.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return strings.HasSuffix(r.Path, "/revoke") }, Status: http.StatusBadRequest, Body: `{"error":"invalid_token"}`})
	if r, err := c.RevokeOld(t.Context(), "Erp", true); err == nil || r.Revoked != 0 {
		t.Errorf("revoked %+v, %v", r, err)
	}
}

// TestWhatAnOrgDoesNotTell: an old org, and a refusal in the middle of a revocation.
func TestWhatAnOrgDoesNotTell(t *testing.T) {
	t.Parallel()
	org, c := filled(t, simorg.Config{WithoutObjects: []string{"LoginHistory", "AppMenuItem"}}, map[string]string{"Erp": "Erp old"}, `{"OauthToken": [{"AppName": "Erp old", "UserId": "005000000000001AAA", "DeleteToken": "topsecret-1"}, {"AppName": "Erp old", "UserId": "005000000000001AAA", "DeleteToken": "topsecret-2"}]}`)
	external(t, c, "Erp", "New")
	got, err := c.Status(t.Context())
	if err != nil || len(got.Unseen) != 2 || !strings.Contains(strings.Join(got.Unseen, "; "), "the app menu: INVALID_TYPE") || got.Replacements[0].Old[0].Tokens != 2 {
		t.Fatalf("got %+v, %v", got, err)
	}
	org.Inject(simorg.Fault{Fits: func(r simorg.Request) bool { return strings.HasSuffix(r.Path, "/revoke") }, Status: http.StatusInternalServerError, Body: "topsecret-1"})
	r, err := c.RevokeOld(t.Context(), "Erp", true)
	if err == nil || r.Revoked > 1 || strings.Contains(fmt.Sprint(err), "topsecret") || !strings.Contains(err.Error(), "the next run continues") {
		t.Errorf("revoked %+v, %v", r, err)
	}
	if r, err = c.RevokeOld(t.Context(), "Erp", true); err != nil || r.Revoked != r.Tokens || r.Tokens == 0 {
		t.Errorf("the next run: %+v, %v", r, err)
	}
}

// TestConnectionsFail: only a refusal of the org is noted, any other failure ends the run.
func TestConnectionsFail(t *testing.T) {
	t.Parallel()
	records, err := os.ReadFile("testdata/records.json")
	if err != nil {
		t.Fatal(err)
	}
	inject := func(name, place string, fault simorg.Fault, fits func(simorg.Request) bool) {
		org, c := filled(t, simorg.Config{UnreadableApps: []string{"Vendor"}, Facts: platform.Answers{"unreadable-app-spoils-batch": "yes"}}, map[string]string{"Erp": "Old one", "Vendor": "Vendor"}, string(records))
		external(t, c, "Erp", "New one")
		// On kept connections, net/http would repeat a GET that is cut off.
		c.Conn.HTTPClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		var fired atomic.Bool
		fault.Fits = func(r simorg.Request) bool {
			if fits(r) {
				fired.Store(true)
			}
			return fits(r)
		}
		org.Inject(fault)
		if status, err := c.Status(t.Context()); err == nil || !fired.Load() {
			t.Errorf("%s, %s: %+v, fault used: %v", place, name, status, fired.Load())
		}
	}
	for name, fault := range map[string]simorg.Fault{
		"cut off":         {Drop: true},
		"expired session": {Status: http.StatusUnauthorized, Body: `[{"errorCode": "INVALID_SESSION_ID", "message": "Session expired"}]`},
		"busy":            {Status: http.StatusServiceUnavailable, Body: `[{"errorCode": "SERVER_UNAVAILABLE", "message": "busy"}]`},
		"limit of calls":  {Status: http.StatusForbidden, Body: `[{"errorCode": "REQUEST_LIMIT_EXCEEDED", "message": "limit"}]`},
	} {
		for _, object := range []string{"ConnectedApplication", "ExternalClientApplication", "ExtlClntAppOauthSettings", "LoginHistory", "OauthToken", "AppMenuItem", "User"} {
			inject(name, object, fault, func(r simorg.Request) bool { return strings.Contains(r.Path+"+", "+FROM+"+object+"+") })
		}
	}
	for name, fault := range map[string]simorg.Fault{
		"cut off": {Drop: true}, "busy": simorg.SOAPFault("SERVER_UNAVAILABLE", "busy"),
		"expired session": simorg.SOAPFault("INVALID_SESSION_ID", "expired"),
	} {
		for _, apps := range []int{1, 2} { // the call for both apps, and the one for an app alone
			inject(name, "readMetadata", fault, func(r simorg.Request) bool {
				return r.Operation == "readMetadata" && r.Type == connectedapp.TypeName && len(r.FullNames) == apps
			})
		}
	}
}

// TestManyLogins: the org shows the latest logins alone, and the status says so.
func TestManyLogins(t *testing.T) {
	t.Parallel()
	for _, n := range []int{maxLogins - 1, maxLogins} {
		var logins []string
		for i := range n {
			logins = append(logins, fmt.Sprintf(`{"Application": "Erp old", "UserId": "005%012dAAA", "LoginTime": "2026-11-05T10:00:00.000+0000"}`, i))
		}
		_, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Erp old"}, `{"LoginHistory": [`+strings.Join(logins, ",")+`]}`)
		external(t, c, "Erp", "New")
		status, err := c.Status(t.Context())
		bound := err == nil && strings.Contains(strings.Join(status.Unseen, "; "), "logins: only the last of 2000 users and applications, back to 2026-11-05")
		if err != nil || bound != (n == maxLogins) || status.Blind || len(status.Replacements[0].Old) != n {
			t.Errorf("%d logins: %v, %v", n, status.Unseen, err)
		}
	}
}

// TestManyTokens: more users than a grouped query can answer, tokens that another run revokes, and
// tokens that the org hides.
func TestManyTokens(t *testing.T) {
	t.Parallel()
	var tokens []string
	for i := range 2100 {
		tokens = append(tokens, fmt.Sprintf(`{"AppName": "Erp old", "UserId": "005%012dAAA", "DeleteToken": "d%d"}`, i, i))
	}
	tokens = append(tokens, `{"AppName": "Erp old", "UserId": "005000000009999AAA"}`)
	org, c := filled(t, simorg.Config{}, map[string]string{"Erp": "Erp old"}, `{"OauthToken": [`+strings.Join(tokens, ",")+`]}`)
	external(t, c, "Erp", "New")
	got, err := c.Status(t.Context())
	if err != nil || len(got.Replacements[0].Old) != 1 || got.Replacements[0].Old[0].Tokens != 2101 || got.Replacements[0].Old[0].Username != manyUsers {
		t.Fatalf("got %+v, %v", got, err)
	}
	errs := make(chan error, 2)
	for range 2 { // at once
		go func() {
			_, err := c.RevokeOld(t.Context(), "Erp", true)
			errs <- err
		}()
	}
	for range 2 {
		if err := <-errs; err == nil || !strings.Contains(err.Error(), "the org does not show what revokes the others") {
			t.Errorf("one token has nothing that revokes it, and the run says %v", err)
		}
	}
	if left := org.Count("OauthToken"); left != 1 {
		t.Errorf("%d tokens are left, not the one that cannot be revoked", left)
	}

	_, c = filled(t, simorg.Config{WithoutObjects: []string{"OauthToken"}}, map[string]string{"Erp": "Erp old"}, `{}`)
	external(t, c, "Erp", "New")
	if got, err := c.Status(t.Context()); err != nil || !got.Blind {
		t.Errorf("hidden tokens: %+v, %v", got, err)
	}
	if r, err := c.RevokeOld(t.Context(), "Erp", true); err == nil || r != nil || !strings.Contains(err.Error(), "does not show whose tokens") {
		t.Errorf("hidden tokens: %+v, %v", r, err)
	}
}
