package simorg_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// step is a REST call and what its answer is. {app}, {consumer} and {pair} stand for IDs: pair is the
// first of a staged pair that was answered.
type step struct {
	method, path, body string
	status             int
	holds              string // and, behind a "!", what the answer does not hold
}

var pairID = regexp.MustCompile(`0Sk\d{9}AAA`)

func walk(t *testing.T, org *simorg.Server, steps []step) {
	t.Helper()
	settings := org.Components(eca.OAuthSettings)
	app := ask(t, org, "SELECT Id FROM ExternalClientApplication").Records[0]["Id"].(string)
	_, consumer, _ := strings.Cut(settings[0].Fields["oauthLink"], ":")
	pair := ""
	for _, s := range steps {
		path := strings.NewReplacer("{app}", app, "{consumer}", consumer, "{pair}", pair).Replace(s.path)
		status, answer := rest(t, org, s.method, path, s.body)
		holds, lacks, _ := strings.Cut(s.holds, "!")
		if status != s.status || !strings.Contains(answer, holds) || lacks != "" && strings.Contains(answer, lacks) {
			t.Errorf("%s %s: got HTTP %d %s, want HTTP %d and %q", s.method, s.path, status, answer, s.status, s.holds)
		}
		if pair == "" {
			pair = pairID.FindString(answer)
		}
	}
}

// TestConsumers reads, stages and rotates the pairs of a consumer, with each answer that orgs may give.
func TestConsumers(t *testing.T) {
	t.Parallel()
	const (
		root   = "apps/oauth/credentials/{app}"
		one    = root + "/{consumer}"
		staged = one + "/staged"
		pair   = staged + "/{pair}"
		rotate = `{"command": "rotate"}`
	)
	for name, test := range map[string]struct {
		config simorg.Config
		steps  []step
	}{
		"setting off": {simorg.Config{}, []step{
			{"GET", root, "", 403, "FUNCTIONALITY_NOT_ENABLED"}, {"POST", staged, "", 403, "FUNCTIONALITY_NOT_ENABLED"},
		}},
		"keys although off": {simorg.Config{Facts: platform.Answers{"key-without-setting": "answered"}}, []step{
			{"GET", root, "", 200, `"key":"3MVG9!"secret"`}, {"GET", one, "", 200, `"key":"3MVG9!"secret"`},
			{"GET", one + "?part=keyandsecret", "", 403, "NOT_ENABLED"}, {"GET", staged, "", 403, "NOT_ENABLED"},
		}},
		"no permission": {simorg.Config{SecretsInREST: true, Withdrawn: []string{"ViewClientSecret"}, Facts: platform.Answers{"no-right-status": "400"}}, []step{
			{"GET", root, "", 400, "INSUFFICIENT_ACCESS"},
		}},
		"parts": {simorg.Config{SecretsInREST: true}, []step{
			{"GET", one, "", 200, `"key"!"secret"`}, {"GET", one + "?part=secret", "", 200, `"secret"!"key"`},
			{"GET", one + "?part=keyAndSecret", "", 200, `"secret"`}, {"POST", one, "", 404, ""},
			{"GET", "apps/oauth/credentials/0xI000000000000", "", 404, ""}, {"GET", root + "/888000000000000", "", 404, ""},
			{"GET", one + "/other", "", 404, ""}, {"GET", "apps/other", "", 404, ""},
		}},
		"staging": {simorg.Config{SecretsInREST: true}, []step{
			{"GET", staged, "", 200, `"stagedCredentials":[]`}, {"POST", staged, "", 201, `"state":"Active"`},
			{"POST", staged, "", 400, "staged credentials for this consumer already"}, {"GET", pair, "", 200, `"state":"Active"!stagedCredentials`},
			{"PATCH", pair, `{"command": "other"}`, 400, "can't be rotated"}, {"PATCH", staged + "/0Sk000000000000", rotate, 404, ""},
			{"PATCH", pair, rotate, 200, `"state":"Rotated"`}, {"PATCH", pair, rotate, 400, "can't be rotated"},
			{"GET", pair + "/more", "", 404, ""}, {"DELETE", pair, "", 204, ""}, {"GET", pair, "", 404, ""}, {"PUT", staged, "", 404, ""},
		}},
		"staging, the other answers": {
			simorg.Config{SecretsInREST: true, Facts: platform.Answers{
				"staging-over-rotated": "replaces", "staged-id-after-swap": "new", "nothing-staged": "not-found", "staged-shape": "top",
			}},
			[]step{
				{"GET", staged, "", 404, ""}, {"POST", staged, "", 201, `"state":"Active"!stagedCredentials`},
				{"PATCH", pair, rotate, 200, `"state":"Rotated"`}, {"GET", pair, "", 404, ""}, {"POST", staged, "", 201, `"Active"`},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			org := simorg.Start(test.config)
			defer org.Close()
			ready(t, org, eca.PluginPolicies)
			walk(t, org, test.steps)
		})
	}
}

// TestStagingIsForLocalApps: a Packaged app has its consumer, and no staged credentials.
func TestStagingIsForLocalApps(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{SecretsInREST: true})
	defer org.Close()
	upsert(org, eca.Header, `<fullName>App</fullName><distributionState>Packaged</distributionState><label>App</label>`)
	upsert(org, eca.OAuthSettings, oauth)
	upsert(org, eca.GlobalOAuthSettings, global)
	const one, refused = "apps/oauth/credentials/{app}/{consumer}", "local external client apps only"
	walk(t, org, []step{
		{"GET", one + "?part=keyandsecret", "", 200, `"secret"`}, {"GET", one + "/staged", "", 400, refused}, {"POST", one + "/staged", "{}", 400, refused},
	})
}

