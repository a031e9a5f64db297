// Package agent goes the whole way of an AI client to an org, step by step, and names the step that fails:
//
//   - MCP: a client of a hosted MCP server. Is the server active, is the app set up for such clients, who
//     authorizes them, does a login give the right token, does the server answer?
//   - API: a program that opens a session of an agent through the Agent API.
//
// Check does what needs no login. The caller then logs in, see package login, and passes the session on:
//
//	way := &agent.MCP{Conn: conn, App: "Assistant"}
//	if err := way.Check(ctx); err != nil || way.Report.Failed() != nil {
//		…
//	}
//	session, err := login.Code(…).Open(ctx, nil)
//	err = way.Finish(ctx, session)
//
// Tokens are sent to the org and to the address of platform.ServicesAnswered alone. Steps and errors contain
// none. Source of what the services answer: Salesforce's documentation, its published skills, and reports from
// live orgs.
package agent

import (
	"cmp"
	"fmt"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Stage is a part of the way.
type Stage string

// The stages, in the order in which they come.
const (
	ServerStage     Stage = "server"             // is the MCP server active?
	AgentStage      Stage = "agent"              // is the agent named by its ID?
	AppStage        Stage = "app"                // settings and policies of the app
	AccessStage     Stage = "api-access-control" // of the org
	DiscoveryStage  Stage = "discovery"          // who authorizes clients of the server?
	ConsumerStage   Stage = "consumer"           // does the authorize page know the consumer?
	AuthorizeStage  Stage = "authorize"          // the login in a browser, or of client credentials
	TokenStage      Stage = "token"              // the access token
	InitializeStage Stage = "initialize"         // the first call of the MCP server
	ToolsStage      Stage = "tools"              // the tools that the server lists
	SessionStage    Stage = "session"            // of the Agent API
	EndStage        Stage = "end"                // of the session
)

// State is the result of a step.
type State string

// The states.
const (
	OK      State = "ok"
	Warning State = "warning" // it works, and may not for all clients or users
	Failed  State = "failed"
	Unknown State = "unknown" // the org does not show it
)

// Step is a step with its result.
type Step struct {
	Stage Stage `json:"step"`
	State State `json:"state"`
	// Cause is the ID of the reason for a failure or warning: one of this package, or of package refusal.
	Cause Cause `json:"cause,omitempty"`
	// Detail is what was found, for people.
	Detail string `json:"detail,omitempty"`
	// Says is the answer of the platform, masked.
	Says string `json:"says,omitempty"`
}

// Report is what is known of the way. It contains no secret.
type Report struct {
	App    string `json:"app"`
	Server string `json:"server,omitempty"` // the MCP server, like platform/sobject-all
	Agent  string `json:"agent,omitempty"`  // the ID of the agent
	// URL is the address to paste into a client, and MyDomainURL the one that pins the org, "" if there is none.
	URL         string `json:"url,omitempty"`
	MyDomainURL string `json:"myDomainUrl,omitempty"`
	// ClientID is the consumer key. MCP clients need it in full.
	ClientID  string   `json:"clientId,omitempty"`
	Callbacks []string `json:"callbackUrls,omitempty"`
	Active    []string `json:"activeServers,omitempty"` // the org's active MCP servers
	Username  string   `json:"username,omitempty"`      // of the login
	Tools     []string `json:"tools,omitempty"`
	Steps     []Step   `json:"steps"`

	progress func(Step)
}

// Failed returns the first step that failed, nil if none did.
func (r *Report) Failed() *Step {
	for i := range r.Steps {
		if r.Steps[i].State == Failed {
			return &r.Steps[i]
		}
	}
	return nil
}

// Add adds a step, for example the login of the caller.
func (r *Report) Add(s Step) {
	r.Steps = append(r.Steps, s)
	if r.progress != nil {
		r.progress(s)
	}
}

func (r *Report) ok(stage Stage, format string, args ...any) {
	r.Add(Step{Stage: stage, State: OK, Detail: fmt.Sprintf(format, args...)})
}

func (r *Report) found(state State, stage Stage, cause Cause, format string, args ...any) {
	r.Add(Step{Stage: stage, State: state, Cause: cause, Detail: fmt.Sprintf(format, args...)})
}

// Refusal is an answer of a service that refuses a call.
type Refusal struct {
	Host    string
	Status  int    // the HTTP status; 200 for an error within an answer
	Message string // masked, "" for an empty answer
}

func (e *Refusal) Error() string {
	return fmt.Sprintf("%s answered HTTP %d: %s", e.Host, e.Status, cmp.Or(e.Message, "(an empty answer)"))
}

// Transient reports whether a retry may succeed soon.
func (e *Refusal) Transient() bool {
	return salesforce.IsTransient(&salesforce.StatusError{Status: e.Status})
}
