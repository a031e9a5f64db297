package cutover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// filled starts an org with Connected Apps, by name and label, and records.
func filled(t *testing.T, config simorg.Config, apps map[string]string, records string) (*simorg.Server, *Client) {
	t.Helper()
	org := simorg.Start(config)
	t.Cleanup(org.Close)
	files := fstest.MapFS{"records.json": {Data: []byte(records)}}
	for name, label := range apps {
		files[name+connectedapp.Suffix] = &fstest.MapFile{Data: []byte("<ConnectedApp xmlns=\"" + metadata.Namespace + "\"><contactEmail>a@example.com</contactEmail><label>" + label + "</label><oauthConfig><callbackUrl>https://a</callbackUrl><consumerSecret>topsecret</consumerSecret><isAdminApproved>true</isAdminApproved><isPkceRequired>true</isPkceRequired><scopes>Api</scopes></oauthConfig><oauthPolicy><refreshTokenPolicy>zero</refreshTokenPolicy></oauthPolicy></ConnectedApp>")}
	}
	if err := org.Fill(files, "."); err != nil {
		t.Fatal(err)
	}
	return org, &Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})}}
}

// eca brings an External Client App with a consumer to an org.
func external(t *testing.T, c *Client, name, label string) {
	t.Helper()
	for _, component := range []*metadata.Component{
		metadata.New(eca.Header, name, metadata.Fields{"contactEmail": {{Name: "contactEmail", Text: "a@example.com"}}, "label": {{Name: "label", Text: label}}}),
		metadata.New(eca.OAuthSettings, name+"_oauth", metadata.Fields{"commaSeparatedOauthScopes": {{Name: "commaSeparatedOauthScopes", Text: "Api"}}, "externalClientApplication": {{Name: "externalClientApplication", Text: name}}, "label": {{Name: "label", Text: label}}}),
		metadata.New(eca.GlobalOAuthSettings, name+"_glbl", metadata.Fields{"callbackUrl": {{Name: "callbackUrl", Text: "https://a"}}, "externalClientApplication": {{Name: "externalClientApplication", Text: name}}, "label": {{Name: "label", Text: label}}}),
	} {
		results, err := (&mdapi.Client{Conn: c.Conn}).Upsert(context.Background(), []*metadata.Component{component})
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
	_, c := filled(t, simorg.Config{UnreadableApps: []string{"Vendor"}}, apps, "{}")
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

const ann, bob = `"UserId": "005000000000002AAA"`, `"UserId": "005000000000003AAA"`

// TestCutOver looks who uses which of two apps: where their labels differ, and where they do not.
func TestCutOver(t *testing.T) {
	t.Parallel()
	records := `{
		"AppMenuItem": [{"Id": "0DS000000000001AAA", "ApplicationId": "0H4000000003AAA"}, {"Id": "0DS000000000002AAA", "ApplicationId": "0H4000000099AAA"}],
		"OauthToken": [
			{"AppName": "Old one", ` + ann + `, "LastUsedDate": "2026-11-01T10:00:00.000+0000", "DeleteToken": "d1"},
			{"AppName": "Old one", ` + ann + `, "LastUsedDate": "2026-11-03T10:00:00.000+0000", "DeleteToken": "d2"},
			{"AppName": "New one", ` + bob + `, "LastUsedDate": "2026-11-02T10:00:00.000+0000", "DeleteToken": "d3"},
			{"AppName": "Same", ` + ann + `, "AppMenuItemId": "0DS000000000001", "DeleteToken": "d4"},
			{"AppName": "Same", ` + bob + `, "DeleteToken": "d5"},
			{"AppName": "Old one", ` + bob + `, "AppMenuItemId": "0DS000000000002AAA", "DeleteToken": "d7"},
			{"AppName": "Other", ` + bob + `, "DeleteToken": "d6"}],
		"LoginHistory": [{"Application": "Old one", ` + bob + `, "LoginTime": "2026-11-05T10:00:00.000+0000"}, {"Application": "Alone", ` + bob + `, "LoginTime": "2026-11-05T10:00:00.000+0000"}]}`
	users := []simorg.User{{Username: "ann@example.com"}, {Username: "bob@example.com"}}
	org, c := filled(t, simorg.Config{Users: users, WithoutObjects: nil}, map[string]string{"Erp": "Old one", "Crm": "Same", "Alone": "Alone"}, records)
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
