package simorg_test

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestNames sends components with good and bad names.
func TestNames(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Namespace: "sf_com_apps"})
	defer org.Close()
	ready(t, org, eca.Header)
	if err := org.Fill(fstest.MapFS{"a.json": {Data: []byte(`{"ExternalClientApplication": [{"DeveloperName": "Other", "NamespacePrefix": "ns"}]}`)}}, "."); err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{
		"A": true, "A_b": true, "A1": true, "ns__App": true, "ns__App_oauth": true, "sf_com_apps__App": true, strings.Repeat("a", 80): true,
		"A b": false, "A-b": false, "1A": false, "_A": false, "A_": false, "A__b__c": false, "ns__A_": false, "A.b": false, "Ä": false,
		"ns___A": false, "other__A": false, "__A": false, strings.Repeat("a", 81): false,
	} {
		for typ, fields := range map[string]string{
			eca.Header: "", eca.PluginPolicies: link + "<isEnabled>true</isEnabled>", eca.RemoteSiteSetting: "<disableProtocolSecurity>false</disableProtocolSecurity><isActive>true</isActive><url>https://a</url>",
			"PermissionSet": "<label>A</label>", "ExternalCredential": "<authenticationProtocol>Custom</authenticationProtocol><label>A</label>",
		} {
			_, answer := upsert(org, typ, "<fullName>"+name+"</fullName>"+fields)
			if strings.Contains(answer, "<success>true") != good || strings.Contains(answer, "<statusCode>INVALID_FULL_NAME<") == good {
				t.Errorf("%s %s: %s", typ, name, answer)
			}
			call(org, "deleteMetadata", "<type>"+typ+"</type><fullNames>"+name+"</fullNames>")
			ready(t, org, eca.Header)
		}
	}
	source := fstest.MapFS{"A-b.eca-meta.xml": {Data: []byte(root(eca.Header, ""))}}
	if err := org.Deploy(source, "."); err == nil || !strings.Contains(err.Error(), "A-b") {
		t.Errorf("the deploy of a bad name ends with %v", err)
	}
}

// TestVersions sends what API 68 has to orgs with 67 and 68.
func TestVersions(t *testing.T) {
	t.Parallel()
	newScope := `<fullName>App_oauth</fullName><commaSeparatedOauthScopes>Api, %s</commaSeparatedOauthScopes>` + link
	for _, test := range []struct{ typ, fields, refused string }{
		{eca.OAuthSettings, fmt.Sprintf(newScope, "A2A"), "Invalid OAuth scope: A2A"},
		{eca.OAuthSettings, fmt.Sprintf(newScope, "CmdbDiscovery"), "Invalid OAuth scope: CmdbDiscovery"},
		{eca.OAuthSettings, fmt.Sprintf(newScope, "SemanticLayer"), "Invalid OAuth scope: SemanticLayer"},
		{eca.OAuthSettings, fmt.Sprintf(newScope, "MCP"), ""},
		{eca.GlobalOAuthSettings, global + `<isMtlsEnabled>true</isMtlsEnabled>`, "isMtlsEnabled invalid at this location"},
		{eca.GlobalOAuthSettings, global + `<isEnforceRefreshTokenTTL>true</isEnforceRefreshTokenTTL>`, ""},
		{eca.PluginPolicies, `<fullName>App_plcy</fullName>` + link + `<isAttestPluginEnabled>true</isAttestPluginEnabled><isEnabled>true</isEnabled>`, "isAttestPluginEnabled invalid at this location"},
	} {
		for version, refused := range map[int]string{67: test.refused, 68: ""} {
			org := simorg.Start(simorg.Config{Version: 67})
			if version == 68 {
				org = simorg.Start(simorg.Config{})
			}
			defer org.Close()
			ready(t, org, eca.PluginPolicies)
			_, answer := soap(org, fmt.Sprint(version, ".0"), org.AccessToken(), `<upsertMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><metadata xsi:type="`+test.typ+`">`+test.fields+`</metadata></upsertMetadata>`)
			if refused != "" && (!strings.Contains(answer, refused) || strings.Contains(answer, "Valid scopes are: A2A")) || refused == "" && !strings.Contains(answer, "<success>true") {
				t.Errorf("%d: %s %s: got %s, want %q", version, test.typ, test.fields, answer, refused)
			}
			if version == 67 {
				if status, answer := soap(org, "68.0", org.AccessToken(), `<describeMetadata xmlns="http://soap.sforce.com/2006/04/metadata"/>`); status != 500 || !strings.Contains(answer, "UNSUPPORTED_API_VERSION") {
					t.Errorf("an org with 67.0 answers 68.0 with HTTP %d %s", status, answer)
				}
			}
		}
	}
}

