package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

type verifyCmd struct {
	All         bool   `help:"All Local apps of the project in the working directory; without a project, of each org. One line per app, without waiting. Fails if a login is broken."`
	Format      string `enum:"text,json,junit" default:"text" help:"With --all: text, json, or junit (XML, for CI systems)."`
	appFlags    `embed:""`
	orgFlags    `embed:""`
	callFlags   `embed:""`
	accessFlags `embed:""`
	JWTKey      string         `name:"jwt-key" aliases:"jwt-key-file" placeholder:"FILE" help:"Log in by JWT bearer with this RSA private key (PEM, PKCS#1 or PKCS#8). - reads standard input, for the output of a command."`
	Username    string         `placeholder:"USER" help:"User to log in as by JWT bearer."`
	Browser     bool           `help:"Log in by authorization code with PKCE, in a browser. If no callback URL of the app is on localhost, give eca the address to which the browser is redirected."`
	Connection  string         `placeholder:"NAME" help:"Check a named credential of the orgs instead, with everything that a callout needs."`
	From        string         `placeholder:"PROVIDER" help:"Org that has the app's consumer, for an app from a package: its Dev Hub. With --connection: the org that the named credential calls. Default: the org that plugins.eca names."`
	MCP         optional       `name:"mcp" placeholder:"SERVER" help:"Go the whole way of an AI client to a hosted MCP server, such as platform/sobject-all, and name the step that fails. Without a value: a server that the org has active."`
	AgentAPI    string         `name:"agent-api" placeholder:"AGENT" help:"Go the whole way of a program to a session of an agent, by the ID of the agent (0Xx…), and name the step that fails."`
	DryRun      bool           `name:"dry-run" help:"With --mcp or --agent-api: check everything that needs no login."`
	Wait        *time.Duration `placeholder:"30m" help:"How long to retry until Salesforce accepts a new consumer; 0s does not wait. Default: until half an hour after its creation, and not longer than --timeout allows."`
}

func (verifyCmd) Help() string {
	return `Requests a token with client credentials, with JWT bearer (--jwt-key and --username), or in a browser (--browser). Reports the token's user and scopes, checks that the user is the run-as user of the policies, and always revokes the token. Without a flag, the flow is client credentials, or the error names the flags of the flow that the app is made for.

After a refusal, names the cause that the org shows: the consumer, policies, permission sets, user or certificate. Retries only if the consumer is less than half an hour old and nothing else explains the refusal.

With --connection, checks how the orgs call another org: named and external credential, principal, permission sets and their users, and the login to the other org.

With --mcp, checks whether the server is active, the settings of the app, API Access Control, and who authorizes clients. Then logs in in a browser, checks the token, calls the server, and revokes the token. Prints the URL and the client ID to paste into a client. With --agent-api, does the same for a session of an agent, with client credentials.

With --all, checks the run-as user, the certificate, the grants and the flow of each app, and logs in if client credentials are on and the secret can be read. It warns 30 days before a certificate expires.

  eca verify --all --orgs orgs.txt --format junit
  eca verify --mcp platform/sobject-all --app Assistant -o uat --dry-run
  eca verify --connection Crm --from crm-uat --app MyApp -o uat`
}

// verifyReport is what --json says of a login to one org. It holds no secret.
type verifyReport struct {
	App         string       `json:"app"`
	BaseURL     string       `json:"baseUrl"`
	ConsumerKey string       `json:"consumerKey,omitempty"` // shortened
	Login       *login.Proof `json:"login,omitempty"`
	// RunAsUser is whom the org's policies let client credentials run as, "" where they name
	// nobody.
	RunAsUser string `json:"runAsUser,omitempty"`
	// CertificateExpires is when the app's certificate does, in RFC 3339.
	CertificateExpires string `json:"certificateExpires,omitempty"`
	// Cause and Says explain a refusal: what the token endpoint said.
	Cause refusal.Cause `json:"cause,omitempty"`
	Says  string        `json:"says,omitempty"`
}

// flowError reports that an app is made for another flow than client credentials.
type flowError struct {
	app, org, command string
	flow              login.Flow
}

func (e *flowError) Error() string {
	return fmt.Sprintf("%s is made for %s, and its client credentials flow is off", e.app, e.flow)
}

// check checks flags that exclude or need one another.
func (c *verifyCmd) check() error {
	jwt := c.JWTKey != ""
	switch {
	case c.DryRun && !c.isWay():
		return usage.Errorf("--dry-run goes with --mcp or --agent-api")
	case c.isWay():
		return c.checkWay()
	case c.Wait != nil && *c.Wait < 0:
		return usage.Errorf("--wait must not be negative")
	case jwt != (c.Username != ""):
		return usage.Errorf("--jwt-key and --username belong together")
	case jwt && c.Browser:
		return usage.Errorf("--browser and --jwt-key are two ways to log in; choose one")
	case c.Connection != "" && (jwt || c.Browser || c.Wait != nil):
		return usage.Errorf("--connection checks a named credential: leave out --jwt-key, --browser and --wait")
	case c.Connection != "":
		return nil
	case c.From != "" && (jwt || c.Browser):
		return usage.Errorf("--from reads key and secret for client credentials; it goes with neither --jwt-key nor --browser")
	}
	return nil
}

func (c *verifyCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if err := cmp.Or(c.checkAll(), c.check()); err != nil {
		return nil, err
	}
	key, err := c.privateKey(e)
	if err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	switch {
	case c.All:
		return c.runAll(ctx, e, targets)
	case c.Connection != "":
		return c.examine(ctx, e, targets)
	case c.isWay():
		return c.goWay(ctx, e, targets)
	}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	if c.Browser && c.Several(targets) {
		return nil, usage.Errorf("--browser logs in to one org")
	}
	source := &providers{e: e, flags: &c.callFlags, access: &c.accessFlags}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*verifyReport]{
		Last:   func(r *verifyReport) string { return r.App + " can log in to " + targets[0] },
		Column: "LOGGED IN AS", Cell: func(r *verifyReport) string {
			if r.Login == nil {
				return "-"
			}
			return r.Login.Username
		},
		Ended: func(r *verifyReport) string { return ", as " + r.Login.Username },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*verifyReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*verifyReport, error) {
				v := &verification{
					verifyCmd: c, env: e, work: work, session: session, conn: conn, client: &consumer.Client{Conn: conn}, key: key, command: "verify",
					report:  &verifyReport{App: app, BaseURL: conn.InstanceURL},
					attempt: login.Attempt{App: app, Username: c.Username, Key: key},
				}
				if c.From != "" {
					v.source = source
				}
				return v.report, v.run(ctx)
			})
		},
	})
}

// privateKey reads the private key of --jwt-key, zero without it.
func (c *verifyCmd) privateKey(e *env) (key salesforce.Secret, err error) {
	if c.JWTKey == "" {
		return key, nil
	}
	if key, err = readKey(c.JWTKey, e.Stdin); err != nil {
		return key, usage.Errorf("--jwt-key: %w", err)
	}
	return key, nil
}

// maxKey bounds the file of a private key.
const maxKey = 64 << 10

// readKey reads a private key from a file, or from standard input.
func readKey(name string, stdin io.Reader) (salesforce.Secret, error) {
	from := stdin
	if name != "-" {
		file, err := openRegular(name)
		if err != nil {
			return salesforce.Secret{}, err
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxKey))
	if err != nil {
		return salesforce.Secret{}, fmt.Errorf("%s cannot be read", name)
	}
	key := salesforce.NewSecret(string(data))
	if _, err := login.ParseKey(key); err != nil {
		return salesforce.Secret{}, fmt.Errorf("%s %w", name, err)
	}
	return key, nil
}

