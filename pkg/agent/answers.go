package agent

import "strings"

// Cause is the ID of a reason why the way of an AI client ends.
type Cause string

// The causes that package refusal does not have.
const (
	NotActivated       Cause = "mcp-server-not-activated"  // never, or not any more
	WithoutPrefix      Cause = "mcp-server-without-prefix" // like sobject-all for platform/sobject-all
	WrongAddress       Cause = "mcp-wrong-address"         // of another kind of org
	MyDomainAddress    Cause = "mcp-my-domain-address"     // the org has the server at the address with My Domain alone
	NoMCPScope         Cause = "mcp-no-scope"              // the app lacks the scope MCP
	NoRefreshScope     Cause = "mcp-no-refresh-scope"      // the app lacks RefreshToken
	BetaScopes         Cause = "mcp-beta-scopes"           // the app has scopes that only the beta used
	OpaqueTokens       Cause = "opaque-tokens"             // JWT-based access tokens are off
	NoPKCE             Cause = "mcp-no-pkce"               // the app does not require it
	SecretRequired     Cause = "mcp-secret-required"       // clients that hold only the key cannot log in
	NoCallback         Cause = "mcp-no-callback"           // the app has no callback URL
	EnforcedIP         Cause = "mcp-enforced-ip"           // clients in a cloud call from addresses of their own
	YoungConsumer      Cause = "mcp-young-consumer"        // it may not work everywhere yet
	APIAccessControl   Cause = "api-access-control"        // tools are blocked
	NoDiscovery        Cause = "mcp-no-discovery"          // the host does not tell who authorizes clients
	ForeignServer      Cause = "mcp-foreign-authorization" // it names a host that is none of Salesforce's
	AppOfOtherOrg      Cause = "app-of-other-org"          // the browser's session belongs to another org than the app
	FirstLogin         Cause = "first-login"               // the first login of a new app can fail
	TokenWithoutScope  Cause = "token-without-scope"       // the token lacks a scope that the app has
	ForeignServices    Cause = "foreign-services"          // the token's answer names a host that is none of Salesforce's
	ExpiredToken       Cause = "expired-service-token"     // the token has expired
	TokenOfOtherOrg    Cause = "token-of-other-org"        // the login was one to another org
	NoAudience         Cause = "token-without-audience"    // the token is not for the services
	NotEntitled        Cause = "mcp-not-entitled"          // the org has no hosted MCP servers
	InvalidToken       Cause = "invalid-service-token"     // for a reason that the token does not show
	GetRefused         Cause = "mcp-get-refused"           // which is normal
	LostSession        Cause = "mcp-lost-session"          // initialize again
	ToolsHidden        Cause = "mcp-tools-hidden"          // the user cannot see the tools of a custom server
	NoTools            Cause = "mcp-no-tools"              // the server lists none
	CorpusOff          Cause = "mcp-corpus-off"            // the org setting enableHeadless360CorpusAccess
	WrongAgent         Cause = "agent-unknown"             // the org has no agent of that ID
	EmployeeAgent      Cause = "agent-of-employees"        // it has no user of its own
	NotAttached        Cause = "agent-app-not-attached"    // older orgs: the app is not among the Connections of the agent
	NoAgentScope       Cause = "agent-no-scope"            // the app lacks scopes of the Agent API
	NotProvisioned     Cause = "agent-not-provisioned"     // the org has no Agent API
	NoAgentAccess      Cause = "agent-no-access"           // of the run-as user
	SessionBusy        Cause = "agent-session-busy"        // another request of the session runs
	NotMyDomain        Cause = "agent-endpoint"            // the endpoint is not the org's My Domain
	WrongContentType   Cause = "agent-content-type"        // not application/json
	UnknownServiceFail Cause = "service-refused"           // an answer that is not known
)

// Service is one of the services.
type Service string

// The services.
const (
	MCPService   Service = "hosted MCP servers"
	AgentService Service = "Agent API"
)

// Answer is an answer with which a service refuses a call, and its possible causes.
type Answer struct {
	Service Service
	Status  int     // 0 for any
	Text    string  // a part of it, in lower case; "" for any
	Causes  []Cause // in the order in which they are considered
}

var answers = []Answer{
	{MCPService, 401, "jwt token is required", []Cause{OpaqueTokens}},
	{MCPService, 0, "invalid_auth_header", []Cause{OpaqueTokens}},
	{MCPService, 0, "invalid_jwt_format", []Cause{OpaqueTokens}},
	{MCPService, 401, "invalid token", []Cause{OpaqueTokens, ExpiredToken, TokenOfOtherOrg, NoAudience, NotEntitled, NoPKCE, InvalidToken}},
	{MCPService, 403, "oauth invalid scope", []Cause{NoMCPScope, TokenWithoutScope}},
	{MCPService, 404, "server definition not found", []Cause{WithoutPrefix, NotActivated, WrongAddress}},
	{MCPService, 0, "empty serveruri", []Cause{WithoutPrefix}},
	{MCPService, 404, "not initialized", []Cause{ToolsHidden}},
	{MCPService, 400, "session", []Cause{LostSession}},
	{MCPService, 405, "", []Cause{GetRefused}},
	{MCPService, 403, "", []Cause{CorpusOff}},
	{AgentService, 400, "is not a valid agent id", []Cause{WrongAgent}},
	{AgentService, 400, "invalid user id provided on start session", []Cause{EmployeeAgent}},
	{AgentService, 401, "connected app is not attached to agent", []Cause{NotAttached}},
	{AgentService, 401, "invalid token", []Cause{OpaqueTokens, ExpiredToken, InvalidToken}},
	{AgentService, 403, "", []Cause{NoAgentScope, TokenWithoutScope}},
	{AgentService, 404, "", []Cause{OpaqueTokens, NotProvisioned}},
	{AgentService, 412, "", []Cause{NoAgentAccess}},
	{AgentService, 423, "", []Cause{SessionBusy}},
	{AgentService, 500, "engineconfiglookupexception", []Cause{NotMyDomain}},
	{AgentService, 500, "httpservererrorexception", []Cause{WrongAgent}},
	{AgentService, 500, "unsupported media type", []Cause{WrongContentType}},
}

// Answers returns the table of known refusals. Sources: Salesforce's documentation and skills, and answers of
// live orgs.
func Answers() []Answer { return answers }

// Explain returns the row of a refusal. ok is false if the answer is not known.
func Explain(service Service, refused *Refusal) (a Answer, ok bool) {
	message := strings.ToLower(refused.Message)
	for _, a := range answers {
		if a.Service == service && (a.Status == 0 || a.Status == refused.Status) && strings.Contains(message, a.Text) {
			return a, true
		}
	}
	return a, false
}

// cause returns the cause of a refusal: the first one of its row that is shown, or else the first one that is
// not excluded. The map has those that are shown, or excluded.
func cause(service Service, refused *Refusal, shown map[Cause]bool) Cause {
	row, known := Explain(service, refused)
	if !known {
		return UnknownServiceFail
	}
	for _, c := range row.Causes {
		if shown[c] {
			return c
		}
	}
	for _, c := range row.Causes {
		if _, excluded := shown[c]; !excluded {
			return c
		}
	}
	return UnknownServiceFail
}
