// Package simorg is a simulated Salesforce org behind HTTP, for tests, demos and pipelines of
// programs that manage External Client Apps.
//
// An Org is an http.Handler that answers the Metadata API's SOAP calls and the REST calls that
// belong to them. It enforces what the platform enforces for External Client Apps, in the platform's
// words: an unknown element is a fault, global OAuth settings need OAuth settings, an upsert replaces
// the whole record, and the org chooses the consumer's key and secret. It keeps state and records
// requests. Config sets how it behaves, and Inject makes single requests slow or fail.
//
//	org := simorg.Start(simorg.Config{Kind: simorg.Sandbox})
//	defer org.Close()
//	// org.URL is the instance URL, org.AccessToken() a session.
//
// Config.Facts answers the questions that Salesforce's documentation leaves open, see pkg/platform.
// What is assumed beyond them is said beside it.
//
// The package shares no code with clients, so that a client's mistake cannot hide in the server: it
// parses requests and writes answers itself. Of the tables in pkg/eca and pkg/connection it uses
// names, kinds and order of fields. Versions and defaults are its own.
package simorg

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/platform"
)

// Kind is the kind of the simulated org.
type Kind string

// The kinds of org.
const (
	Sandbox    Kind = "sandbox"
	Production Kind = "production"
	Scratch    Kind = "scratch"
)

// Config describes the simulated org. The zero value is a sandbox that has every API version of
// pkg/apiversion.
//
// Salesforce's documentation leaves questions open, and orgs answer some differently: Facts has the
// answers that hold for this one.
type Config struct {
	Facts platform.Answers // by ID of pkg/platform; a fact without an entry has its expected answer

	// The org and its users.
	URL            string             // the instance URL, without a slash at its end; Serve sets it
	Kind           Kind               // "" is Sandbox
	Edition        string             // OrganizationType; "" is Enterprise Edition
	Version        apiversion.Version // the newest API version; 0 is apiversion.Latest
	Username       string             // the administrator, whose session AccessToken is; "" is admin@example.com
	Withdrawn      []string           // Permissions that the administrator lacks
	Users          []User             // users besides the administrator
	PermissionSets []string           // names
	Profiles       []string           // names
	ModifyAllData  []string           // permission sets and profiles that grant Modify All Data
	Certificates   []string           // names of the org's own certificates
	Namespace      string             // of the org, which the names of its components may have as a prefix
	Features       []string           // of the definition of a scratch org

	// The Dev Hub, which creates scratch orgs: see ScratchOrgs.
	DevHub         bool          // needs Kind Production
	MaxScratchOrgs int           // active scratch orgs at a time; 0 is 40
	SignUp         func(*Config) // changes the Config of each scratch org; one call at a time; must not call the org

	// What the Metadata API returns.
	UnreadableApps []string // Connected Apps of other vendors: listed, and readMetadata fails

	// What queries return.
	WithoutObjects []string // objects, and settings types of the org, that the org lacks, as older orgs do
	WithoutFields  []string // fields that users cannot see, like "OauthToken.UseCount"
	PageSize       int      // records per page; 0 is 2,000

	// The resources of consumers, /apps/oauth/credentials.
	SecretsInREST bool // the org setting enableClientSecretInRestApiAccess
	SecretDelay   int  // readings that lack the secret if the answer to secret-after-setting is later; 0 is 2

	// The services of api.salesforce.com, which the org plays under its own address.
	MCPServers         []string // the activated MCP servers, like platform/sobject-all
	InactiveMCPServers []string // those that were activated, and are not any more
	HiddenTools        []string // those of MCPServers whose tools the users cannot see
	NoMCPService       bool     // the org is not entitled to MCP servers, which sfap_op of its tokens shows
	NoServicesAudience bool     // aud of its tokens lacks the services
	Agents             []Agent  // of the Agent API

	// Keys are shared with other orgs; nil shares none, but those of a Dev Hub with its scratch orgs.
	Keys *Keys

	// Logging in.
	Propagation     time.Duration             // how long the token endpoint does not know a new consumer, unless the answer to propagation is at-once
	SessionLifetime time.Duration             // of access tokens; 0 is until ExpireSessions
	IPRestricted    bool                      // the token endpoint refuses everybody
	SessionsRefused bool                      // REST and SOAP accept no session, as with an IP policy
	Blocked         []string                  // apps that an administrator has blocked
	Locked          bool                      // the org is locked: the token endpoint refuses everybody
	JWTClients      map[string]*rsa.PublicKey // by consumer key: approved Connected Apps that log in with JWT bearer

	// What the test controls.
	Latency    time.Duration // delays every answer
	Log        func(Request) // gets every request when it is answered; one call at a time; must not call the org
	Unrecorded bool          // does not keep requests for Requests
}

// User is a user of the org.
type User struct {
	Username string
	Inactive bool
	Frozen   bool
	Profile  string // its name; "" is Standard User
}

// Org is a simulated org. It is an http.Handler, and safe for several
// goroutines; changes happen one at a time, as a transaction each.
type Org struct {
	config Config
	named  bool // whether Config names the administrator
	id     string

	mu        sync.Mutex
	url       string
	state     state
	records   map[string]map[string]*record // by type and fullName, in lower case
	broken    map[string]bool               // apps whose OAuth plugin is beyond repair, in lower case
	deploys   map[string]*deployJob
	retrieves map[string]string // answers, by ID
	requests  []Request
	faults    []*Fault
	cursors   map[string]cursor // answers that are read page by page
	sources   map[string]*Org   // where the consumers of installed apps are, by app in lower case
	unsecured int               // how many readings come without the secret yet
	codes     map[string]code   // of the authorization code flow

	mcpSessions   map[string]bool // of MCP servers, by ID
	agentSessions map[string]bool // of the Agent API, by ID

	scratchOrgs []*scratchOrg // of a Dev Hub, in the order of their signups
	installs    []row         // requests to install a package
}

