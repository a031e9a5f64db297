package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/agent"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// wayReport is what --json says of the way of an AI client. It contains no secret.
type wayReport struct {
	*agent.Report
	DryRun bool `json:"dryRun,omitempty"`
	// Revoked reports that the token was revoked afterwards. If that failed, RevokeError is why.
	Revoked     bool   `json:"revoked,omitempty"`
	RevokeError string `json:"revokeError,omitempty"`
}

// wayError reports the step at which the way of an AI client ends.
type wayError struct {
	app        string
	step       agent.Step
	says, hint string
}

func (e *wayError) Error() string {
	text := fmt.Sprintf("%s: %s: %s", e.app, e.step.Stage, e.says)
	if e.step.Says != "" {
		text = fmt.Sprintf("%s: %s: %s: %s", e.app, e.step.Stage, e.step.Says, e.says)
	}
	return text
}

// isWay reports whether the flags ask for the way of an AI client.
func (c *verifyCmd) isWay() bool { return c.MCP.set || c.AgentAPI != "" }

// checkWay checks flags that exclude --mcp or --agent-api.
func (c *verifyCmd) checkWay() error {
	flag := "--mcp"
	if c.AgentAPI != "" {
		flag = "--agent-api"
	}
	switch {
	case c.MCP.set && c.AgentAPI != "":
		return usage.Errorf("--mcp and --agent-api are two ways; choose one")
	case c.All, c.JWTKey != "", c.Username != "", c.Connection != "", c.From != "":
		return usage.Errorf("%s goes without --all, --jwt-key, --username, --connection and --from", flag)
	case c.Browser && c.AgentAPI != "":
		return usage.Errorf("--agent-api logs in with client credentials; leave out --browser")
	case c.Wait != nil && *c.Wait < 0:
		return usage.Errorf("--wait must not be negative")
	}
	return nil
}

// goWay goes the way of an AI client to the orgs.
func (c *verifyCmd) goWay(ctx context.Context, e *env, targets []string) (result, error) {
	app, err := c.app()
	if err != nil {
		return nil, err
	}
	if c.MCP.set && !c.DryRun && c.Several(targets) {
		return nil, usage.Errorf("--mcp logs in to one org; with --dry-run it checks several")
	}
	goal := func(r *wayReport) string {
		if r.Agent != "" {
			return "agent " + r.Agent
		}
		return r.Server
	}
	return onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*wayReport]{
		Last: func(r *wayReport) string {
			if c.DryRun {
				return fmt.Sprintf("%s passes the checks without a login for %s of %s", r.App, goal(r), targets[0])
			}
			return fmt.Sprintf("%s can use %s of %s", r.App, goal(r), targets[0])
		},
		Column: "TO", Cell: goal,
		Ended: func(r *wayReport) string { return ", " + goal(r) },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*wayReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*wayReport, error) {
				w := &way{verifyCmd: c, env: e, work: work, session: session, conn: conn, app: app}
				if c.AgentAPI != "" {
					return w.agentAPI(ctx)
				}
				return w.mcp(ctx)
			})
		},
	})
}

// way is the way of an AI client to one org.
type way struct {
	*verifyCmd
	env     *env
	work    *orgs.Work
	session *orgauth.Session
	conn    *salesforce.Conn
	app     string

	found *agent.App // nil until it is read
	given *wayReport
}

// mcp goes the way to an MCP server.
func (w *way) mcp(ctx context.Context) (*wayReport, error) {
	m := &agent.MCP{
		Conn: w.conn, App: w.app, Server: w.MCP.text,
		Wait: w.Wait, Waiting: waitingLine(w.work), Progress: w.step,
	}
	if w.DryRun {
		m.Wait = new(time.Duration)
	}
	err := m.Check(ctx)
	w.found, w.given = m.Found, &wayReport{Report: m.Report, DryRun: w.DryRun}
	if err != nil {
		return w.given, err
	}
	if w.DryRun || w.blocked() {
		return w.given, w.end()
	}
	return w.given, w.with(ctx, m.Scopes(), m.Finish)
}

// agentAPI goes the way to a session of an agent.
func (w *way) agentAPI(ctx context.Context) (*wayReport, error) {
	a := &agent.API{Conn: w.conn, App: w.app, Agent: w.AgentAPI, OrgID: w.session.OrgID, Progress: w.step}
	err := a.Check(ctx)
	w.found, w.given = a.Found, &wayReport{Report: a.Report, DryRun: w.DryRun}
	if err != nil {
		return w.given, err
	}
	if w.DryRun || w.blocked() {
		return w.given, w.end()
	}
	return w.given, w.with(ctx, nil, a.Finish)
}

