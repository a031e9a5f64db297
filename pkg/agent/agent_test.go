package agent_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/agent"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

const (
	callback  = "https://client.example.com/callback"
	sobjects  = "platform/sobject-all"
	theAgent  = "0Xx000000000001AAA"
	mcpGlobal = `<isConsumerSecretOptional>true</isConsumerSecretOptional><isNamedUserJwtEnabled>true</isNamedUserJwtEnabled><isPkceRequired>true</isPkceRequired><isSecretRequiredForRefreshToken>false</isSecretRequiredForRefreshToken>`
	apiGlobal = `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`
	apiScopes = "Api, RefreshToken, Chatbot, SFApiPlatform"
	apiPolicy = `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled><clientCredentialsFlowUser>admin@example.com</clientCredentialsFlowUser>`
)

// stage is an org with the app App.
type stage struct {
	*testing.T
	org *simorg.Server
}

func file(typ, fields string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(`<` + typ + ` xmlns="http://soap.sforce.com/2006/04/metadata">` + fields + `</` + typ + `>`)}
}

// source returns the source of the app.
func source(scopes, global, policies string) fstest.MapFS {
	const link = `<externalClientApplication>App</externalClientApplication><label>App</label>`
	files := fstest.MapFS{
		"externalClientApps/App.eca-meta.xml":                            file("ExternalClientApplication", `<contactEmail>a@example.com</contactEmail><distributionState>Local</distributionState><label>App</label>`),
		"extlClntAppOauthSettings/App_oauth.ecaOauth-meta.xml":           file("ExtlClntAppOauthSettings", `<commaSeparatedOauthScopes>`+scopes+`</commaSeparatedOauthScopes>`+link),
		"extlClntAppGlobalOauthSets/App_glbloauth.ecaGlblOauth-meta.xml": file("ExtlClntAppGlobalOauthSettings", `<callbackUrl>`+callback+`</callbackUrl>`+link+global),
	}
	files["extlClntAppPolicies/App_plcy.ecaPlcy-meta.xml"] = file("ExtlClntAppConfigurablePolicies", link+`<isEnabled>true</isEnabled><isOauthPluginEnabled>true</isOauthPluginEnabled>`)
	if policies != "" {
		files["extlClntAppOauthPolicies/App_oauthPlcy.ecaOauthPlcy-meta.xml"] = file("ExtlClntAppOauthConfigurablePolicies", policies+link)
	}
	return files
}

// start returns an org with the app, whose consumer is an hour old unless it takes time to become known.
func start(t *testing.T, config simorg.Config, scopes, global, policies string) *stage {
	t.Helper()
	s := &stage{t, simorgtest.Start(t, config)}
	if err := s.org.Deploy(source(scopes, global, policies), "."); err != nil {
		t.Fatal(err)
	}
	if config.Propagation == 0 {
		s.org.Age(time.Hour)
	}
	return s
}

func (s *stage) conn(at string) *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: at, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: s.org.AccessToken()})}
}

// logIn logs in as a browser does.
func (s *stage) logIn(at, user string, scopes ...string) *login.Session {
	s.Helper()
	pair := s.org.Pairs("App")[0]
	verifier := oauth2.GenerateVerifier()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := browser.PostForm(login.AuthorizeURL(s.org.URL, pair.Key, callback, "state", verifier, scopes...), url.Values{"username": {user}})
	if err != nil {
		s.Fatal(err)
	}
	resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		s.Fatal(resp.Status)
	}
	session, err := login.Code(at, login.Credentials{Key: pair.Key, Secret: salesforce.NewSecret(pair.Secret)}, callback, to.Query().Get("code"), verifier).Open(s.Context(), nil)
	if err != nil {
		s.Fatal(err)
	}
	return session
}

// front puts a proxy before the org.
func (s *stage) front(h func(w http.ResponseWriter, r *http.Request, pass func())) string {
	u, _ := url.Parse(s.org.URL)
	p := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r, func() { p.ServeHTTP(w, r) }) }))
	s.Cleanup(front.Close)
	return front.URL
}

