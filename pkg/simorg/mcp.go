package simorg

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// The org plays the host of Salesforce's hosted MCP servers, api.salesforce.com, under its own address. Its
// servers have no tools.
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
	refuse := func(status int, message string) {
		if status == http.StatusUnauthorized {
			if o.is("mcp-www-authenticate", "yes") {
				w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="`+o.url+mcpResourcePath+strings.TrimPrefix(r.URL.Path, mcpPath)+`"`)
			}
			writeOAuth(w, status, map[string]any{"errors": []any{map[string]string{"message": message}}})
			return
		}
		writeOAuth(w, status, map[string]any{"error": map[string]any{"code": status, "message": message}})
	}
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	name := o.mcpServer(strings.TrimPrefix(r.URL.Path, mcpPath))
	switch {
	case r.Method != http.MethodPost:
		refuse(http.StatusMethodNotAllowed, "Method Not Allowed")
	case !strings.HasPrefix(token, "eyJ"):
		refuse(http.StatusUnauthorized, "JWT Token is required")
	case !o.accepts(token) || o.refusesMCP(o.state.Grants[token]):
		refuse(http.StatusUnauthorized, "Invalid token")
	case !hasScope(o.state.Grants[token].Scope, "mcp_api"):
		refuse(http.StatusForbidden, "OAuth invalid scope")
	case !slices.Contains(o.config.MCPServers, name):
		refuse(http.StatusNotFound, "Server definition not found for: "+name)
	default:
		answerMCP(w, body)
	}
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
func answerMCP(w http.ResponseWriter, body []byte) {
	var call struct {
		ID     any    `json:"id"`
		Method string `json:"method"`
	}
	json.Unmarshal(body, &call) // what is no call has no method
	answer := map[string]any{"jsonrpc": "2.0", "id": call.ID}
	switch call.Method {
	case "initialize": // serverInfo is made up
		w.Header().Set("Mcp-Session-Id", random(16))
		answer["result"] = map[string]any{"protocolVersion": "2025-06-18", "capabilities": map[string]any{"tools": map[string]any{}}, "serverInfo": map[string]string{"name": "simulated", "version": "1"}}
	case "notifications/initialized":
		w.WriteHeader(http.StatusAccepted)
		return
	case "tools/list":
		answer["result"] = map[string]any{"tools": []any{}}
	default:
		answer["error"] = map[string]any{"code": -32601, "message": "Method not found"}
	}
	writeOAuth(w, http.StatusOK, answer)
}
