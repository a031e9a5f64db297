// Package login logs in to an org with the consumer of an External Client App, proves that the login
// works, and explains refusals.
//
//	proof, err := login.ClientCredentials(instanceURL, credentials).Verify(ctx, nil)
//	if d := login.Look(ctx, conn, login.Attempt{App: "MyApp"}).Diagnose(err); d != nil {
//		fmt.Println(d.Cause)
//	}
//
// Tokens are revoked after use. Errors and proofs contain neither tokens nor secrets.
package login

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// MaxPropagation is how long the token endpoint may refuse a new consumer as unknown. Salesforce's
// documentation says two to ten minutes; up to thirty were seen.
const MaxPropagation = 30 * time.Minute

// Login is a way to log in to an org with a consumer.
type Login struct {
	BaseURL string // the org's My Domain; client credentials work on no other host
	Flow    string // for people, like "client credentials"

	// Retry repeats the token request after transient failures; nil tries once.
	Retry *salesforce.Retry

	// token requests a token. The context carries the HTTP client.
	token func(ctx context.Context) (*oauth2.Token, error)
	// sent are the secrets of the token request, which an answer may repeat.
	sent []salesforce.Secret
}

func tokenURL(base string) string { return strings.TrimSuffix(base, "/") + "/services/oauth2/token" }

// ClientCredentials returns the login with the client credentials flow.
func ClientCredentials(baseURL string, c Credentials) *Login {
	config := &clientcredentials.Config{ // without a scope: the platform refuses the parameter
		ClientID: c.Key, ClientSecret: c.Secret.Reveal(), TokenURL: tokenURL(baseURL), AuthStyle: oauth2.AuthStyleInParams,
	}
	return &Login{BaseURL: baseURL, Flow: "client credentials", sent: []salesforce.Secret{c.Secret}, token: config.Token}
}

// jwtLifetime is the validity of an assertion, the longest that the platform accepts.
const jwtLifetime = 3 * time.Minute

// JWT returns the login with the JWT bearer flow as a user. key is the private key of the app's
// certificate, see ParseKey. The assertion is sent to My Domain, which External Client Apps
// require, and names it as the audience.
func JWT(baseURL, consumerKey string, key salesforce.Secret, username string) *Login {
	config := &jwt.Config{
		Email: consumerKey, Subject: username, PrivateKey: []byte(key.Reveal()),
		Audience: strings.TrimSuffix(baseURL, "/"), TokenURL: tokenURL(baseURL), Expires: jwtLifetime,
	}
	return &Login{BaseURL: baseURL, Flow: "JWT bearer", token: func(ctx context.Context) (*oauth2.Token, error) {
		return config.TokenSource(ctx).Token()
	}}
}

// Code returns the login with an authorization code that the app received on a redirect URL.
func Code(baseURL string, c Credentials, redirectURL, code, verifier string) *Login {
	sent := []salesforce.Secret{c.Secret, salesforce.NewSecret(code), salesforce.NewSecret(verifier)}
	return &Login{BaseURL: baseURL, Flow: "authorization code", sent: sent, token: func(ctx context.Context) (*oauth2.Token, error) {
		return codeConfig(baseURL, c, redirectURL).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	}}
}

func codeConfig(baseURL string, c Credentials, redirectURL string) *oauth2.Config {
	base := strings.TrimSuffix(baseURL, "/")
	return &oauth2.Config{
		ClientID: c.Key, ClientSecret: c.Secret.Reveal(), RedirectURL: redirectURL,
		Endpoint: oauth2.Endpoint{
			AuthURL: base + "/services/oauth2/authorize", TokenURL: tokenURL(base), AuthStyle: oauth2.AuthStyleInParams,
		},
	}
}

// AuthorizeURL returns the page on which a user approves the app, for the authorization code flow
// with PKCE. state and verifier are random texts, see oauth2.GenerateVerifier. Without scopes, the login
// requests all of the app.
func AuthorizeURL(baseURL, consumerKey, redirectURL, state, verifier string, scopes ...string) string {
	config := codeConfig(baseURL, Credentials{Key: consumerKey}, redirectURL)
	config.Scopes = scopes
	return config.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))
}

// Proof is what a successful login has shown. It contains no token.
type Proof struct {
	Flow     string   `json:"flow"`
	Username string   `json:"username"` // of the token's user
	UserID   string   `json:"userId"`
	OrgID    string   `json:"orgId"`
	Scopes   []string `json:"scopes"`
	// Revoked reports that the token was revoked afterwards. If that failed, RevokeError is why.
	Revoked     bool   `json:"revoked"`
	RevokeError string `json:"revokeError,omitempty"`
}