// summary returns the steps that are not ok as STAGE STATE CAUSE.
func summary(r *agent.Report) string {
	var all []string
	for _, step := range r.Steps {
		if step.State != agent.OK {
			all = append(all, strings.TrimSpace(fmt.Sprintf("%s %s %s", step.Stage, step.State, step.Cause)))
		}
	}
	return strings.Join(all, ", ")
}

func reached(r *agent.Report, stage agent.Stage) bool {
	return slices.ContainsFunc(r.Steps, func(s agent.Step) bool { return s.Stage == stage && s.State == agent.OK })
}

// TestMCP goes the way of an AI client, and to each place where it can end.
func TestMCP(t *testing.T) {
	t.Parallel()
	active := simorg.Config{MCPServers: []string{sobjects}}
	with := func(change func(*simorg.Config)) simorg.Config {
		config := active
		change(&config)
		return config
	}
	fact := func(id, answer string) simorg.Config {
		return with(func(c *simorg.Config) { c.Facts = platform.Answers{id: answer} })
	}
	const scopes = "MCP, RefreshToken"
	for _, test := range []struct {
		name           string
		config         simorg.Config
		scopes, global string
		server         string
		requested      []string
		want           string // what is not ok
	}{
		{name: "all is well", config: active},
		{name: "production", config: with(func(c *simorg.Config) { c.Kind = simorg.Production })},
		{name: "scratch org", config: with(func(c *simorg.Config) { c.Kind = simorg.Scratch })},
		{name: "an event stream", config: fact("mcp-answer-form", "event-stream")},
		{name: "the resource is the authorization server", config: fact("mcp-authorization-server", "resource")},
		{name: "the other scope claim", config: fact("jwt-scope-claim", "scope")},
		{name: "the one that is active", config: simorg.Config{MCPServers: []string{"platform/headless-360"}}},
		{name: "a custom server", config: with(func(c *simorg.Config) { c.MCPServers = append(c.MCPServers, "custom/Mine") }), server: "custom/mine"},
		{name: "none is active", want: "server failed mcp-server-not-activated, initialize failed mcp-server-not-activated"},
		{name: "not active any more", config: simorg.Config{InactiveMCPServers: []string{sobjects}}, want: "server failed mcp-server-not-activated, initialize failed mcp-server-not-activated"},
		{name: "another one", config: active, server: "platform/sobject-reads", want: "server failed mcp-server-not-activated, initialize failed mcp-server-not-activated"},
		{name: "no prefix", config: active, server: "sobject-all", want: "server failed mcp-server-without-prefix, initialize failed mcp-server-without-prefix"},
		{name: "no prefix, another answer", config: fact("mcp-without-prefix", "empty-server"), server: "sobject-all", want: "server failed mcp-server-without-prefix, initialize failed mcp-server-without-prefix"},
		{name: "an older org", config: with(func(c *simorg.Config) { c.WithoutObjects = []string{"McpServerAccess"} }), want: "server unknown"},
		{name: "no scope", config: active, scopes: "Api, RefreshToken", requested: []string{"api"}, want: "app failed mcp-no-scope, token failed token-without-scope"},
		{name: "a login without the scope", config: active, scopes: scopes + ", Api", requested: []string{"api"}, want: "token failed token-without-scope"},
		{name: "beta", config: active, scopes: "MCP, SFApiPlatform", want: "app warning mcp-no-refresh-scope, app warning mcp-beta-scopes", requested: []string{"mcp_api"}},
		{name: "opaque tokens", config: active, global: `<isConsumerSecretOptional>true</isConsumerSecretOptional><isPkceRequired>true</isPkceRequired><isSecretRequiredForRefreshToken>false</isSecretRequiredForRefreshToken>`, want: "app failed opaque-tokens, token failed opaque-tokens"},
		{name: "no PKCE", config: active, global: strings.Replace(mcpGlobal, "<isPkceRequired>true", "<isPkceRequired>false", 1), want: "app warning mcp-no-pkce"},
		{name: "no PKCE, where that is refused", config: fact("mcp-without-pkce", "refused"), global: strings.Replace(mcpGlobal, "<isPkceRequired>true", "<isPkceRequired>false", 1), want: "app warning mcp-no-pkce, initialize failed mcp-no-pkce"},
		{name: "a secret", config: active, global: strings.Replace(mcpGlobal, "<isConsumerSecretOptional>true", "<isConsumerSecretOptional>false", 1), want: "app warning mcp-secret-required"},
		{name: "not entitled", config: with(func(c *simorg.Config) { c.NoMCPService = true }), want: "initialize failed mcp-not-entitled"},
		{name: "not entitled, in plain text", config: with(func(c *simorg.Config) {
			c.NoMCPService, c.Facts = true, platform.Answers{"mcp-invalid-token-form": "text"}
		}), want: "initialize failed mcp-not-entitled"},
		{name: "no audience", config: with(func(c *simorg.Config) { c.NoServicesAudience = true }), want: "initialize failed token-without-audience"},
		{name: "hidden tools", config: with(func(c *simorg.Config) { c.HiddenTools = []string{sobjects} }), want: "initialize failed mcp-tools-hidden"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.scopes == "" {
				test.scopes = scopes
			}
			if test.global == "" {
				test.global = mcpGlobal
			}
			s := start(t, test.config, test.scopes, test.global, "")
			way := &agent.MCP{Conn: s.conn(s.org.URL), App: "App", Server: test.server}
			if err := way.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if test.requested == nil {
				test.requested = way.Scopes()
			}
			session := s.logIn(s.org.URL, "admin@example.com", test.requested...)
			if err := way.Finish(t.Context(), session); err != nil {
				t.Fatal(err)
			}
			if got := summary(way.Report); got != test.want {
				t.Errorf("got %s\nwant %s\n%+v", got, test.want, way.Report.Steps)
			}
			if works := !strings.Contains(test.want, "failed"); works != reached(way.Report, agent.ToolsStage) || works != (way.Report.Failed() == nil) {
				t.Errorf("the way ends with %+v", way.Report.Steps)
			}
			path := platform.MCPPath + "sandbox/"
			if test.config.Kind == simorg.Production {
				path = platform.MCPPath
			}
			if way.Report.URL != s.org.URL+path+way.Report.Server || way.Report.ClientID != s.org.Pairs("App")[0].Key || way.Report.Username != "admin@example.com" {
				t.Errorf("%+v", way.Report)
			}
			document, err := json.Marshal(way.Report)
			if err != nil || bytes.Contains(document, []byte(session.Token().Reveal())) {
				t.Errorf("%s, %v", document, err)
			}
		})
	}
}

