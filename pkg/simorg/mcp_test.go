package simorg_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// mcp calls an MCP server of an org. A token of "" is none.
func (c client) mcp(method, path, token, body string) (status int, header http.Header, answer string) {
	c.Helper()
	req, err := http.NewRequest(method, c.org.URL+path, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		c.Fatal(err)
	}
	return resp.StatusCode, resp.Header, b.String()
}

// TestMCPServer calls a hosted MCP server in the right and in wrong ways, with each answer to what differs.
func TestMCPServer(t *testing.T) {
	t.Parallel()
	const (
		initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`
		server     = "/platform/mcp/v1/sandbox/platform/sobject-all"
	)
	for _, other := range []bool{false, true} {
		facts := make(platform.Answers)
		for id, answer := range map[string]string{"mcp-authorization-server": "resource", "mcp-environment-segment": "no", "mcp-www-authenticate": "yes"} {
			if other {
				facts[id] = answer
			}
		}
		org := simorg.Start(simorg.Config{Facts: facts, MCPServers: []string{"platform/sobject-all"}})
		defer org.Close()
		c := newClient(t, org, "MCP, RefreshToken", `<isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE)
		jwt := fmt.Sprint(c.logIn("")["access_token"])
		for _, test := range []struct {
			method, path, token, body, want string
		}{
			{"POST", server, "", initialize, "401 JWT Token is required"},
			{"POST", server, org.AccessToken(), initialize, "401 JWT Token is required"},
			{"POST", server, jwt + "x", initialize, "401 Invalid token"},
			{"GET", server, jwt, "", "405 "},
			{"POST", server, jwt, initialize, `200 "protocolVersion"`},
			{"POST", server, jwt, `{"jsonrpc":"2.0","method":"notifications/initialized"}`, "202 "},
			{"POST", server, jwt, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, `200 "name":"getUserInfo"`},
			{"POST", server, jwt, `{"jsonrpc":"2.0","id":3,"method":"no/such"}`, `200 -32601`},
			{"POST", "/platform/mcp/v1/sandbox/sobject-all", jwt, initialize, "404 Server definition not found for: sobject-all"},
			{"POST", "/platform/mcp/v1/platform/sobject-all", jwt, initialize, map[bool]string{false: "404 Server definition not found", true: "200 "}[other]},
			{"GET", "/.well-known/oauth-protected-resource" + server, "", "", map[bool]string{false: `200 ["https://login.salesforce.com"]`, true: `200 ["` + org.URL + server + `"]`}[other]},
		} {
			status, header, answer := c.mcp(test.method, test.path, test.token, test.body)
			code, words, _ := strings.Cut(test.want, " ")
			if fmt.Sprint(status) != code || !strings.Contains(answer, words) {
				t.Errorf("%s %s: got %d %s, want %s", test.method, test.path, status, answer, test.want)
			}
			if status == 401 && (header.Get("WWW-Authenticate") != "") != other {
				t.Errorf("%s: WWW-Authenticate is %q", test.path, header.Get("WWW-Authenticate"))
			}
		}
	}
}

// TestMCPScope: the scope api gives no access.
func TestMCPScope(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Kind: simorg.Production, MCPServers: []string{"platform/sobject-all"}})
	defer org.Close()
	c := newClient(t, org, "Api, RefreshToken", `<isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE)
	if status, _, answer := c.mcp("POST", "/platform/mcp/v1/platform/sobject-all", fmt.Sprint(c.logIn("")["access_token"]), "{}"); status != 403 || !strings.Contains(answer, "OAuth invalid scope") {
		t.Errorf("got %d %s", status, answer)
	}
}

// TestMCPFacts: which tokens and addresses MCP servers accept depends on the facts.
func TestMCPFacts(t *testing.T) {
	t.Parallel()
	call := func(facts platform.Answers, path string, clientCredentials bool) int {
		org := simorg.Start(simorg.Config{Facts: facts, MCPServers: []string{"platform/sobject-all", "custom/Mine"}})
		defer org.Close()
		c := newClient(t, org, "MCP, RefreshToken", `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE)
		login := c.logIn("")
		if clientCredentials {
			_, login = c.post(tokenPath, map[string][]string{"grant_type": {"client_credentials"}})
		}
		status, _, _ := c.mcp("POST", "/platform/mcp/v1/"+path, fmt.Sprint(login["access_token"]), `{"method":"initialize"}`)
		return status
	}
	for _, test := range []struct {
		fact, answer, path string
		clientCredentials  bool
		want               int
	}{
		{"mcp-without-pkce", "accepted", "sandbox/platform/sobject-all", false, 200},
		{"mcp-without-pkce", "refused", "sandbox/platform/sobject-all", false, 401},
		{"mcp-client-credentials", "no", "sandbox/platform/sobject-all", true, 401},
		{"mcp-client-credentials", "yes", "sandbox/platform/sobject-all", true, 200},
		{"mcp-custom-my-domain", "no", "d/acme--uat/sandbox/custom/Mine", false, 404},
		{"mcp-custom-my-domain", "yes", "d/acme--uat/sandbox/custom/Mine", false, 200},
		{"mcp-custom-my-domain", "no", "sandbox/custom/Mine", false, 200},
		{"mcp-custom-my-domain", "no", "d/acme--uat/sandbox/platform/sobject-all", false, 200},
	} {
		if got := call(platform.Answers{test.fact: test.answer}, test.path, test.clientCredentials); got != test.want {
			t.Errorf("%+v: got %d", test, got)
		}
	}
}

