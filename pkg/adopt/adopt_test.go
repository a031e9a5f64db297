package adopt_test

import (
	"bytes"
	crand "crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/adopt"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/lint"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// facts are the answers of an org that matter to what it shows of apps.
var facts = []string{
	"certificate-shown", "certificate-form", "policies-with-consumer", "security-settings-with-consumer", "pkce-forced", "components-listed",
	"older-version-resets",
}

// maker makes apps on an org, as people do in Setup.
type maker struct {
	*rand.Rand
	t      *testing.T
	org    *simorg.Server
	conn   *salesforce.Conn
	config simorg.Config
}

func newMaker(t *testing.T, r *rand.Rand, kind simorg.Kind) *maker {
	config := simorg.Config{
		Kind: kind, Facts: make(platform.Answers), Username: "admin@example.com", Users: []simorg.User{{Username: "integration@example.com"}, {Username: "Other.User@example.com"}},
		PermissionSets: []string{"Erp_Users", "Crm_Users", "All"}, Profiles: []string{"Integration User"},
	}
	for _, id := range facts {
		answers := platform.Lookup(id).Answers
		config.Facts[id] = answers[r.IntN(len(answers))]
	}
	if config.Facts["policies-with-consumer"] == "created-under-other-names" {
		config.Facts["components-listed"] = "listed" // or nobody finds them
	}
	m := &maker{Rand: r, t: t, config: config, org: simorgtest.Start(t, config)}
	m.conn = &salesforce.Conn{InstanceURL: m.org.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: m.org.AccessToken()})}
	return m
}

func (m *maker) must(err error) {
	if err != nil {
		m.t.Helper()
		m.t.Fatal(err)
	}
}

// often reports true in some of a hundred cases.
func (m *maker) often(percent int) bool { return m.IntN(100) < percent }

func pick[T any](m *maker, all ...T) T { return all[m.IntN(len(all))] }

// some returns some of all values, in any order.
func some(m *maker, all []string) []string {
	all = slices.Clone(all)
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all[:m.IntN(len(all)+1)]
}