// TestAPIAccessControl: tools are blocked, unless the user may use any client.
func TestAPIAccessControl(t *testing.T) {
	t.Parallel()
	for _, exempt := range []bool{false, true} {
		s := start(t, simorg.Config{MCPServers: []string{sobjects}}, "MCP, RefreshToken", mcpGlobal, "")
		settings := file("ConnectedAppSettings", `<enableAdminApprovedAppsOnly>true</enableAdminApprovedAppsOnly>`)
		if err := s.org.Fill(fstest.MapFS{"settings/ConnectedApp.settings-meta.xml": settings}, "."); err != nil {
			t.Fatal(err)
		}
		want := "api-access-control failed api-access-control"
		if exempt {
			want = "api-access-control warning api-access-control"
			records := `{"PermissionSetAssignment": [{"Id": "0Pa000000000001AAA", "AssigneeId": "005000000000001AAA", "PermissionSet": {"PermissionsUseAnyApiClient": true}}]}`
			if err := s.org.Fill(fstest.MapFS{"records.json": {Data: []byte(records)}}, "."); err != nil {
				t.Fatal(err)
			}
		}
		way := &agent.MCP{Conn: s.conn(s.org.URL), App: "App"}
		if err := way.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := way.Finish(t.Context(), s.logIn(s.org.URL, "admin@example.com")); err != nil {
			t.Fatal(err)
		}
		if got := summary(way.Report); got != want || !reached(way.Report, agent.ToolsStage) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// TestNewConsumer: the authorize page does not know the client ID, yet or at all.
func TestNewConsumer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		age  time.Duration
		wait time.Duration
		want string
	}{
		{"waiting", 0, 10 * time.Second, "app warning mcp-young-consumer"},
		{"not waiting", 0, 0, "app warning mcp-young-consumer, consumer failed new-consumer"},
		{"too old to wait for", 45 * time.Minute, 0, "consumer failed unknown-consumer"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, simorg.Config{MCPServers: []string{sobjects}, Propagation: time.Hour}, "MCP, RefreshToken", mcpGlobal, "")
			s.org.Age(test.age)
			way := &agent.MCP{Conn: s.conn(s.org.URL), App: "App", Wait: &test.wait}
			way.Waiting = func(time.Duration, time.Duration, error) { s.org.Age(2 * time.Hour) }
			if err := way.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := summary(way.Report); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

// TestAnswers: each answer of the table is named by its cause, whatever its form, unless that cannot be.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, row := range agent.Answers() {
		for _, form := range []string{`{"error":{"code":1,"message":%q}}`, `{"errors":[{"message":%q}]}`, `{"message":%q}`, "%s"} {
			status, text := row.Status, "It says: "+strings.ToUpper(row.Text)
			if status == 0 {
				status = 400
			}
			if row.Text == "" {
				text, form = "", "%s"
			}
			answer := fmt.Sprintf(form, text)
			t.Run(fmt.Sprint(row.Service, status, answer), func(t *testing.T) {
				t.Parallel()
				s := start(t, simorg.Config{MCPServers: []string{sobjects}, Agents: []simorg.Agent{{ID: theAgent}}}, "MCP, "+apiScopes, `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`+mcpGlobal, apiPolicy)
				path, way := "/platform/mcp/v1/", func(at string) *agent.Report { return s.mcp(at) }
				if row.Service == agent.AgentService {
					path, way = "/einstein/", func(at string) *agent.Report { return s.api(at) }
				}
				at := s.front(func(w http.ResponseWriter, r *http.Request, pass func()) {
					if strings.HasPrefix(r.URL.Path, path) {
						w.WriteHeader(status)
						io.WriteString(w, answer)
						return
					}
					pass()
				})
				failed := way(at).Failed()
				excluded := []agent.Cause{agent.OpaqueTokens, agent.NoMCPScope, agent.TokenWithoutScope, agent.WithoutPrefix}
				if !slices.ContainsFunc(row.Causes, func(c agent.Cause) bool { return !slices.Contains(excluded, c) }) {
					row.Causes = []agent.Cause{agent.UnknownServiceFail} // the token and the name are good
				}
				if failed == nil || !slices.Contains(row.Causes, failed.Cause) || !strings.Contains(failed.Says, text) {
					t.Errorf("got %+v, want one of %s", failed, row.Causes)
				}
			})
		}
	}
}

