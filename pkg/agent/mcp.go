package agent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// MCP is the way of a client to a hosted MCP server.
type MCP struct {
	Conn   *salesforce.Conn // with the session of an administrator
	App    string           // the External Client App of the client
	Server string           // like platform/sobject-all; "" is one that the org has active, or platform.DefaultMCPServer

	// Wait is how long to wait for a new consumer that the authorize page does not know yet; nil is until
	// login.MaxPropagation after its creation. Waiting is as in login.Patience.
	Wait    *time.Duration
	Waiting func(wait, left time.Duration, refusal error)
	// Progress is called for each step; nil for none.
	Progress func(Step)

	Report *Report // of Check and Finish
	Found  *App    // by Check

	shown    map[Cause]bool // what is shown of causes, and what is excluded
	standard string         // the path of the server
	myDomain string         // the path with My Domain, "" if there is none
	control  bool           // API Access Control is on
	org      organization
}

// Scopes are the scopes that a client of hosted MCP servers requests.
func (m *MCP) Scopes() []string { return []string{"mcp_api", "refresh_token"} }

// server is a record of McpServerAccess.
type server struct {
	DeveloperName, MasterLabel string
	Active                     bool
	McpServerID                string `json:"McpServerId"`
}

func (s server) name() string {
	return platform.MCPServer(s.DeveloperName, s.MasterLabel, s.McpServerID)
}

// Check does everything that needs no login, and fills Report. It takes four rounds of requests. The error is for
// an org that cannot be asked, or that has no such app.
func (m *MCP) Check(ctx context.Context) error {
	m.Report = &Report{App: m.App, Steps: []Step{}, progress: m.Progress}
	m.shown = make(map[Cause]bool)
	var servers []server
	var unreadable error
	var known bool
	group, groupCtx := errgroup.WithContext(ctx)
	client := &restapi.Client{Conn: m.Conn}
	group.Go(func() (err error) {
		servers, err = restapi.QueryTooling[server](groupCtx, client, "SELECT DeveloperName, MasterLabel, Active, McpServerId FROM McpServerAccess")
		if restapi.Refused(err) {
			unreadable, err = err, nil
		}
		return err
	})
	group.Go(func() (err error) { m.Found, err = readApp(groupCtx, m.Conn, m.App); return err })
	group.Go(func() (err error) { m.control, known, err = accessControl(groupCtx, m.Conn); return err })
	group.Go(func() (err error) { m.org, err = readOrganization(groupCtx, client); return err })
	if err := group.Wait(); err != nil {
		return err
	}
	m.Report.App = m.Found.Name
	m.Report.ClientID, m.Report.Callbacks = m.Found.Global.Text("consumerKey"), m.Found.callbacks()
	m.checkServer(servers, unreadable)
	m.address()
	m.Found.checkMCP(m.Report)
	m.shown[NoMCPScope], m.shown[NoPKCE] = !m.Found.has("MCP"), !m.Found.global("isPkceRequired")
	switch {
	case m.control:
		m.Report.found(Failed, AccessStage, APIAccessControl, "API Access Control is on")
	case known:
		m.Report.ok(AccessStage, "API Access Control is off")
	default:
		m.Report.ok(AccessStage, "the org has no API Access Control")
	}
	if err := m.discover(ctx); err != nil {
		return err
	}
	return m.checkConsumer(ctx)
}

// organization is the org's record of itself.
type organization struct {
	restapi.Organization
	Type string `json:"OrganizationType"`
}

func readOrganization(ctx context.Context, client *restapi.Client) (organization, error) {
	found, err := restapi.Query[organization](ctx, client, "SELECT Id, IsSandbox, TrialExpirationDate, OrganizationType FROM Organization")
	if err == nil && len(found) != 1 {
		err = restapi.ErrNoOrganization
	}
	if err != nil {
		return organization{}, err
	}
	return found[0], nil
}

