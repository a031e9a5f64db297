// Package orgauth turns what people call an org, an alias or a username, into a
// session: where the org is and a token to call it with.
//
// A session comes from a token given outright (FromToken), or from the store in
// which the Salesforce CLI keeps its logins (Store), read and decrypted here
// without starting the CLI. The store is only ever read.
package orgauth

import (
	"errors"
	"net/http"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Login is what is known of a session without its token.
type Login struct {
	Username string // "" where nobody said whose session it is
	Alias    string // the alias that the Salesforce CLI has for the username, "" where it has none
	OrgID    string // 00D…, "" where unknown
	Kind     salesforce.Kind

	// Version is the API version that the org was last seen with, 0 where unknown.
	Version apiversion.Version
}

// Session is the right to call one org. It is an oauth2.TokenSource, and a
// salesforce.Renewer where the login allows that. The zero Session has no token, which is
// an error and no panic. It is safe for several goroutines; its fields are not changed once
// it is in use.
type Session struct {
	Login
	InstanceURL string // the org's own URL, checked: tokens may go there
	TokenGiven  bool   // the token was given outright, it is not that of a login

	// HTTPClient sends the requests that renew the token; nil is as in salesforce.Conn.
	HTTPClient *http.Client

	renewal renewal
}

// Conn returns a connection that uses the session. The caller completes it.
func (s *Session) Conn() *salesforce.Conn {
	return &salesforce.Conn{InstanceURL: s.InstanceURL, Version: s.Version, Tokens: s}
}

// String names the org as messages do, by alias or username.
func (s *Session) String() string {
	switch {
	case s.Alias != "":
		return s.Alias
	case s.Username != "":
		return s.Username
	}
	return strings.TrimPrefix(strings.TrimPrefix(s.InstanceURL, "https://"), "http://")
}

// FromToken makes a session of an access token and the instance URL that it is
// for, as SF_ACCESS_TOKEN and SF_ORG_INSTANCE_URL carry them. The URL must be
// https, or http to this machine's loopback. An error is an *Error.
func FromToken(accessToken salesforce.Secret, instanceURL string) (*Session, error) {
	token := strings.TrimSpace(accessToken.Reveal())
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, &Error{Reason: ErrNoToken, Message: "the access token is empty or has characters that no token has"}
	}
	u, err := salesforce.ParseInstance(instanceURL)
	if err != nil {
		return nil, &Error{Reason: ErrInstance, Message: err.Error()}
	}
	orgID, _, found := strings.Cut(token, "!")
	if !found || !strings.HasPrefix(orgID, "00D") {
		orgID = ""
	}
	return &Session{
		Login: Login{OrgID: orgID, Kind: salesforce.KindOfHost(u.Hostname())}, InstanceURL: u.String(), TokenGiven: true,
		renewal: renewal{token: salesforce.NewSecret(token)},
	}, nil
}

// The reasons for which there is no session. An *Error matches its reason with
// errors.Is.
var (
	ErrUnknownOrg = errors.New("unknown org")               // nobody logged in under this name
	ErrStore      = errors.New("unreadable auth store")     // a file of the store is missing its content or cannot be read
	ErrNoKey      = errors.New("no key to the auth store")  // the key that decrypts the store is not where it should be
	ErrWrongKey   = errors.New("wrong key to the store")    // the key is another than the one that encrypted the login
	ErrNoToken    = errors.New("no access token")           // the login holds none
	ErrInstance   = errors.New("instance URL not accepted") // a token must not go there
	ErrExpired    = errors.New("expired session")           // the org does not accept the token
)

// Error is why there is no session, in words for people: what is wrong and what
// to do about it. It never holds a token or a key.
type Error struct {
	Reason  error // one of the reasons above
	Message string
	Err     error // the cause, where there is one below
}

func (e *Error) Error() string {
	if e.Err != nil {
		return e.Message + ": " + e.Err.Error()
	}
	return e.Message
}

// Is makes errors.Is match the reason.
func (e *Error) Is(target error) bool { return target == e.Reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