func (s *stage) mcp(at string) *agent.Report {
	s.Helper()
	way := &agent.MCP{Conn: s.conn(at), App: "App"}
	if err := way.Check(s.Context()); err != nil {
		s.Fatal(err)
	}
	session := s.logIn(at, "admin@example.com", way.Scopes()...)
	session.Services = "" // which names the org and not the proxy
	if err := way.Finish(s.Context(), session); err != nil {
		s.Fatal(err)
	}
	return way.Report
}

func (s *stage) api(at string) *agent.Report {
	s.Helper()
	way := &agent.API{Conn: s.conn(at), App: "App", Agent: theAgent}
	if err := way.Check(s.Context()); err != nil {
		s.Fatal(err)
	}
	pair := s.org.Pairs("App")[0]
	session, err := login.ClientCredentials(s.org.URL, login.Credentials{Key: pair.Key, Secret: salesforce.NewSecret(pair.Secret)}).Open(s.Context(), nil)
	if err != nil {
		s.Fatal(err)
	}
	session.Services = ""
	if err := way.Finish(s.Context(), session); err != nil {
		s.Fatal(err)
	}
	return way.Report
}

// TestTokenGoesNowhereElse: an answer that names another address for the services gets no token there.
func TestTokenGoesNowhereElse(t *testing.T) {
	t.Parallel()
	var got []string
	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = append(got, r.URL.Path) }))
	defer evil.Close()
	s := start(t, simorg.Config{MCPServers: []string{sobjects}, Agents: []simorg.Agent{{ID: theAgent}}}, "MCP, "+apiScopes, `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`+mcpGlobal, apiPolicy)
	for _, address := range []string{evil.URL, "https://evil.example", "http://api.salesforce.com", "not an address"} {
		way := &agent.MCP{Conn: s.conn(s.org.URL), App: "App"}
		if err := way.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		session := s.logIn(s.org.URL, "admin@example.com", way.Scopes()...)
		session.Services = address
		if err := way.Finish(t.Context(), session); err != nil {
			t.Fatal(err)
		}
		if failed := way.Report.Failed(); failed == nil || failed.Cause != agent.ForeignServices || reached(way.Report, agent.InitializeStage) {
			t.Errorf("%s: got %+v", address, way.Report.Steps)
		}
	}
	// A redirect is not followed either.
	at := s.front(func(w http.ResponseWriter, r *http.Request, pass func()) {
		if strings.HasPrefix(r.URL.Path, platform.MCPPath) {
			http.Redirect(w, r, evil.URL+r.URL.Path, http.StatusTemporaryRedirect)
			return
		}
		pass()
	})
	if failed := s.mcp(at).Failed(); failed == nil || failed.Stage != agent.InitializeStage {
		t.Errorf("a redirect: got %+v", failed)
	}
	if len(got) > 0 {
		t.Errorf("another host got %s", got)
	}
}

