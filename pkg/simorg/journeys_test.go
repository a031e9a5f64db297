package simorg_test

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// withoutSwitch are the facts that make no difference to a simulated org: it is of no Government Cloud, has no
// past and no permission set groups, is never refreshed, and no app logs in that is not installed.
var withoutSwitch = []string{
	"mcp-government-host", "audit-trail-days", "api-usage-log", "permission-set-groups", "old-sandbox-keys",
	"revocation-ends-exemption", "salesforce-app-names",
}

// TestEveryFactHasASwitch looks for the facts in the source of the simulated org.
func TestEveryFactHasASwitch(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(data)
	}
	for _, fact := range platform.Facts() {
		if strings.Contains(source.String(), `"`+fact.ID+`"`) == slices.Contains(withoutSwitch, fact.ID) {
			t.Errorf("the simulated org has a switch for %s, or none, against what this test expects", fact.ID)
		}
	}
}

// TestJourneys takes an app from a Connected App to the end of its old tokens, on orgs that differ
// from what is expected in one answer each. Each step succeeds, and a second run changes nothing.
func TestJourneys(t *testing.T) {
	t.Parallel()
	key, certificate := newKey(t)
	for _, answers := range append(platform.Flipped(), nil) {
		t.Run(fmt.Sprint(answers), func(t *testing.T) {
			t.Parallel()
			j := newJourney(t, answers)
			j.key, j.certificate = key, certificate
			j.migrate()
			j.bootstrap()
			j.logIn()
			j.rotate()
			j.connect()
			j.cutOver()
			j.repair()
			j.audit()
		})
	}
}

// newKey returns a private key and a certificate of it.
func newKey(t *testing.T) (key, certificate []byte) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(48 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private().PublicKey, private())
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private())
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// journey is an org with the Connected App Erp, and a project for the External Client App.
type journey struct {
	*testing.T
	facts            platform.Answers
	org              *simorg.Server
	conn             *salesforce.Conn
	dir              string
	key, certificate []byte
	credentials      login.Credentials
}

func newJourney(t *testing.T, answers platform.Answers) *journey {
	config := simorg.Config{
		Certificates: []string{"Erp"},
		Facts:        answers, Users: []simorg.User{{Username: "robot@example.com", Profile: "Integration"}},
		PermissionSets: []string{"Erp", "Callers"}, Profiles: []string{"Integration"}, UnreadableApps: []string{"Vendor"},
	}
	if len(answers) == 0 || answers["propagation"] != "" {
		config.Propagation = 200 * time.Millisecond // others save the time
	}
	org := simorgtest.Start(t, config)
	if err := org.Fill(os.DirFS("testdata/journeys"), "."); err != nil {
		t.Fatal(err)
	}
	tokens := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: org.AccessToken()})
	return &journey{T: t, facts: answers, org: org, conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens}, dir: t.TempDir()}
}

func (j *journey) must(err error) {
	j.Helper()
	if err != nil {
		j.Fatal(err)
	}
}

// unchanged runs a step again, which must not write.
func (j *journey) unchanged(step func()) {
	j.Helper()
	j.org.ForgetRequests()
	step()
	for _, r := range j.org.Requests() {
		if r.Writes() && !strings.HasPrefix(r.Path, "/services/oauth2/") {
			j.Errorf("the second run writes %s %s %s %s", r.Method, r.Path, r.Operation, r.Type)
		}
	}
}

// migrate writes the project of the app from the Connected App on the org.
func (j *journey) migrate() {
	found, unread, err := (&cutover.Client{Conn: j.conn}).Read(j.Context())
	j.must(err)
	if len(found) != 1 || found[0].Name != "Erp" || len(unread) != 1 {
		j.Fatalf("found %v, unreadable %v", found, unread)
	}
	config := scaffold.Migrated(found[0])
	config.Label, config.Certificate = "New ERP", j.certificate
	config.Environments = []scaffold.Environment{{Alias: "uat", RunAsUser: "robot@example.com"}}
	j.must(os.WriteFile(filepath.Join(j.dir, "sfdx-project.json"), []byte(`{"packageDirectories": []}`), 0o600))
	files, err := scaffold.New(os.DirFS(j.dir), config)
	j.must(err)
	j.must(scaffold.Write(j.dir, files))
}

