package simorg_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestAgentAPI starts sessions of agents in the right and in wrong ways.
func TestAgentAPI(t *testing.T) {
	t.Parallel()
	const agent, employee = "0Xx000000000001AAA", "0Xx000000000002AAA"
	agents := []simorg.Agent{{ID: agent}, {ID: employee, Employee: true}}
	body := func(endpoint string, bypass bool) string {
		return fmt.Sprintf(`{"externalSessionKey":"k","instanceConfig":{"endpoint":%q},"bypassUser":%t}`, endpoint, bypass)
	}
	for _, test := range []struct {
		name           string
		config         simorg.Config
		scopes         string
		token, id      string
		kind, endpoint string
		bypass         bool
		want           string
	}{
		{name: "good", want: `200 "sessionId"`, bypass: true},
		{name: "no token", token: "none", want: "404 "},
		{name: "opaque", token: "opaque", want: "401 Invalid token"},
		{name: "opaque, another answer", token: "opaque", config: simorg.Config{Facts: platform.Answers{"agent-opaque-token": "not-found"}}, want: "404 "},
		{name: "no scope", scopes: "Api, RefreshToken", want: "403 "},
		{name: "another type", kind: "text/plain", want: "500 Unsupported Media Type"},
		{name: "another endpoint", endpoint: "https://login.salesforce.com", want: "500 EngineConfigLookupException"},
		{name: "no such agent", id: "0Xx000000000009AAA", want: "400 0Xx000000000009AAA is not a valid agent ID"},
		{name: "no such agent, another answer", id: "0Xx000000000009AAA", config: simorg.Config{Facts: platform.Answers{"agent-unknown-id": "500"}}, want: "500 HttpServerErrorException"},
		{name: "employee agent", id: employee, bypass: true, want: "400 Invalid user ID provided on start session"},
		{name: "employee agent, as the token's user", id: employee, want: `200 "sessionId"`},
		{name: "not attached", config: simorg.Config{Facts: platform.Answers{"agent-attachment": "needed"}}, want: "401 Connected app is not attached to Agent"},
		{name: "attached", config: simorg.Config{Facts: platform.Answers{"agent-attachment": "needed"}, Agents: []simorg.Agent{{ID: agent, Apps: []string{"App"}}}}, want: "200 "},
		{name: "no access", config: simorg.Config{Agents: []simorg.Agent{{ID: agent, Users: []string{"ann@example.com"}}}}, want: "412 "},
	} {
		if test.config.Agents == nil {
			test.config.Agents = agents
		}
		org := simorg.Start(test.config)
		defer org.Close()
		scopes := test.scopes
		if scopes == "" {
			scopes = "Api, RefreshToken, Chatbot, SFApiPlatform"
		}
		c := newClient(t, org, scopes, `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`+withoutPKCE)
		_, login := c.post(tokenPath, url.Values{"grant_type": {"client_credentials"}})
		token := fmt.Sprint(login["access_token"])
		switch test.token {
		case "none":
			token = ""
		case "opaque":
			token = org.AccessToken()
		}
		id, kind, endpoint := test.id, test.kind, test.endpoint
		if id == "" {
			id = agent
		}
		if kind == "" {
			kind = "application/json"
		}
		if endpoint == "" {
			endpoint = org.URL
		}
		call := func(method, path, body string) (int, string) {
			req, err := http.NewRequest(method, org.URL+"/einstein/ai-agent/v1/"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", kind)
			if token != "" {
				req.Header.Set("Authorization", "Bearer "+token)
			}
			return do(req)
		}
		status, answer := call("POST", "agents/"+id+"/sessions", body(endpoint, test.bypass))
		code, words, _ := strings.Cut(test.want, " ")
		if fmt.Sprint(status) != code || !strings.Contains(answer, words) || status == 404 && answer != "" {
			t.Errorf("%s: got %d %s, want %s", test.name, status, answer, test.want)
		}
		if status != 200 {
			continue
		}
		_, after, _ := strings.Cut(answer, `"sessionId":"`)
		session, _, _ := strings.Cut(after, `"`)
		if status, answer := call("DELETE", "sessions/"+session, ""); status != 200 {
			t.Errorf("ending it: got %d %s", status, answer)
		}
		if status, answer := call("DELETE", "sessions/"+session, ""); status != 404 {
			t.Errorf("ending it twice: got %d %s", status, answer)
		}
	}
}
