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
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// renewal holds a session's token, and how to get another one.
type renewal struct {
	mu      sync.Mutex
	flight  singleflight.Group
	token   salesforce.Secret
	how     func(ctx context.Context, stale salesforce.Secret) (token salesforce.Secret, by string, err error) // nil: the token cannot be renewed
	renewed string                                                                                             // by what, "" before
	failed  *Error                                                                                             // why it could not be renewed
}

// Token returns the access token. It does not tell whether the org still accepts
// it: that shows when a call is answered with INVALID_SESSION_ID.
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

var noToken = &Error{Reason: ErrNoToken, Message: "the session holds no access token"}

// Renewed says how the token was renewed, like "by JWT bearer", or "" where it
// was not.
func (s *Session) Renewed() string {
	s.renewal.mu.Lock()
	defer s.renewal.mu.Unlock()
	return s.renewal.renewed
}

// Renew replaces a token that the org no longer accepts: by JWT bearer where the
// login is a JWT one, else by asking the Salesforce CLI, which alone may use the
// login's refresh token, because using it can make it useless for the next one.
// The store is not written. A session is renewed once; calls in parallel that had
// the same stale token share the new one. An error is an *Error with the reason
// ErrExpired, or what ended the request and may pass, such as a busy login host.
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
			// Whoever was renewing has given up, which says nothing of the login.
		}
	}
}

// errGivenUp says that the caller who was renewing the session has ended.
var errGivenUp = errors.New("the renewal was given up")

// renewOnce renews the token, unless another one has taken the place of the stale one.
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

// expired is the error for a session that the org no longer accepts.
func (s *Session) expired(cause error) *Error {
	login := "give a fresh SF_ACCESS_TOKEN"
	if s.renewal.how != nil {
		login = fmt.Sprintf("log in again, for example with: sf org login web --alias %s", s)
	}
	message := fmt.Sprintf("the session of %s has expired or was revoked", s)
	if cause != nil {
		message += fmt.Sprintf(" and could not be renewed (%v)", cause)
	}
	return &Error{Reason: ErrExpired, Message: message + "; " + login}
}

// renew returns how a stored login's session is renewed.
func (s *Store) renew(l login, session *Session) func(context.Context, salesforce.Secret) (salesforce.Secret, string, error) {
	return func(ctx context.Context, stale salesforce.Secret) (token salesforce.Secret, by string, err error) {
		// A login that has both was a JWT one and then replaced by one in the browser.
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

// jwtLifetime is how long a JWT is good for. The platform accepts minutes.
const jwtLifetime = 3 * time.Minute

// renewByJWT gets a token with a JWT that the login's private key signs. Which
// host to ask and which audience it wants cannot be told from the login alone, so
// the pairs that the Salesforce CLI tries are tried in its order.
func (s *Store) renewByJWT(ctx context.Context, l login, session *Session) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	if l.ClientID == "" {
		return none, errors.New("the login has no client ID")
	}
	data, err := files.Read(l.PrivateKey, maxStored)
	if err != nil {
		return none, fmt.Errorf("its private key cannot be read at %s", l.PrivateKey)
	}
	key := salesforce.NewSecret(string(data))
	client := session.HTTPClient
	if client == nil {
		client = http.DefaultClient
	}
	asking, cancel := context.WithTimeout(ctx, salesforce.DefaultTimeout)
	defer cancel()
	asking = context.WithValue(asking, oauth2.HTTPClient, salesforce.WithoutRedirects(client))
	var first, busy error
	for _, try := range audiences(l, s.AudienceURL) {
		if _, err := salesforce.ParseInstance(try.login); err != nil {
			continue
		}
		config := &jwt.Config{
			Email: l.ClientID, Subject: l.Username, PrivateKey: []byte(key.Reveal()), Audience: try.audience,
			TokenURL: try.login + "/services/oauth2/token", Expires: jwtLifetime,
		}
		granted, err := config.TokenSource(asking).Token()
		if err == nil && granted.AccessToken == "" {
			return none, fmt.Errorf("%s answered without a token", try.login)
		}
		if err == nil && strings.ContainsFunc(granted.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return none, fmt.Errorf("%s answered with something that is not a token", try.login)
		}
		if err == nil {
			return salesforce.NewSecret(granted.AccessToken), sameInstance(session, granted)
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
	if busy != nil {
		return none, busy // which may have been the one to accept it
	}
	if first == nil {
		first = errors.New("the login has no login URL that a token may be asked of")
	}
	return none, first
}

type audience struct{ login, audience string }

// audiences lists the hosts to ask and the audiences to claim in the order of the
// Salesforce CLI (getLoginAudienceCombos in @salesforce/core).
func audiences(l login, override string) []audience {
	login := strings.TrimSuffix(l.LoginURL, "/")
	if login == "" {
		login = productionLogin
	}
	aud := override
	if aud == "" {
		aud = productionLogin
		// A Government Cloud instance with an audience of its own.
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
		if a.login != login && salesforce.IsLoopback(login) {
			continue // a login on this machine is not Salesforce's
		}
		crossed := a == audience{productionLogin, sandboxLogin} || a == audience{sandboxLogin, productionLogin}
		if !crossed && !seen[a] {
			seen[a] = true
			all = append(all, a)
		}
	}
	return all
}

// sameInstance makes sure that a token is for the instance that the session
// calls.
func sameInstance(session *Session, token *oauth2.Token) error {
	instance, _ := token.Extra("instance_url").(string)
	if instance == "" {
		return nil
	}
	u, err := url.Parse(instance)
	if own, _ := url.Parse(session.InstanceURL); err != nil || own == nil || u.Host != own.Host {
		return errors.New("the org is at another instance now")
	}
	return nil
}

// askSF asks the Salesforce CLI for the session's token, which renews it before
// it answers where that is needed, and stores what it renewed.
func (s *Store) askSF(ctx context.Context, username string) (salesforce.Secret, error) {
	none := salesforce.Secret{}
	if s.SF == "" {
		return none, errors.New("sf is not on this machine to renew it")
	}
	failure, said := error(nil), false
	for _, args := range [][]string{
		{"org", "auth", "show-access-token", "--target-org", username, "--json", "--no-prompt"},
		{"org", "display", "--target-org", username, "--json"}, // before sf had the command above
	} {
		cmd := exec.CommandContext(ctx, s.SF, args...)
		cmd.WaitDelay = waitDelay
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
