// Package orgauth turns what people call an org, an alias or a username, into a
// session: where the org is and a token to call it with.
//
// A session comes from a token given outright (FromToken), or from the store in
// which the Salesforce CLI keeps its logins (Store), read and decrypted here
// without starting the CLI. The store is only ever read.
package orgauth

import (
	"errors"
	"net/url"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit/pkg/internal/wire"
)

// Kind is what sort of org it is, as far as that is known without asking it.
type Kind string

// The kinds of org. Scratch orgs are sandboxes to the platform (IsSandbox is
// true), and to sfp's alias rule.
const (
	Unknown    Kind = ""
	Production Kind = "production"
	Sandbox    Kind = "sandbox"
	Scratch    Kind = "scratch org"
)

// IsSandbox reports whether the platform calls an org of this kind a sandbox.
func (k Kind) IsSandbox() bool { return k == Sandbox || k == Scratch }

// Session is the right to call one org. It is an oauth2.TokenSource, and can renew
// its token where the login allows that. Its fields hold nothing secret; the token
// is behind Token alone, so a Session can be printed. It is safe for several
// goroutines.
type Session struct {
	Username    string // "" where a token was given outright and nobody said whose
	Alias       string // the alias that the Salesforce CLI has for the username, "" where it has none
	OrgID       string // 00D…, "" where unknown
	Given       bool   // the token was given outright, it is not that of a login
	InstanceURL string // the org's own URL, checked: tokens may go there
	Kind        Kind

	// Version is the API version that the org was last seen with, 0 where
	// unknown.
	Version apiversion.Version

	*renewal
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
// https, or http to this machine's loopback.
func FromToken(accessToken, instanceURL string) (*Session, error) {
	accessToken = strings.TrimSpace(accessToken)
	if accessToken == "" || strings.ContainsAny(accessToken, " \t\r\n") {
		return nil, &Error{Reason: ErrNoToken, Message: "the access token is empty or has white space inside"}
	}
	u, err := wire.ParseInstance(instanceURL)
	if err != nil {
		return nil, &Error{Reason: ErrInstance, Message: err.Error()}
	}
	orgID, _, found := strings.Cut(accessToken, "!")
	if !found || !strings.HasPrefix(orgID, "00D") {
		orgID = ""
	}
	return &Session{
		OrgID: orgID, InstanceURL: u.String(), Kind: kindOfHost(u),
		Given: true, renewal: &renewal{token: &oauth2.Token{AccessToken: accessToken}},
	}, nil
}

// kindOfHost tells sandboxes and scratch orgs by the partition in their My
// Domain host, like acme--uat.sandbox.my.salesforce.com. Other hosts tell
// nothing: Salesforce's documentation of enhanced domains lists more partitions
// than these, and custom hosts exist.
func kindOfHost(u *url.URL) Kind {
	switch host := u.Hostname(); {
	case strings.Contains(host, ".sandbox.my.salesforce."):
		return Sandbox
	case strings.Contains(host, ".scratch.my.salesforce."):
		return Scratch
	}
	return Unknown
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