// TestIDs looks at the prefixes of IDs: each kind of record has its own.
func TestIDs(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{PermissionSets: []string{"Users"}, Profiles: []string{"Sales"}, Facts: platform.Answers{"security-settings-with-consumer": "created"}})
	defer org.Close()
	newClient(t, org, "Api", "")
	seen := make(map[string]string)
	for object, prefix := range map[string]string{
		"Organization": "00D", "ExternalClientApplication": "0xI", "PermissionSet": "0PS", "User": "005", "Profile": "00e", "AppMenuItem": "0DS", "ExtlClntAppOauthConsumer": "888",
		"ExtlClntAppOauthSettings": "", "ExtlClntAppPlcyCnfg": "", "ExtlClntAppOauthPlcyCnfg": "", "ExtlClntAppOauthSecuritySettings": "",
	} {
		rows := ask(t, org, "SELECT Id FROM "+object).Records
		if len(rows) == 0 {
			t.Errorf("there is no %s", object)
			continue
		}
		id := fmt.Sprint(rows[0]["Id"])
		if !regexp.MustCompile(`^[0-9A-Za-z]{15}(AAA)?$`).MatchString(id) || !strings.HasPrefix(id, prefix) || seen[id[:3]] != "" {
			t.Errorf("%s has the ID %s; %s has the same prefix", object, id, seen[id[:3]])
		}
		seen[id[:3]] = object
	}
	_, listed := call(org, "listMetadata", `<queries><type>ExtlClntAppGlobalOauthSettings</type></queries><asOfVersion>67.0</asOfVersion>`)
	if id := regexp.MustCompile(`<id>(...)`).FindStringSubmatch(listed); id == nil || seen[id[1]] != "" {
		t.Errorf("the global settings are listed as %s", listed)
	}
}

// TestStagedURLs follows the addresses of staged credentials.
func TestStagedURLs(t *testing.T) {
	t.Parallel()
	for _, swap := range []string{"kept", "new"} {
		org := simorg.Start(simorg.Config{SecretsInREST: true, Facts: platform.Answers{"staged-id-after-swap": swap}})
		defer org.Close()
		ready(t, org, eca.GlobalOAuthSettings)
		const base = "/services/data/v67.0/"
		at := func(method, url, body string) string {
			t.Helper()
			status, answer := rest(t, org, method, strings.TrimPrefix(url, base), body)
			if status >= 400 {
				t.Fatalf("%s %s: HTTP %d %s", method, url, status, answer)
			}
			return answer
		}
		urlIn := func(answer, name string) string {
			t.Helper()
			found := regexp.MustCompile(`"` + name + `":"([^"]+)"`).FindStringSubmatch(answer)
			if found == nil {
				t.Fatalf("no %s in %s", name, answer)
			}
			return strings.ReplaceAll(found[1], `\u0026`, "&")
		}
		app := fmt.Sprint(ask(t, org, "SELECT Id FROM ExternalClientApplication").Records[0]["Id"])
		all := at("GET", base+"apps/oauth/credentials/"+app, "")
		if answer := at("GET", urlIn(all, "url"), ""); !strings.Contains(answer, `"key":`) {
			t.Error(answer)
		}
		if next := at("GET", urlIn(all, "nextPageUrl"), ""); !strings.Contains(next, `"consumers":[]`) {
			t.Errorf("the next page is %s", next)
		}
		collection := urlIn(all, "stagedCredentialsUrl")
		one := urlIn(at("POST", collection, "{}"), "url")
		if got := at("GET", one, ""); urlIn(got, "url") != one || strings.Contains(got, "stagedCredentials") {
			t.Errorf("%s is answered by %s", one, got)
		}
		rotated := at("PATCH", one, `{"command":"rotate"}`)
		if strings.Contains(rotated, "stagedCredentials") || (urlIn(rotated, "url") == one) != (swap == "kept") {
			t.Errorf("the rotation is answered by %s", rotated)
		}
		if got := at("GET", urlIn(rotated, "url"), ""); !strings.Contains(got, `"state":"Rotated"`) {
			t.Errorf("the old pair is %s", got)
		}
	}
}

