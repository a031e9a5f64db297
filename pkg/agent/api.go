package agent

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// API is the way of a program to a session of an agent.
type API struct {
	Conn  *salesforce.Conn // with the session of an administrator
	App   string           // the External Client App of the program
	Agent string           // the ID of the agent (BotDefinition, 0Xx…)
	OrgID string           // "" if it is unknown

	// Progress is called for each step; nil for none.
	Progress func(Step)

	Report *Report // of Check and Finish
	Found  *App    // by Check
	// Employee reports that sessions need bypassUser false, because the agent has no user of its own.
	Employee bool

	shown map[Cause]bool
}

// Check does everything that needs no login, and fills Report. It takes at most three rounds of requests. The
// error is for an org that cannot be asked, or that has no such app.
func (a *API) Check(ctx context.Context) (err error) {
	a.Report = &Report{App: a.App, Agent: a.Agent, Steps: []Step{}, progress: a.Progress}
	a.shown = make(map[Cause]bool)
	if a.Found, err = readApp(ctx, a.Conn, a.App); err != nil {
		return err
	}
	a.Report.App = a.Found.Name
	a.Report.ClientID = a.Found.Global.Text("consumerKey")
	a.Report.URL = platform.Services(a.Conn.InstanceURL) + platform.AgentPath + "agents/" + url.PathEscape(a.Agent) + "/sessions"
	if platform.IsAgentID(a.Agent) {
		a.Report.ok(AgentStage, "%s has the form of the ID of an agent", a.Agent)
	} else {
		a.Report.found(Failed, AgentStage, WrongAgent, "%s is not the ID of an agent", salesforce.MaskSecrets(a.Agent))
	}
	a.Found.checkAPI(a.Report)
	return nil
}

// Finish opens and ends a session of the agent with a login, which it does not revoke. Check comes first. Report
// has what fails. The error is for an org that cannot be asked.
func (a *API) Finish(ctx context.Context, session *login.Session) error {
	info, err := session.UserInfo(ctx)
	if err != nil {
		return err
	}
	a.Report.Username = info.Username
	a.Report.ok(AuthorizeStage, "logged in as %s", info.Username)
	services := open(a.Report, a.Conn, session, a.OrgID, []string{"chatbot_api", "sfap_api"}, a.shown)
	if services == nil {
		return nil
	}
	a.Report.URL = services.InstanceURL + platform.AgentPath + "agents/" + url.PathEscape(a.Agent) + "/sessions"
	id, err := a.start(ctx, services, true)
	if refused, ok := errors.AsType[*Refusal](err); ok && cause(AgentService, refused, a.shown) == EmployeeAgent {
		a.Employee = true
		a.Report.Add(Step{Stage: SessionStage, State: Warning, Cause: EmployeeAgent, Says: refused.Error()})
		id, err = a.start(ctx, services, false)
	}
	if err != nil {
		return a.Report.refused(ctx, AgentService, SessionStage, err, a.shown)
	}
	a.Report.ok(SessionStage, "the agent has answered")
	if err := a.end(ctx, services, id); err != nil {
		return a.Report.refused(ctx, AgentService, EndStage, err, a.shown)
	}
	a.Report.ok(EndStage, "the session is ended again")
	return nil
}

// start opens a session of the agent, with the agent's user or with that of the token.
func (a *API) start(ctx context.Context, services *salesforce.Conn, agentUser bool) (id string, err error) {
	body, err := json.Marshal(map[string]any{
		"externalSessionKey": newUUID(), "instanceConfig": map[string]string{"endpoint": a.Conn.InstanceURL},
		"streamingCapabilities": map[string]any{"chunkTypes": []string{"Text"}}, "bypassUser": agentUser,
	})
	if err != nil {
		return "", err
	}
	request := salesforce.Request{
		Method: http.MethodPost, Path: platform.AgentPath + "agents/" + url.PathEscape(a.Agent) + "/sessions", Authorize: true,
		Header: http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}},
		Body:   func(salesforce.Secret) ([]byte, error) { return body, nil },
	}
	err = services.Do(ctx, request, func(answer *salesforce.Response) error {
		if answer.Status < 200 || answer.Status > 299 {
			return refused(answer)
		}
		var session struct{ SessionID string }
		if json.Unmarshal(answer.Body, &session) != nil || session.SessionID == "" {
			return answer.Unexpected("not a session of the Agent API")
		}
		id = session.SessionID
		salesforce.NewSecret(id) // whoever has it can speak to the agent, and requests name it
		return nil
	})
	return id, err
}

// end ends a session.
func (a *API) end(ctx context.Context, services *salesforce.Conn, id string) error {
	request := salesforce.Request{
		Method: http.MethodDelete, Path: platform.AgentPath + "sessions/" + url.PathEscape(id), Authorize: true,
		Header: http.Header{"X-Session-End-Reason": {"UserRequest"}},
	}
	return services.Do(ctx, request, func(answer *salesforce.Response) error {
		if answer.Status < 200 || answer.Status > 299 {
			return refused(answer)
		}
		return nil
	})
}

// newUUID returns a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
