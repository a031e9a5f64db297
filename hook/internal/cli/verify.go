package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

type verifyCmd struct {
	appFlags    `embed:""`
	orgFlags    `embed:""`
	callFlags   `embed:""`
	accessFlags `embed:""`
	JWTKey      string        `name:"jwt-key" aliases:"jwt-key-file" placeholder:"FILE" help:"Log in by JWT bearer with this RSA private key (PEM, PKCS#1 or PKCS#8). - reads standard input, for the output of a command."`
	Username    string        `placeholder:"USER" help:"User to log in as by JWT bearer."`
	Browser     bool          `help:"Log in by authorization code with PKCE, in a browser on this machine. The app needs a callback URL on localhost."`
	Connection  string        `placeholder:"NAME" help:"Look at a named credential of the orgs instead, and say what a callout would meet."`
	From        string        `placeholder:"PROVIDER" help:"Org that has the consumer: of an app from a package, the one where the package was made. With --connection: org that is called, whose app the stored credentials are tried with; otherwise the one that plugins.eca names."`
	Wait        time.Duration `placeholder:"30m" help:"Keep asking for this long while the org does not know the consumer yet. Without it, only consumers younger than half an hour are waited for."`
}

func (verifyCmd) Help() string {
	return `Gets a token by client credentials, or by JWT bearer with --jwt-key and --username, or in a browser with --browser; asks the org whom the token is for; and revokes it whatever happens. Says whether that is the run-as user of the policies, which scopes the token has, and what is behind a refusal.

With --connection, looks at how the orgs call another one: named and external credential, principal, permission sets and who has them, and the login on the org that is called.

eca verify --connection Crm --from crm-uat --app MyApp -o uat`
}

// verifyReport is what --json says of a login to one org. It holds no secret.
type verifyReport struct {
	App         string       `json:"app"`
	BaseURL     string       `json:"baseUrl"`
	ConsumerKey string       `json:"consumerKey"` // shortened
	Login       *login.Proof `json:"login,omitempty"`
	// RunAsUser is whom the org's policies let client credentials run as, "" where they name
	// nobody.
	RunAsUser string `json:"runAsUser,omitempty"`
	// CertificateExpires is when the app's certificate does, in RFC 3339.
	CertificateExpires string `json:"certificateExpires,omitempty"`
	// Cause and Says explain a refusal: what the token endpoint said.
	Cause login.Cause `json:"cause,omitempty"`
	Says  string      `json:"says,omitempty"`
}

// loginError says that a login was refused, and why.
type loginError struct {
	app, means, fix, more string
	err                   error
}

func (e *loginError) Error() string {
	text := fmt.Sprintf("%s: %v: %s", e.app, e.err, e.means)
	if e.more != "" {
		text += "; " + e.more
	}
	if e.fix != "" {
		text += "; " + e.fix
	}
	return text
}

func (e *loginError) Unwrap() error { return e.err }

func (c *verifyCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	var key salesforce.Secret
	switch {
	case (c.JWTKey == "") != (c.Username == ""):
		return nil, usage.Errorf("--jwt-key and --username belong together")
	case c.JWTKey != "" && c.Browser:
		return nil, usage.Errorf("--browser and --jwt-key are two ways to log in; choose one")
	case c.JWTKey != "":
		var err error
		if key, err = readKey(c.JWTKey, e.Stdin); err != nil {
			return nil, usage.Errorf("--jwt-key: %w", err)
		}
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	if c.Connection != "" {
		return c.examine(ctx, e, targets)
	}
	if c.From != "" && (c.JWTKey != "" || c.Browser) {
		return nil, usage.Errorf("--from reads key and secret for client credentials; it goes with neither --jwt-key nor --browser")
	}
	source := &providers{e: e, flags: &c.callFlags, access: &c.accessFlags}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	if c.Browser && c.Several(targets) {
		return nil, usage.Errorf("--browser logs in to one org")
	}
	if c.Browser && e.JSON {
		return nil, usage.Errorf("--browser prints the page to open, and --json leaves no room for it")
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*verifyReport]{
		Column: "LOGGED IN AS", Cell: func(r *verifyReport) string {
			if r.Login == nil {
				return "-"
			}
			return r.Login.Username
		},
		Ended: func(r *verifyReport) string { return ", as " + r.Login.Username },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*verifyReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*verifyReport, error) {
				var r *verifyReport
				if c.From != "" {
					return c.verify(ctx, e, work, app, key, session, conn, source)
				}
				_, err := c.during(ctx, &consumer.Client{Conn: conn}, work, func() (err error) {
					r, err = c.verify(ctx, e, work, app, key, session, conn, nil)
					return err
				})
				return r, err
			})
		},
	})
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

