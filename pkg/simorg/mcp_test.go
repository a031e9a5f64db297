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
			{"POST", server, jwt, `{"jsonrpc":"2.0","id":2,"method":"tools/list"}`, `200 "tools":[]`},
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