// TestDiscovery: clients are not sent to a host that is none of Salesforce's.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{MCPServers: []string{sobjects}}, "MCP, RefreshToken", mcpGlobal, "")
	for answer, want := range map[string]string{
		`{"authorization_servers":["https://test.salesforce.com"]}`: "",
		`{"authorization_servers":["https://evil.example"]}`:        "discovery failed mcp-foreign-authorization",
		`{"authorization_servers":["http://login.salesforce.com"]}`: "discovery failed mcp-foreign-authorization",
		`{}`:            "discovery failed mcp-no-discovery",
		`<html></html>`: "discovery failed mcp-no-discovery",
	} {
		at := s.front(func(w http.ResponseWriter, r *http.Request, pass func()) {
			if strings.HasPrefix(r.URL.Path, "/.well-known/") {
				if r.Header.Get("Authorization") != "" {
					t.Error("discovery sends a token")
				}
				io.WriteString(w, answer)
				return
			}
			pass()
		})
		way := &agent.MCP{Conn: s.conn(at), App: "App"}
		if err := way.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := summary(way.Report); got != want {
			t.Errorf("%s: got %s, want %s", answer, got, want)
		}
	}
}

// TestAuthorizeErrors reads the refusal of the authorize page in all its forms.
func TestAuthorizeErrors(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{MCPServers: []string{sobjects}}, "MCP, RefreshToken", mcpGlobal, "")
	for _, test := range []struct{ location, body, want string }{
		{"/_nc_external/identity/RemoteAccessErrorPage.apexp?error=redirect_uri_mismatch&error_description=x", "", ""},
		{"", `<script>window.location.href='/x/RemoteAccessErrorPage.apexp?error=redirect_uri_mismatch&amp;error_description=redirect_uri+must+match';</script>`, ""},
		{"", `{"error":"redirect_uri_mismatch"}`, ""},
		{"", `{"error":"invalid_client_id","error_description":"client identifier invalid"}`, "consumer failed unknown-consumer"},
		{"", `<html>log in</html>`, "consumer unknown"},
		{"/x?error=OAUTH_EC_APP_NOT_FOUND", "", "consumer failed not-installed"},
	} {
		at := s.front(func(w http.ResponseWriter, r *http.Request, pass func()) {
			if r.URL.Path != "/services/oauth2/authorize" {
				pass()
				return
			}
			if test.location != "" {
				w.Header().Set("Location", test.location)
				w.WriteHeader(302)
			}
			io.WriteString(w, test.body)
		})
		way := &agent.MCP{Conn: s.conn(at), App: "App"}
		if err := way.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := summary(way.Report); got != test.want {
			t.Errorf("%+v: got %s", test, got)
		}
	}
}