// checkServer chooses the server and checks that it is active.
func (m *MCP) checkServer(servers []server, unreadable error) {
	for _, s := range servers {
		if s.Active {
			m.Report.Active = append(m.Report.Active, s.name())
		}
	}
	slices.Sort(m.Report.Active)
	active := m.Report.Active
	name := m.Server
	switch {
	case name != "":
	case len(active) == 0 || slices.Contains(active, platform.DefaultMCPServer):
		name = platform.DefaultMCPServer
	default:
		name = active[0]
	}
	i := slices.IndexFunc(servers, func(s server) bool { return platform.SameMCPServer(s.name(), name) })
	if i >= 0 {
		name = servers[i].name()
	}
	m.Report.Server = name
	m.shown[WithoutPrefix] = !strings.Contains(name, "/")
	switch {
	case m.shown[WithoutPrefix]:
		m.Report.found(Failed, ServerStage, WithoutPrefix, "%s has no prefix, like %s", name, platform.DefaultMCPServer)
	case unreadable != nil:
		m.Report.Add(Step{Stage: ServerStage, State: Unknown, Detail: "the org does not show its MCP servers", Says: unreadable.Error()})
	case i < 0:
		m.shown[NotActivated] = true
		m.Report.found(Failed, ServerStage, NotActivated, "%s was never activated; active: %s", name, orNone(active))
	case !servers[i].Active:
		m.shown[NotActivated] = true
		m.Report.found(Failed, ServerStage, NotActivated, "%s is not active; active: %s", name, orNone(active))
	default:
		m.shown[NotActivated] = false
		m.Report.ok(ServerStage, "%s is active", name)
	}
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// address determines where the server is.
func (m *MCP) address() {
	m.standard, m.myDomain = platform.MCPAddresses(m.org.Kind(), m.Conn.InstanceURL, m.Report.Server, m.org.Type == "Developer Edition")
	m.standard = platform.MCPPath + m.standard
	services := platform.Services(m.Conn.InstanceURL)
	m.Report.URL = services + m.standard
	if m.myDomain != "" {
		m.myDomain = platform.MCPPath + m.myDomain
		m.Report.MyDomainURL = services + m.myDomain
	}
}

// discover asks who authorizes clients of the server, as clients do. It sends no token.
func (m *MCP) discover(ctx context.Context) error {
	services := m.Conn.WithoutToken(platform.Services(m.Conn.InstanceURL))
	path := platform.MCPMetadataPath + strings.TrimPrefix(m.standard, platform.MCPPath)
	answer, err := services.Ask(ctx, salesforce.Request{Method: http.MethodGet, Path: path, Header: http.Header{"Accept": {"application/json"}}, Idempotent: true})
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		m.Report.Add(Step{Stage: DiscoveryStage, State: Failed, Cause: NoDiscovery, Says: err.Error()})
		return nil
	}
	var resource struct {
		Servers []string `json:"authorization_servers"`
		Scopes  []string `json:"scopes_supported"`
	}
	if answer.Status != http.StatusOK || json.Unmarshal(answer.Body, &resource) != nil || len(resource.Servers) == 0 {
		m.Report.Add(Step{Stage: DiscoveryStage, State: Failed, Cause: NoDiscovery, Says: refused(answer).Error()})
		return nil
	}
	for _, one := range resource.Servers {
		if _, err := platform.ServicesAnswered(m.Conn.InstanceURL, origin(one)); err != nil && !platform.IsSalesforceHost(host(one)) {
			m.Report.found(Failed, DiscoveryStage, ForeignServer, "clients are sent to %s", answer.Mask(host(one)))
			return nil
		}
	}
	m.Report.ok(DiscoveryStage, "clients log in at %s", answer.Mask(strings.Join(resource.Servers, ", ")))
	return nil
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" {
		return ""
	}
	return u.Hostname()
}