// TestSettings reads and changes the settings of the org.
func TestSettings(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{WithoutObjects: []string{"ConnectedAppSettings"}})
	defer org.Close()
	read := func(typ, name string) string {
		_, answer := call(org, "readMetadata", "<type>"+typ+"</type><fullNames>"+name+"</fullNames>")
		return answer
	}
	if got := read("OauthOidcSettings", "OauthOidc"); !strings.Contains(got, "<blockOAuthUnPwFlow>false<") || !strings.Contains(got, "<oAuthCdCrdtFlowEnable>false<") {
		t.Error(got)
	}
	call(org, "updateMetadata", `<metadata xsi:type="OauthOidcSettings"><fullName>OauthOidc</fullName><blockOAuthUnPwFlow>true</blockOAuthUnPwFlow></metadata>`)
	if got := read("OauthOidcSettings", "OauthOidc"); !strings.Contains(got, "<blockOAuthUnPwFlow>true<") {
		t.Error(got)
	}
	if got := read("ConnectedAppSettings", "ConnectedApp"); strings.Contains(got, "enable") || !strings.Contains(got, "<fullName>ConnectedApp</fullName>") {
		t.Errorf("an org without the settings answers %s", got)
	}
	other := simorg.Start(simorg.Config{})
	defer other.Close()
	if _, got := call(other, "readMetadata", "<type>ConnectedAppSettings</type><fullNames>ConnectedApp</fullNames>"); !strings.Contains(got, "<enableAdminApprovedAppsOnly>false<") {
		t.Error(got)
	}
}

// TestToolingObjects asks both APIs for external credentials.
func TestToolingObjects(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	upsert(org, "ExternalCredential", `<fullName>Erp</fullName><authenticationProtocol>Custom</authenticationProtocol><label>The ERP</label>`)
	const soql = "SELECT Id, DeveloperName, MasterLabel, AuthenticationProtocol FROM ExternalCredential"
	if got := ask(t, org, soql); !strings.Contains(got.Refused, "INVALID_TYPE") {
		t.Errorf("the query is answered by %+v", got)
	}
	rows := ask(t, org, "/services/data/v68.0/tooling/query?q="+strings.ReplaceAll(soql, " ", "+")).Records
	if len(rows) != 1 || rows[0]["DeveloperName"] != "Erp" || rows[0]["MasterLabel"] != "The ERP" || rows[0]["AuthenticationProtocol"] != "Custom" {
		t.Errorf("the rows are %v", rows)
	}
}