func (j *journey) bootstrap() {
	run := func() *bootstrap.Report {
		source, err := wanted.Load(wanted.Location{Project: os.DirFS(j.dir), Dir: "."})
		j.must(err)
		report, err := bootstrap.Run(j.Context(), j.conn, source, bootstrap.Options{Alias: "uat", Headers: true, ApplyPolicies: true})
		j.must(err)
		return report
	}
	if report := run(); report.Changed == 0 || report.Pending != 0 {
		j.Fatalf("the first run: %+v", report)
	}
	before := j.org.Components(eca.GlobalOAuthSettings)
	j.unchanged(func() {
		report := run()
		if report.Apps[0].Unsettled { // the run writes what the org does not show, and says so
			j.org.ForgetRequests()
			if after := j.org.Components(eca.GlobalOAuthSettings); !reflect.DeepEqual(before, after) {
				j.Errorf("the second run changes %v to %v", before, after)
			}
		} else if report.Changed != 0 || report.Pending != 0 {
			j.Errorf("the second run: %+v", report)
		}
	})
}

// verify logs in with client credentials and with JWT bearer.
func (j *journey) verify() {
	j.Helper()
	patience := login.Patience{Limit: 10 * time.Second}
	_, err := login.ClientCredentials(j.org.URL, j.credentials).VerifyWaiting(j.Context(), nil, patience)
	j.must(err)
	_, err = login.JWT(j.org.URL, j.credentials.Key, salesforce.NewSecret(string(j.key)), "robot@example.com").Verify(j.Context(), nil)
	j.must(err)
}

// logIn reads the credentials and logs in.
func (j *journey) logIn() {
	client := &consumer.Client{Conn: j.conn}
	j.must(client.SetAccess(j.Context(), true))
	read := func() {
		if on, err := client.Access(j.Context()); err != nil || !on {
			j.Fatal("access to secrets is off:", err)
		}
		found, err := client.Find(j.Context(), "Erp")
		j.must(err)
		j.credentials, err = client.Credentials(j.Context(), found)
		j.must(err)
	}
	read()
	j.verify()
	first := j.credentials
	j.unchanged(read)
	if j.credentials.Key != first.Key || j.credentials.Secret.Reveal() != first.Secret.Reveal() {
		j.Error("the second reading gives other credentials")
	}
	_, err := login.JWT(j.org.URL, first.Key, salesforce.NewSecret(string(j.key)), "nobody@example.com").Verify(j.Context(), nil)
	if _, ok := login.Explain(err); !ok {
		j.Errorf("a login of an unknown user ends with %v", err)
	}
}

// rotate rotates the credentials, and a second time while the old ones still work.
func (j *journey) rotate() {
	for range 2 {
		before := j.credentials
		rotation := &consumer.Rotation{
			Client:   &consumer.Client{Conn: j.conn},
			HandOver: func(_ context.Context, c login.Credentials) error { j.credentials = c; return nil },
		}
		result, err := rotation.Run(j.Context(), "Erp")
		j.must(err)
		if !result.Verified || result.Rotated && j.credentials.Key == before.Key {
			j.Errorf("the rotation ends with %+v", result)
		}
		j.verify()
	}
	status, err := (&consumer.Client{Conn: j.conn}).Status(j.Context(), "Erp")
	j.must(err)
	if status.Beside == nil || status.Beside.State != consumer.Rotated {
		j.Errorf("after the rotation the staged credentials are %+v", status.Beside)
	}
}