// certificate returns one of a few certificates.
var certificate = sync.OnceValue(func() (texts []string) {
	for i := range 3 {
		key, err := rsa.GenerateKey(crand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotAfter: time.Now().Add(1e4 * time.Hour)}
		der, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
		if err != nil {
			panic(err)
		}
		texts = append(texts, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	}
	return texts
})

// text returns a text for a field of a name.
func (m *maker) text(ft *metadata.FieldType) string {
	domain := pick(m, m.org.URL, "https://erp.example.com", "https://crm.example.com:8443")
	switch name := ft.Name; {
	case ft.PEM:
		return pick(m, certificate()...)
	case name == "callbackUrl":
		all := []string{domain + "/callback", m.org.URL + "/services/oauth2/success", "http://localhost:1717/OauthRedirect", "http://localhost:*/callback", "com.example.app://done", m.org.URL}
		return strings.Join(append(some(m, all[1:]), all[0]), "\n")
	case name == "commaSeparatedOauthScopes":
		return strings.Join(append(some(m, eca.Scopes()), "Api"), pick(m, ", ", ","))
	case name == "commaSeparatedPermissionSet":
		return strings.Join(some(m, m.config.PermissionSets), ", ")
	case name == "commaSeparatedProfile":
		return strings.Join(some(m, m.config.Profiles), ",")
	case name == "clientCredentialsFlowUser":
		return pick(m, "integration@example.com", "other.user@example.com")
	case strings.HasSuffix(name, "IpAddress"):
		return fmt.Sprintf("10.0.0.%d", m.IntN(256))
	case strings.HasSuffix(strings.ToLower(name), "url"):
		return domain + pick(m, "", "/", "/a?b=c&d=<e>", "/services/x")
	}
	return pick(m, "Text", "Ünicode & <tags> \"quotes\"", "two\nlines", "$User.Id", "0", "true", "a, b", "{!$User.Email}", "a\\b", "=1+1")
}

// field returns random values for a field.
func (m *maker) field(ft *metadata.FieldType) (values []metadata.Field) {
	n := 1
	if ft.Repeated {
		n = 1 + m.IntN(3)
	}
	for range n {
		f := metadata.Field{Name: ft.Name}
		switch ft.Kind {
		case metadata.Boolean:
			f.Text = pick(m, "true", "false")
		case metadata.Int:
			f.Text = fmt.Sprint(1 + m.IntN(1000))
		case metadata.Enum:
			f.Text = pick(m, ft.Values...)
		case metadata.Struct:
			for i := range ft.Fields {
				if ft.Fields[i].Required || m.often(60) {
					f.Fields = append(f.Fields, m.field(&ft.Fields[i])...)
				}
			}
		default:
			f.Text = m.text(ft)
		}
		values = append(values, f)
	}
	return values
}

// fields returns random fields of a type, which some always has.
func (m *maker) fields(typ, app string, some metadata.Fields) metadata.Fields {
	fields := make(metadata.Fields)
	for _, ft := range eca.Lookup(typ).Fields {
		if ft.Platform || ft.Action || ft.Secret || ft.Until != 0 || ft.Name == "orgScopedExternalApp" || ft.Name == "managedType" || !ft.Required && !m.often(35) {
			continue
		}
		fields[ft.Name] = m.field(&ft)
	}
	if typ != eca.Header {
		fields.Set("externalClientApplication", app)
	}
	return some.Over(fields)
}

// write creates or replaces a component.
func (m *maker) write(typ, name string, fields metadata.Fields) {
	m.t.Helper()
	results, err := (&mdapi.Client{Conn: m.conn}).Upsert(m.t.Context(), []*metadata.Component{metadata.New(typ, name, fields)})
	m.must(err)
	for _, r := range results {
		if len(r.Errors) > 0 {
			m.t.Fatalf("%s %s: %v", typ, name, r.Errors[0])
		}
	}
}

// read returns an app's components.
func (m *maker) read(app string) *apps.App {
	found, err := apps.Find(m.t.Context(), m.conn, eca.Satellites(), app)
	m.must(err)
	return found
}

// make makes an app with a random state.
func (m *maker) make(app string) {
	m.t.Helper()
	endings := map[string][]string{
		eca.OAuthSettings: {"_oauth", "OAuthSettings", ""}, eca.GlobalOAuthSettings: {"_glbloauth", "GlblOAuth", ""},
		eca.PluginPolicies: {"_plcy", "_defaultPolicy", ""}, eca.OAuthPolicies: {"_oauthPlcy", "_defaultPolicy", ""},
	}
	if m.config.Facts["components-listed"] != "empty" { // then only usual names can be found
		endings[eca.OAuthSettings] = append(endings[eca.OAuthSettings], "_global", "X")
		endings[eca.OAuthPolicies] = append(endings[eca.OAuthPolicies], "Other")
	}
	m.write(eca.Header, app, m.fields(eca.Header, app, metadata.Stated("contactEmail", "a@example.com", "label", pick(m, app, "An app", "Ärger & Co"), "distributionState", "Local")))
	m.write(eca.OAuthSettings, app+pick(m, endings[eca.OAuthSettings]...), m.fields(eca.OAuthSettings, app, nil))
	m.write(eca.GlobalOAuthSettings, app+pick(m, endings[eca.GlobalOAuthSettings]...), m.fields(eca.GlobalOAuthSettings, app, nil))
	name := func(typ string) string {
		for _, c := range m.org.Components(typ) {
			if c.Fields["externalClientApplication"] == app {
				return c.FullName
			}
		}
		return app + pick(m, endings[typ]...)
	}
	on := metadata.Stated("isEnabled", "true", "isOauthPluginEnabled", "true")
	plugins := name(eca.PluginPolicies)
	m.write(eca.PluginPolicies, plugins, m.fields(eca.PluginPolicies, app, on))
	if m.often(85) {
		policies := m.fields(eca.OAuthPolicies, app, nil)
		if global := m.read(app).Component(eca.GlobalOAuthSettings); !eca.Bool(global, "isNamedUserJwtEnabled") {
			delete(policies, "namedUserJwtSessionTimeoutType")
		}
		if policies.Text("isClientCredentialsFlowEnabled") == "true" {
			policies.Set("clientCredentialsFlowUser", "integration@example.com")
		}
		m.write(eca.OAuthPolicies, name(eca.OAuthPolicies), policies)
	}
	if m.often(30) {
		m.write(eca.PluginPolicies, plugins, m.fields(eca.PluginPolicies, app, metadata.Stated("isEnabled", pick(m, "true", "false"), "isOauthPluginEnabled", pick(m, "true", "false"))))
	}
	if m.often(30) {
		global := m.read(app).Component(eca.GlobalOAuthSettings)
		m.write(eca.GlobalOAuthSettings, global.FullName, m.fields(eca.GlobalOAuthSettings, app, nil))
	}
	for _, typ := range []string{eca.SAMLPolicies, eca.CanvasSettings} {
		if m.often(15) {
			m.write(typ, app+pick(m, "_x", ""), m.fields(typ, app, nil))
		}
	}
	m.grant(app)
}

// grant lets some permission sets grant an app, and assigns one.
func (m *maker) grant(app string) {
	rest, ctx := &restapi.Client{Conn: m.conn}, m.t.Context()
	id := func(soql string) string {
		found, err := restapi.Query[struct {
			ID string `json:"Id"`
		}](ctx, rest, soql)
		m.must(err)
		return found[0].ID
	}
	for _, set := range some(m, m.config.PermissionSets) {
		set := id("SELECT Id FROM PermissionSet WHERE Name = " + restapi.Quote(set))
		_, err := rest.Create(ctx, "SetupEntityAccess", map[string]any{"ParentId": set, "SetupEntityId": id("SELECT Id FROM ExternalClientApplication WHERE DeveloperName = " + restapi.Quote(app))})
		m.must(err)
		if m.often(50) {
			_, err := rest.Create(ctx, "PermissionSetAssignment", map[string]any{"PermissionSetId": set, "AssigneeId": id("SELECT Id FROM User WHERE Username = 'integration@example.com'")})
			if salesforce.Code(err) != "DUPLICATE_VALUE" {
				m.must(err)
			}
		}
	}
}

// adopt takes apps of the org into a project.
func (m *maker) adopt(dir, alias string, names ...string) (written []scaffold.File, err error) {
	m.t.Helper()
	org, err := adopt.Read(m.t.Context(), m.conn, alias)
	m.must(err)
	all, err := org.Apps(names...)
	m.must(err)
	for _, app := range all {
		if app.Left != "" {
			m.t.Fatalf("%s is left: %s", app.App, app.Left)
		}
		adopted, err := scaffold.Adopt(os.DirFS(dir), app.Adoption)
		if err != nil {
			return written, fmt.Errorf("%s for %s: %w", app.App, alias, err)
		}
		m.must(scaffold.Write(dir, adopted.Files))
		written = append(written, adopted.Files...)
	}
	return written, nil
}

// check fails the test if a bootstrap has anything to do.
func (m *maker) check(dir, alias string, options bootstrap.Options) {
	m.t.Helper()
	source, err := wanted.Load(wanted.Location{Project: os.DirFS(dir)})
	m.must(err)
	options.Alias, options.OrgID, options.Kind = alias, m.org.ID(), platform.Kind(m.config.Kind)
	resolved, err := bootstrap.Resolve(m.t.Context(), m.conn, source, options)
	m.must(err)
	plan, err := resolved.Plan(m.t.Context())
	m.must(err)
	report := plan.Report()
	if plan.Err() != nil || report.Pending > 0 || report.DiffersElsewhere() {
		m.t.Errorf("%s: the plan has %d changes, %v", alias, report.Pending, plan.Err())
		for _, app := range report.Apps {
			for _, c := range app.Components {
				if !c.Done {
					m.t.Errorf("%s %s: %s %v %s", app.Name, c.FullName, c.Action, c.Changes, c.Error)
				}
			}
		}
	}
	m.org.ForgetRequests()
	if _, err := bootstrap.Run(m.t.Context(), m.conn, source, options); err != nil {
		m.t.Errorf("%s: bootstrap: %v", alias, err)
	}
	for _, r := range m.org.Requests() {
		if r.Writes() {
			m.t.Errorf("%s: bootstrap wrote %s %v", alias, r.Type, r.FullNames)
		}
	}
}

const emptyProject = `{
  "packageDirectories": [
    {"path": "src/core", "package": "core", "versionNumber": "1.0.0.NEXT", "default": true}
  ],
  "sourceApiVersion": "68.0"
}
`

func newProject(t *testing.T, content string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src/core"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sfdx-project.json"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// show prints the files of a project.
func show(t *testing.T, dir string) {
	fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !strings.HasPrefix(name, "scripts/") {
			data, _ := os.ReadFile(filepath.Join(dir, name))
			t.Logf("%s\n%s", name, data)
		}
		return nil
	})
}

