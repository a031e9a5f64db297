package consumer

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
	"golang.org/x/oauth2/jwt"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Login is a way to log in to an org by a consumer.
type Login struct {
	BaseURL string // the org's My Domain: client credentials work on no other host
	Flow    string // for people, like "client credentials"

	// Retry asks for the token again after transient failures; nil tries once.
	Retry *salesforce.Retry

	// token asks for a token. The context carries the HTTP client.
	token func(ctx context.Context) (*oauth2.Token, error)
	// sent are the secrets that it sends, which an answer may repeat.
	sent []salesforce.Secret
}

func tokenURL(base string) string { return strings.TrimSuffix(base, "/") + "/services/oauth2/token" }

// ClientCredentials returns the login by the client credentials flow.
func ClientCredentials(baseURL string, pair Pair) *Login {
	return &Login{BaseURL: baseURL, Flow: "client credentials", sent: []salesforce.Secret{pair.Secret}, token: func(ctx context.Context) (*oauth2.Token, error) {
		// No scope: the platform refuses the parameter.
		config := &clientcredentials.Config{ClientID: pair.Key, ClientSecret: pair.Secret.Reveal(), TokenURL: tokenURL(baseURL), AuthStyle: oauth2.AuthStyleInParams}
		return config.Token(ctx)
	}}
}

// jwtLifetime is how long an assertion is good for, the most that the platform accepts.
const jwtLifetime = 3 * time.Minute

// JWT returns the login by the JWT bearer flow: as a user, with the private key that belongs to
// the certificate of the app. key is in PEM, PKCS#1 or PKCS#8. The assertion goes to My Domain,
// which External Client Apps need, and names it as audience.
func JWT(baseURL, consumerKey string, key salesforce.Secret, username string) *Login {
	return &Login{BaseURL: baseURL, Flow: "JWT bearer", token: func(ctx context.Context) (*oauth2.Token, error) {
		config := &jwt.Config{
			Email: consumerKey, Subject: username, PrivateKey: []byte(key.Reveal()),
			Audience: strings.TrimSuffix(baseURL, "/"), TokenURL: tokenURL(baseURL), Expires: jwtLifetime,
		}
		return config.TokenSource(ctx).Token()
	}}
}

// Code returns the login with an authorization code that the app was given on a redirect URL.
// pair's secret is "" for a public client.
func Code(baseURL string, pair Pair, redirectURL, code, verifier string) *Login {
	return &Login{BaseURL: baseURL, Flow: "authorization code", sent: []salesforce.Secret{pair.Secret, salesforce.NewSecret(code), salesforce.NewSecret(verifier)}, token: func(ctx context.Context) (*oauth2.Token, error) {
		return codeConfig(baseURL, pair, redirectURL).Exchange(ctx, code, oauth2.VerifierOption(verifier))
	}}
}

func codeConfig(baseURL string, pair Pair, redirectURL string) *oauth2.Config {
	base := strings.TrimSuffix(baseURL, "/")
	return &oauth2.Config{
		ClientID: pair.Key, ClientSecret: pair.Secret.Reveal(), RedirectURL: redirectURL,
		Endpoint: oauth2.Endpoint{AuthURL: base + "/services/oauth2/authorize", TokenURL: tokenURL(base), AuthStyle: oauth2.AuthStyleInParams},
	}
}

// AuthorizeURL returns the page on which a user lets the app in, by the authorization code flow
// with PKCE. state and verifier are random texts of the caller's, see oauth2.GenerateVerifier.
func AuthorizeURL(baseURL, consumerKey, redirectURL, state, verifier string) string {
	return codeConfig(baseURL, Pair{Key: consumerKey}, redirectURL).AuthCodeURL(state, oauth2.S256ChallengeOption(verifier))
}

// Proof is what a login that worked has shown. It holds no token.
type Proof struct {
	Flow     string   `json:"flow"`
	Username string   `json:"username"` // whom the token was for
	UserID   string   `json:"userId"`
	OrgID    string   `json:"orgId"`
	Scopes   []string `json:"scopes"`
	// Revoked says that the token was ended again. Where that failed, RevokeError says why.
	Revoked     bool   `json:"revoked"`
	RevokeError string `json:"revokeError,omitempty"`
}

// Verify logs in, asks the org whom the token is for, and revokes the token whatever happens,
// in three requests. client is nil for a sane one; redirects are never followed. Where the token
// endpoint refuses, the error is a *salesforce.TokenRefusal: see Explain.
func (l *Login) Verify(ctx context.Context, client *http.Client) (*Proof, error) {
	proof, revoke, err := l.open(ctx, client, true)
	if revoke != nil {
		revoke()
	}
	return proof, err
}