// verify logs in to one org. source gives key and secret where another org has them, otherwise it
// is nil.
func (c *verifyCmd) verify(ctx context.Context, e *env, work *orgs.Work, app string, key salesforce.Secret, session *orgauth.Session, conn *salesforce.Conn, source *providers) (*verifyReport, error) {
	client := &consumer.Client{Conn: conn}
	r := &verifyReport{App: app, BaseURL: conn.InstanceURL}
	attempt := login.Attempt{App: app, Username: c.Username, Key: key}
	var pair login.Credentials
	var global, policies *metadata.Component
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error {
		found, err := client.Find(groupCtx, app)
		if err != nil {
			return err
		}
		r.App, attempt.App, attempt.Created = found.App, found.App, found.Created
		switch {
		case source != nil:
			var given provided
			given, err = source.get(groupCtx, work, link{Connection: connection.Connection{NamedCredential: found.App}, app: found.App, from: c.From}, false)
			pair = given.pair
		case key.IsZero() && !c.Browser:
			pair, err = client.Credentials(groupCtx, found)
		}
		return err
	})
	group.Go(func() (err error) {
		policies, err = apps.Component(groupCtx, conn, app, eca.OAuthPolicies)
		return err
	})
	if !key.IsZero() || c.Browser {
		group.Go(func() (err error) {
			global, err = apps.Component(groupCtx, conn, app, eca.GlobalOAuthSettings)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return r, err
	}
	if policies != nil && eca.Bool(policies, "isClientCredentialsFlowEnabled") {
		r.RunAsUser = strings.TrimSpace(policies.Text("clientCredentialsFlowUser"))
	}
	with := login.ClientCredentials(conn.InstanceURL, pair)
	if !key.IsZero() || c.Browser {
		if global == nil || global.Text("consumerKey") == "" {
			return r, &apps.NoOAuthError{App: app, Lack: "OAuth consumer"}
		}
		pair.Key = global.Text("consumerKey")
		if certificate, err := x509.ParseCertificate(metadata.CertificateDER(global.Text("certificate"))); err == nil && !key.IsZero() {
			r.CertificateExpires = certificate.NotAfter.UTC().Format(time.RFC3339)
			if left := time.Until(certificate.NotAfter); left < 30*24*time.Hour {
				work.Warn("the certificate of %s expires on %s; state a new one in globalOauthSettings.certificate and run eca bootstrap", r.App, certificate.NotAfter.Format(time.DateOnly))
			}
		}
		with = login.JWT(conn.InstanceURL, pair.Key, key, c.Username)
	}
	if c.Browser {
		var err error
		if with, err = c.browse(ctx, e, client, r.App, global, conn); err != nil {
			return r, err
		}
	}
	r.ConsumerKey = pair.ShortKey()
	with.Retry = conn.Retry
	wait := c.Wait
	if wait == 0 && !attempt.Created.IsZero() {
		wait = time.Until(attempt.Created.Add(login.MaxPropagation)) // not positive for an old one
	}
	proof, err := with.VerifyWaiting(ctx, conn.HTTPClient, login.Patience{Limit: wait, Waiting: waitingLine(work)})
	r.Login = proof
	if why, known := login.Explain(err); known {
		r.Cause = why.Cause
		if refused, ok := errors.AsType[*salesforce.TokenRefusal](err); ok {
			r.Says = refused.Description
		}
		more := login.Diagnose(ctx, conn, why, attempt)
		if file := policiesFile(r.App, session.Alias); why.Cause == login.NoRunAsUser && file != "" {
			more = "the file is " + file
		}
		if more != "" && why.Cause == login.NotAuthorised {
			why.Fix = "" // which it says in detail
		}
		err = &loginError{r.App, why.Means, why.Fix, more, err}
	}
	if err != nil {
		return r, err
	}
	work.Line("%s: logged in by %s as %s, scopes %s", r.App, proof.Flow, proof.Username, strings.Join(proof.Scopes, " "))
	if proof.Revoked {
		work.Line("the token is revoked again")
	} else {
		work.Warn("the token could not be revoked: %s", proof.RevokeError)
	}
	if key.IsZero() && !c.Browser && r.RunAsUser != "" && !strings.EqualFold(r.RunAsUser, proof.Username) {
		return r, fmt.Errorf("%s: the login is %s, and the policies let client credentials run as %s", r.App, proof.Username, r.RunAsUser)
	}
	return r, nil
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
