package simorg

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
)

const tokenPath = "/services/oauth2/token"

// tokenError is an error as the token endpoint answers it.
type tokenError struct{ code, description string }

func (o *Org) serveToken(w http.ResponseWriter, r *http.Request, body []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	form, err := url.ParseQuery(string(body))
	if err != nil || r.Method != http.MethodPost {
		writeTokenError(w, &tokenError{"invalid_request", "must use HTTP POST"})
		return
	}
	var failure *tokenError
	switch grant := form.Get("grant_type"); grant {
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		failure = o.checkJWT(form.Get("assertion"))
	case "client_credentials":
		id, secret, ok := r.BasicAuth()
		if !ok {
			id, secret = form.Get("client_id"), form.Get("client_secret")
		}
		failure = o.checkClientCredentials(id, secret)
	default:
		failure = &tokenError{"unsupported_grant_type", "grant type not supported"}
	}
	if failure != nil {
		writeTokenError(w, failure)
		return
	}
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	json.NewEncoder(w).Encode(map[string]string{
		"access_token": o.newSession(), "instance_url": o.url, "token_type": "Bearer", "scope": "api",
		"id": o.url + "/id/" + o.id + "/" + o.user(0)["id"].(string),
	})
}

func writeTokenError(w http.ResponseWriter, e *tokenError) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(http.StatusBadRequest)
	json.NewEncoder(w).Encode(map[string]string{"error": e.code, "error_description": e.description})
}

// checkJWT checks the assertion of the JWT bearer flow.
func (o *Org) checkJWT(assertion string) *tokenError {
	invalid := &tokenError{"invalid_grant", "invalid assertion"}
	parts := strings.Split(assertion, ".")
	if len(parts) != 3 {
		return invalid
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
		return invalid
	}
	key := o.config.JWTClients[claims.Issuer]
	if key == nil {
		return &tokenError{"invalid_client_id", "client identifier invalid"}
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature) != nil {
		return invalid
	}
	login := "https://login.salesforce.com"
	if o.config.Kind != Production {
		login = "https://test.salesforce.com"
	}
	if !slices.Contains([]string{o.url, login}, strings.TrimSuffix(claims.Audience, "/")) {
		return &tokenError{"invalid_grant", "audience is invalid"}
	}
	if time.Now().After(time.Unix(claims.Expires, 0)) {
		return &tokenError{"invalid_grant", "expired assertion"} // assumed wording
	}
	// This org has sessions of its administrator only.
	if claims.Subject != o.config.Username {
		return &tokenError{"invalid_grant", "user hasn't approved this consumer"}
	}
	return nil
}

// checkClientCredentials checks what the client credentials flow needs: the
// consumer's key and secret, the flow on in the global settings and in the OAuth
// policies, and a run-as user there.
func (o *Org) checkClientCredentials(id, secret string) *tokenError {
	for _, global := range o.all(eca.GlobalOAuthSettings) {
		if global.text("consumerKey") != id {
			continue
		}
		if global.secret != secret {
			return &tokenError{"invalid_client", "invalid client credentials"}
		}
		policies := o.of(eca.OAuthPolicies, global.app())
		if !global.isTrue("isClientCredentialsFlowEnabled") || policies == nil || !policies.isTrue("isClientCredentialsFlowEnabled") {
			return &tokenError{"invalid_grant", "request not supported on this domain"} // assumed wording
		}
		if policies.text("clientCredentialsFlowUser") == "" {
			return &tokenError{"invalid_grant", "no client credentials user enabled"}
		}
		return nil
	}
	return &tokenError{"invalid_client_id", "client identifier invalid"}
}