// blocked reports whether a step has failed without which a login is of no use. API Access Control does not end the
// way: it blocks tools, unless the user of the login may use any client.
func (w *way) blocked() bool {
	for _, step := range w.given.Steps {
		if step.State == agent.Failed && step.Cause != agent.APIAccessControl {
			return true
		}
	}
	return false
}

// with logs in, goes the rest of the way, and revokes the token.
func (w *way) with(ctx context.Context, scopes []string, rest func(context.Context, *login.Session) error) error {
	verify := *w.verifyCmd
	verify.Browser = w.MCP.set
	v := &verification{
		verifyCmd: &verify, env: w.env, work: w.work, session: w.session, conn: w.conn, client: &consumer.Client{Conn: w.conn}, command: "verify",
		report:  &verifyReport{App: w.given.App, BaseURL: w.conn.InstanceURL},
		attempt: login.Attempt{App: w.given.App}, scopes: scopes,
	}
	session, _, err := v.open(ctx)
	if err != nil {
		return w.refused(err)
	}
	err = rest(ctx, session)
	if failed := session.Revoke(ctx); failed != nil {
		w.given.RevokeError = failed.Error()
		w.work.Warn("the token could not be revoked: %s", w.given.RevokeError)
	} else {
		w.given.Revoked = true
		w.work.Line("the token is revoked again")
	}
	if err != nil {
		return err
	}
	return w.end()
}

// refused adds a login that was refused to the report, and returns the error with its cause.
func (w *way) refused(err error) error {
	answer, isRefusal := errors.AsType[*salesforce.TokenRefusal](err)
	if !isRefusal {
		return err
	}
	step := agent.Step{Stage: agent.AuthorizeStage, State: agent.Failed, Cause: agent.Cause(refusal.OtherCause), Says: answer.Error()}
	refused, known := errors.AsType[*loginError](err)
	if known {
		step.Cause = agent.Cause(refused.Cause)
	}
	if w.MCP.set && answer.Description == firstLogin {
		step.Cause = agent.FirstLogin
		known = false
	}
	w.given.Report.Steps = append(w.given.Report.Steps, step) // of which the error is the line
	if known {
		return err
	}
	return w.failure(step)
}

// firstLogin is how the first login of a new app can be refused, although its verifier is right. Source: two
// reports from live orgs.
const firstLogin = "invalid code verifier"

// step prints a step.
func (w *way) step(s agent.Step) {
	text := s.Detail
	switch s.State {
	case agent.Failed: // the error says more
		w.work.Line("failed   %s: %s", s.Stage, orElse(text, s.Says))
		return
	case agent.Warning:
		says, hint := w.advice(s)
		w.work.Warn("%s: %s; %s", s.Stage, says, hint)
		return
	case agent.Unknown:
		w.work.Line("unknown  %s: %s", s.Stage, text)
		return
	}
	w.work.Line("ok       %s: %s", s.Stage, text)
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// advice returns the sentence about the cause of a step, and a hint.
func (w *way) advice(s agent.Step) (says, hint string) {
	app := w.app
	if w.found != nil {
		app = w.found.Name
	}
	server := w.MCP.text
	if w.given != nil && w.given.Server != "" {
		server = w.given.Server
	}
	return advice.Agent(s, advice.Way{Org: w.session.String(), App: app, Server: server, Agent: w.AgentAPI})
}

// failure returns the error for a step that failed.
func (w *way) failure(s agent.Step) error {
	says, hint := w.advice(s)
	return &wayError{w.given.App, s, says, hint}
}

// end prints what goes into a client, and returns the error of the first step that failed.
func (w *way) end() error {
	r := w.given
	w.work.Line("URL: %s", r.URL)
	if r.MyDomainURL != "" && r.MyDomainURL != r.URL {
		w.work.Line("URL if the org blocks logins at login.salesforce.com: %s", r.MyDomainURL)
	}
	if w.MCP.set {
		w.work.Line("client ID: %s", r.ClientID)
		w.work.Line("callback URLs: %s", strings.Join(r.Callbacks, ", "))
	} else {
		r.ClientID = login.Credentials{Key: r.ClientID}.ShortKey()
		w.work.Line("client ID: %s, with its secret: eca credentials -o %s --app %s", r.ClientID, w.session, r.App)
	}
	if failed := r.Failed(); failed != nil {
		return w.failure(*failed)
	}
	return nil
}