// verification is the verification of a login to one org.
type verification struct {
	*verifyCmd
	env     *env
	work    *orgs.Work
	session *orgauth.Session
	conn    *salesforce.Conn
	client  *consumer.Client
	key     salesforce.Secret // the private key of JWT bearer, zero for other flows
	source  *providers        // reads the credentials on the org of --from, nil without it
	command string            // of eca, for hints
	report  *verifyReport
	attempt login.Attempt
	scopes  []string // that a login in a browser requests; nil for all of the app

	credentials login.Credentials
	state       *login.State
}

// byCredentials reports whether the login is by client credentials.
func (v *verification) byCredentials() bool { return v.key.IsZero() && !v.Browser }

// prepare reads what the login needs, and returns the login.
func (v *verification) prepare(ctx context.Context) (*login.Login, error) {
	if err := v.read(ctx); err != nil {
		return nil, err
	}
	with, err := v.login(ctx)
	if err != nil {
		return nil, v.explain(err)
	}
	v.report.ConsumerKey = v.credentials.ShortKey()
	with.Retry = v.conn.Retry
	if d := v.state.Proof(); d != nil {
		return nil, v.told(newLoginError(d, v.session.String()))
	}
	return with, nil
}

// open logs in and leaves the token valid.
func (v *verification) open(ctx context.Context) (session *login.Session, flow string, err error) {
	with, err := v.prepare(ctx)
	if err != nil {
		return nil, "", err
	}
	err = v.patience().Wait(ctx, func(ctx context.Context) (err error) {
		session, err = with.Open(ctx, v.conn.HTTPClient)
		return err
	})
	if err != nil {
		return nil, "", v.explain(err)
	}
	return session, with.Flow, nil
}

func (v *verification) run(ctx context.Context) error {
	with, err := v.prepare(ctx)
	if err != nil {
		return err
	}
	proof, err := with.VerifyWaiting(ctx, v.conn.HTTPClient, v.patience())
	v.state.Wait()
	v.report.Login = proof
	if err != nil {
		return v.explain(err)
	}
	v.work.Line("%s: logged in by %s as %s, scopes %s", v.report.App, proof.Flow, proof.Username, strings.Join(proof.Scopes, " "))
	if proof.Revoked {
		v.work.Line("the token is revoked again")
	} else {
		v.work.Warn("the token could not be revoked: %s", proof.RevokeError)
	}
	if user := v.report.RunAsUser; v.byCredentials() && user != "" && !strings.EqualFold(user, proof.Username) {
		return fmt.Errorf("%s: the login is %s, and the policies let client credentials run as %s", v.report.App, proof.Username, user)
	}
	return nil
}

// patience is how long to wait for a new consumer, if nothing else explains a refusal.
func (v *verification) patience() login.Patience {
	p := login.Patience{Waiting: waitingLine(v.work), NotYet: func(err error) bool {
		d := v.state.Diagnose(err)
		return d != nil && d.Cause == refusal.NewConsumer && (d.Found || v.Wait != nil)
	}}
	switch created := v.state.Created; {
	case v.Wait != nil:
		p.Limit = *v.Wait
	case !created.IsZero():
		p.Limit = time.Until(created.Add(login.MaxPropagation)) // not positive for an old one
	}
	return p
}