// TestPermissionSets deploys permission sets, and assigns, reads and deletes them.
func TestPermissionSets(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Users: []simorg.User{{Username: "ann@example.com"}}})
	defer org.Close()
	set := func(name, fields string) fstest.MapFS {
		return fstest.MapFS{"permissionsets/" + name + ".permissionset-meta.xml": {Data: []byte(root("PermissionSet", fields))}}
	}
	for fields, want := range map[string]string{
		"": "Required field is missing: label", "<label>A</label><nothing/>": "nothing invalid at this location", "<label>A</label><label>B</label>": "label invalid at this location",
		"<label>A</label><userPermissions><enabled>true</enabled></userPermissions>":                                                                                                              "userPermissions.name",
		"<label>A</label><externalCredentialPrincipalAccesses><enabled>true</enabled><externalCredentialPrincipal>Erp-Nobody</externalCredentialPrincipal></externalCredentialPrincipalAccesses>": "invalid cross reference id",
		"<label>A</label><userPermissions><enabled>perhaps</enabled><name>ApiEnabled</name></userPermissions>":                                                                                    "xsd:boolean",
	} {
		if err := org.Deploy(set("Users", fields), "."); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", fields, err, want)
		}
	}
	upsert(org, "ExternalCredential", `<fullName>Erp</fullName><authenticationProtocol>Custom</authenticationProtocol><externalCredentialParameters><parameterName>Robot</parameterName><parameterType>NamedPrincipal</parameterType></externalCredentialParameters><label>Erp</label>`)
	if err := org.Deploy(set("Users", `<label>The users</label>
		<externalCredentialPrincipalAccesses><enabled>true</enabled><externalCredentialPrincipal>Erp-Robot</externalCredentialPrincipal></externalCredentialPrincipalAccesses>
		<objectPermissions><allowCreate>false</allowCreate><allowDelete>false</allowDelete><allowEdit>false</allowEdit><allowRead>true</allowRead><modifyAllRecords>false</modifyAllRecords><object>UserExternalCredential</object><viewAllRecords>false</viewAllRecords></objectPermissions>
		<userPermissions><enabled>true</enabled><name>ModifyAllData</name></userPermissions>`), "."); err != nil {
		t.Fatal(err)
	}
	rows := ask(t, org, "SELECT Id, Name, Label, PermissionsModifyAllData, PermissionsManageUsers FROM PermissionSet WHERE IsOwnedByProfile = false").Records
	if len(rows) != 1 || rows[0]["Name"] != "Users" || rows[0]["Label"] != "The users" || rows[0]["PermissionsModifyAllData"] != true || rows[0]["PermissionsManageUsers"] != false {
		t.Fatalf("the permission sets are %v", rows)
	}
	if rows := ask(t, org, "SELECT Id FROM SetupEntityAccess").Records; len(rows) != 1 {
		t.Errorf("the principal is granted by %v", rows)
	}
	if rows := ask(t, org, "SELECT PermissionsRead FROM ObjectPermissions WHERE SobjectType = 'UserExternalCredential'").Records; len(rows) != 1 || rows[0]["PermissionsRead"] != true {
		t.Errorf("the object permissions are %v", rows)
	}
	_, read := call(org, "readMetadata", "<type>PermissionSet</type><fullNames>Users</fullNames>")
	if !strings.Contains(read, "<label>The users</label>") || !strings.Contains(read, "<name>ModifyAllData</name>") {
		t.Errorf("it is read as %s", read)
	}
	ann := ask(t, org, "SELECT Id FROM User WHERE Username = 'ann@example.com'").Records[0]["Id"]
	if status, answer := rest(t, org, "POST", "sobjects/PermissionSetAssignment", fmt.Sprintf(`{"AssigneeId": %q, "PermissionSetId": %q}`, ann, rows[0]["Id"])); status != 201 {
		t.Fatal(answer)
	}
	const holders = "SELECT Assignee.Username FROM PermissionSetAssignment WHERE PermissionSet.PermissionsModifyAllData = true AND PermissionSet.IsOwnedByProfile = false"
	if rows := ask(t, org, holders).Records; len(rows) != 1 {
		t.Errorf("Modify All Data have %v", rows)
	}
	// Another version of the set keeps its ID and its users.
	upsert(org, "PermissionSet", `<fullName>users</fullName><label>Everybody</label>`)
	if again := ask(t, org, "SELECT Id, Label FROM PermissionSet WHERE IsOwnedByProfile = false").Records; len(again) != 1 || again[0]["Id"] != rows[0]["Id"] || again[0]["Label"] != "Everybody" {
		t.Errorf("the permission sets are %v", again)
	}
	if !slices.Equal(org.Assigned("ann@example.com"), []string{"Users"}) || len(ask(t, org, holders).Records) != 0 {
		t.Errorf("assigned are %v", org.Assigned("ann@example.com"))
	}
	if _, answer := call(org, "deleteMetadata", "<type>PermissionSet</type><fullNames>Users</fullNames>"); !strings.Contains(answer, "<success>true") {
		t.Fatal(answer)
	}
	for _, object := range []string{"PermissionSet WHERE IsOwnedByProfile = false", "SetupEntityAccess", "ObjectPermissions"} {
		if rows := ask(t, org, "SELECT Id FROM "+object).Records; len(rows) != 0 {
			t.Errorf("after the deletion, %s has %v", object, rows)
		}
	}
}

// TestPoliciesFindPermissionSets deploys policies together with the permission set that they name.
func TestPoliciesFindPermissionSets(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	source := fstest.MapFS{"App_oauthPlcy.ecaOauthPlcy-meta.xml": {Data: []byte(root(eca.OAuthPolicies, "<commaSeparatedPermissionSet>Users</commaSeparatedPermissionSet>"+link))}}
	if err := org.Deploy(source, "."); err == nil || !strings.Contains(err.Error(), "We couldn't find permission sets called Users") {
		t.Errorf("without the permission set the deploy ends with %v", err)
	}
	source["Users.permissionset-meta.xml"] = &fstest.MapFile{Data: []byte(root("PermissionSet", "<label>U</label>"))}
	if err := org.Deploy(source, "."); err != nil {
		t.Error(err)
	}
}

