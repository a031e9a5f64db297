package simorg_test

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// ask sends a query, or a locator's path, and returns the answer.
func ask(t *testing.T, org *simorg.Server, path string) (answer struct {
	TotalSize      int              `json:"totalSize"`
	Done           bool             `json:"done"`
	NextRecordsURL string           `json:"nextRecordsUrl"`
	Records        []map[string]any `json:"records"`
	Refused        string
}) {
	t.Helper()
	if !strings.HasPrefix(path, "/") {
		path = "/services/data/v65.0/query?q=" + url.QueryEscape(path)
	}
	req, err := http.NewRequest("GET", org.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+org.AccessToken())
	status, body := do(req)
	if status != 200 {
		answer.Refused = body
		return answer
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

//go:embed testdata/Loader.connectedApp-meta.xml
var loader []byte

// TestFill fills an org with Connected Apps and tokens, and asks for them in pages.
func TestFill(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{PageSize: 3})
	defer org.Close()
	var tokens []string
	for i := range 8 {
		tokens = append(tokens, fmt.Sprintf(`{"AppName": "Data Loader", "UseCount": %d, "User": {"attributes": {"type": "User"}, "Username": "ann@example.com"}}`, i))
	}
	err := org.Fill(fstest.MapFS{
		"connectedApps/Loader.connectedApp-meta.xml": {Data: loader},
		"records.json": {Data: []byte(`{"oauthtoken": [` + strings.Join(tokens, ",") + `], "LoginHistory": [{"Application": "Data Loader", "LoginTime": "2026-11-01T00:00:00Z"}]}`)},
	}, ".")
	if err != nil {
		t.Fatal(err)
	}
	if a := ask(t, org, "SELECT Name, OptionsAllowAdminApprovedUsersOnly, RefreshTokenValidityPeriod FROM ConnectedApplication"); len(a.Records) != 1 || a.Records[0]["Name"] != "Data Loader" || a.Records[0]["OptionsAllowAdminApprovedUsersOnly"] != true || a.Records[0]["RefreshTokenValidityPeriod"] != 7.0 {
		t.Errorf("the Connected App is %+v", a)
	}
	if a := ask(t, org, "SELECT COUNT() FROM OauthToken WHERE UseCount > 2"); a.TotalSize != 5 || len(a.Records) != 0 || !a.Done {
		t.Errorf("COUNT() is answered by %+v", a)
	}
	seen, pages := 0, 0
	for path := "SELECT UseCount, User.Username FROM OauthToken"; path != ""; pages++ {
		a := ask(t, org, path)
		if a.TotalSize != 8 || a.Refused != "" || a.Done != (a.NextRecordsURL == "") {
			t.Fatalf("a page is %+v", a)
		}
		seen += len(a.Records)
		path = a.NextRecordsURL
	}
	if seen != 8 || pages != 3 {
		t.Errorf("%d records came in %d pages, not 8 in 3", seen, pages)
	}
	if a := ask(t, org, "/services/data/v65.0/query/01gnothing-3"); !strings.Contains(a.Refused, "INVALID_QUERY_LOCATOR") {
		t.Errorf("a wrong locator is answered by %+v", a)
	}
	if a := ask(t, org, "SELECT UseCount FROM OauthToken GROUP BY UseCount"); !strings.Contains(a.Refused, "EXCEEDED_ID_LIMIT") {
		t.Errorf("more groups than a page has are answered by %+v", a)
	}
	if a := ask(t, org, "SELECT Application, MAX(LoginTime) last FROM LoginHistory GROUP BY Application"); len(a.Records) != 1 || a.Records[0]["last"] != "2026-11-01T00:00:00.000+0000" {
		t.Errorf("logins are %+v", a)
	}
	if c := org.Components("ConnectedApp"); len(c) != 1 || c[0].FullName != "Loader" {
		t.Errorf("components are %+v", c)
	}
	for name, data := range map[string]string{
		"a.json": `{"OauthToken": [{"Appname": "x", "Nonsense": 1}]}`, "b.json": `{"Nonsense": []}`, "c.json": `[]`, "d.connectedApp-meta.xml": `<Other/>`,
	} {
		if err := org.Fill(fstest.MapFS{name: {Data: []byte(data)}}, "."); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOldOrgs asks orgs that lack an object or a field.
func TestOldOrgs(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{WithoutObjects: []string{"OauthToken"}, WithoutFields: []string{"ConnectedApplication.StartUrl"}})
	defer org.Close()
	if a := ask(t, org, "SELECT Id FROM OauthToken"); !strings.Contains(a.Refused, "INVALID_TYPE") {
		t.Errorf("%+v", a)
	}
	if a := ask(t, org, "SELECT StartUrl FROM ConnectedApplication"); !strings.Contains(a.Refused, "INVALID_FIELD") {
		t.Errorf("%+v", a)
	}
	if a := ask(t, org, "SELECT Id FROM ConnectedApplication"); a.Refused != "" {
		t.Errorf("%+v", a)
	}
}

// TestNoNewConnectedApps deploys a Connected App to an org that lacks it, and to one that has it.
func TestNoNewConnectedApps(t *testing.T) {
	t.Parallel()
	org := simorg.New(simorg.Config{})
	source := fstest.MapFS{"Loader.connectedApp-meta.xml": {Data: loader}}
	if err := org.Deploy(source, "."); err == nil || !strings.Contains(err.Error(), "You can't create a connected app") {
		t.Errorf("a new one: %v", err)
	}
	if err := org.Fill(source, "."); err != nil {
		t.Fatal(err)
	}
	if err := org.Deploy(source, "."); err != nil {
		t.Errorf("one that is there: %v", err)
	}
}
