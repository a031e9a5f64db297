package cli

import (
	"context"
	"time"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type tokenCmd struct {
	appFlags    `embed:""`
	orgFlags    `embed:""`
	callFlags   `embed:""`
	accessFlags `embed:""`
	JWTKey      string         `name:"jwt-key" aliases:"jwt-key-file" placeholder:"FILE" help:"Log in by JWT bearer with this RSA private key (PEM, PKCS#1 or PKCS#8). - reads standard input."`
	Username    string         `placeholder:"USER" help:"User to log in as by JWT bearer."`
	Wait        *time.Duration `placeholder:"30m" help:"How long to retry until Salesforce accepts a new consumer; 0s does not wait. Default: until half an hour after its creation, and not longer than --timeout allows."`
	Format      string         `enum:"json,env,curl,postman,http" default:"json" help:"json or env: the token. curl, postman (a collection) or http (for the REST Client of VS Code): a token request that reads the secret from ECA_CLIENT_SECRET and contains neither secret nor token."`
	Show        bool           `help:"Print the token on a terminal."`
	Output      *string        `aliases:"output-file" placeholder:"FILE" help:"File to write to, with mode 0600, or - for standard output. A token that is written stays valid."`
	Command     []string       `arg:"" optional:"" name:"command" help:"After --: a command that gets the token in ECA_ACCESS_TOKEN and SF_ACCESS_TOKEN, and the URL of the org in SF_ORG_INSTANCE_URL. The token is revoked when the command ends."`
}

func (tokenCmd) Help() string {
	return `Requests an access token with client credentials, or with JWT bearer (--jwt-key and --username), and runs a command with it. The token is revoked when the command ends, also after an interrupt or --timeout. Output of the command is masked.

With --output, writes the token to a file instead. It stays valid until the session ends, or until eca revoke --sessions ends it.

With --format curl, postman or http, writes a token request to use elsewhere.

  eca token -o uat --app MyApp -- ./load.sh`
}

// tokenReport is what --json says of a token. It holds no secret.
type tokenReport struct {
	App         string   `json:"app"`
	BaseURL     string   `json:"baseUrl"`
	ConsumerKey string   `json:"consumerKey"` // shortened
	Flow        string   `json:"flow"`
	Format      string   `json:"format"`
	Scopes      []string `json:"scopes,omitempty"`
	// Revoked reports that the token was revoked afterwards.
	Revoked bool `json:"revoked"`
	// Cause and Says explain a refusal, as for verify.
	Cause refusal.Cause `json:"cause,omitempty"`
	Says  string        `json:"says,omitempty"`
}

// isRequest reports whether the format is a request, which has neither token nor secret.
func (c *tokenCmd) isRequest() bool { return c.Format != "json" && c.Format != "env" }

func (c *tokenCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if err := e.checkCommand(c.Command); err != nil {
		return nil, err
	}
	// A token is requested as verify does it.
	verify := &verifyCmd{appFlags: c.appFlags, orgFlags: c.orgFlags, callFlags: c.callFlags, accessFlags: c.accessFlags, JWTKey: c.JWTKey, Username: c.Username, Wait: c.Wait}
	if err := verify.check(); err != nil {
		return nil, err
	}
	if len(c.Command) > 0 && c.Format != "json" {
		return nil, usage.Errorf("a command gets the token in its environment: leave out --format")
	}
	if c.isRequest() && c.JWTKey != "" {
		return nil, usage.Errorf("--format %s is for client credentials: the JWT of --jwt-key is valid for three minutes only", c.Format)
	}
	key, err := verify.privateKey(e)
	if err != nil {
		return nil, err
	}
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	if c.Several(targets) {
		return nil, usage.Errorf("eca token requests a token of one org")
	}
	flags := &secrets.Flags{Format: c.Format, Show: c.Show, Output: c.Output, Command: c.Command}
	sink, err := flags.Sink(e.output(), targets, false, c.isRequest())
	if err != nil {
		return nil, err
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*tokenReport]{
		Last: func(r *tokenReport) string { return c.last(r, targets[0]) },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*tokenReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*tokenReport, error) {
				v := &verification{
					verifyCmd: verify, env: e, work: work, session: session, conn: conn, client: &consumer.Client{Conn: conn}, key: key, command: "token",
					report:  &verifyReport{App: app, BaseURL: conn.InstanceURL},
					attempt: login.Attempt{App: app, Username: c.Username, Key: key},
				}
				if c.isRequest() {
					return c.request(ctx, v, org, sink)
				}
				return c.token(ctx, v, org, sink)
			})
		},
	})
}