// New returns an org without any app. Most callers want Start, which serves it. It panics if
// Config.Facts has an answer that pkg/platform lacks.
func New(config Config) *Org {
	if err := config.Facts.Check(); err != nil {
		panic("simorg: " + err.Error())
	}
	config.Kind = cmp.Or(config.Kind, Sandbox)
	if config.DevHub && config.Keys == nil {
		config.Keys = new(Keys)
	}
	named := config.Username != ""
	config.Username = cmp.Or(config.Username, "admin@example.com")
	config.Version = cmp.Or(config.Version, apiversion.Latest)
	config.Users = append([]User{{Username: config.Username}}, config.Users...)
	o := &Org{
		config: config, named: named, id: "00D" + random(6) + "AAA", state: newState(),
		records: make(map[string]map[string]*record), broken: make(map[string]bool), sources: make(map[string]*Org),
		deploys: make(map[string]*deployJob), retrieves: make(map[string]string), cursors: make(map[string]cursor),
		codes: make(map[string]code), mcpSessions: make(map[string]bool), agentSessions: make(map[string]bool), url: config.URL,
	}
	o.state.Token = o.newSession()
	o.addSettings()
	for _, name := range config.PermissionSets {
		o.addPermissionSet(name)
	}
	o.addServers()
	return o
}

// is reports whether an answer to a fact holds for the org.
func (o *Org) is(fact, answer string) bool { return o.config.Facts.Is(fact, answer) }

// random returns n random bytes as hex.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// newSession returns a fresh access token.
func (o *Org) newSession() string {
	token := o.id + "!AQE" + random(24)
	var end time.Time
	if o.config.SessionLifetime > 0 {
		end = time.Now().Add(o.config.SessionLifetime)
	}
	o.state.Sessions[token] = end
	return token
}

// accepts reports whether an access token is good.
func (o *Org) accepts(token string) bool {
	end, ok := o.state.Sessions[token]
	return ok && (end.IsZero() || time.Now().Before(end))
}

// nextID makes a record ID with the prefix of its kind.
func (o *Org) nextID(prefix string) string {
	o.state.Serial++
	return fmt.Sprintf("%s%09dAAA", prefix, o.state.Serial)
}

// ID returns the org's ID.
func (o *Org) ID() string { return o.id }

// Username returns the administrator's username.
func (o *Org) Username() string { return o.config.Username }

// AccessToken returns an access token that the org accepts: a session of the
// administrator.
func (o *Org) AccessToken() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.accepts(o.state.Token) {
		o.state.Token = o.newSession()
	}
	return o.state.Token
}

// ExpireSessions makes the org refuse the access tokens that it gave so far.
// AccessToken returns a fresh one from then on.
func (o *Org) ExpireSessions() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.state.Sessions)
}

// ServeHTTP answers one request, after recording it and holding it back for the
// org's latency.
func (o *Org) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The Salesforce CLI keeps some instance URLs with a slash at the end and puts
	// another one behind it.
	r.URL.Path = "/" + strings.TrimLeft(r.URL.Path, "/")
	o.record(w, r, func(w http.ResponseWriter, body []byte, refuse string) {
		switch path := r.URL.Path; {
		case strings.HasPrefix(path, soapPath):
			o.serveSOAP(w, r, body, refuse)
		case strings.HasPrefix(path, "/services/data") || path == userInfoPath:
			o.serveREST(w, r, body)
		case strings.HasPrefix(path, apexPath):
			o.serveApex(w, path, body)
		case strings.HasPrefix(path, partnerPath):
			o.servePartner(w, path, body)
		case strings.HasPrefix(path, oauthPath):
			o.serveOAuth(w, r, body)
		case strings.HasPrefix(path, mcpPath), strings.HasPrefix(path, mcpResourcePath):
			o.mcp(w, r, body)
		case strings.HasPrefix(path, agentPath):
			o.agent(w, r, body)
		case path == "/ide/auth":
			o.ideAuth(w, r)
		case path == openIDPath:
			o.serveOpenID(w)
		default:
			http.NotFound(w, r)
		}
	})
}

// Server is an Org that listens on this machine's loopback.
type Server struct {
	*Org
	URL string // the instance URL, without a slash at its end

	server *http.Server
}

// Start serves an org on a port of its own. Like httptest.NewServer it panics if it cannot listen.
func Start(config Config) *Server {
	s, err := Serve("127.0.0.1:0", New(config))
	if err != nil {
		panic("simorg: cannot listen on the loopback: " + err.Error())
	}
	return s
}

// Serve serves an org on a TCP address. It should be one of the loopback: everybody who reaches it
// can get a session. An error says that the address is not available.
func Serve(address string, org *Org) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &Server{Org: org, URL: "http://" + listener.Addr().String()}
	org.mu.Lock()
	org.url = s.URL
	org.mu.Unlock()
	s.server = &http.Server{Handler: s.Org, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(listener)
	return s, nil
}

// Close stops the server and ends all its connections, and those of its scratch orgs.
func (s *Server) Close() {
	s.server.Close()
	for _, scratch := range s.ScratchOrgs() {
		scratch.Close()
	}
}