// Verify logs in, asks the org for the token's user, and revokes the token in any case. It takes
// three requests. A nil client means a default one; redirects are never followed. If the token
// endpoint refuses the login, the error is a *salesforce.TokenRefusal: see Explain.
func (l *Login) Verify(ctx context.Context, client *http.Client) (*Proof, error) {
	session, err := l.Open(ctx, client)
	if err != nil {
		return nil, err
	}
	proof := &Proof{Flow: l.Flow, Scopes: session.Scopes}
	info, err := session.UserInfo(ctx)
	proof.Username, proof.UserID, proof.OrgID = info.Username, info.UserID, info.OrgID
	failed := session.Revoke(ctx)
	if proof.Revoked = failed == nil; failed != nil {
		proof.RevokeError = failed.Error()
	}
	return proof, err
}

// Patience is how long to wait for an org that does not know a new consumer yet, see MaxPropagation.
type Patience struct {
	Limit time.Duration // of the total time; 0 does not wait
	// Waiting is called before each wait, with the rest of the total time and the last refusal; nil for none.
	Waiting func(wait, left time.Duration, refusal error)
	// NotYet reports whether a refusal passes; nil means IsNotYetKnown.
	NotYet func(error) bool
}

// VerifyWaiting is Verify, repeated while the org does not know the consumer yet.
func (l *Login) VerifyWaiting(ctx context.Context, client *http.Client, p Patience) (proof *Proof, err error) {
	err = p.Wait(ctx, func(ctx context.Context) error {
		proof, err = l.Verify(ctx, client)
		return err
	})
	return proof, err
}

// Wait calls try, and repeats it while its error says that the org does not know the consumer yet. It ends
// before the deadline of ctx, so that the error is that of the last call. If ctx is cancelled during a wait,
// the error is the cause of ctx.
func (p Patience) Wait(ctx context.Context, try func(context.Context) error) error {
	if p.NotYet == nil {
		p.NotYet = IsNotYetKnown
	}
	if deadline, bounded := ctx.Deadline(); bounded {
		left := time.Until(deadline)
		p.Limit = min(p.Limit, left-left/10)
	}
	end := time.Now().Add(p.Limit)
	var last error
	polling := salesforce.Polling{Limit: p.Limit, First: 2 * time.Second}
	if p.Waiting != nil {
		polling.Waiting = func(wait time.Duration) { p.Waiting(wait, time.Until(end), last) }
	}
	_, err := (*salesforce.Retry)(nil).Until(ctx, polling, func(ctx context.Context) (bool, error) {
		last = try(ctx)
		return last == nil || !p.NotYet(last), nil
	})
	if err != nil {
		return err
	}
	return last
}

// IsNotYetKnown reports whether the token endpoint refused a login as it does for a consumer that it
// does not know yet, see MaxPropagation.
func IsNotYetKnown(err error) bool {
	refused, ok := errors.AsType[*salesforce.TokenRefusal](err)
	return ok && (refused.Code == "invalid_client_id" || strings.EqualFold(refused.Description, refusal.Unapproved))
}

// Session is a login that has worked. Call Revoke when it is no longer needed.
type Session struct {
	Scopes []string // of the token
	// Services is the api_instance_url of the answer, where services accept a JWT-based token, "" if there is
	// none. Check it with platform.ServicesAnswered before the token is sent there.
	Services string
	// OrgID and UserID are those of the id in the answer, "" if there is none.
	OrgID, UserID string

	conn    *salesforce.Conn
	token   salesforce.Secret
	refresh salesforce.Secret   // zero if there is none
	secrets []salesforce.Secret // that answers may repeat
}

