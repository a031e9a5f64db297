package simorg

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// The org plays the host of Salesforce's hosted MCP servers, api.salesforce.com, under its own address. Of the
// tools it has getUserInfo alone, on each server.
const (
	mcpPath         = "/platform/mcp/v1/"
	mcpResourcePath = "/.well-known/oauth-protected-resource" + mcpPath
)

// mcpResource answers what authorizes clients of an MCP server, whatever its name.
func (o *Org) mcpResource(w http.ResponseWriter, r *http.Request) {
	resource := o.url + mcpPath + strings.TrimPrefix(r.URL.Path, mcpResourcePath)
	server := resource
	if o.is("mcp-authorization-server", "login-host") {
		server = "https://login.salesforce.com"
	}
	writeOAuth(w, http.StatusOK, map[string]any{
		"resource": resource, "authorization_servers": []string{server}, "scopes_supported": []string{"mcp_api", "refresh_token"},
	})
}

// mcp answers a call of an MCP server.
func (o *Org) mcp(w http.ResponseWriter, r *http.Request, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, mcpResourcePath) {
		o.mcpResource(w, r)
		return
	}
	if status, message := o.refuseMCP(r); status != 0 {
		o.writeMCPRefusal(w, r, status, message)
		return
	}
	session := r.Header.Get("Mcp-Session-Id")
	if session != "" && !o.mcpSessions[session] {
		writeOAuth(w, http.StatusBadRequest, map[string]any{"error": map[string]any{"code": http.StatusBadRequest, "message": "Session not found"}}) // assumed wording
		return
	}
	o.answerMCP(w, r, body)
}

// refuseMCP returns why an MCP server refuses a call, or 0.
func (o *Org) refuseMCP(r *http.Request) (status int, message string) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	path := strings.TrimPrefix(r.URL.Path, mcpPath)
	name := o.mcpServer(path)
	g := o.state.Grants[token]
	switch {
	case r.Method != http.MethodPost:
		return http.StatusMethodNotAllowed, "Method Not Allowed"
	case token == "":
		return http.StatusUnauthorized, "JWT Token is required"
	case !strings.HasPrefix(token, "eyJ"):
		return http.StatusUnauthorized, o.config.Facts.Of("mcp-opaque-token")
	case !o.accepts(token) || o.refusesMCP(g) || o.config.NoMCPService || o.config.NoServicesAudience:
		return http.StatusUnauthorized, "Invalid token"
	case !hasScope(g.Scope, "mcp_api"):
		return http.StatusForbidden, "OAuth invalid scope"
	case !strings.Contains(name, "/") && o.is("mcp-without-prefix", "empty-server"):
		return http.StatusBadRequest, "empty serverURI" // the status is assumed
	case !o.isActiveServer(name):
		return http.StatusNotFound, "Server definition not found for: " + name
	case slices.Contains(o.config.HiddenTools, name):
		return http.StatusNotFound, "Server not initialized" // of which the last two words are reported
	}
	return 0, ""
}

// writeMCPRefusal answers a refusal. Those of tokens have a form of their own, or are plain text.
func (o *Org) writeMCPRefusal(w http.ResponseWriter, r *http.Request, status int, message string) {
	if status != http.StatusUnauthorized {
		writeOAuth(w, status, map[string]any{"error": map[string]any{"code": status, "message": message}})
		return
	}
	if o.is("mcp-www-authenticate", "yes") {
		w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+o.url+mcpResourcePath+strings.TrimPrefix(r.URL.Path, mcpPath)+`"`)
	}
	if message == "Invalid token" && o.is("mcp-invalid-token-form", "text") {
		w.WriteHeader(status)
		io.WriteString(w, message)
		return
	}
	writeOAuth(w, status, map[string]any{"errors": []any{map[string]string{"message": message}}})
}

// refusesMCP reports whether the servers refuse a token although it is good.
func (o *Org) refusesMCP(g grant) bool {
	app, _, _ := o.client(g.Client)
	return g.Unnamed && o.is("mcp-client-credentials", "no") || !o.globalOf(app).isTrue("isPkceRequired") && o.is("mcp-without-pkce", "refused")
}

