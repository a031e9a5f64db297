package orgauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"
	"golang.org/x/sync/singleflight"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// renewal holds a session's token and the way to renew it.
type renewal struct {
	mu      sync.Mutex
	flight  singleflight.Group
	token   salesforce.Secret
	how     func(ctx context.Context, stale salesforce.Secret) (token salesforce.Secret, by string, err error) // nil if the token cannot be renewed
	renewed string                                                                                             // by what it was renewed, "" before
	failed  *Error                                                                                             // why the renewal failed
}

// Token returns the access token. Whether the org still accepts it shows only in a call's
// answer (INVALID_SESSION_ID).
func (s *Session) Token() (*oauth2.Token, error) {
	if s == nil {
		return nil, noToken
	}
	s.renewal.mu.Lock()
	defer s.renewal.mu.Unlock()
	if s.renewal.token.IsZero() {
		return nil, noToken
	}
	return &oauth2.Token{AccessToken: s.renewal.token.Reveal()}, nil
}

var noToken = &Error{Reason: ErrNoToken, Message: "the session has no access token"}

// Renewed returns how the token was renewed, like "by JWT bearer", or "".
func (s *Session) Renewed() string {
	s.renewal.mu.Lock()
	defer s.renewal.mu.Unlock()
	return s.renewal.renewed
}

// Renew replaces a token that the org no longer accepts. For a JWT login it uses JWT bearer.
// Otherwise it asks the Salesforce CLI: only the CLI may use the login's refresh token, because
// each use can invalidate it. The store is not written. A session is renewed once; concurrent
// calls with the same stale token share the new one. An error is an *Error with the reason
// ErrExpired, or a transient one, such as that of a busy login host.
func (s *Session) Renew(ctx context.Context, stale *oauth2.Token) (*oauth2.Token, error) {
	if s == nil {
		return nil, noToken
	}
	r := &s.renewal
	old := salesforce.NewSecret(stale.AccessToken)
	for {
		shared := r.flight.DoChan("", func() (any, error) { return nil, s.renewOnce(ctx, old) })
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case result := <-shared:
			switch {
			case ctx.Err() != nil:
				return nil, ctx.Err()
			case result.Err == nil:
				return s.Token()
			case !errors.Is(result.Err, errGivenUp):
				return nil, result.Err
			}
			// The caller that was renewing has ended. The login may still be good.
		}
	}
}

// errGivenUp reports that the caller that was renewing the session has ended.
var errGivenUp = errors.New("the renewal was given up")

// renewOnce renews the token, unless the session already has another one.
func (s *Session) renewOnce(ctx context.Context, stale salesforce.Secret) error {
	r := &s.renewal
	r.mu.Lock()
	token, failed, renewed := r.token, r.failed, r.renewed
	r.mu.Unlock()
	switch {
	case !token.Equal(stale):
		return nil
	case failed != nil:
		return failed
	case r.how == nil || renewed != "":
		return s.expired(nil)
	}
	fresh, by, err := r.how(ctx, stale)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case ctx.Err() != nil:
		return errGivenUp
	case salesforce.IsTransient(err):
		return fmt.Errorf("the session of %s has expired, and renewing it: %w", s, err)
	case err != nil:
		r.failed = s.expired(err)
		return r.failed
	}
	r.token, r.renewed = fresh, by
	return nil
}

// expired returns the error for a session that the org no longer accepts.
func (s *Session) expired(cause error) *Error {
	login := ""
	if s.renewal.how != nil {
		login = s.String()
	}
	message := fmt.Sprintf("the session of %s has expired or was revoked", s)
	if cause != nil {
		message += fmt.Sprintf(" and could not be renewed (%v)", cause)
	}
	refused := cause != nil && strings.Contains(cause.Error(), refreshRefused)
	return &Error{Reason: ErrExpired, Message: message, Login: login, InstanceURL: s.InstanceURL, RefreshRefused: refused}
}

// refreshRefused is the answer to a refresh token that the org does not accept, which sf repeats.
const refreshRefused = "expired access/refresh token"

// renew returns the function that renews a stored login's session.
func (s *Store) renew(l login, session *Session) func(context.Context, salesforce.Secret) (salesforce.Secret, string, error) {
	return func(ctx context.Context, stale salesforce.Secret) (token salesforce.Secret, by string, err error) {
		// A login with both was a JWT login, later replaced by one in the browser.
		if l.PrivateKey != "" && l.RefreshToken.IsZero() {
			token, err = s.renewByJWT(ctx, l, session)
			return token, "by JWT bearer", err
		}
		token, err = s.askSF(ctx, session.Username)
		if err == nil && token.Equal(stale) {
			err = errors.New("sf has no other token for it")
		}
		return token, "by sf", err
	}
}

// Login hosts of the platform.
const (
	productionLogin = "https://login.salesforce.com"
	sandboxLogin    = "https://test.salesforce.com"
)

// jwtLifetime is the validity of a JWT. The platform accepts a few minutes.
const jwtLifetime = 3 * time.Minute