// Open logs in and leaves the token valid. Client and error are those of Verify.
func (l *Login) Open(ctx context.Context, client *http.Client) (*Session, error) {
	if _, err := platform.ParseInstance(l.BaseURL); err != nil {
		return nil, err
	}
	if client == nil {
		client = &http.Client{Transport: salesforce.NewTransport(), Timeout: salesforce.DefaultTimeout}
	}
	client = salesforce.WithoutRedirects(client)
	var granted *oauth2.Token
	err := l.Retry.Do(ctx, func() (err error) {
		if granted, err = l.token(context.WithValue(ctx, oauth2.HTTPClient, client)); err != nil {
			return masked(salesforce.TokenError(l.BaseURL, err), l.sent)
		}
		return nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, err
	case granted.AccessToken == "":
		return nil, errors.New("the token endpoint answered without a token")
	}
	s := &Session{
		conn:  &salesforce.Conn{InstanceURL: l.BaseURL, HTTPClient: client, Tokens: oauth2.StaticTokenSource(granted)},
		token: salesforce.NewSecret(granted.AccessToken), refresh: salesforce.NewSecret(granted.RefreshToken),
	}
	s.secrets = append([]salesforce.Secret{s.token, s.refresh}, l.sent...)
	if scope, ok := granted.Extra("scope").(string); ok {
		s.Scopes = strings.Fields(salesforce.MaskSecrets(scope, s.secrets...))
	}
	s.Services, _ = granted.Extra("api_instance_url").(string)
	if id, ok := granted.Extra("id").(string); ok { // https://login.salesforce.com/id/ORG/USER
		if parts := strings.Split(salesforce.MaskSecrets(id, s.secrets...), "/"); len(parts) > 2 {
			s.OrgID, s.UserID = parts[len(parts)-2], parts[len(parts)-1]
		}
	}
	return s, nil
}

// Conn returns a connection to the org with the session's access token.
func (s *Session) Conn() *salesforce.Conn {
	conn := *s.conn
	return &conn
}

// Token returns the access token.
func (s *Session) Token() salesforce.Secret { return s.token }

// UserInfo returns the token's user and org.
func (s *Session) UserInfo(ctx context.Context) (restapi.UserInfo, error) {
	info, err := (&restapi.Client{Conn: s.conn}).UserInfo(ctx)
	for _, text := range []*string{&info.Username, &info.UserID, &info.OrgID} {
		*text = salesforce.MaskSecrets(*text, s.secrets...)
	}
	return info, err
}

// Claims returns the claims of a JWT-based access token, by name. ok is false if the token is opaque. They are
// not verified.
func (s *Session) Claims() (claims map[string]json.RawMessage, ok bool) { return s.part(1) }

// Header returns the header of a JWT-based access token, as Claims does.
func (s *Session) Header() (header map[string]json.RawMessage, ok bool) { return s.part(0) }

// part decodes a part of a JWT-based access token.
func (s *Session) part(n int) (values map[string]json.RawMessage, ok bool) {
	parts := strings.Split(s.token.Reveal(), ".")
	if len(parts) != 3 {
		return nil, false
	}
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[n], "="))
	if err != nil || json.Unmarshal(data, &values) != nil {
		return nil, false
	}
	return values, true
}

// revokeTime bounds a revocation after ctx has ended.
const revokeTime = 10 * time.Second

// Revoke ends the session's tokens, even if ctx has ended. Revoking the access token does not revoke
// the refresh token. An error contains nothing of the answer, which may repeat a token. Revoke does
// nothing for a nil Session.
func (s *Session) Revoke(ctx context.Context) error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	client := &restapi.Client{Conn: s.conn}
	err := client.Revoke(ctx, s.token)
	if !s.refresh.IsZero() {
		err = cmp.Or(err, client.Revoke(ctx, s.refresh))
	}
	return err
}

// masked removes what was sent from a refusal, and drops an answer that is not HTTP, which the HTTP
// library quotes.
func masked(err error, sent []salesforce.Secret) error {
	if refused, ok := errors.AsType[*salesforce.TokenRefusal](err); ok {
		return &salesforce.TokenRefusal{
			Host: refused.Host, Code: salesforce.MaskSecrets(refused.Code, sent...),
			Description: salesforce.MaskSecrets(refused.Description, sent...),
		}
	}
	if failed, ok := errors.AsType[*salesforce.NetworkError](err); ok && strings.Contains(failed.Error(), "malformed") {
		return fmt.Errorf("%s answered with something that is not HTTP", failed.Host)
	}
	return err
}

// Introspection is an org's answer about a token.
type Introspection struct {
	Active   bool   `json:"active"`
	ClientID string `json:"client_id"` // the consumer key for which the token was issued
}

// Introspect asks an org about a token, with the credentials of one of its consumers. If the org
// refuses the credentials, the error is a *salesforce.TokenRefusal. conn's session is not used.
func Introspect(ctx context.Context, conn *salesforce.Conn, c Credentials, token salesforce.Secret) (Introspection, error) {
	var answer Introspection
	own := &salesforce.Conn{
		InstanceURL: conn.InstanceURL, HTTPClient: conn.HTTPClient, Timeout: conn.Timeout, Retry: conn.Retry,
		UserAgent: conn.UserAgent, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token.Reveal()}),
	}
	form := url.Values{
		"token": {token.Reveal()}, "token_type_hint": {"access_token"},
		"client_id": {c.Key}, "client_secret": {c.Secret.Reveal()},
	}
	request := salesforce.Request{
		Method: http.MethodPost, Path: "/services/oauth2/introspect", Idempotent: true,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Body:   func(salesforce.Secret) ([]byte, error) { return []byte(form.Encode()), nil },
	}
	err := own.Do(ctx, request, func(got *salesforce.Response) error {
		if got.Status != http.StatusOK {
			refused := &oauth2.RetrieveError{Response: &http.Response{StatusCode: got.Status}, Body: got.Body}
			return masked(salesforce.TokenError(conn.InstanceURL, refused), []salesforce.Secret{c.Secret, token})
		}
		if json.Unmarshal(got.Body, &answer) != nil {
			const what = "not an answer of the introspection endpoint"
			return got.Unexpected(what)
		}
		return nil
	})
	return answer, err
}