// open logs in, and asks the org whom the token is for where ask says so. revoke, where it is not
// nil, ends the token and has to be called.
func (l *Login) open(ctx context.Context, client *http.Client, ask bool) (proof *Proof, revoke func(), err error) {
	if _, err := platform.ParseInstance(l.BaseURL); err != nil {
		return nil, nil, err
	}
	if client == nil {
		client = &http.Client{Transport: salesforce.NewTransport(), Timeout: salesforce.DefaultTimeout}
	}
	client = salesforce.WithoutRedirects(client)
	var granted *oauth2.Token
	err = l.Retry.Do(ctx, func() (err error) {
		if granted, err = l.token(context.WithValue(ctx, oauth2.HTTPClient, client)); err != nil {
			return l.masked(salesforce.TokenError(l.BaseURL, err))
		}
		return nil
	})
	if ctx.Err() != nil && err != nil {
		return nil, nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, nil, err
	}
	token := salesforce.NewSecret(granted.AccessToken)
	if token.IsZero() {
		return nil, nil, errors.New("the token endpoint answered without a token")
	}
	proof = &Proof{Flow: l.Flow}
	got := append([]salesforce.Secret{token, salesforce.NewSecret(granted.RefreshToken)}, l.sent...)
	if scope, ok := granted.Extra("scope").(string); ok {
		proof.Scopes = strings.Fields(salesforce.MaskSecrets(scope, got...))
	}
	revoke = func() {
		err := l.revoke(ctx, client, token)
		if refresh := salesforce.NewSecret(granted.RefreshToken); !refresh.IsZero() {
			err = cmp.Or(err, l.revoke(ctx, client, refresh)) // which the access token's end does not end
		}
		if err != nil {
			proof.RevokeError = err.Error()
		} else {
			proof.Revoked = true
		}
	}
	if !ask {
		return proof, revoke, nil
	}
	conn := &salesforce.Conn{
		InstanceURL: l.BaseURL, Version: apiversion.Latest, HTTPClient: client,
		Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token.Reveal()}),
	}
	info, err := (&restapi.Client{Conn: conn}).UserInfo(ctx)
	for into, text := range map[*string]string{&proof.Username: info.Username, &proof.UserID: info.UserID, &proof.OrgID: info.OrgID} {
		*into = salesforce.MaskSecrets(text, got...)
	}
	return proof, revoke, err
}

// masked takes what was sent out of what a refusal says, and leaves nothing of an answer that is
// not one: HTTP libraries quote what they cannot read.
func (l *Login) masked(err error) error {
	if refused, ok := errors.AsType[*salesforce.TokenRefusal](err); ok {
		return &salesforce.TokenRefusal{Host: refused.Host, Code: salesforce.MaskSecrets(refused.Code, l.sent...), Description: salesforce.MaskSecrets(refused.Description, l.sent...)}
	}
	if failed, ok := errors.AsType[*salesforce.NetworkError](err); ok && strings.Contains(failed.Error(), "malformed") {
		return fmt.Errorf("%s answered with something that is not HTTP", failed.Host)
	}
	return err
}

// revokeTime is how long a token is still revoked for when its run was interrupted.
const revokeTime = 10 * time.Second

// revoke ends a token, also where the run was interrupted. An error repeats nothing of the
// answer, which holds the token.
func (l *Login) revoke(ctx context.Context, client *http.Client, token salesforce.Secret) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), revokeTime)
	defer cancel()
	conn := &salesforce.Conn{InstanceURL: l.BaseURL, HTTPClient: client, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token.Reveal()})}
	return (&restapi.Client{Conn: conn}).Revoke(ctx, token)
}

// IsNotYetKnown reports whether an org refused a login in a way in which it refuses a consumer
// that it does not know yet, see MaxPropagation.
func IsNotYetKnown(err error) bool {
	refused, ok := errors.AsType[*salesforce.TokenRefusal](err)
	return ok && (refused.Code == "invalid_client_id" || strings.EqualFold(refused.Description, unapproved))
}

// introspect asks the token endpoint's neighbour about a token, as a consumer with its pair.
func introspect(ctx context.Context, client *http.Client, baseURL string, pair Pair, token salesforce.Secret) (active bool, clientID string, err error) {
	if client == nil {
		client = &http.Client{Transport: salesforce.NewTransport(), Timeout: salesforce.DefaultTimeout}
	}
	body := url.Values{"token": {token.Reveal()}, "token_type_hint": {"access_token"}, "client_id": {pair.Key}, "client_secret": {pair.Secret.Reveal()}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(baseURL, "/")+"/services/oauth2/introspect", strings.NewReader(body))
	if err != nil {
		return false, "", errors.New("the request cannot be made")
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := salesforce.WithoutRedirects(client).Do(req)
	if err != nil {
		return false, "", salesforce.TokenError(baseURL, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return false, "", salesforce.TokenError(baseURL, err)
	}
	if resp.StatusCode != http.StatusOK {
		return false, "", salesforce.TokenError(baseURL, &oauth2.RetrieveError{Response: resp, Body: data})
	}
	var answer struct {
		Active   bool   `json:"active"`
		ClientID string `json:"client_id"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return false, "", &salesforce.StatusError{Host: req.URL.Host, Status: resp.StatusCode, What: "not an answer of the introspection endpoint"}
	}
	return answer.Active, answer.ClientID, nil
}

// maxAnswer bounds what is read of an answer of the token endpoint's neighbours.
const maxAnswer = 1 << 20