// renewByJWT gets a token for a JWT signed with the login's private key. The login alone does
// not determine the host and its audience, so this tries the same pairs as the Salesforce CLI,
// in the same order.
func (s *Store) renewByJWT(ctx context.Context, l login, session *Session) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	if l.ClientID == "" {
		return none, errors.New("the login has no client ID")
	}
	data, err := files.Read(l.PrivateKey, maxStored)
	if err != nil {
		return none, fmt.Errorf("cannot read its private key %s", l.PrivateKey)
	}
	key := salesforce.NewSecret(string(data))
	asking, cancel := context.WithTimeout(ctx, salesforce.DefaultTimeout)
	defer cancel()
	client := salesforce.WithoutRedirects(cmp.Or(session.HTTPClient, http.DefaultClient))
	asking = context.WithValue(asking, oauth2.HTTPClient, client)
	var first, busy error
	for _, try := range audiences(l, s.AudienceURL) {
		if _, err := platform.ParseInstance(try.login); err != nil {
			continue
		}
		config := &jwt.Config{
			Email: l.ClientID, Subject: l.Username, PrivateKey: []byte(key.Reveal()), Audience: try.audience,
			TokenURL: try.login + "/services/oauth2/token", Expires: jwtLifetime,
		}
		granted, err := config.TokenSource(asking).Token()
		if err == nil {
			return grantedToken(granted, try.login, session)
		}
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		why := salesforce.TokenError(try.login, err)
		if salesforce.IsTransient(why) {
			busy = why
		}
		first = cmp.Or(first, why)
	}
	// A busy host might have accepted the JWT.
	return none, cmp.Or(busy, first, errors.New("the login has no valid login URL"))
}

// grantedToken returns the token that a login host has granted for the session.
func grantedToken(granted *oauth2.Token, host string, session *Session) (salesforce.Secret, error) {
	if granted.AccessToken == "" {
		return salesforce.Secret{}, fmt.Errorf("%s answered without a token", host)
	}
	if strings.ContainsFunc(granted.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return salesforce.Secret{}, fmt.Errorf("%s answered with an invalid token", host)
	}
	return salesforce.NewSecret(granted.AccessToken), sameInstance(session, granted)
}

type audience struct{ login, audience string }

// audiences returns the pairs of host and audience to try, in the order of the Salesforce CLI
// (getLoginAudienceCombos in @salesforce/core).
func audiences(l login, override string) []audience {
	login := cmp.Or(strings.TrimSuffix(l.LoginURL, "/"), productionLogin)
	aud := override
	if aud == "" {
		aud = productionLogin
		// Some Government Cloud instances have their own audience.
		if strings.HasPrefix(strings.ToLower(l.CreatedOrgInstance), "gs1") || strings.Contains(strings.ToLower(login), "gs1.my.salesforce.com") {
			aud = "https://gs1.salesforce.com"
		}
	}
	var all []audience
	seen := make(map[audience]bool)
	for _, a := range []audience{
		{login, login}, {sandboxLogin, sandboxLogin}, {productionLogin, productionLogin},
		{aud, aud}, {aud, productionLogin}, {aud, sandboxLogin},
		{login, aud}, {login, productionLogin}, {login, sandboxLogin},
		{productionLogin, aud}, {sandboxLogin, aud},
	} {
		if a.login != login && platform.IsLoopback(login) {
			continue // a login host on this machine is not Salesforce
		}
		crossed := a == audience{productionLogin, sandboxLogin} || a == audience{sandboxLogin, productionLogin}
		if !crossed && !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	return all
}

// sameInstance returns an error if a token is for another instance than the session's.
func sameInstance(session *Session, token *oauth2.Token) error {
	instance, _ := token.Extra("instance_url").(string)
	if instance == "" {
		return nil
	}
	u, err := url.Parse(instance)
	if own, _ := url.Parse(session.InstanceURL); err != nil || own == nil || u.Host != own.Host {
		return errors.New("the org has moved to another instance")
	}
	return nil
}

// askSF asks the Salesforce CLI for the session's token. The CLI renews and stores it first if
// needed.
func (s *Store) askSF(ctx context.Context, username string) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	if s.SF == "" {
		return none, errors.New("sf is not on this machine")
	}
	failure, said := error(nil), false
	for _, args := range [][]string{
		{"org", "auth", "show-access-token", "--target-org", username, "--json", "--no-prompt"},
		{"org", "display", "--target-org", username, "--json"}, // older versions of sf lack the command above
	} {
		cmd := exec.CommandContext(ctx, s.SF, args...)
		cmd.Env, cmd.WaitDelay = ChildEnvironment(), waitDelay
		var out bytes.Buffer
		cmd.Stdout = &out
		runErr := cmd.Run()
		var answer struct {
			Message string `json:"message"`
			Result  struct {
				AccessToken salesforce.Secret `json:"accessToken"`
			} `json:"result"`
		}
		decodeErr := json.Unmarshal(out.Bytes(), &answer)
		switch token := answer.Result.AccessToken; {
		case ctx.Err() != nil:
			return none, ctx.Err()
		case runErr == nil && decodeErr == nil && strings.Contains(token.Reveal(), "!"):
			return token, nil
		case answer.Message != "" && !said:
			failure, said = fmt.Errorf("sf says: %s", words.Foreign(answer.Message)), true
		case failure != nil:
		case runErr != nil:
			failure = fmt.Errorf("sf failed: %w", runErr)
		default:
			failure = errors.New("sf shows no token")
		}
	}
	return none, failure
}