// last says what a run has done on one org.
func (c *tokenCmd) last(r *tokenReport, org string) string {
	switch {
	case c.isRequest():
		return "wrote a token request of " + r.App + " for " + org
	case len(c.Command) > 0:
		return c.Command[0] + " has run with a token of " + r.App + " on " + org
	}
	return "exported a token of " + r.App + " on " + org
}

// token requests a token, passes it to where it goes, and revokes it unless it was written there.
func (c *tokenCmd) token(ctx context.Context, v *verification, org string, sink *secrets.Sink) (*tokenReport, error) {
	r := &tokenReport{App: v.report.App, BaseURL: v.conn.InstanceURL, Format: c.Format}
	session, flow, err := v.open(ctx)
	r.App, r.ConsumerKey, r.Cause, r.Says = v.report.App, v.report.ConsumerKey, v.report.Cause, v.report.Says
	if err != nil {
		return r, err
	}
	r.Flow, r.Scopes = flow, session.Scopes
	if len(c.Command) > 0 {
		v.work.Await("the command " + c.Command[0])
	}
	err = sink.Take(ctx, &secrets.Credentials{Org: org, App: r.App, BaseURL: r.BaseURL, Token: session.Token(), Stdin: v.env.Stdin})
	if err == nil && len(c.Command) == 0 {
		if err = sink.Close(); err == nil {
			v.work.Line("exported an access token of %s by %s; it stays valid until it is revoked or the session ends", r.App, flow)
			return r, nil
		}
	}
	failed := session.Revoke(ctx)
	if r.Revoked = failed == nil; r.Revoked {
		v.work.Line("the token is revoked again")
	} else {
		v.work.Warn("the token could not be revoked: %v", failed)
	}
	return r, err
}

// request writes a token request for the app.
func (c *tokenCmd) request(ctx context.Context, v *verification, org string, sink *secrets.Sink) (*tokenReport, error) {
	found, err := v.client.Find(ctx, v.report.App)
	if err != nil {
		return nil, err
	}
	v.attempt.App = found.App
	state := login.Look(ctx, v.conn, v.attempt)
	switch flow := state.MadeFor(); {
	case state.Err() != nil:
		return nil, state.Err()
	case state.Global == nil || state.Global.Text("consumerKey") == "":
		return nil, &apps.NoOAuthError{App: found.App, Lack: "OAuth consumer"}
	case flow != login.ByClientCredentials:
		return nil, &flowError{found.App, v.session.String(), v.command, flow}
	}
	pair := login.Credentials{Key: state.Global.Text("consumerKey")}
	if err := pair.Check(); err != nil {
		return nil, err
	}
	r := &tokenReport{App: found.App, BaseURL: v.conn.InstanceURL, ConsumerKey: pair.ShortKey(), Flow: string(login.ByClientCredentials), Format: c.Format}
	sink.TakeRequest(&secrets.Credentials{Org: org, App: r.App, BaseURL: r.BaseURL, Pair: pair, KeyOnly: true})
	if err := sink.Close(); err != nil {
		return r, err
	}
	v.work.Line("wrote a token request of %s; it reads the secret from ECA_CLIENT_SECRET", r.App)
	return r, nil
}
