package simorg

import (
	"encoding/json"
	"mime"
	"net/http"
	"slices"
	"strings"
)

// Agent is an agent of the org, which the Agent API serves.
type Agent struct {
	ID       string   // of its BotDefinition, 0Xx…
	Employee bool     // has no user of its own: sessions need bypassUser false
	Users    []string // who may use it; nil for everybody
	Apps     []string // the apps under its Connections, for orgs in which that is needed
}

// agentPath is the path of the Agent API, which the org plays under its own address.
const agentPath = "/einstein/ai-agent/v1/"

// agent answers a call of the Agent API.
func (o *Org) agent(w http.ResponseWriter, r *http.Request, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	status, message := o.refuseAgent(r)
	rest := strings.Split(strings.TrimPrefix(r.URL.Path, agentPath), "/")
	start := len(rest) == 3 && rest[0] == "agents" && rest[2] == "sessions" && r.Method == http.MethodPost
	known := len(rest) == 2 && rest[0] == "sessions" && o.agentSessions[rest[1]] && r.Method == http.MethodDelete
	switch {
	case status != 0:
	case start:
		status, message = o.refuseSessionOf(r, rest[1], body)
	case !known:
		status = http.StatusNotFound
	}
	switch {
	case status == http.StatusNotFound:
		w.WriteHeader(status) // with an empty body
	case status != 0:
		writeOAuth(w, status, map[string]any{"status": status, "error": http.StatusText(status), "message": message})
	case start:
		id := random(16)
		o.agentSessions[id] = true
		writeOAuth(w, http.StatusOK, map[string]any{
			"sessionId": id, "_links": map[string]any{"self": nil, "end": map[string]string{"href": o.url + agentPath + "sessions/" + id}},
			"messages": []any{map[string]string{"type": "Inform", "message": "Hi, I'm a simulated agent."}},
		})
	default:
		delete(o.agentSessions, rest[1])
		writeOAuth(w, http.StatusOK, map[string]any{"messages": []any{map[string]string{"type": "SessionEnded", "reason": r.Header.Get("X-Session-End-Reason")}}})
	}
}

// refuseAgent returns why the Agent API refuses the token of a call, or 0.
func (o *Org) refuseAgent(r *http.Request) (status int, message string) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	opaque := !strings.HasPrefix(token, "eyJ")
	scope := o.state.Grants[token].Scope
	switch {
	case token == "", opaque && o.is("agent-opaque-token", "not-found"):
		return http.StatusNotFound, ""
	case opaque, !o.accepts(token):
		return http.StatusUnauthorized, "Invalid token"
	case !hasScope(scope, "chatbot_api") || !hasScope(scope, "sfap_api"):
		return http.StatusForbidden, "Forbidden"
	}
	return 0, ""
}

// refuseSessionOf returns why the Agent API refuses to start a session of an agent, or 0.
func (o *Org) refuseSessionOf(r *http.Request, id string, body []byte) (status int, message string) {
	var start struct {
		ExternalSessionKey string `json:"externalSessionKey"`
		InstanceConfig     struct {
			Endpoint string `json:"endpoint"`
		} `json:"instanceConfig"`
		BypassUser bool `json:"bypassUser"`
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g := o.state.Grants[token]
	app, _, _ := o.client(g.Client)
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	i := slices.IndexFunc(o.config.Agents, func(a Agent) bool { return sameID(a.ID, id) })
	switch {
	case kind != "application/json":
		return http.StatusInternalServerError, "Unsupported Media Type"
	case json.Unmarshal(body, &start) != nil || start.ExternalSessionKey == "":
		return http.StatusBadRequest, "Invalid request" // assumed wording
	case strings.TrimSuffix(start.InstanceConfig.Endpoint, "/") != o.url:
		return http.StatusInternalServerError, "EngineConfigLookupException"
	case i < 0 && o.is("agent-unknown-id", "500"):
		return http.StatusInternalServerError, "HttpServerErrorException"
	case i < 0:
		return http.StatusBadRequest, id + " is not a valid agent ID"
	}
	switch a := o.config.Agents[i]; {
	case o.is("agent-attachment", "needed") && !slices.Contains(a.Apps, app):
		return http.StatusUnauthorized, "Connected app is not attached to Agent"
	case a.Users != nil && !slices.Contains(a.Users, o.config.Users[g.User].Username):
		return http.StatusPreconditionFailed, "Precondition Failed" // assumed wording
	case a.Employee && start.BypassUser:
		return http.StatusBadRequest, "Invalid user ID provided on start session"
	}
	return 0, ""
}