// TestRotationSwapsPairs: a rotation makes the staged pair the main one, and the old pair stays beside it.
func TestRotationSwapsPairs(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{SecretsInREST: true})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	const staged = "apps/oauth/credentials/{app}/{consumer}/staged"
	walk(t, org, []step{{http.MethodPost, staged, "", 201, ""}})
	before := org.Pairs("App")
	walk(t, org, []step{{http.MethodGet, staged, "", 200, ""}, {http.MethodPatch, staged + "/{pair}", `{"command":"rotate"}`, 200, ""}})
	after := org.Pairs("App")
	if len(before) != 2 || len(after) != 2 || after[0].Key != before[1].Key || after[0].Secret != before[1].Secret ||
		after[1].Key != before[0].Key || after[1].Secret != before[0].Secret || after[1].State != "Rotated" {
		t.Errorf("pairs before %v, after %v", before, after)
	}
}

// TestSecretDelay: the first readings after the setting was switched on come without the secret.
func TestSecretDelay(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{SecretDelay: 1, Facts: platform.Answers{"secret-after-setting": "later"}})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	on := `<fullName>ExternalClientApp</fullName><enableClientSecretInRestApiAccess>true</enableClientSecretInRestApiAccess>`
	if _, answer := upsert(org, eca.OrgSettings, on); !strings.Contains(answer, "<success>true</success>") {
		t.Fatal(answer)
	}
	secret := "apps/oauth/credentials/{app}/{consumer}?part=secret"
	walk(t, org, []step{{"GET", secret, "", 200, `"id"!"secret"`}, {"GET", secret, "", 200, `"secret"`}})
	upsert(org, eca.OrgSettings, on)
	walk(t, org, []step{{"GET", secret, "", 200, `"secret"`}})
}

// TestAccess grants an app to a permission set, and the permission set to a user.
func TestAccess(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{
		Users: []simorg.User{{Username: "gone@example.com", Inactive: true}}, PermissionSets: []string{"Other", "Erp"},
	})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	id := func(soql string) string { t.Helper(); return ask(t, org, soql).Records[0]["Id"].(string) }
	app, set := id("SELECT Id FROM ExternalClientApplication"), id("SELECT Id FROM PermissionSet WHERE Name = 'Erp'")
	admin, gone := id("SELECT Id FROM User WHERE IsActive = true"), id("SELECT Id FROM User WHERE IsActive = false")
	access := func(parent, entity string) string {
		return `{"ParentId": "` + parent + `", "SetupEntityId": "` + entity + `"}`
	}
	assignment := func(user, set string) string {
		return `{"AssigneeId": "` + user + `", "PermissionSetId": "` + set + `"}`
	}
	walk(t, org, []step{
		{"POST", "sobjects/SetupEntityAccess", access(set, "0xI000000000000"), 400, "INVALID_CROSS_REFERENCE_KEY"},
		{"POST", "sobjects/SetupEntityAccess", access("0PS000000000000", app), 400, "INVALID_CROSS_REFERENCE_KEY"},
		{"POST", "sobjects/SetupEntityAccess", "no", 400, "JSON_PARSER_ERROR"},
		{"POST", "sobjects/setupentityaccess", access(set, app), 201, `"success":true`},
		{"POST", "sobjects/SetupEntityAccess", access(set, app), 400, "DUPLICATE_VALUE"},
		{"POST", "sobjects/PermissionSetAssignment", assignment(gone, set), 400, "INVALID_CROSS_REFERENCE_KEY"},
		{"POST", "sobjects/PermissionSetAssignment", assignment(admin, "0PS000000000000"), 400, "INVALID_CROSS_REFERENCE_KEY"},
		{"POST", "sobjects/PermissionSetAssignment", assignment(admin, set), 201, `"success":true`},
		{"POST", "sobjects/PermissionSetAssignment", assignment(admin, set), 400, "DUPLICATE_VALUE"},
		{"GET", "sobjects/SetupEntityAccess/" + app, "", 404, ""}, {"GET", "sobjects/User/005000000000099AAA", "", 404, ""},
	})
	granted, assigned := strings.Join(org.Granted("App"), " "), strings.Join(org.Assigned(org.Username()), " ")
	if granted != "Erp" || assigned != "Erp" || org.Granted("None") != nil || org.Assigned("gone@example.com") != nil {
		t.Errorf("granted to %q, assigned %q", granted, assigned)
	}
	if a := ask(t, org, "SELECT Id FROM SetupEntityAccess WHERE Parent.Name = 'Erp'"); a.TotalSize != 1 {
		t.Errorf("the access is %+v", a)
	}
}

// TestConsumersSince: consumers can be read since API 60, staged pairs since 65.
func TestConsumersSince(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{SecretsInREST: true})
	defer org.Close()
	ready(t, org, eca.PluginPolicies)
	app := ask(t, org, "SELECT Id FROM ExternalClientApplication").Records[0]["Id"].(string)
	_, consumer, _ := strings.Cut(org.Components(eca.OAuthSettings)[0].Fields["oauthLink"], ":")
	for path, found := range map[string]bool{
		"v59.0/apps/oauth/credentials/" + app: false, "v60.0/apps/oauth/credentials/" + app: true,
		"v64.0/apps/oauth/credentials/" + app + "/" + consumer + "/staged": false,
		"v65.0/apps/oauth/credentials/" + app + "/" + consumer + "/staged": true,
	} {
		if refused := ask(t, org, "/services/data/"+path).Refused; (refused == "") != found {
			t.Errorf("%s: got %q, want it found: %t", path, refused, found)
		}
	}
}
