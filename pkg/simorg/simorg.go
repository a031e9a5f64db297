// Package simorg is a simulated Salesforce org behind HTTP, for tests, demos and
// pipelines of programs that bring External Client Apps to orgs.
//
// An Org is an http.Handler that answers the Metadata API's SOAP calls and the
// REST calls that belong to them. It enforces what the platform enforces for
// External Client Apps, in the platform's words: an unknown element is a fault,
// global OAuth settings need OAuth settings, an upsert replaces the whole record,
// and the consumer's key and secret are made by the org. It keeps state, records
// every request, and can be told to be slow or to fail.
//
//	org := simorg.Start(simorg.Config{Kind: simorg.Sandbox})
//	defer org.Close()
//	// org.URL is the instance URL, org.AccessToken() a session.
//
// Where Salesforce's documentation and experience leave an answer open, this
// package assumes one and says so beside it.
//
// It shares no code with any client, so that a client's mistake cannot hide in the server:
// requests are taken apart and answers written here. The table of types in pkg/eca tells it
// names, kinds and order; versions and defaults are its own.
package simorg

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
)

// Kind is what sort of org is simulated.
type Kind string

// The kinds of org.
const (
	Sandbox    Kind = "sandbox" // the zero Config's kind
	Production Kind = "production"
	Scratch    Kind = "scratch"
)

// Config says what org is simulated. The zero value is a sandbox that speaks
// every API version that pkg/metadata knows.
type Config struct {
	Kind     Kind
	Username string             // the administrator whose session AccessToken is; "" is admin@example.com
	Version  apiversion.Version // the newest API version that the org speaks; 0 is apiversion.Latest

	// Latency is how long every answer is held back.
	Latency time.Duration

	// AutoPolicies makes the org create both policy records of an app by itself
	// when the consumer is created, as many orgs do.
	AutoPolicies bool

	// ForcePKCE keeps isPkceRequired at true whatever is sent, as some orgs do.
	ForcePKCE bool

	// WithholdCertificate leaves the certificate out of what readMetadata
	// returns. Whether orgs do so is not certain.
	WithholdCertificate bool

	// CertificateForm is how readMetadata writes a certificate, whatever form it was sent
	// in. Which one orgs use is not certain; "" is as it was sent.
	CertificateForm CertificateForm

	// SecuritySettings makes the org create ExtlClntAppOauthSecuritySettings of an app. That
	// the platform makes them by itself was seen; that it does along with the consumer, and
	// under this name, is assumed.
	SecuritySettings bool

	// RefuseLocalOnScratch makes a scratch org refuse global OAuth settings of Local apps
	// through a deploy, as it does for Packaged ones. Sources disagree.
	RefuseLocalOnScratch bool

	// ListNothing answers listMetadata with nothing for the types of External
	// Client Apps, as orgs may although there are some.
	ListNothing bool

	// SecretsInREST is the org setting that lets REST read consumers' secrets, see
	// ExternalClientAppSettings. SecretDelay is how many readings after it was switched on
	// come without the secret; KeysAlways answers with keys although it is off, which is
	// assumed not to be so.
	SecretsInREST bool
	SecretDelay   int
	KeysAlways    bool

	// NoSecretRight refuses consumers because the session's user lacks the permission, with
	// this HTTP status. Which one orgs answer with is not certain; 0 has the right.
	NoSecretRight int

	// What becomes of staged pairs is not certain. StagingReplaces lets a second staging
	// replace the pair that is staged, instead of refusing it; NewStagedIDs gives the slot
	// another ID when pairs are swapped; StagedNotFound answers 404 where nothing is staged,
	// and not an empty list; StagedAtTop answers a pair's fields at the top, not in a list.
	StagingReplaces, NewStagedIDs, StagedNotFound, StagedAtTop bool

	// NoCreatedDate leaves CreatedDate out of ExtlClntAppOauthSettings, which other objects
	// have and whose documentation does not name it.
	NoCreatedDate bool

	// NothingStored answers 404 where no secret of a principal is stored, and not empty
	// credentials; HideClientID leaves the client ID out of what is answered of a stored one.
	// Which of these orgs do is not certain.
	NothingStored, HideClientID bool

	// DevHub makes a production org a Dev Hub, which signs up scratch orgs: see ScratchOrgs.
	DevHub bool

	// MaxScratchOrgs is how many scratch orgs a Dev Hub has at most at once; 0 is 40. SignUp, where
	// it is not nil, is told the Config of each before it is made, and can change it. It is called
	// by one goroutine at a time, and must not call the org.
	MaxScratchOrgs int
	SignUp         func(*Config)

	// Features are those of the definition that a scratch org was made by.
	Features []string

	// RefreshBreaksPackaged makes Refresh take the OAuth of Packaged apps, which happens now and
	// then.
	RefreshBreaksPackaged bool

	// WithoutObjects are objects that the org lacks, as older orgs do, and WithoutFields fields
	// that its sessions cannot see, like "OauthToken.UseCount".
	WithoutObjects, WithoutFields []string

	// PageSize is how many records a query answers at once; 0 is 2,000.
	PageSize int

	// UnreadableApps are Connected Apps of other vendors, which are listed but cannot be read.
	UnreadableApps []string

	// Propagation is how long the token endpoint does not know a new consumer.
	Propagation time.Duration

	// IPRestricted and Locked make the token endpoint refuse everybody.
	IPRestricted, Locked bool

	// Users, PermissionSets and Profiles are what policies can refer to. The
	// administrator is always among the users.
	Users          []User
	PermissionSets []string // names
	Profiles       []string // names
	ModifyAllData  []string // the permission sets and profiles that let their users modify all data

	// Log, where it is not nil, is told of every request when it is answered. It is
	// called by one goroutine at a time, and must not call the org.
	Log func(Request)

	// Unrecorded keeps the org from remembering requests for Requests.
	Unrecorded bool

	// SessionLifetime is how long an access token is good for; 0 is until
	// ExpireSessions.
	SessionLifetime time.Duration

	// JWTClients are the connected apps that can get a session by JWT bearer: the
	// public key of each, by consumer key. All users have approved them.
	JWTClients map[string]*rsa.PublicKey
}