// TestRandom adopts random apps of random orgs. Afterwards a plan is empty, a bootstrap writes nothing, lint finds no
// error, another adoption adds nothing, and the same holds after apps of the same names are adopted from another org.
func TestRandom(t *testing.T) {
	t.Parallel()
	seeds := 60
	if !testing.Short() {
		seeds = 400
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(seed), 1))
			m := newMaker(t, r, pickKind(r))
			names := []string{"Erp", "Crm_Sync", "acme__App"}[:1+r.IntN(2)]
			for _, name := range names {
				m.make(name)
			}
			project := emptyProject
			if m.often(50) { // else sf deploys it
				project = strings.Replace(project, `"default"`, `"type": "source", "default"`, 1)
			}
			dir := newProject(t, project)
			defer func() {
				if t.Failed() {
					show(t, dir)
				}
			}()
			if _, err := m.adopt(dir, "uat"); err != nil {
				t.Fatal(err)
			}
			m.checkAll(dir, "uat")
			if files, err := m.adopt(dir, "uat"); err != nil || len(files) > 0 {
				t.Errorf("again: %v, %v", files, err)
			}
			if len(m.org.Components(eca.OAuthPolicies)) < len(names) {
				return // the policies of default, which another org's are written for, are not for this org
			}
			other := newMaker(t, r, pickKind(r))
			for _, name := range names {
				other.make(name)
			}
			_, err := other.adopt(dir, "prod")
			if unstatable, ok := errors.AsType[*scaffold.UnstatableError](err); ok {
				if !slices.Contains([]string{"certificate", "startPage", "assetTokenValidity", "the OAuth policies"}, unstatable.Field) {
					t.Errorf("second org: %v", err)
				}
				m.checkAll(dir, "uat")
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			other.checkAll(dir, "prod")
			m.checkAll(dir, "uat")
			if files, err := other.adopt(dir, "prod"); err != nil || len(files) > 0 {
				t.Errorf("again: %v, %v", files, err)
			}
		})
	}
}

func pickKind(r *rand.Rand) simorg.Kind {
	return []simorg.Kind{simorg.Sandbox, simorg.Production, simorg.Scratch}[r.IntN(3)]
}

func (m *maker) checkAll(dir, alias string) {
	m.t.Helper()
	m.check(dir, alias, bootstrap.Options{})
	m.check(dir, alias, bootstrap.Options{ApplyPolicies: true})
	findings, err := lint.Run(os.DirFS(dir), ".")
	m.must(err)
	for _, f := range findings {
		if f.Level == finding.Error {
			m.t.Errorf("lint: %s", f)
		}
	}
	searchSecrets(m, dir)
}

// searchSecrets fails the test if a file of a project has a key or secret of the org.
func searchSecrets(m *maker, dir string) {
	for _, c := range m.org.Components(eca.GlobalOAuthSettings) {
		fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
			data, _ := os.ReadFile(filepath.Join(dir, name))
			if bytes.Contains(data, []byte(c.Secret)) || bytes.Contains(data, []byte(c.Fields["consumerKey"])) || bytes.Contains(data, []byte(m.org.ID()[:15])) {
				m.t.Errorf("%s has a key, a secret or the ID of the org", name)
			}
			return err
		})
	}
}
