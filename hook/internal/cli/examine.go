package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/credential"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// connectionReport is what --json says of a connection. It holds no secret.
type connectionReport struct {
	*credential.Examination
	ConsumerKey string `json:"consumerKey,omitempty"` // that is stored, shortened; "" where the org does not tell
	// Provider is the org that is called, "" where nothing names it.
	Provider string `json:"provider,omitempty"`
	// Login is that with the pair that is stored.
	Login *login.Proof `json:"login,omitempty"`
}

// examine says what a callout of a named credential would meet on the orgs.
func (c *verifyCmd) examine(ctx context.Context, e *env, targets []string) (result, error) {
	app, declared, err := c.provides()
	if err != nil {
		return nil, err
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*connectionReport]{
		Last:   func(r *connectionReport) string { return r.last(targets[0]) },
		Column: "PRINCIPAL", Cell: func(r *connectionReport) string { return r.Status },
		Ended: func(r *connectionReport) string { return ", " + console.Plural(len(r.Findings), "warning") },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*connectionReport, error) {
			r, err := c.examineOrg(ctx, e, org, work, app, declared)
			if err != nil {
				return r, err
			}
			if err := r.tell(work); err != nil {
				return r, &orgs.Error{Org: org, Err: err}
			}
			return r, nil
		},
	})
}

// provides returns the app whose credentials a connection has and, unless --from names it, the org
// that is called, by the alias of the one that calls.
func (c *verifyCmd) provides() (app string, declared map[string]string, err error) {
	if c.From != "" {
		app, err = c.app()
		return app, nil, err
	}
	settings, err := settingsHere()
	if err != nil {
		return c.App, nil, nil // without a project, nothing declares connections
	}
	connection := settings.Connections[c.Connection]
	return cmp.Or(c.App, connection.App), connection.From, nil
}

// examineOrg examines the connection on one org.
func (c *verifyCmd) examineOrg(ctx context.Context, e *env, org string, work *orgs.Work, app string, declared map[string]string) (*connectionReport, error) {
	r, from := &connectionReport{}, c.From
	_, err := orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (_ struct{}, err error) {
		if from == "" {
			from = declared[session.Alias]
		}
		r.Examination, err = credential.Examine(ctx, conn, c.Connection)
		return struct{}{}, err
	})
	if err != nil {
		return nil, err
	}
	for i := range r.Findings {
		f := &r.Findings[i]
		f.Fix = advice.Fix(f.Fix, f.Rule, org, app)
	}
	if r.ClientID != "" {
		r.ConsumerKey = login.Credentials{Key: r.ClientID}.ShortKey()
	}
	if from == "" || r.ExternalCredential == "" || r.Unmanaged != "" {
		return r, nil
	}
	r.Provider = from
	if err := c.provider(ctx, e, work, r, app); err != nil {
		if c.From != "" || ctx.Err() != nil {
			return r, err
		}
		r.warn("provider", "the called org cannot be read: "+console.OneLine(err.Error()), "log in to it with a user who can read its credentials")
	}
	return r, nil
}

func (r *connectionReport) find(level finding.Level, rule, problem, says, fix string) {
	r.Findings = append(r.Findings, finding.Finding{Rule: rule, Level: level, File: "ExternalCredential " + r.ExternalCredential, Problem: problem, Says: says, Fix: fix})
}

func (r *connectionReport) warn(rule, problem, fix string) {
	r.find(finding.Warning, rule, problem, "", fix)
}