// origin returns scheme and host of an address.
func origin(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

// checkConsumer asks the authorize page about the consumer, with a redirect URL that the app does not have: the
// page refuses that if it knows everything else. Source: one report from a live org.
func (m *MCP) checkConsumer(ctx context.Context) error {
	patience := login.Patience{Waiting: m.Waiting}
	switch {
	case m.Wait != nil:
		patience.Limit = *m.Wait
	case m.Found.young():
		patience.Limit = time.Until(m.Found.Created.Add(login.MaxPropagation))
	}
	err := patience.Wait(ctx, m.probe)
	refused, isRefusal := errors.AsType[*salesforce.TokenRefusal](err)
	switch {
	case err == nil:
		m.Report.Add(Step{Stage: ConsumerStage, State: Unknown, Detail: "the authorize page shows nothing without a login"})
	case !isRefusal:
		return err
	case refused.Code == "redirect_uri_mismatch":
		m.Report.ok(ConsumerStage, "the authorize page knows the client ID")
	case login.IsNotYetKnown(err) && m.Found.young():
		m.Report.Add(Step{Stage: ConsumerStage, State: Failed, Cause: Cause(refusal.NewConsumer), Says: refused.Error()})
	default:
		m.Report.Add(Step{Stage: ConsumerStage, State: Failed, Cause: loginCause(err), Says: refused.Error()})
	}
	return nil
}

// loginCause returns the cause of a refusal that the org shows least of.
func loginCause(err error) Cause {
	if row, known := login.Explain(err); known {
		return Cause(row.Causes[len(row.Causes)-1])
	}
	return Cause(refusal.OtherCause)
}

// probe returns how the authorize page refuses a wrong redirect URL, or nil if it does not.
func (m *MCP) probe(ctx context.Context) error {
	const nowhere = "https://redirect.invalid/" // a name that never exists, see RFC 2606
	page, err := url.Parse(login.AuthorizeURL(m.Conn.InstanceURL, m.Report.ClientID, nowhere, oauth2.GenerateVerifier(), oauth2.GenerateVerifier(), m.Scopes()...))
	if err != nil {
		return err
	}
	answer, err := m.Conn.Ask(ctx, salesforce.Request{Method: http.MethodGet, Path: page.RequestURI(), Idempotent: true})
	if err != nil {
		return err
	}
	if code, description := authorizeError(answer); code != "" {
		return &salesforce.TokenRefusal{Host: answer.Host, Code: code, Description: description}
	}
	return nil
}

// inPage matches the refusal in the address of the platform's error page.
var inPage = regexp.MustCompile(`[?&](?:amp;)?error=([A-Za-z_]+)(?:&(?:amp;)?error_description=([^"'&<>\s]*))?`)

// authorizeError returns why the authorize page refuses a login: in a redirect, in JSON, or in the address of its
// error page. code is "" if it does not.
func authorizeError(answer *salesforce.Response) (code, description string) {
	if to, err := url.Parse(answer.Header.Get("Location")); err == nil && to.Query().Get("error") != "" {
		return answer.Mask(to.Query().Get("error")), answer.Mask(to.Query().Get("error_description"))
	}
	var said struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(answer.Body, &said) == nil && said.Code != "" {
		return answer.Mask(said.Code), answer.Mask(said.Description)
	}
	if match := inPage.FindStringSubmatch(string(answer.Body)); match != nil {
		description, err := url.QueryUnescape(match[2])
		if err != nil {
			description = ""
		}
		return answer.Mask(match[1]), answer.Mask(description)
	}
	return "", ""
}

// Finish goes the rest of the way with a login, which it does not revoke. Check comes first. Report has what
// fails. The error is for an org that cannot be asked.
func (m *MCP) Finish(ctx context.Context, session *login.Session) error {
	exempt, err := m.user(ctx, session)
	if err != nil {
		return err
	}
	if m.control && exempt {
		m.Report.exempt()
	}
	services := open(m.Report, m.Conn, session, m.org.ID, m.Scopes()[:1], m.shown)
	if services == nil {
		return nil
	}
	m.Report.URL = services.InstanceURL + m.standard
	if m.myDomain != "" {
		m.Report.MyDomainURL = services.InstanceURL + m.myDomain
	}
	return m.initialize(ctx, services)
}

// user reads whose login it is, with the session of the administrator: a token with mcp_api is for MCP servers
// alone. exempt reports that the user may use any client.
func (m *MCP) user(ctx context.Context, session *login.Session) (exempt bool, err error) {
	m.shown[TokenOfOtherOrg] = session.OrgID != "" && !restapi.SameID(session.OrgID, m.org.ID)
	if session.UserID == "" || m.shown[TokenOfOtherOrg] {
		m.Report.ok(AuthorizeStage, "logged in")
		return false, nil
	}
	client := &restapi.Client{Conn: m.Conn}
	found, err := restapi.Query[struct{ Username string }](ctx, client, "SELECT Username FROM User WHERE Id = "+restapi.Quote(session.UserID))
	if err != nil && !restapi.Refused(err) {
		return false, err
	}
	if len(found) == 1 {
		m.Report.Username = found[0].Username
	}
	m.Report.ok(AuthorizeStage, "logged in as %s", cmp.Or(m.Report.Username, session.UserID))
	if !m.control {
		return false, nil
	}
	return mayUseAnyClient(ctx, m.Conn, session.UserID)
}

// exempt turns API Access Control into a warning, because the user of the login may use any client.
func (r *Report) exempt() {
	for i := range r.Steps {
		if r.Steps[i].Cause == APIAccessControl {
			r.Steps[i].State = Warning
		}
	}
}

// initialize opens a session of the server, and lists its tools.
func (m *MCP) initialize(ctx context.Context, services *salesforce.Conn) error {
	c := &rpc{conn: services, path: m.standard}
	info, err := c.initialize(ctx)
	missing, isRefusal := errors.AsType[*Refusal](err)
	if isRefusal && missing.Status == http.StatusNotFound && !m.shown[NotActivated] && m.myDomain != "" {
		other := &rpc{conn: services, path: m.myDomain}
		if found, otherErr := other.initialize(ctx); otherErr == nil {
			m.Report.URL = m.Report.MyDomainURL
			m.Report.Add(Step{Stage: InitializeStage, State: Warning, Cause: MyDomainAddress, Detail: "the server answers at the address with My Domain alone", Says: missing.Error()})
			c, info, err = other, found, nil
		}
	}
	if err != nil {
		return m.refused(ctx, InitializeStage, err)
	}
	m.Report.ok(InitializeStage, "%s", info)
	if err := c.call(ctx, "notifications/initialized", nil, nil); err != nil {
		return m.refused(ctx, InitializeStage, err)
	}
	tools, err := c.tools(ctx)
	if lost, isRefusal := errors.AsType[*Refusal](err); isRefusal && lost.Status == http.StatusBadRequest {
		if _, err = c.initialize(ctx); err == nil { // the session is lost
			tools, err = c.tools(ctx)
		}
	}
	if err != nil {
		return m.refused(ctx, ToolsStage, err)
	}
	m.Report.Tools = tools
	if len(tools) == 0 {
		m.Report.found(Warning, ToolsStage, NoTools, "the server lists no tools")
		return nil
	}
	m.Report.ok(ToolsStage, "%s", strings.Join(tools, ", "))
	return nil
}

// refused adds a step that failed. It returns the error if it is the end of ctx.
func (m *MCP) refused(ctx context.Context, stage Stage, err error) error {
	return m.Report.refused(ctx, MCPService, stage, err, m.shown)
}

func (r *Report) refused(ctx context.Context, service Service, stage Stage, err error, shown map[Cause]bool) error {
	if ctx.Err() != nil {
		return err
	}
	why := UnknownServiceFail
	if answer, isRefusal := errors.AsType[*Refusal](err); isRefusal {
		why = cause(service, answer, shown)
	}
	r.Add(Step{Stage: stage, State: Failed, Cause: why, Says: err.Error()})
	return nil
}

// initialize calls initialize, and returns what the server says of itself.
func (c *rpc) initialize(ctx context.Context) (string, error) {
	c.session = ""
	var answer struct {
		ProtocolVersion string `json:"protocolVersion"`
		ServerInfo      struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"serverInfo"`
	}
	err := c.call(ctx, "initialize", map[string]any{
		"protocolVersion": protocol, "capabilities": map[string]any{},
		"clientInfo": map[string]string{"name": "ecakit", "version": salesforce.Version()},
	}, &answer)
	if err != nil {
		return "", err
	}
	mask := func(text string) string { return salesforce.MaskSecrets(text) }
	return strings.TrimSpace(fmt.Sprintf("MCP %s, %s %s", mask(answer.ProtocolVersion), mask(answer.ServerInfo.Name), mask(answer.ServerInfo.Version))), nil
}

// maxToolPages bounds the pages of a list of tools.
const maxToolPages = 50

// tools lists the names of the server's tools.
func (c *rpc) tools(ctx context.Context) (names []string, err error) {
	var params any
	for range maxToolPages {
		var page struct {
			Tools []struct {
				Name string `json:"name"`
			} `json:"tools"`
			NextCursor string `json:"nextCursor"`
		}
		if err := c.call(ctx, "tools/list", params, &page); err != nil {
			return nil, err
		}
		for _, tool := range page.Tools {
			names = append(names, salesforce.MaskSecrets(tool.Name))
		}
		if page.NextCursor == "" {
			break
		}
		params = map[string]string{"cursor": page.NextCursor}
	}
	return names, nil
}
