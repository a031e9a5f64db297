package apps_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
)

const (
	robot = "robot@example.com"
	gone  = "gone@example.com"
)

var names = preflight.Names{
	Apps: []string{"App", "Missing"}, PermissionSets: []string{"Reader", "Writer", "ns__Packaged", "Missing"},
	Users: []string{robot, gone, "nobody@example.com"}, Assignees: []string{robot, gone}, Profiles: []string{"System Administrator"},
}

func accessOrg(t *testing.T) (*simorg.Server, *restapi.Client) {
	t.Helper()
	config := simorg.Config{
		PermissionSets: []string{"Reader", "Writer"},
		Users:          []simorg.User{{Username: robot}, {Username: gone, Inactive: true}},
	}
	org, conn, err := start(t, config, map[string]string{"App.eca-meta.xml": header("App")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(org.Close)
	records := `{"PermissionSet": [{"Id": "0PS000000000700AAA", "Name": "Packaged", "NamespacePrefix": "ns", "IsOwnedByProfile": false}],
		"Profile": [{"Id": "00e000000000700AAA", "Name": "System Administrator"}]}`
	if err := org.Fill(fstest.MapFS{"a.json": {Data: []byte(records)}}, "."); err != nil {
		t.Fatal(err)
	}
	return org, &restapi.Client{Conn: conn}
}

func lookUp(t *testing.T, client *restapi.Client) *apps.Facts {
	t.Helper()
	facts, err := apps.LookUp(t.Context(), client, names)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// query selects the query of an object.
func query(object string) func(simorg.Request) bool {
	return func(r simorg.Request) bool {
		path, _ := url.QueryUnescape(r.Path)
		return strings.Contains(path, " FROM "+object+" ")
	}
}

// TestRefusedQueries: only an answer of the org that refuses the query is a refusal. Anything else ends
// the look-up, because it says nothing about the org's records.
func TestRefusedQueries(t *testing.T) {
	t.Parallel()
	for _, object := range []string{
		preflight.UserObject, preflight.PermissionSetObject, preflight.ProfileObject, preflight.AppObject,
		preflight.SetupEntityAccess, "PermissionSetAssignment",
	} {
		for name, test := range map[string]struct {
			status  int
			body    string
			refused bool
		}{
			"no such object":  {400, `[{"errorCode":"INVALID_TYPE","message":"sObject type is not supported"}]`, true},
			"no right":        {403, `[{"errorCode":"INSUFFICIENT_ACCESS","message":"no"}]`, true},
			"expired session": {401, `[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]`, false},
			"limit of calls":  {403, `[{"errorCode":"REQUEST_LIMIT_EXCEEDED","message":"TotalRequests Limit exceeded."}]`, false},
			"server error":    {500, `[{"errorCode":"UNKNOWN_EXCEPTION","message":"An unexpected error occurred"}]`, false},
			"busy":            {503, "busy", false},
			"a proxy's page":  {403, "<html>no</html>", false},
		} {
			org, client := accessOrg(t)
			org.Inject(simorg.Fault{Fits: query(object), Status: test.status, Body: test.body})
			facts, err := apps.LookUp(t.Context(), client, names)
			if (err == nil) != test.refused || err == nil && facts.Refused(object) == nil {
				t.Errorf("%s, %s: got %v, want a recorded refusal: %t", object, name, err, test.refused)
			}
		}
	}
}

func TestFacts(t *testing.T) {
	t.Parallel()
	_, client := accessOrg(t)
	f := lookUp(t, client)
	if exists, active := f.ActiveUser("ROBOT@example.com "); !exists || !active {
		t.Errorf("the active user: %t, %t", exists, active)
	}
	if exists, active := f.ActiveUser(gone); !exists || active {
		t.Errorf("the inactive user: %t, %t", exists, active)
	}
	if exists, active := f.ActiveUser("nobody@example.com"); exists || active {
		t.Errorf("a missing user: %t, %t", exists, active)
	}
	if !f.HasPermissionSet("reader") || f.HasPermissionSet("Missing") || !f.HasPermissionSet("ns__Packaged") || f.WithNamespace("Packaged") != "ns__Packaged" || f.HasPermissionSet("Packaged") {
		t.Error("the permission sets are wrong")
	}
	if !f.HasProfile("system administrator") || f.HasProfile("Missing") || f.IsGranted("App") {
		t.Error("the profiles or the grants are wrong")
	}
}

// id returns the ID of the only record of a query.
func id(t *testing.T, client *restapi.Client, soql string) string {
	t.Helper()
	found, err := restapi.Query[struct {
		ID string `json:"Id"`
	}](t.Context(), client, soql)
	if err != nil || len(found) != 1 {
		t.Fatal(soql, err, found)
	}
	return found[0].ID
}

func TestGrants(t *testing.T) {
	t.Parallel()
	org, client := accessOrg(t)
	facts := lookUp(t, client)
	for _, test := range []struct {
		name, app, set, user string
		want                 string // in the error of the last grant, "" for none
	}{
		{"app", "app", "reader", "", ""},
		{"user", "App", "Reader", robot, ""},
		{"missing app", "Missing", "Reader", "", "no External Client App Missing"},
		{"missing set", "App", "Missing", "", "no permission set Missing"},
		{"missing set for a user", "App", "Missing", robot, "no permission set Missing"},
		{"missing user", "App", "Reader", "nobody@example.com", "no user nobody@example.com"},
		{"inactive user", "App", "Reader", gone, "is inactive"},
	} {
		all := facts.Grants(test.app, []string{test.set}, test.user)
		last := all[len(all)-1]
		if test.want == "" && last.Err != nil || test.want != "" && (last.Err == nil || !strings.Contains(last.Err.Error(), test.want)) || last.OK() || last.User != test.user {
			t.Errorf("%s: got %+v, want %q", test.name, last, test.want)
		}
	}
	// An inactive user keeps its permission sets.
	assignment := fmt.Sprintf(`{"PermissionSetAssignment": [{"Id": "0Pa000000000700AAA", "AssigneeId": %q, "PermissionSetId": %q}]}`,
		id(t, client, "SELECT Id FROM User WHERE Username = '"+gone+"'"), id(t, client, "SELECT Id FROM PermissionSet WHERE Name = 'Reader'"))
	if err := org.Fill(fstest.MapFS{"a.json": {Data: []byte(assignment)}}, "."); err != nil {
		t.Fatal(err)
	}
	if g := lookUp(t, client).Grants("App", []string{"Reader"}, gone)[1]; !g.OK() || !g.Exists {
		t.Errorf("an inactive user with the permission set: %+v", g)
	}
	// A managed app of the same name makes the choice ambiguous.
	managed := `{"ExternalClientApplication": [{"Id": "0xI000000000700AAA", "DeveloperName": "App", "NamespacePrefix": "ns"}]}`
	if err := org.Fill(fstest.MapFS{"a.json": {Data: []byte(managed)}}, "."); err != nil {
		t.Fatal(err)
	}
	if g := lookUp(t, client).Grants("App", []string{"Reader"}, "")[0]; g.Err == nil || !strings.Contains(g.Err.Error(), "several apps called App") {
		t.Errorf("two apps of one name: %+v", g)
	}
	// A refused query says nothing about the org's records.
	org.Inject(simorg.Fault{Fits: query(preflight.AppObject), Status: 400, Body: `[{"errorCode":"INVALID_TYPE","message":"no"}]`})
	if g := lookUp(t, client).Grants("App", []string{"Reader"}, "")[0]; g.Err == nil || !strings.Contains(g.Err.Error(), "refused the query of ExternalClientApplication") {
		t.Errorf("a refused query: %+v", g)
	}
}

func TestCreateGrants(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		status             int
		body               string
		ends               bool // CreateGrants returns an error
		created, uncertain bool
		refused            bool
	}{
		"success":         {created: true},
		"refused":         {status: 400, body: `[{"errorCode":"FIELD_INTEGRITY_EXCEPTION","message":"no"}]`, refused: true},
		"somebody faster": {status: 400, body: `[{"errorCode":"DUPLICATE_VALUE","message":"duplicate"}]`, created: true},
		"server error":    {status: 500, body: `[{"errorCode":"UNKNOWN_EXCEPTION","message":"oops"}]`, ends: true, uncertain: true},
		"busy":            {status: 503, body: "busy", ends: true, uncertain: true},
		"expired":         {status: 401, body: `[{"errorCode":"INVALID_SESSION_ID","message":"no"}]`, ends: true},
		"no JSON":         {status: 200, body: "<html>", ends: true, uncertain: true},
	} {
		org, client := accessOrg(t)
		grants := lookUp(t, client).Grants("App", []string{"Reader", "Writer"}, "")
		if test.status != 0 {
			reader := id(t, client, "SELECT Id FROM PermissionSet WHERE Name = 'Reader'")
			org.Inject(simorg.Fault{
				Fits:   func(r simorg.Request) bool { return r.Writes() && strings.Contains(string(r.Body), reader) },
				Status: test.status, Body: test.body,
			})
		}
		err := apps.CreateGrants(t.Context(), client, grants)
		reader, writer := grants[0], grants[1]
		if (err != nil) != test.ends || reader.Created != test.created || reader.Uncertain != test.uncertain || (reader.Err != nil) != test.refused {
			t.Errorf("%s: got %v, %+v", name, err, reader)
		}
		if !writer.OK() {
			t.Errorf("%s: the other grant is %+v, want it created", name, writer)
		}
		if reader.OK() != test.created {
			t.Errorf("%s: OK is %t", name, reader.OK())
		}
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	org, client := accessOrg(t)
	before := lookUp(t, client)
	grants := before.Grants("App", []string{"Reader", "Writer", "Missing"}, "")
	other := before.Grants("App", []string{"Reader"}, "")
	if err := apps.CreateGrants(t.Context(), client, other); err != nil {
		t.Fatal(err)
	}
	grants[0].Uncertain = true // its answer was lost
	org.Inject(simorg.Fault{Fits: query(preflight.UserObject), Status: 403, Body: `[{"errorCode":"INSUFFICIENT_ACCESS","message":"no"}]`})
	blind := lookUp(t, client)
	if err := blind.Update(grants, blind.Grants("App", []string{"Reader", "Writer", "Missing"}, "")); err == nil || !grants[0].Uncertain || grants[0].Created {
		t.Errorf("after a refused look: %v, %+v", err, grants[0])
	}
	now := lookUp(t, client)
	if err := now.Update(grants, now.Grants("App", []string{"Reader", "Writer", "Missing"}, "")); err != nil {
		t.Fatal(err)
	}
	refused := []*apps.Grant{{PermissionSet: "Reader", Err: errors.New("the org refused it")}}
	if err := now.Update(refused, now.Grants("App", []string{"Reader"}, "")); err != nil || refused[0].Created {
		t.Errorf("a refused grant that exists now: %v, %+v", err, refused[0])
	}
	if !grants[0].OK() || grants[0].Uncertain || grants[1].OK() || grants[2].OK() || grants[2].Err == nil {
		t.Errorf("after a look: %+v, %+v, %+v", grants[0], grants[1], grants[2])
	}
}

func TestGrantedBy(t *testing.T) {
	t.Parallel()
	_, client := accessOrg(t)
	if sets, err := apps.GrantedBy(t.Context(), client, "App"); err != nil || len(sets) > 0 {
		t.Errorf("before: %v, %v", sets, err)
	}
	if err := apps.CreateGrants(t.Context(), client, lookUp(t, client).Grants("App", []string{"Writer", "Reader"}, robot)); err != nil {
		t.Fatal(err)
	}
	if sets, err := apps.GrantedBy(t.Context(), client, "App"); err != nil || strings.Join(sets, " ") != "Reader Writer" {
		t.Errorf("granted by %v, %v", sets, err)
	}
	client.Conn.InstanceURL = "http://127.0.0.1:1"
	if _, err := apps.GrantedBy(t.Context(), client, "App"); !errors.As(err, new(*salesforce.NetworkError)) {
		t.Errorf("without a network: %v", err)
	}
}