// TestSystemAdministrators have every permission by their profile.
func TestSystemAdministrators(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{
		Users:         []simorg.User{{Username: "ann@example.com", Profile: "System Administrator"}, {Username: "bob@example.com", Profile: "Sales"}, {Username: "eve@example.com", Profile: "Managers"}},
		ModifyAllData: []string{"Managers"},
	})
	defer org.Close()
	holders := func(permission string) (names []string) {
		for _, r := range ask(t, org, "SELECT Assignee.Username FROM PermissionSetAssignment WHERE PermissionSet.Permissions"+permission+" = true AND Assignee.IsActive = true").Records {
			names = append(names, fmt.Sprint(r["Assignee"].(map[string]any)["Username"]))
		}
		return names
	}
	if got := holders("ModifyAllData"); !slices.Contains(got, "ann@example.com") || !slices.Contains(got, "eve@example.com") || slices.Contains(got, "bob@example.com") {
		t.Errorf("Modify All Data have %v", got)
	}
	if got := holders("ManageUsers"); !slices.Contains(got, "ann@example.com") || slices.Contains(got, "eve@example.com") {
		t.Errorf("Manage Users have %v", got)
	}
}

// TestStateKeepsUsers saves an org, and loads it into one that was told less, and more.
func TestStateKeepsUsers(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{
		Username: "boss@example.com", Users: []simorg.User{{Username: "ann@example.com", Profile: "Sales"}, {Username: "bob@example.com"}},
		PermissionSets: []string{"Users", "Managers"}, Profiles: []string{"Sales"}, ModifyAllData: []string{"Managers", "Sales"},
	})
	defer org.Close()
	ann := ask(t, org, "SELECT Id FROM User WHERE Username = 'ann@example.com'").Records[0]["Id"]
	set := ask(t, org, "SELECT Id FROM PermissionSet WHERE Name = 'Users'").Records[0]["Id"]
	rest(t, org, "POST", "sobjects/PermissionSetAssignment", fmt.Sprintf(`{"AssigneeId": %q, "PermissionSetId": %q}`, ann, set))
	var state bytes.Buffer
	if err := org.Save(&state); err != nil {
		t.Fatal(err)
	}
	const everything = "SELECT Username FROM User; SELECT Name, PermissionsModifyAllData FROM PermissionSet WHERE IsOwnedByProfile = false ORDER BY Name; SELECT Name FROM Profile; SELECT Assignee.Username, PermissionSet.PermissionsModifyAllData FROM PermissionSetAssignment"
	look := func(org *simorg.Server) (all string) {
		for _, soql := range strings.Split(everything, "; ") {
			all += fmt.Sprint(ask(t, org, soql).Records)
		}
		return all
	}
	want := look(org)
	for name, config := range map[string]simorg.Config{
		"nothing": {}, "the same": {Username: "boss@example.com", Users: []simorg.User{{Username: "bob@example.com"}}, PermissionSets: []string{"Managers"}, Profiles: []string{"Sales"}},
	} {
		again := simorg.Start(config)
		defer again.Close()
		if err := again.Load(bytes.NewReader(state.Bytes())); err != nil {
			t.Fatal(err)
		}
		if got := look(again); got != want || again.Username() != "boss@example.com" || !slices.Equal(again.Assigned("ann@example.com"), []string{"Users"}) {
			t.Errorf("%s: got %s of %s, want %s", name, got, again.Username(), want)
		}
	}
	more := simorg.Start(simorg.Config{Username: "new@example.com", Users: []simorg.User{{Username: "bob@example.com", Inactive: true}, {Username: "zoe@example.com"}}, PermissionSets: []string{"More"}})
	defer more.Close()
	if err := more.Load(bytes.NewReader(state.Bytes())); err != nil {
		t.Fatal(err)
	}
	got := look(more)
	for _, name := range []string{"new@example.com", "ann@example.com", "zoe@example.com", "More", "Users"} {
		if !strings.Contains(got, name) {
			t.Errorf("%s is missing in %s", name, got)
		}
	}
	if strings.Contains(got, "boss@example.com") || more.Username() != "new@example.com" {
		t.Errorf("the administrator is %s, in %s", more.Username(), got)
	}
	if rows := ask(t, more, "SELECT Id FROM User WHERE IsActive = true AND Username = 'bob@example.com'").Records; len(rows) != 0 {
		t.Error("a flag for an inactive user has no effect")
	}
}