// TestLostSession: a session that the server loses is opened again.
func TestLostSession(t *testing.T) {
	t.Parallel()
	s := start(t, simorg.Config{MCPServers: []string{sobjects}}, "MCP, RefreshToken", mcpGlobal, "")
	lost := 0
	at := s.front(func(w http.ResponseWriter, r *http.Request, pass func()) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		if bytes.Contains(body, []byte("tools/list")) && lost == 0 {
			lost++
			w.WriteHeader(400)
			return
		}
		pass()
	})
	if r := s.mcp(at); r.Failed() != nil || !reached(r, agent.ToolsStage) || lost != 1 {
		t.Errorf("%+v", r.Steps)
	}
}

// TestAgentAPI opens sessions of agents, and goes to each place where that can end.
func TestAgentAPI(t *testing.T) {
	t.Parallel()
	agents := func(a simorg.Agent) simorg.Config {
		a.ID = theAgent
		return simorg.Config{Agents: []simorg.Agent{a}}
	}
	with := func(id, answer string) simorg.Config {
		config := agents(simorg.Agent{})
		config.Facts = platform.Answers{id: answer}
		return config
	}
	for _, test := range []struct {
		name                     string
		config                   simorg.Config
		scopes, global, policies string
		want                     string
		id                       string
	}{
		{name: "all is well", config: agents(simorg.Agent{})},
		{name: "employees", config: agents(simorg.Agent{Employee: true}), want: "session warning agent-of-employees"},
		{name: "no such agent", want: "session failed agent-unknown"},
		{name: "no such agent, another answer", config: simorg.Config{Facts: platform.Answers{"agent-unknown-id": "500"}}, want: "session failed agent-unknown"},
		{name: "not attached", config: with("agent-attachment", "needed"), want: "session failed agent-app-not-attached"},
		{name: "no access", config: agents(simorg.Agent{Users: []string{}}), want: "session failed agent-no-access"},
		{name: "no scope", config: agents(simorg.Agent{}), scopes: "Api, RefreshToken", want: "app failed agent-no-scope, token failed token-without-scope"},
		{name: "opaque", config: agents(simorg.Agent{}), global: `<isClientCredentialsFlowEnabled>true</isClientCredentialsFlowEnabled>`, want: "app failed opaque-tokens, token failed opaque-tokens"},
		{name: "no name of an agent", config: agents(simorg.Agent{}), id: "MyAgent", want: "agent failed agent-unknown, session failed agent-unknown"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for at, text := range map[*string]string{&test.scopes: apiScopes, &test.global: apiGlobal, &test.policies: apiPolicy, &test.id: theAgent} {
				if *at == "" {
					*at = text
				}
			}
			s := start(t, test.config, test.scopes, test.global, test.policies)
			way := &agent.API{Conn: s.conn(s.org.URL), App: "App", Agent: test.id, OrgID: s.org.ID()}
			if err := way.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			pair := s.org.Pairs("App")[0]
			session, err := login.ClientCredentials(s.org.URL, login.Credentials{Key: pair.Key, Secret: salesforce.NewSecret(pair.Secret)}).Open(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := way.Finish(t.Context(), session); err != nil {
				t.Fatal(err)
			}
			if got := summary(way.Report); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			if works := !strings.Contains(test.want, "failed"); works != reached(way.Report, agent.EndStage) {
				t.Errorf("%+v", way.Report.Steps)
			}
		})
	}
}

// TestAgentAppSettings: the policies explain why a login will be refused.
func TestAgentAppSettings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ global, policies, want string }{
		{`<isNamedUserJwtEnabled>true</isNamedUserJwtEnabled>`, "", "app failed flow-off"},
		{apiGlobal, "", "app failed no-policies"},
		{apiGlobal, `<isClientCredentialsFlowEnabled>false</isClientCredentialsFlowEnabled>`, "app failed flow-off-in-policies"},
	} {
		s := start(t, simorg.Config{}, apiScopes, test.global, test.policies)
		way := &agent.API{Conn: s.conn(s.org.URL), App: "App", Agent: theAgent}
		if err := way.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := summary(way.Report); got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
