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
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/internal/wire"
)

// renewal holds a session's token, and how to get another one.
type renewal struct {
	mu      sync.Mutex
	token   *oauth2.Token
	how     func(ctx context.Context, stale string) (token, by string, err error) // nil: the token cannot be renewed
	renewed string                                                                // by what, "" before
	failed  *Error                                                                // why it could not be renewed
}

// Token returns the access token. It does not tell whether the org still accepts
// it: that shows when a call is answered with INVALID_SESSION_ID.
func (r *renewal) Token() (*oauth2.Token, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.token, nil
}

// Renewed says how the token was renewed, like "by JWT bearer", or "" where it
// was not.
func (r *renewal) Renewed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.renewed
}

// Renew replaces a token that the org no longer accepts: by JWT bearer where the
// login is a JWT one, else by asking the Salesforce CLI, which alone may use the
// login's refresh token, because using it can make it useless for the next one.
// The store is not written. A session is renewed once; calls in parallel that had
// the same stale token share the new one. An error is an *Error with the reason
// ErrExpired, or what ended the request and may pass, such as a busy login host.
func (s *Session) Renew(ctx context.Context, stale *oauth2.Token) (*oauth2.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.token.AccessToken != stale.AccessToken {
		return s.token, nil
	}
	if s.failed != nil {
		return nil, s.failed
	}
	if s.how == nil || s.renewed != "" {
		return nil, s.expired(nil)
	}
	token, by, err := s.how(ctx, stale.AccessToken)
	if ctx.Err() != nil {
		return nil, ctx.Err() // which says nothing of the login
	}
	if busy := new(busyError); errors.As(err, &busy) {
		return nil, fmt.Errorf("the session of %s has expired, and renewing it: %w", s, busy)
	}
	if err != nil {
		s.failed = s.expired(err)
		return nil, s.failed
	}
	s.token, s.renewed = &oauth2.Token{AccessToken: token}, by
	return s.token, nil
}

// expired is the error for a session that the org no longer accepts.
func (s *Session) expired(cause error) *Error {
	login := "give a fresh SF_ACCESS_TOKEN"
	if s.how != nil {
		login = fmt.Sprintf("log in again, for example with: sf org login web --alias %s", s)
	}
	message := fmt.Sprintf("the session of %s has expired or was revoked", s)
	if cause != nil {
		message += fmt.Sprintf(" and could not be renewed (%v)", cause)
	}
	return &Error{Reason: ErrExpired, Message: message + "; " + login}
}

// renew returns how a stored login's session is renewed.
func (s *Store) renew(l login, session *Session) func(context.Context, string) (string, string, error) {
	return func(ctx context.Context, stale string) (token, by string, err error) {
		// A login that has both was a JWT one and then replaced by one in the browser.
		if l.PrivateKey != "" && l.RefreshToken == "" {
			token, err = s.renewByJWT(ctx, l, session)
			return token, "by JWT bearer", err
		}
		token, err = s.askSF(ctx, session.Username)
		if err == nil && token == stale {
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
func (s *Store) renewByJWT(ctx context.Context, l login, session *Session) (string, error) {
	if l.ClientID == "" {
		return "", errors.New("the login has no client ID")
	}
	key, err := files.Read(l.PrivateKey, maxStored)
	if err != nil {
		return "", fmt.Errorf("its private key cannot be read at %s", l.PrivateKey)
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, wire.WithoutRedirects(cmp.Or(s.HTTPClient, http.DefaultClient)))
	var first, busy error
	for _, try := range audiences(l, s.AudienceURL) {
		if _, err := wire.ParseInstance(try.login); err != nil {
			continue
		}
		config := &jwt.Config{
			Email: l.ClientID, Subject: l.Username, PrivateKey: key, Audience: try.audience,
			TokenURL: try.login + "/services/oauth2/token", Expires: jwtLifetime,
		}
		granted, err := config.TokenSource(ctx).Token()
		if err == nil && strings.ContainsFunc(granted.AccessToken, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", fmt.Errorf("%s answered with something that is no token", try.login)
		}
		if err == nil {
			return granted.AccessToken, sameInstance(session, granted)
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		why := jwtError(try.login, err)
		if passing := new(busyError); errors.As(why, &passing) {
			busy = why
		}
		first = cmp.Or(first, why)
	}
	if busy != nil {
		return "", busy // which may have been the one to accept it
	}
	if first == nil {
		first = errors.New("the login has no login URL that a token may be asked of")
	}
	return "", first
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
		if a.login != login && wire.IsLoopback(login) {
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

// busyError says that a login host did not answer, and may do so soon.
type busyError struct{ message string }

func (e *busyError) Error() string { return e.message }

// Transient reports that it may pass.
func (e *busyError) Transient() bool { return true }

// jwtError says what the token endpoint answered, without the body, which nobody
// has masked.
func jwtError(login string, err error) error {
	host := login
	if u, parseErr := url.Parse(login); parseErr == nil {
		host = u.Host
	}
	var answer *oauth2.RetrieveError
	if errors.As(err, &answer) {
		var why struct {
			Code        string `json:"error"`
			Description string `json:"error_description"`
		}
		if json.Unmarshal(answer.Body, &why) == nil && why.Code != "" {
			return fmt.Errorf("%s answered %s: %s", host, foreign(why.Code), foreign(why.Description))
		}
		message := fmt.Sprintf("%s answered HTTP %d", host, answer.Response.StatusCode)
		if wire.TransientStatus(answer.Response.StatusCode) {
			return &busyError{message}
		}
		return errors.New(message)
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		message := fmt.Sprintf("%s did not answer: %v", host, urlErr.Err)
		if wire.TransientNetwork(urlErr.Err) {
			return &busyError{message}
		}
		return errors.New(message)
	}
	return fmt.Errorf("its JWT cannot be made or used with %s", host)
}

// accessToken is what an access token looks like.
var accessToken = regexp.MustCompile(`00D\w+!\S+`)

// foreign makes a message that somebody else wrote fit to be passed on: on one
// line, of bearable length, and without tokens.
func foreign(message string) string {
	message = accessToken.ReplaceAllString(strings.Join(strings.Fields(message), " "), "(token)")
	if len(message) > 300 {
		message = strings.ToValidUTF8(message[:300], "") + "…"
	}
	return message
}

// askSF asks the Salesforce CLI for the session's token, which renews it before
// it answers where that is needed, and stores what it renewed.
func (s *Store) askSF(ctx context.Context, username string) (string, error) {
	if s.SF == "" {
		return "", errors.New("sf is not on this machine to renew it")
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
				AccessToken string `json:"accessToken"`
			} `json:"result"`
		}
		decodeErr := json.Unmarshal(out.Bytes(), &answer)
		switch token := answer.Result.AccessToken; {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case runErr == nil && decodeErr == nil && strings.Contains(token, "!"):
			return token, nil
		case answer.Message != "" && !said:
			failure, said = fmt.Errorf("sf says: %s", foreign(answer.Message)), true
		case failure != nil:
		case runErr != nil:
			failure = fmt.Errorf("sf failed: %w", runErr)
		default:
			failure = errors.New("sf shows no token")
		}
	}
	return "", failure
}