// connect lets the org call itself with the credentials, and as JWT bearer.
func (j *journey) connect() {
	// Without the client ID, Connect cannot know whether the stored secret is the right one.
	replaces := j.facts.Is("client-id-shown", "hidden")
	c := connection.Connection{NamedCredential: "Erp", ProviderURL: j.org.URL, PermissionSets: []string{"Callers"}}
	byJWT := connection.Connection{NamedCredential: "ErpJwt", ProviderURL: j.org.URL, Certificate: "Erp", Username: "robot@example.com", PermissionSets: []string{"Callers"}}
	run := func() (changed int) {
		for _, c := range []connection.Connection{c, byJWT} {
			report, err := credential.Connect(j.Context(), j.conn, c, j.credentials, credential.Options{})
			j.must(err)
			if report.Status != "Configured" || report.Pending != 0 {
				j.Errorf("%s is %+v", c.NamedCredential, report)
			}
			changed += report.Changed
		}
		return changed
	}
	if run() == 0 {
		j.Error("the first run changes nothing")
	}
	j.unchanged(func() {
		if n := run(); n != 0 && !replaces {
			j.Errorf("the second run changes %d", n)
		}
		if replaces {
			j.org.ForgetRequests()
		}
	})
	examined, err := credential.Examine(j.Context(), j.conn, "Erp")
	j.must(err)
	if len(examined.Callers) != 1 || !examined.Callers[0].Reads {
		j.Errorf("examined %+v", examined)
	}
}

// cutOver revokes the tokens of the Connected App.
func (j *journey) cutOver() {
	client := &cutover.Client{Conn: j.conn}
	revoked, err := client.RevokeOld(j.Context(), "Erp", true)
	j.must(err)
	if revoked.Tokens != 2 || revoked.Revoked != 2 {
		j.Errorf("revoked %+v", revoked)
	}
	j.unchanged(func() {
		if again, err := client.RevokeOld(j.Context(), "Erp", true); err != nil || again.Tokens != 0 {
			j.Errorf("the second run finds %+v, %v", again, err)
		}
	})
	j.verify()
}

// repair breaks the app's OAuth and repairs it. The app has a new consumer then.
func (j *journey) repair() {
	j.org.Inject(simorg.Fault{
		Refuse: "UNKNOWN_EXCEPTION", RefuseWith: `duplicate key value violates unique constraint "ak3tl_setup_entity_data"`,
		Fits: func(r simorg.Request) bool { return r.Operation == "upsertMetadata" },
	})
	result, err := repair.Recreate(j.Context(), j.conn, "Erp", repair.Options{})
	j.must(err)
	if !result.NewConsumer {
		j.Errorf("the repair ends with %+v", result)
	}
	if found, err := repair.Find(j.Context(), j.conn); err != nil || len(found) != 0 {
		j.Errorf("after the repair there are %v, %v", found, err)
	}
	again, err := repair.Recreate(j.Context(), j.conn, "Erp", repair.Options{})
	if err != nil || len(again.Deleted)+len(again.Created) > 0 {
		j.Errorf("the second repair ends with %+v, %v", again, err)
	}
	// Repaired settings can lack the certificate, which the project has.
	source, err := wanted.Load(wanted.Location{Project: os.DirFS(j.dir), Dir: "."})
	j.must(err)
	_, err = bootstrap.Run(j.Context(), j.conn, source, bootstrap.Options{Alias: "uat", Headers: true, ApplyPolicies: true})
	j.must(err)
	main := j.org.Pairs("Erp")[0]
	j.credentials = login.Credentials{Key: main.Key, Secret: salesforce.NewSecret(main.Secret)}
	j.verify()
}

func (j *journey) audit() {
	snapshot, err := audit.Read(j.Context(), j.conn)
	j.must(err)
	report, err := snapshot.Judge(audit.Options{})
	j.must(err)
	if !slices.ContainsFunc(report.Apps, func(a *audit.App) bool { return a.Name == "Erp" && a.Kind == audit.External }) {
		j.Errorf("the audit lacks the app: %+v", report.Apps)
	}
}
