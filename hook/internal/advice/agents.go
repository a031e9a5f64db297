package advice

import (
	"strings"

	"github.com/ecakit/ecakit/pkg/agent"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/refusal"
)

// Way is the way of an AI client, which hints name.
type Way struct {
	Org, App string
	Server   string // the MCP server, "" for an agent
	Agent    string // the ID of the agent, "" for an MCP server
}

// agentCauses are the words for the causes at which the way of an AI client ends, without those of refused logins.
// ORG, APP, SERVER and AGENT stand for what they are about.
var agentCauses = []struct {
	cause      agent.Cause
	says, hint string
}{
	{agent.NotActivated, "the MCP server SERVER is not active", "activate it in Setup (MCP Servers, Salesforce Servers, Activate); it takes up to 2 minutes"},
	{agent.WithoutPrefix, "the name of the MCP server has no prefix", "eca verify -o ORG --app APP --mcp platform/SERVER; custom servers have the prefix custom/"},
	{agent.WrongAddress, "the host does not find SERVER, although it is active", "compare the URL with the one that Setup shows (MCP Servers), and wait 2 minutes after an activation"},
	{agent.MyDomainAddress, "the server answers only at the address with My Domain", "paste that address into the client"},
	{agent.NoMCPScope, "APP lacks the scope MCP", "add MCP to commaSeparatedOauthScopes in oauthSettings, and run eca bootstrap -o ORG"},
	{agent.NoRefreshScope, "APP lacks the scope RefreshToken, so clients log in again whenever a token ends", "add RefreshToken to commaSeparatedOauthScopes in oauthSettings, and run eca bootstrap -o ORG"},
	{agent.BetaScopes, "APP has scopes that only the beta of hosted MCP servers used", "remove SFApiPlatform and EinsteinGPT from commaSeparatedOauthScopes, unless the app has other uses"},
	{agent.OpaqueTokens, "APP issues opaque access tokens, and the service accepts JWT-based ones alone", "set isNamedUserJwtEnabled to true in globalOauthSettings, and run eca bootstrap -o ORG"},
	{agent.NoPKCE, "APP does not require PKCE", "set isPkceRequired to true in globalOauthSettings, and run eca bootstrap -o ORG"},
	{agent.SecretRequired, "APP requires the consumer secret, which clients that hold only the client ID cannot send", "set isConsumerSecretOptional to true and isSecretRequiredForRefreshToken to false in globalOauthSettings, or give the client the secret"},
	{agent.NoCallback, "APP has no callback URL", "add those of the clients to callbackUrl in globalOauthSettings, and run eca bootstrap -o ORG"},
	{agent.EnforcedIP, "the OAuth policies of APP enforce the IP ranges of the org, and cloud clients like claude.ai and ChatGPT call from networks of their own", "set ipRelaxationPolicyType to Bypass in the OAuth policies for such clients"},
	{agent.YoungConsumer, "the consumer is less than half an hour old, so clients may be refused for a while", "wait: it takes 2 to 10 minutes, at most 30"},
	{agent.APIAccessControl, "API Access Control of the org blocks the tools of MCP servers", "give the users the permission Use Any API Client, or switch API Access Control off in Setup"},
	{agent.NoDiscovery, "the host does not name the authorization server for clients", "check the network and the proxy, which must let this machine call api.salesforce.com"},
	{agent.ForeignServer, "clients are told to log in at a host that is none of Salesforce's", "check the proxy settings, because something else than Salesforce may have answered"},
	{agent.AppOfOtherOrg, "the browser is logged in to another org than the one of APP", "log out of other orgs, or use a private window, and run the command again"},
	{agent.FirstLogin, "the first login with a new app can be refused like this", "run the command again"},
	{agent.TokenWithoutScope, "the access token lacks a scope that the service needs", "log in again: a new scope comes with a new login, and a refresh does not add it"},
	{agent.ForeignServices, "the token was not sent to that host", "check the proxy settings, because something else than Salesforce may have answered"},
	{agent.ExpiredToken, "the access token has expired", "run the command again, and check the clock of this machine"},
	{agent.TokenOfOtherOrg, "the login was one to another org", "log out of other orgs, or use a private window, and run the command again"},
	{agent.NoAudience, "the access token is not for the services of Salesforce: its audience lacks their host", "set isNamedUserJwtEnabled to true in globalOauthSettings, run eca bootstrap -o ORG, and log in again"},
	{agent.NotEntitled, "the org has no hosted MCP servers: its tokens do not have MCPService in sfap_op", "use an org of Enterprise Edition or above, or a Developer Edition, or ask Salesforce Customer Support"},
	{agent.InvalidToken, "the service does not accept the access token", "run the command again; if the answer stays, check in Setup that the session settings of APP allow JWT-based tokens"},
	{agent.GetRefused, "the server has no stream of events, which is normal", "look for the answer to the POST before it"},
	{agent.LostSession, "the server does not know the session any more", "run the command again, which opens another one"},
	{agent.ToolsHidden, "the server is not initialized, which happens if the user cannot see the tools of a custom server", "give the user the objects, fields and Apex classes of the tools in SERVER, and run the command again"},
	{agent.NoTools, "SERVER lists no tools to the user", "give the user access to what the tools of SERVER use"},
	{agent.CorpusOff, "the server refuses discover and describe", "switch on enableHeadless360CorpusAccess in the settings of the org"},
	{agent.WrongAgent, "the org has no agent AGENT that the Agent API serves", "give the ID of the agent, which begins with 0Xx and ends the address of its page in Setup; agents of the type Agentforce (Default) have no Agent API"},
	{agent.EmployeeAgent, "AGENT is an agent for employees, so sessions need bypassUser false", "send bypassUser false, and use a run-as user who may use the agent"},
	{agent.NotAttached, "the agent AGENT does not admit APP", "add the app in Setup under Connections of the agent"},
	{agent.NoAgentScope, "APP lacks scopes that the Agent API needs", "set commaSeparatedOauthScopes to Api, RefreshToken, Chatbot, SFApiPlatform in oauthSettings, and run eca bootstrap -o ORG"},
	{agent.NotProvisioned, "the org has no Agent API, or the host is not the one of the org", "check that Einstein and Agentforce are on in Setup"},
	{agent.NoAgentAccess, "the run-as user of APP has no access to the agent AGENT", "give the run-as user access to the agent, which must not be the agent's own user"},
	{agent.SessionBusy, "another request of the session is running", "run the command again in a moment"},
	{agent.NotMyDomain, "the endpoint that was sent is not the My Domain of the org", "log in to the org with its My Domain URL, for example with: sf org login web --instance-url https://MYDOMAIN.my.salesforce.com"},
	{agent.WrongContentType, "the request was not JSON", "check the proxy, which may have changed the header Content-Type"},
	{agent.UnknownServiceFail, "the service refuses, and neither the org nor the token shows a reason", "run the command again later; if the answer stays, ask Salesforce Customer Support with this answer"},
}

// Agent returns a sentence about the cause of a step that failed or warns, without its full stop, and a hint.
func Agent(step agent.Step, w Way) (says, hint string) {
	for _, c := range agentCauses {
		if c.cause == step.Cause {
			fill := strings.NewReplacer("ORG", w.Org, "APP", w.App, "SERVER", w.Server, "AGENT", w.Agent)
			return fill.Replace(c.says), fill.Replace(c.hint)
		}
	}
	d := &login.Diagnosis{State: &login.State{Attempt: login.Attempt{App: w.App}}, Cause: refusal.Cause(step.Cause)}
	return Cause(d, w.Org)
}
