package cli

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// requirement is a row of the table of permissions: a command line, the org on which the user of the session needs the
// permissions, and their API names.
type requirement struct {
	command, org string
	permissions  []string
	set          string // the permission set that has them
}

func requirements(t *testing.T) (all []requirement) {
	t.Helper()
	row := regexp.MustCompile("(?m)^\\| `eca ([^`]+)` \\| (\\w+) \\| ([^|]+) \\| `(\\w+)` \\|$")
	for _, match := range row.FindAllStringSubmatch(readFile(t, "hook/docs/permissions.md"), -1) {
		r := requirement{command: match[1], org: match[2], set: match[4]}
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(match[3], -1) {
			r.permissions = append(r.permissions, name[1])
		}
		all = append(all, r)
	}
	return all
}

// attempt runs a command in a project and with orgs that are as the command expects. permissions are those that the
// user of the session has on an org. It returns what the user learns: the exit code and the output, without what differs
// from run to run.
func attempt(t *testing.T, command, org string, permissions []string) string {
	t.Helper()
	home := t.TempDir()
	t.Chdir(t.TempDir())
	write := func(name, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("sfdx-project.json", `{"packageDirectories": [{"path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "type": "source", "default": true}], "sourceApiVersion": "65.0"}`)
	write("src/core/.keep", "")
	if strings.HasPrefix(command, "migrate") {
		write("records/MyApp.connectedApp-meta.xml", `<ConnectedApp><contactEmail>a@example.com</contactEmail><label>MyApp</label><oauthConfig><isPkceRequired>true</isPkceRequired><scopes>Api</scopes></oauthConfig></ConnectedApp>`)
	}
	write("records/records.json", `{"OauthToken": [
		{"AppName": "MyApp", "UserId": "005000000000002AAA", "User": {"Username": "integration@example.com.uat"}, "UseCount": 3, "LastUsedDate": "2026-11-10T08:00:00.000+0000", "CreatedDate": "2026-11-01T08:00:00.000+0000", "DeleteToken": "topsecret1"}],
		"LoginHistory": [
		{"UserId": "005000000000002AAA", "Application": "MyApp", "LoginTime": "2026-11-12T08:00:00.000+0000", "LoginType": "Remote Access 2.0", "LoginSubType": "OauthWebServer", "Status": "Success", "SourceIp": "203.0.113.7"}],
		"AuthSession": [
		{"UsersId": "005000000000002AAA", "Users": {"Username": "integration@example.com.uat"}, "LoginType": "Remote Access 2.0", "LoginHistory": {"Application": "MyApp"}, "SourceIp": "203.0.113.7", "IsCurrent": false, "ParentId": null}]}`)
	must := func(args ...string) {
		t.Helper()
		if code, stdout, stderr := execute(t, home, args...); code != exitDone {
			t.Fatalf("eca %s: %d: %s%s", strings.Join(args, " "), code, stdout, stderr)
		}
	}
	must("init", "--app", "MyApp", "--contact-email", "you@example.com", "--preset", "server", "--permission-set", "MyApp_Users", "--env", "uat=integration@example.com.uat")
	orgs := make(map[string]*simorg.Server)
	for alias, config := range map[string]simorg.Config{
		"uat": {}, "sit": {PermissionSets: []string{"Crm_Callout"}}, "hub": {Kind: simorg.Production, DevHub: true},
	} {
		config.Username = "admin@example.com." + alias
		config.Users = []simorg.User{{Username: "integration@example.com.uat"}}
		config.SecretsInREST = !strings.Contains(command, "--enable-access")
		orgs[alias] = simorg.Start(config)
		t.Cleanup(orgs[alias].Close)
		logIn(t, home, orgs[alias], config.Username, alias, false)
	}
	if err := orgs["uat"].Deploy(os.DirFS("."), "src/eca-definition"); err != nil {
		t.Fatal(err)
	}
	if err := orgs["uat"].Fill(os.DirFS("."), "records"); err != nil {
		t.Fatal(err)
	}
	switch name, _, _ := strings.Cut(command, " "); {
	case name == "plan" || name == "bootstrap":
	case strings.HasPrefix(command, "repair") && strings.Contains(command, "--yes"):
		write("broken/extlClntAppOauthSettings/MyApp_oauth.ecaOauth-meta.xml", `<?xml version="1.0" encoding="UTF-8"?>
<ExtlClntAppOauthSettings xmlns="http://soap.sforce.com/2006/04/metadata">
    <commaSeparatedOauthScopes>Api</commaSeparatedOauthScopes>
    <externalClientApplication>MyApp</externalClientApplication>
    <label>MyApp</label>
</ExtlClntAppOauthSettings>
`)
		if err := orgs["uat"].Deploy(os.DirFS("."), "broken"); err != nil {
			t.Fatal(err)
		}
	default:
		must("bootstrap", "-o", "uat", "--apply-policies")
		if strings.Contains(command, "--connection") || strings.Contains(command, "--connect ") {
			must("connect", "--from", "uat", "-o", "sit", "--enable-access", "--named-credential", "Crm", "--permission-set", "Crm_Callout")
		}
		if name == "enable" {
			must("disable", "-o", "uat", "--app", "MyApp", "--yes")
		}
	}
	var withdrawn []string
	for _, permission := range simorg.Permissions() {
		if !slices.Contains(permissions, permission) {
			withdrawn = append(withdrawn, permission)
		}
	}
	orgs[org].Withdraw(withdrawn...)
	code, stdout, stderr := execute(t, home, strings.Fields(command)...)
	seen := regexp.MustCompile(`3MVG9\S*|\b0x\w+|http://127\S+|eca-repair-\w+|[0-9a-f]{6,}\S*|\d+(?:\.\d+)?\s*m?s\b|\d+ requests|\d{4}-\d\d-\d\dT\S+`).ReplaceAllString(stdout+stderr, "…")
	return fmt.Sprintf("%d: %s", code, seen)
}

// TestPermissions runs each command of the table with exactly the permissions of its row, and without each of them. With
// -short, it leaves only the last one out.
func TestPermissions(t *testing.T) {
	rows := requirements(t)
	documented := make(map[string]bool)
	for _, r := range rows {
		name, _, _ := strings.Cut(r.command, " ")
		documented[name] = true
		all := attempt(t, r.command, r.org, simorg.Permissions())
		if exact := attempt(t, r.command, r.org, r.permissions); exact != all {
			t.Errorf("eca %s, with %v on %s, ends with\n%s\nand with all permissions with\n%s", r.command, r.permissions, r.org, exact, all)
		}
		for i, permission := range r.permissions {
			if testing.Short() && i+1 < len(r.permissions) {
				continue
			}
			less := slices.DeleteFunc(slices.Clone(r.permissions), func(p string) bool { return p == permission })
			if attempt(t, r.command, r.org, less) == all {
				t.Errorf("eca %s does not need %s on %s", r.command, permission, r.org)
			}
		}
	}
	model := kong.Must(new(cli), kong.Vars{"version": ""}).Model
	for _, node := range model.Leaves(true) {
		if slices.Contains(flagsOf(node), "-o") && !documented[node.Name] {
			t.Errorf("the table of permissions lacks %s", node.Name)
		}
	}
}

// TestPermissionSets: each permission set has what the rows that name it need, and can be deployed.
func TestPermissionSets(t *testing.T) {
	t.Parallel()
	needed := make(map[string][]string)
	for _, r := range requirements(t) {
		for _, permission := range r.permissions {
			if !slices.Contains(needed[r.set], permission) {
				needed[r.set] = append(needed[r.set], permission)
			}
		}
	}
	org := simorg.Start(simorg.Config{})
	t.Cleanup(org.Close)
	if err := org.Deploy(os.DirFS(filepath.Join(projectRoot, "hook/docs")), "permissionsets"); err != nil {
		t.Error(err)
	}
	files, err := filepath.Glob(filepath.Join(projectRoot, "hook/docs/permissionsets/*.permissionset-meta.xml"))
	if err != nil || len(files) != len(needed) || len(files) == 0 {
		t.Errorf("there are the permission sets %v, %v, and the table names %v", files, err, slices.Sorted(maps.Keys(needed)))
	}
	for _, file := range files {
		name, _, _ := strings.Cut(filepath.Base(file), ".")
		var has []string
		for _, match := range regexp.MustCompile(`<enabled>true</enabled>\s*<name>(\w+)</name>`).FindAllStringSubmatch(readFile(t, "hook/docs/permissionsets/"+filepath.Base(file)), -1) {
			has = append(has, match[1])
		}
		want := slices.Sorted(slices.Values(needed[name]))
		if slices.Sort(has); !slices.Equal(has, want) {
			t.Errorf("%s has %v, and its rows need %v", name, has, want)
		}
	}
}