// CertificateForm is a way to write a certificate.
type CertificateForm string

// The forms that were seen in source.
const (
	CertificatePEM    CertificateForm = "pem"
	CertificateBody   CertificateForm = "body"   // the base64 between the lines of PEM
	CertificateBase64 CertificateForm = "base64" // base64 of the whole PEM
)

// User is a user of the org.
type User struct {
	Username string
	Inactive bool
	Profile  string // its name; "" is Standard User
}

// Org is a simulated org. It is an http.Handler, and safe for several
// goroutines; changes happen one at a time, as a transaction each.
type Org struct {
	config Config
	id     string

	mu        sync.Mutex
	url       string
	token     string
	sessions  map[string]time.Time          // when each access token ends, zero for never
	records   map[string]map[string]*record // by type and fullName, in lower case
	broken    map[string]bool               // apps whose OAuth plugin is beyond repair, in lower case
	artifacts []row                         // sfp's records of what it has installed
	deploys   map[string]*deployJob
	retrieves map[string]string // answers, by ID
	serial    int
	requests  []Request
	faults    []*Fault

	access, assignments []row // who may use an app

	objectPermissions []row
	filled            map[string][]row             // by object: what Fill brought, and logins since
	cursors           map[string]cursor            // answers that are read page by page
	stored            map[string]*storedCredential // by external credential and principal, in lower case
	principals        map[string]string            // IDs of principals, by the same key

	sources   map[string]*Org      // where the consumers of installed apps are, by app in lower case
	grants    map[string]grant     // what is known of an access token, where it is not the administrator's own
	staged    map[string]*pair     // by the consumer's ID
	made      map[string]time.Time // when each consumer was made, by the app's name in lower case
	unsecured int                  // how many readings come without the secret yet
	refresh   map[string]grant     // by refresh token
	codes     map[string]code      // of the authorization code flow

	scratchOrgs []*scratchOrg // of a Dev Hub, in the order of their signups
	installs    []row         // requests to install a package
}