// TestMCPAnswers: each answer of an MCP server to a good address and a bad one, token or user.
func TestMCPAnswers(t *testing.T) {
	t.Parallel()
	const (
		initialize = `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`
		server     = "sandbox/platform/sobject-all"
	)
	for _, test := range []struct {
		name   string
		config simorg.Config
		opaque bool
		path   string
		want   string
	}{
		{"an event stream", simorg.Config{Facts: platform.Answers{"mcp-answer-form": "event-stream"}}, false, server, "200 data: {"},
		{"opaque", simorg.Config{}, true, server, "401 JWT Token is required"},
		{"opaque, as documented", simorg.Config{Facts: platform.Answers{"mcp-opaque-token": "INVALID_AUTH_HEADER"}}, true, server, "401 INVALID_AUTH_HEADER"},
		{"opaque, as documented, too", simorg.Config{Facts: platform.Answers{"mcp-opaque-token": "INVALID_JWT_FORMAT"}}, true, server, "401 INVALID_JWT_FORMAT"},
		{"not entitled", simorg.Config{NoMCPService: true}, false, server, `401 {"message":"Invalid token"}`},
		{"no audience", simorg.Config{NoServicesAudience: true}, false, server, `401 {"message":"Invalid token"}`},
		{"in plain text", simorg.Config{NoMCPService: true, Facts: platform.Answers{"mcp-invalid-token-form": "text"}}, false, server, "401 \r\n\r\nInvalid token"},
		{"inactive", simorg.Config{InactiveMCPServers: []string{"platform/sobject-reads"}}, false, "sandbox/platform/sobject-reads", "404 Server definition not found for: platform/sobject-reads"},
		{"hidden", simorg.Config{HiddenTools: []string{"platform/sobject-all"}}, false, server, "404 not initialized"},
		{"no prefix", simorg.Config{Facts: platform.Answers{"mcp-without-prefix": "empty-server"}}, false, "sandbox/sobject-all", "400 empty serverURI"},
	} {
		test.config.MCPServers = []string{"platform/sobject-all"}
		org := simorg.Start(test.config)
		defer org.Close()
		token := org.AccessToken()
		if !test.opaque {
			token = fmt.Sprint(newClient(t, org, "MCP, RefreshToken", `<isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE).logIn("")["access_token"])
		}
		status, _, answer := c(t, org).mcp("POST", "/platform/mcp/v1/"+test.path, token, initialize)
		code, words, _ := strings.Cut(test.want, " ")
		if fmt.Sprint(status) != code || !strings.Contains(answer, words) {
			t.Errorf("%s: got %d %s, want %s", test.name, status, answer, test.want)
		}
	}
}

func c(t *testing.T, org *simorg.Server) client { return client{t, org} }

// TestMCPTools calls tools, and loses the session.
func TestMCPTools(t *testing.T) {
	t.Parallel()
	org := simorg.Start(simorg.Config{Kind: simorg.Production, MCPServers: []string{"platform/headless-360"}})
	defer org.Close()
	c := newClient(t, org, "MCP, RefreshToken", `<isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE)
	token := fmt.Sprint(c.logIn("")["access_token"])
	for _, test := range []struct{ body, want string }{
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"getUserInfo"}}`, "200 admin@example.com"},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"discover"}}`, "403 Forbidden"},
		{`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"none"}}`, "200 -32602"},
	} {
		status, _, answer := c.mcp("POST", "/platform/mcp/v1/platform/headless-360", token, test.body)
		code, words, _ := strings.Cut(test.want, " ")
		if fmt.Sprint(status) != code || !strings.Contains(answer, words) {
			t.Errorf("%s: got %d %s, want %s", test.body, status, answer, test.want)
		}
	}
	req, err := http.NewRequest("POST", org.URL+"/platform/mcp/v1/platform/headless-360", strings.NewReader(`{"method":"tools/list"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Mcp-Session-Id", "lost")
	if status, answer := do(req); status != 400 {
		t.Errorf("a lost session: got %d %s", status, answer)
	}
}

// TestMCPServerAccess activates servers and deactivates them.
func TestMCPServerAccess(t *testing.T) {
	t.Parallel()
	for _, answer := range platform.Lookup("mcp-access-create").Answers {
		org := simorg.Start(simorg.Config{Facts: platform.Answers{"mcp-access-create": answer}, MCPServers: []string{"custom/Mine"}})
		defer org.Close()
		rows := func() string {
			_, answer := rest(t, org, "GET", "tooling/query?q=SELECT+DeveloperName,MasterLabel,Active,McpServerId+FROM+McpServerAccess", "")
			return answer
		}
		if got := rows(); !strings.Contains(got, `"DeveloperName":"Mine"`) || !strings.Contains(got, `"McpServerId":"1fy`) {
			t.Error(got)
		}
		status, created := rest(t, org, "POST", "tooling/sobjects/McpServerAccess", `{"DeveloperName": "platform_sobject_all", "MasterLabel": "sobject-all", "Language": "en_US", "Active": true}`)
		if answer == "refused" {
			if status != 400 {
				t.Errorf("got %d %s", status, created)
			}
			continue
		}
		if got := rows(); status != 201 || !strings.Contains(got, `"MasterLabel":"sobject-all"`) {
			t.Errorf("got %d, %s", status, got)
		}
		_, after, _ := strings.Cut(created, `"id":"`)
		id, _, _ := strings.Cut(after, `"`)
		if status, _ := rest(t, org, "PATCH", "tooling/sobjects/McpServerAccess/"+id, `{"Active": false}`); status != 204 || !strings.Contains(rows(), `"Active":false`) {
			t.Errorf("got %d, %s", status, rows())
		}
		if status, _ := rest(t, org, "DELETE", "tooling/sobjects/McpServerAccess/"+id, ""); status != 204 || strings.Contains(rows(), "sobject-all") {
			t.Errorf("got %d, %s", status, rows())
		}
	}
}
