package simorg

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
)

// jwtLifetime is how long a JWT-based access token is good for.
const jwtLifetime = 30 * time.Minute

// newToken returns an access token for a grant. Apps with isNamedUserJwtEnabled get JWT-based ones,
// and more about them in the answer.
func (o *Org) newToken(g grant, more map[string]string) string {
	app, _, unknown := o.client(g.Client)
	if unknown != nil || !o.globalOf(app).isTrue("isNamedUserJwtEnabled") {
		return o.newSession()
	}
	more["token_format"], more["api_instance_url"] = "jwt", o.url // whose services the org plays
	return o.newJWT(g)
}

// salesforceAPI is the host of the services that accept JWT-based tokens alone.
const salesforceAPI = "https://api.salesforce.com"

// newJWT returns a JWT-based access token. Nobody can verify its signature.
func (o *Org) newJWT(g grant) string {
	now := time.Now()
	end := now.Add(jwtLifetime)
	if o.config.SessionLifetime > 0 {
		end = now.Add(min(jwtLifetime, o.config.SessionLifetime))
	}
	audience, operations := []string{o.url, salesforceAPI}, "MCPService,EinsteinGPT" // of which the first one is reported
	if o.config.NoServicesAudience {
		audience = []string{"https://login.salesforce.com"}
	}
	if o.config.NoMCPService {
		operations = "EinsteinGPT"
	}
	token := part(map[string]any{"alg": "RS256", "typ": "JWT", "tnk": "core/SIM1/" + o.id}) + "." + part(map[string]any{
		"iss": o.url, "sub": "uid:" + o.user(g.User)["id"].(string), "aud": audience, "client_id": g.Client, "sfap_op": operations,
		"iat": now.Unix(), "nbf": now.Unix(), "exp": end.Unix(), "jti": random(8), o.config.Facts.Of("jwt-scope-claim"): g.Scope,
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte(random(64)))
	o.state.Sessions[token] = end
	return token
}

// part returns a part of a JWT.
func part(claims map[string]any) string {
	data, _ := json.Marshal(claims) // which cannot fail for these
	return base64.RawURLEncoding.EncodeToString(data)
}

// The refusals of a session by the SOAP APIs.
const (
	illegalSession = "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal Session"
	noAPISession   = "This session is not valid for use with the API"
)

// refuseSession returns why a SOAP API refuses a session, or nil.
func (o *Org) refuseSession(session string, version apiversion.Version) *soapError {
	switch {
	case !o.accepts(session):
		return &soapError{"sf:INVALID_SESSION_ID", illegalSession}
	case o.config.SessionsRefused:
		return &soapError{"sf:INVALID_SESSION_ID", "INVALID_SESSION_ID: " + noAPISession}
	case strings.HasPrefix(session, "eyJ") && version < 68:
		code := "INVALID_SESSION_ID"
		if o.is("jwt-session-refusal", "other") {
			code = "UNKNOWN_EXCEPTION"
		}
		return &soapError{"sf:" + code, code + ": " + noAPISession}
	}
	return nil
}

// openIDPath is where a client learns of the OAuth endpoints, without a login.
const openIDPath = "/.well-known/openid-configuration"

func (o *Org) serveOpenID(w http.ResponseWriter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	answer := map[string]any{
		"issuer": o.url, "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post", "client_secret_basic"},
		"code_challenge_methods_supported":      []string{"S256"},
	}
	for name, endpoint := range endpoints {
		answer[name+"_endpoint"] = o.url + oauthPath + endpoint
	}
	writeOAuth(w, http.StatusOK, answer)
}

// endpoints are the endpoints below oauthPath, by their names in this document.
var endpoints = map[string]string{
	"authorization": "authorize", "token": "token", "revocation": "revoke", "introspection": "introspect", "userinfo": "userinfo",
}