// ideAuth answers /ide/auth, which Salesforce's plugins use for a token without an app.
func (o *Org) ideAuth(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	session, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !o.accepts(session):
		writeOAuth(w, http.StatusUnauthorized, map[string]string{"message": "No session ID sent"})
	case o.is("ide-auth", "redirect"):
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, "<html><script>window.location.replace('/_ui/identity/verification')</script></html>") // made up
	default:
		g := grant{User: o.state.Grants[session].User, Client: cliClient, Scope: "mcp_api"}
		token := o.newJWT(g)
		o.state.Grants[token] = g
		writeOAuth(w, http.StatusOK, map[string]string{"jwt": token, "message": ""})
	}
}

// mcpServer returns the name of a server in a path: without the part of a My Domain and the environment
// segment of the org's kind, or of any kind if the segment does not matter.
func (o *Org) mcpServer(path string) string {
	if domain, ok := strings.CutPrefix(path, "d/"); ok {
		_, path, _ = strings.Cut(domain, "/")
		if o.config.Kind == Scratch {
			path = strings.Replace(path, "scratch/", "sandbox/", 1)
		}
		if strings.Contains(path, "custom/") && o.is("mcp-custom-my-domain", "no") {
			return path
		}
	}
	segments := map[Kind]string{Sandbox: "sandbox/", Scratch: "sandbox/"}
	if o.is("mcp-environment-segment", "no") {
		return strings.TrimPrefix(path, "sandbox/")
	}
	if name, ok := strings.CutPrefix(path, segments[o.config.Kind]); ok {
		return name
	}
	return path[strings.IndexByte(path, '/')+1:] // which no server has as its name
}

// answerMCP answers a JSON-RPC call.
func (o *Org) answerMCP(w http.ResponseWriter, r *http.Request, body []byte) {
	var call struct {
		ID     any    `json:"id"`
		Method string `json:"method"`
		Params struct {
			Name string `json:"name"`
		} `json:"params"`
	}
	json.Unmarshal(body, &call) // what is no call has no method
	answer := map[string]any{"jsonrpc": "2.0", "id": call.ID}
	switch call.Method {
	case "initialize": // serverInfo is made up
		session := random(16)
		o.mcpSessions[session] = true
		w.Header().Set("Mcp-Session-Id", session)
		answer["result"] = map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{"tools": map[string]any{}}, "serverInfo": map[string]string{"name": "simulated", "version": "1"}}
	case "notifications/initialized":
		w.WriteHeader(http.StatusAccepted)
		return
	case "tools/list":
		answer["result"] = map[string]any{"tools": []any{map[string]any{"name": "getUserInfo", "description": "Returns the user of the token.", "inputSchema": map[string]string{"type": "object"}}}}
	case "tools/call":
		corpus := call.Params.Name == "discover" || call.Params.Name == "describe"
		switch {
		case call.Params.Name == "getUserInfo":
			token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			text, _ := json.Marshal(o.user(o.state.Grants[token].User)["username"])
			answer["result"] = map[string]any{"content": []any{map[string]string{"type": "text", "text": `{"username":` + string(text) + `}`}}}
		case corpus && strings.HasSuffix(r.URL.Path, "/headless-360"): // enableHeadless360CorpusAccess is off
			writeOAuth(w, http.StatusForbidden, map[string]any{"error": map[string]any{"code": http.StatusForbidden, "message": "Forbidden"}}) // assumed wording
			return
		default:
			answer["error"] = map[string]any{"code": -32602, "message": "Unknown tool: " + call.Params.Name}
		}
	default:
		answer["error"] = map[string]any{"code": -32601, "message": "Method not found"}
	}
	if o.is("mcp-answer-form", "json") {
		writeOAuth(w, http.StatusOK, answer)
		return
	}
	data, _ := json.Marshal(answer) // which cannot fail for these
	w.Header().Set("Content-Type", "text/event-stream")
	io.WriteString(w, "event: message\ndata: "+string(data)+"\n\n")
}
