package simorg

import (
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/simorg/internal/soql"
)

// refreshToken is a refresh token of an approval. With rotation, each is good for one use.
type refreshToken struct {
	grant
	Spent bool `json:"spent,omitempty"` // it was used, and another one given for it
}

func newRefreshToken() string { return "5Aep" + random(40) }

// rotateRefreshToken returns the refresh token that replaces another, "" if the app keeps its own.
func (o *Org) rotateRefreshToken(token string) (next string) {
	refresh := o.state.Refresh[token]
	app, _, _ := o.client(refresh.Client)
	if !o.globalOf(app).isTrue("isRefreshTokenRotationEnabled") {
		return ""
	}
	refresh.Spent = true
	next = newRefreshToken()
	o.state.Refresh[next] = &refreshToken{grant: refresh.grant}
	return next
}

// endFamily ends all refresh tokens of an approval, with its record, and maybe its access tokens. It
// reports whether there was anything to end.
func (o *Org) endFamily(family string, accessTokens bool) (ended bool) {
	if family == "" {
		return false
	}
	for token, refresh := range o.state.Refresh {
		if refresh.Family == family {
			delete(o.state.Refresh, token)
			ended = true
		}
	}
	for token, g := range o.state.Grants {
		if accessTokens && g.Family == family {
			o.endSession(token)
		}
	}
	return o.forget(func(r row) bool { return r["deletetoken"] == family }) || ended
}

func (o *Org) endSession(token string) {
	delete(o.state.Sessions, token)
	delete(o.state.Grants, token)
}

// countUse notes the use of an approval.
func (o *Org) countUse(family string) {
	for _, r := range o.state.Filled["OauthToken"] {
		if n, ok := number(r["usecount"]); ok && r["deletetoken"] == family {
			r["usecount"], r["lastuseddate"] = n+1, time.Now().UTC().Format(soql.TimeLayout)
		}
	}
}

// number returns a whole number of a record, which is a float64 in records that were read as JSON.
func number(v any) (int, bool) {
	switch n := v.(type) {
	case int:
		return n, true
	case float64:
		return int(n), true
	}
	return 0, false
}

// revoke answers the revoke endpoint, which takes access tokens, refresh tokens and DeleteTokens. The
// last two end all tokens of the approval.
func (o *Org) revoke(w http.ResponseWriter, r *http.Request, form url.Values) {
	token := cmp.Or(form.Get("token"), r.URL.Query().Get("token"))
	refresh := o.state.Refresh[token]
	session, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case refresh == nil && !o.accepts(session) && !o.accepts(token) && o.is("revoke-without-session", "no"):
		writeOAuth(w, http.StatusUnauthorized, map[string]string{"error": "invalid_session"}) // assumed
	case refresh != nil:
		o.endFamily(refresh.Family, true)
	case o.endFamily(token, true): // a DeleteToken
		o.endSession(token) // which is the access token itself if there is no other
	case o.accepts(token):
		o.endSession(token)
	default:
		writeTokenError(w, &tokenError{"unsupported_token_type", "invalid token: " + token})
	}
}

// byRefreshToken checks what a refresh token is used with.
func (o *Org) byRefreshToken(id, secret, token string) (g grant, failure *tokenError) {
	app, failure := o.secretClient(id, secret)
	if failure != nil {
		return g, failure
	}
	refresh := o.state.Refresh[token]
	if refresh == nil || refresh.Client != id || refresh.Spent {
		if refresh != nil && refresh.Spent { // somebody else has it, or had it
			o.endFamily(refresh.Family, true)
		}
		return g, &tokenError{"invalid_grant", "expired access/refresh token"}
	}
	o.countUse(refresh.Family)
	return refresh.grant, o.admit(app, refresh.User, "freezing-stops-refresh")
}
