// Package orgauth turns an alias or a username into a session: the org's URL and an access
// token.
//
// A session comes from a given token (FromToken), or from the store in which the Salesforce CLI
// keeps its logins (Store). The package reads and decrypts the store without running the CLI,
// and never writes it.
package orgauth

import (
	"cmp"
	"errors"
	"net/http"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Login is what is known about a session apart from its token.
type Login struct {
	Username string // "" if unknown
	Alias    string // the Salesforce CLI's alias for the username, "" if none
	OrgID    string // 00D…, "" if unknown
	Kind     platform.Kind
	ClientID string // the consumer key of the app that logged in, "" if unknown

	// Version is the API version last seen on the org, 0 if unknown.
	Version apiversion.Version
}

// Session authorises calls to one org. It is an oauth2.TokenSource, and a salesforce.Renewer if
// the login can be renewed. The zero Session has no token; Token then returns an error. It is
// safe for concurrent use, but its fields must not change once it is in use.
type Session struct {
	Login
	InstanceURL string // the org's URL, valid for platform.ParseInstance
	TokenGiven  bool   // the token was given, not read from a login

	// HTTPClient sends the requests that renew the token; nil means the default of
	// salesforce.Conn.
	HTTPClient *http.Client

	renewal renewal
}

// Conn returns a connection that uses the session. The caller may set further fields.
func (s *Session) Conn() *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: s.InstanceURL, Version: s.Version, Tokens: s}
}

// String returns the org's name for messages: its alias, username or host.
func (s *Session) String() string {
	host := strings.TrimPrefix(strings.TrimPrefix(s.InstanceURL, "https://"), "http://")
	return cmp.Or(s.Alias, s.Username, host)
}

// FromToken returns a session for an access token and its instance URL, as in SF_ACCESS_TOKEN
// and SF_ORG_INSTANCE_URL. The URL must be https, or http to this machine's loopback. An error
// is an *Error.
func FromToken(accessToken salesforce.Secret, instanceURL string) (*Session, error) {
	token := strings.TrimSpace(accessToken.Reveal())
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, &Error{Reason: ErrNoToken, Message: "the access token is empty or contains invalid characters"}
	}
	u, err := platform.ParseInstance(instanceURL)
	if err != nil {
		return nil, &Error{Reason: ErrInstance, Message: err.Error()}
	}
	if platform.IsLoginHost(u.Hostname()) {
		const message = " is where users of all orgs log in; the instance URL must be the My Domain of the org, like https://acme.my.salesforce.com"
		return nil, &Error{Reason: ErrInstance, Message: u.Hostname() + message}
	}
	orgID, _, found := strings.Cut(token, "!")
	if !found || !strings.HasPrefix(orgID, "00D") {
		orgID = ""
	}
	return &Session{
		Login: Login{OrgID: orgID, Kind: platform.KindOfHost(u.Hostname())}, InstanceURL: u.String(), TokenGiven: true,
		renewal: renewal{token: salesforce.NewSecret(token)},
	}, nil
}

// Reasons of an *Error, for errors.Is.
var (
	ErrUnknownOrg = errors.New("unknown org")               // nobody logged in under this name
	ErrStore      = errors.New("unreadable auth store")     // a file of the store is invalid or cannot be read
	ErrNoKey      = errors.New("no key to the auth store")  // the key that decrypts the store was not found
	ErrWrongKey   = errors.New("wrong key to the store")    // the login was encrypted with another key
	ErrNoToken    = errors.New("no access token")           // the login has no token
	ErrInstance   = errors.New("instance URL not accepted") // tokens must not be sent to this URL
	ErrExpired    = errors.New("expired session")           // the org does not accept the token
)

// Error explains why there is no session. It never contains a
// token or a key.
type Error struct {
	Reason  error // one of the reasons above
	Message string
	// Login is the alias or username whose login is missing or no longer works, "" if logging in
	// with sf does not help.
	Login string
	// Similar is the alias of a login that is similar to the name of an unknown org, "" if there is none.
	Similar string
	// InstanceURL is the org whose session has expired, "" for other reasons.
	InstanceURL string
	// RefreshRefused reports that the org did not accept the refresh token of the login.
	RefreshRefused bool
	Err            error // the cause, or nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Is reports whether target is the reason.
func (e *Error) Is(target error) bool { return target == e.Reason }

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }
