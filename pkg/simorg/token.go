package simorg

import (
	"cmp"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

const (
	oauthPath     = "/services/oauth2/"
	tokenPath     = oauthPath + "token"
	authorizePath = oauthPath + "authorize"
)

// tokenError is an error as the token endpoint answers it.
type tokenError struct{ code, description string }

var (
	unknownClient   = &tokenError{"invalid_client_id", "client identifier invalid"}
	wrongSecret     = &tokenError{"invalid_client", "invalid client credentials"}
	notApproved     = &tokenError{"invalid_app_access", "user is not admin approved to access this app"}
	inactiveUser    = &tokenError{"inactive_user", "user is inactive"}
	wrongRedirect   = &tokenError{"redirect_uri_mismatch", "redirect_uri must match configuration"}
	wrongDomain     = &tokenError{"invalid_grant", "request not supported on this domain"}
	notTheGrantType = &tokenError{"unsupported_grant_type", "grant type not supported"}
)

// grant is what an access token was given for.
type grant struct {
	User   int    `json:"user"`   // of the org's users
	Client string `json:"client"` // the consumer key
	Scope  string `json:"scope"`
	Family string `json:"family,omitempty"` // the first refresh token of the same approval, "" if there is none

	Unnamed bool `json:"unnamed,omitempty"` // by client credentials
}

// serveOAuth answers the token endpoint and its neighbours.
func (o *Org) serveOAuth(w http.ResponseWriter, r *http.Request, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	form, err := url.ParseQuery(string(body))
	if err != nil {
		form = url.Values{}
	}
	switch r.URL.Path {
	case tokenPath:
		answer, failure := o.issue(r, form)
		if failure != nil {
			writeTokenError(w, failure)
			return
		}
		writeOAuth(w, http.StatusOK, answer)
	case oauthPath + "revoke":
		o.revoke(w, r, form)
	case oauthPath + "introspect":
		o.introspect(w, r, form)
	case authorizePath:
		o.authorize(w, r, form)
	default:
		http.NotFound(w, r)
	}
}

func writeOAuth(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

func writeTokenError(w http.ResponseWriter, e *tokenError) {
	writeOAuth(w, http.StatusBadRequest, map[string]string{"error": e.code, "error_description": e.description})
}

// issue answers a request for a token.
func (o *Org) issue(r *http.Request, form url.Values) (map[string]string, *tokenError) {
	if r.Method != http.MethodPost {
		return nil, notTheGrantType
	}
	if o.config.Locked {
		return nil, &tokenError{"inactive_org", "org is locked, closed, or suspended"}
	}
	if o.config.IPRestricted {
		return nil, &tokenError{"invalid_grant", "ip restricted"}
	}
	id, secret := clientCredentials(r, form)
	var g grant
	var failure *tokenError
	var flow any // LoginHistory's LoginSubType; nil for JWT bearer
	more := make(map[string]string)
	elsewhere := o.url != "" && strings.TrimPrefix(o.url, "http://") != r.Host // at a login host
	switch form.Get("grant_type") {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		g, failure = o.byJWT(form.Get("assertion"), r.Host, elsewhere)
	case "client_credentials":
		if elsewhere {
			return nil, wrongDomain
		}
		if form.Has("scope") {
			return nil, &tokenError{"invalid_request", "scope parameter not supported"}
		}
		flow = "OauthClientCredentials"
		g, failure = o.byClientCredentials(id, secret)
		more["signature"] = base64.StdEncoding.EncodeToString([]byte(random(32)))
		more["issued_at"] = fmt.Sprint(time.Now().UnixMilli())
	case "authorization_code":
		flow = "OauthWebServer"
		if g, failure = o.byCode(id, secret, form); failure == nil && hasScope(g.Scope, "refresh_token") {
			g.Family = newRefreshToken()
			o.state.Refresh[g.Family] = &refreshToken{grant: g}
			more["refresh_token"] = g.Family
		}
	case "refresh_token":
		flow = "OauthRefreshToken"
		if g, failure = o.byRefreshToken(id, secret, form.Get("refresh_token")); failure == nil {
			if next := o.rotateRefreshToken(form.Get("refresh_token")); next != "" {
				more["refresh_token"] = next
			}
		}
	default:
		failure = notTheGrantType
	}
	if failure != nil {
		return nil, failure
	}
	token := o.newToken(g, more)
	o.state.Grants[token] = g
	if app, _, unknown := o.client(g.Client); unknown == nil {
		row := ""
		switch {
		case flow == "OauthWebServer":
			row = g.Family
		case flow == "OauthClientCredentials" && o.is("client-credentials-token-row", "yes"), flow == nil && o.is("jwt-token-row", "yes"):
			row = token
		}
		o.logIn(app, g.User, flow, row)
	}
	more["access_token"], more["token_type"], more["scope"], more["instance_url"] = token, "Bearer", g.Scope, o.url
	more["id"] = "https://login.salesforce.com/id/" + o.id + "/" + fmt.Sprint(o.user(g.User)["id"])
	return more, nil
}

// clientCredentials returns the client's key and secret, from the header or the form.
func clientCredentials(r *http.Request, form url.Values) (id, secret string) {
	id, secret, basic := r.BasicAuth()
	if !basic {
		return form.Get("client_id"), form.Get("client_secret")
	}
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	return id, secret
}

// client finds the app that a consumer key belongs to, with the secret that goes with the key:
// of the main pair, or of the one beside it, which logs in as well.
func (o *Org) client(key string) (app, secret string, failure *tokenError) {
	if key == cliClient {
		return cliApp, "", nil
	}
	o.expireStaged()
	for _, global := range o.all(eca.GlobalOAuthSettings) {
		app, id := global.app(), o.consumerID(global.app())
		staged := o.state.Staged[id]
		switch {
		case global.text("consumerKey") == key:
			secret = global.secret
		case staged != nil && staged.Key == key:
			secret = staged.Secret
		default:
			continue
		}
		propagating := time.Since(o.state.Made[strings.ToLower(app)]) < o.config.Propagation && o.is("propagation", "later")
		if propagating || !o.isOn(app) {
			break // what the platform says of an app that is switched off is not known; this is assumed
		}
		return app, secret, nil
	}
	if app, secret := o.packagedClient(key); app != "" && o.isOn(app) {
		return app, secret, nil
	}
	return "", "", unknownClient
}

// isOn reports whether the app and its OAuth plugin are on.
func (o *Org) isOn(app string) bool {
	plugins := o.of(eca.PluginPolicies, app)
	return plugins == nil || plugins.isTrue("isEnabled") && plugins.isTrue("isOauthPluginEnabled")
}

// admit checks whether an app lets a user in. frozen is the fact that decides about frozen users, "" if
// they are refused.
func (o *Org) admit(app string, user int, frozen string) *tokenError {
	policies, header := o.of(eca.OAuthPolicies, app), o.find(eca.Header, app)
	if o.config.Users[user].Inactive || o.refusesFrozen(user, frozen) {
		return inactiveUser // what the platform says of a frozen user is not known
	}
	if policies != nil && policies.text("permittedUsersPolicyType") == "AdminApprovedPreAuthorized" && !o.preAuthorised(header, policies, user) {
		return notApproved
	}
	return nil
}

// preAuthorised reports whether the user's profile or a permission set of the user's grants the app.
func (o *Org) preAuthorised(header, policies *record, user int) bool {
	profile := cmp.Or(o.config.Users[user].Profile, standardUser)
	if o.is("profiles-authorise", "yes") && slices.Contains(items(policies.text("commaSeparatedProfile")), profile) {
		return true
	}
	for _, set := range o.permissionSets() {
		grants := o.hasAccess(set.id, header.id) ||
			o.is("policies-grant", "yes") && slices.Contains(items(policies.text("commaSeparatedPermissionSet")), set.fullName)
		if grants && o.isAssigned(user, set.id) {
			return true
		}
	}
	return false
}

// scopeNames are the strings that clients know scopes by, for those that differ from their name
// in metadata in more than case.
var scopeNames = map[string]string{
	"RefreshToken": "refresh_token", "OpenID": "openid", "CustomApplications": "visualforce", "Basic": "id", "OfflineAccess": "offline_access",
	"CustomPermissions": "custom_permissions", "Chatter": "chatter_api", "MCP": "mcp_api", "SFApiPlatform": "sfap_api",
	"Chatbot": "chatbot_api", "EinsteinGPT": "einstein_gpt_api",
}

// scopes returns the scopes of an app as clients write them, without some.
func (o *Org) scopes(app string, without ...string) string {
	if app == cliApp {
		return cliScopes
	}
	var names []string
	if settings := o.of(eca.OAuthSettings, app); settings != nil {
		for _, name := range items(settings.text("commaSeparatedOauthScopes")) {
			if !slices.Contains(without, name) {
				names = append(names, cmp.Or(scopeNames[name], strings.ToLower(name)))
			}
		}
	}
	return strings.Join(names, " ")
}

// byClientCredentials checks what the client credentials flow needs: key and secret, the flow on
// in the global settings and in the OAuth policies, and a run-as user there who is let in.
func (o *Org) byClientCredentials(key, secret string) (g grant, failure *tokenError) {
	app, want, failure := o.client(key)
	if failure != nil {
		return g, failure
	}
	if want != secret {
		return g, wrongSecret
	}
	global, policies := o.globalOf(app), o.of(eca.OAuthPolicies, app)
	if !global.isTrue("isClientCredentialsFlowEnabled") || policies == nil || !policies.isTrue("isClientCredentialsFlowEnabled") {
		return g, &tokenError{"invalid_grant", "client credentials flow not enabled"}
	}
	user := o.userIndex(policies.text("clientCredentialsFlowUser"))
	if user < 0 {
		return g, &tokenError{"invalid_grant", "no client credentials user enabled"}
	}
	return grant{Unnamed: true, User: user, Client: key, Scope: o.scopes(app, "Full", "Web", "RefreshToken", "OfflineAccess")}, o.admit(app, user, "freezing-stops-client-credentials")
}

// byJWT checks the assertion of the JWT bearer flow, sent to the org under a host, or elsewhere. The org
// plays its login host under any other name of its address, like localhost.
func (o *Org) byJWT(assertion, host string, elsewhere bool) (g grant, failure *tokenError) {
	invalid := &tokenError{"invalid_grant", "invalid assertion"}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return g, invalid
	}
	payload, err1 := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	signature, err2 := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[2], "="))
	var claims struct {
		Issuer   string `json:"iss"`
		Subject  string `json:"sub"`
		Audience string `json:"aud"`
		Expires  int64  `json:"exp"`
	}
	if err1 != nil || err2 != nil || json.Unmarshal(payload, &claims) != nil {
		return g, invalid
	}
	key := o.config.JWTClients[claims.Issuer]
	app := ""
	if key == nil {
		if app, _, failure = o.client(claims.Issuer); failure != nil {
			return g, failure
		}
		if elsewhere && o.is("jwt-at-login-host", "no") {
			return g, &tokenError{"app_not_found", "External client app is not installed in this org"}
		}
		if key = o.publicKey(o.globalOf(app).text("certificate")); key == nil {
			return g, invalid
		}
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return g, invalid
	}
	login := "https://login.salesforce.com"
	if o.config.Kind != Production {
		login = "https://test.salesforce.com"
	}
	if !slices.Contains([]string{o.url, login, "http://" + host}, strings.TrimSuffix(claims.Audience, "/")) {
		return g, &tokenError{"invalid_grant", "audience is invalid"}
	}
	if time.Now().After(time.Unix(claims.Expires, 0)) {
		return g, &tokenError{"invalid_grant", "expired assertion"} // assumed wording
	}
	unapproved := &tokenError{"invalid_grant", "user hasn't approved this consumer"}
	if app == "" {
		// Connected apps have sessions of the administrator only.
		if claims.Subject != o.config.Username {
			return g, unapproved
		}
		return grant{Client: claims.Issuer, Scope: "api"}, nil
	}
	user := o.userIndex(claims.Subject)
	if user < 0 {
		return g, &tokenError{"invalid_grant", o.config.Facts.Of("jwt-unknown-user")}
	}
	policies := o.of(eca.OAuthPolicies, app)
	if policies == nil || policies.text("permittedUsersPolicyType") != "AdminApprovedPreAuthorized" {
		return g, unapproved // nobody logs in to this org in a browser and approves
	}
	if !strings.Contains(o.scopes(app), "refresh_token") && !strings.Contains(o.scopes(app), "offline_access") {
		return g, &tokenError{"invalid_request", "refresh_token scope is required and the connected app should be installed and preauthorized"}
	}
	return grant{User: user, Client: claims.Issuer, Scope: o.scopes(app, "RefreshToken", "OfflineAccess")}, o.admit(app, user, "")
}

// publicKey returns the RSA key of a certificate in any form, or nil if the org does not accept it.
func (o *Org) publicKey(text string) *rsa.PublicKey {
	certificate, err := x509.ParseCertificate(metadata.CertificateDER(text))
	if err != nil || time.Now().After(certificate.NotAfter) && o.is("jwt-expired-certificate", "invalid assertion") {
		return nil
	}
	key, isRSA := certificate.PublicKey.(*rsa.PublicKey)
	if !isRSA || key.N.BitLen() < 2048 || len(strings.TrimSpace(text)) >= 4<<10 {
		return nil // what the platform says of these at a login is assumed
	}
	return key
}

// introspect tells a client about a token of its own. That tokens of others count as inactive
// is assumed.
func (o *Org) introspect(w http.ResponseWriter, r *http.Request, form url.Values) {
	id, secret := clientCredentials(r, form)
	app, want, failure := o.client(id)
	if failure == nil && want != secret {
		failure = wrongSecret
	}
	if failure != nil {
		writeTokenError(w, failure)
		return
	}
	g, known := o.state.Grants[form.Get("token")]
	owner, _, _ := o.client(g.Client)
	if !known || !o.accepts(form.Get("token")) || owner != app {
		writeOAuth(w, http.StatusOK, map[string]any{"active": false})
		return
	}
	writeOAuth(w, http.StatusOK, map[string]any{"active": true, "client_id": g.Client, "scope": g.Scope, "username": o.config.Users[g.User].Username, "token_type": "access_token"})
}