// provider compares what is stored with the app on the org that is called, and logs in with it.
func (c *verifyCmd) provider(ctx context.Context, e *env, work *orgs.Work, r *connectionReport, app string) error {
	_, err := orgs.On(ctx, e.Env, orgs.NewWork(work.For(r.Provider), c.Verbose), &c.callFlags, r.Provider,
		func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (struct{}, error) {
			if at := conn.InstanceURL + "/services/oauth2/token"; r.TokenURL != "" && !strings.EqualFold(r.TokenURL, at) {
				r.find(finding.Error, "other-org", fmt.Sprintf("fetches tokens from %s, and %s is at %s", r.TokenURL, r.Provider, at), "", "eca connect --from "+r.Provider+" --replace")
				return struct{}{}, nil
			}
			client := &consumer.Client{Conn: conn}
			if r.Variant == "JwtBearer" { // whose private key is on the org that calls
				key, err := client.Key(ctx, app)
				if err == nil && r.ClientID != "" && r.ClientID != key {
					r.otherKey(app)
				}
				return struct{}{}, err
			}
			var status *consumer.Status
			_, err := c.during(ctx, e, client, work, app, func(*access) (err error) {
				status, err = client.Status(ctx, app)
				return err
			})
			if err != nil {
				return struct{}{}, err
			}
			pair := status.Main
			if beside := status.Beside; r.ClientID != "" && r.ClientID != pair.Key {
				switch {
				case beside == nil || r.ClientID != beside.Key:
					r.otherKey(app)
					return struct{}{}, nil
				case beside.State == consumer.Rotated:
					r.warn("old-key", fmt.Sprintf("the stored credentials were rotated, and work until %s", beside.Expires.Format(time.DateOnly)), "store the new one with eca connect --from "+r.Provider)
				}
				pair = beside.Credentials
			}
			with := login.ClientCredentials(conn.InstanceURL, pair)
			with.Retry = conn.Retry
			r.Login, err = with.Verify(ctx, conn.HTTPClient)
			attempt := login.Attempt{App: status.Consumer.App, Created: status.Consumer.Created}
			if d, known := errors.AsType[*loginError](lookAtRefusal(ctx, conn, attempt, err, r.Provider)); known {
				refused, _ := errors.AsType[*salesforce.TokenRefusal](err)
				r.find(finding.Error, "login-refused", fmt.Sprintf("%s refuses the login: %s", r.Provider, d.says), refused.Description, d.hint)
				err = nil
			}
			return struct{}{}, err
		})
	return err
}

func (r *connectionReport) otherKey(app string) {
	r.find(finding.Error, "other-key", fmt.Sprintf("the key that is stored, %s, is not that of %s on %s", r.ConsumerKey, app, r.Provider), "", "store the new one with eca connect --from "+r.Provider)
}

// last says what was found out on one org.
func (r *connectionReport) last(org string) string {
	text := fmt.Sprintf("nothing keeps a callout of %s on %s from working", r.NamedCredential, org)
	if n := len(r.Findings); n > 0 {
		text += ", with " + console.Plural(n, "warning")
	}
	return text
}

// tell prints what a callout would meet, and returns an error where it would fail.
func (r *connectionReport) tell(work *orgs.Work) error {
	x := r.Examination
	if x.Unmanaged != "" {
		return foundError{fmt.Errorf("%s is not managed by eca, so nothing was checked: it is %s", x.NamedCredential, x.Unmanaged)}
	}
	if x.Endpoint != "" {
		work.Line("%s calls %s, by the external credential %s", x.NamedCredential, x.Endpoint, x.ExternalCredential)
	}
	if x.TokenURL != "" {
		work.Line("tokens from %s, %s", x.TokenURL, x.Variant)
	}
	if x.Principal != "" {
		key := ""
		if r.ConsumerKey != "" {
			key = ", consumer key " + r.ConsumerKey
		}
		work.Line("principal %s, %s%s", x.Principal, x.Status, key)
	}
	for _, caller := range x.Callers {
		work.Line("permission set %s, %s", caller.PermissionSet, console.Plural(caller.Users, "user"))
	}
	if r.Login != nil {
		work.Line("on %s, the login is %s, scopes %s", r.Provider, r.Login.Username, strings.Join(r.Login.Scopes, " "))
		if !r.Login.Revoked {
			work.Warn("the token could not be revoked: %s", r.Login.RevokeError)
		}
	}
	first := ""
	for _, f := range r.Findings {
		message := f.Place() + ": " + f.Message()
		if f.Level == finding.Error && first == "" {
			first = message
			continue // the error says it
		}
		work.Line("%s", string(f.Level)+": "+message)
	}
	if n := finding.Count(r.Findings, finding.Error); n > 1 {
		return fmt.Errorf("a callout of %s would fail for %d reasons; the first: %s", x.NamedCredential, n, first)
	} else if n == 1 {
		return fmt.Errorf("a callout of %s would fail: %s", x.NamedCredential, first)
	}
	return nil
}