// read reads the app, what its logins depend on and, for client credentials, key and secret.
func (v *verification) read(ctx context.Context) error {
	app := v.report.App
	var looking sync.WaitGroup
	looking.Go(func() { v.state = login.Look(ctx, v.conn, v.attempt) })
	if v.EnableAccess {
		looking.Wait() // an app of another flow needs no access
	}
	found, err := v.client.Find(ctx, app)
	if err == nil {
		v.report.App = found.App
		switch {
		case v.source != nil:
			var given provided
			given, err = v.source.get(ctx, v.work, link{Connection: connection.Connection{NamedCredential: found.App}, app: found.App, from: v.From}, false)
			v.credentials = given.pair
		case v.byCredentials() && !(v.EnableAccess && v.state.MadeFor() != login.ByClientCredentials):
			_, err = v.during(ctx, v.env, v.client, v.work, found.App, func(*access) (err error) {
				v.credentials, err = v.client.Credentials(ctx, found)
				return err
			})
		}
	}
	looking.Wait()
	if found != nil {
		v.state.App, v.state.Created = found.App, found.Created
	}
	if flow := v.state.MadeFor(); v.byCredentials() && v.source == nil && v.state.Global != nil && flow != login.ByClientCredentials {
		return &flowError{v.state.App, v.session.String(), v.command, flow}
	}
	if err = cmp.Or(err, v.state.Err()); err != nil {
		return err
	}
	if policies := v.state.Policies; policies != nil && eca.Bool(policies, "isClientCredentialsFlowEnabled") {
		v.report.RunAsUser = strings.TrimSpace(policies.Text("clientCredentialsFlowUser"))
	}
	return nil
}

// login returns the login to verify.
func (v *verification) login(ctx context.Context) (*login.Login, error) {
	if v.byCredentials() {
		return login.ClientCredentials(v.conn.InstanceURL, v.credentials), nil
	}
	global := v.state.Global
	if global == nil || global.Text("consumerKey") == "" {
		return nil, &apps.NoOAuthError{App: v.attempt.App, Lack: "OAuth consumer"}
	}
	v.credentials.Key = global.Text("consumerKey")
	if v.Browser {
		return v.browse(ctx, v.env, v.work, v.client, v.report.App, global, v.conn, v.scopes...)
	}
	if certificate := v.state.Certificate; certificate != nil {
		v.report.CertificateExpires = certificate.NotAfter.UTC().Format(time.RFC3339)
		if left := time.Until(certificate.NotAfter); left > 0 && left < 30*24*time.Hour {
			v.work.Warn("the certificate of %s expires on %s; state a new one in globalOauthSettings.certificate and run eca bootstrap",
				v.report.App, certificate.NotAfter.Format(time.DateOnly))
		}
	}
	return login.JWT(v.conn.InstanceURL, v.credentials.Key, v.key, v.Username), nil
}

// explain returns a refused login as a *loginError, and any other error as it is.
func (v *verification) explain(err error) error {
	err = refusedLogin(v.state, err, v.session.String())
	if refused, ok := err.(*loginError); ok {
		return v.told(refused)
	}
	return err
}

// told notes a refused login in the report, and adds to its hint which file has the policies.
func (v *verification) told(refused *loginError) error {
	v.report.Cause = refused.Cause
	if answer, ok := errors.AsType[*salesforce.TokenRefusal](refused.Err); ok {
		v.report.Says = answer.Description
	}
	switch refused.Cause {
	case refusal.NoRunAsUser, refusal.PoliciesFlowOff, refusal.NotApproved, refusal.UnknownUser:
		if file := policiesFile(v.report.App, v.session.Alias); file != "" && v.key.IsZero() {
			refused.hint += "; the policies are in " + file
		}
	}
	return refused
}

// policiesFile returns the file of the project in the working directory that holds the app's
// OAuth policies for an org, "" where there is none.
func policiesFile(app, alias string) string {
	root, _, err := findProject(".")
	if err != nil {
		return ""
	}
	fsys, err := openDir(root)
	if err != nil {
		return ""
	}
	proj, err := sfp.ReadProject(fsys, sfp.ProjectFile)
	if err != nil {
		return ""
	}
	for _, p := range proj.Packages {
		source := project.ReadSource(fsys, p.Path)
		folders, err := source.DeployedFolders(p, alias, true)
		if err != nil {
			continue
		}
		for _, file := range source.Deployed(folders, eca.OAuthPolicies) {
			if strings.EqualFold(file.App(), app) {
				return file.File
			}
		}
	}
	return ""
}