// New returns an org without any app. Most callers want Start, which serves it.
func New(config Config) *Org {
	if config.Kind == "" {
		config.Kind = Sandbox
	}
	if config.Username == "" {
		config.Username = "admin@example.com"
	}
	if config.Version == 0 {
		config.Version = apiversion.Latest
	}
	config.Users = append([]User{{Username: config.Username}}, config.Users...)
	o := &Org{
		config:    config,
		id:        "00D" + random(6) + "AAA",
		records:   make(map[string]map[string]*record),
		broken:    make(map[string]bool),
		sessions:  make(map[string]time.Time),
		deploys:   make(map[string]*deployJob),
		retrieves: make(map[string]string),
		grants:    make(map[string]grant),
		sources:   make(map[string]*Org),
		stored:    make(map[string]*storedCredential), principals: make(map[string]string),
		staged: make(map[string]*pair),
		made:   make(map[string]time.Time),
		filled: make(map[string][]row), cursors: make(map[string]cursor),
		codes: make(map[string]code), refresh: make(map[string]grant),
	}
	o.token = o.newSession()
	settings := &record{typ: eca.OrgSettings, fullName: eca.OrgSettingsName}
	settings.set(secretsInREST, strconv.FormatBool(config.SecretsInREST))
	setDefaults(settings)
	o.store(settings)
	return o
}

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
	o.sessions[token] = end
	return token
}

// accepts reports whether an access token is good.
func (o *Org) accepts(token string) bool {
	end, ok := o.sessions[token]
	return ok && (end.IsZero() || time.Now().Before(end))
}

// nextID makes a record ID with the prefix of its kind.
func (o *Org) nextID(prefix string) string {
	o.serial++
	return fmt.Sprintf("%s%09dAAA", prefix, o.serial)
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
	if !o.accepts(o.token) {
		o.token = o.newSession()
	}
	return o.token
}

// ExpireSessions makes the org refuse the access tokens that it gave so far.
// AccessToken returns a fresh one from then on.
func (o *Org) ExpireSessions() {
	o.mu.Lock()
	defer o.mu.Unlock()
	clear(o.sessions)
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
			o.serveApex(w, body)
		case strings.HasPrefix(path, partnerPath):
			o.servePartner(w, body)
		case strings.HasPrefix(path, oauthPath):
			o.serveOAuth(w, r, body)
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

// Start serves an org on a port of its own. Like httptest.NewServer it panics
// where it cannot listen.
func Start(config Config) *Server {
	s, err := Listen("127.0.0.1:0", config)
	if err != nil {
		panic("simorg: cannot listen on the loopback: " + err.Error())
	}
	return s
}

// Listen serves an org on an address, which should be one of the loopback:
// whoever reaches it can have a session.
func Listen(address string, config Config) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return serve(listener, New(config)), nil
}

// Serve serves an org that New made on an address, which should be one of the
// loopback.
func Serve(address string, org *Org) (*Server, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return serve(listener, org), nil
}

func serve(listener net.Listener, org *Org) *Server {
	s := &Server{Org: org, URL: "http://" + listener.Addr().String()}
	org.mu.Lock()
	org.url = s.URL
	org.mu.Unlock()
	s.server = &http.Server{Handler: s.Org, ReadHeaderTimeout: time.Minute}
	go s.server.Serve(listener)
	return s
}

// Close stops the server and ends all its connections, and those of its scratch orgs.
func (s *Server) Close() {
	s.server.Close()
	for _, scratch := range s.ScratchOrgs() {
		scratch.Close()
	}
}
