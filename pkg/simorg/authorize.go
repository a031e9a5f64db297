package simorg

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// code is an authorization code that was not used yet.
type code struct {
	grant
	redirect, challenge string
}

// authorize serves the page on which somebody logs in and lets an app in. This org has no
// passwords: whoever posts the page is the user that it names.
func (o *Org) authorize(w http.ResponseWriter, r *http.Request, form url.Values) {
	q := r.URL.Query()
	app, _, failure := o.client(q.Get("client_id"))
	if packaged, exists := o.config.Keys.elsewhere(o, q.Get("client_id")); failure != nil && exists {
		o.authorizeElsewhere(w, r, packaged)
		return
	}
	if failure != nil {
		writeTokenError(w, failure)
		return
	}
	global := o.globalOf(app)
	redirect := q.Get("redirect_uri")
	to, err := url.Parse(redirect)
	if err != nil || !slices.Contains(strings.Split(global.text("callbackUrl"), "\n"), redirect) {
		writeTokenError(w, wrongRedirect)
		return
	}
	back := func(values url.Values) {
		values.Set("state", q.Get("state"))
		to.RawQuery = values.Encode()
		http.Redirect(w, r, to.String(), http.StatusFound)
	}
	if q.Get("response_type") != "code" {
		back(url.Values{"error": {"unsupported_response_type"}, "error_description": {"response type not supported"}})
		return
	}
	pkce := global.isTrue("isPkceRequired") || o.find(oidcSettings, o.settingsName(oidcSettings)).isTrue("isPkceRequired")
	if pkce && (q.Get("code_challenge") == "" || q.Get("code_challenge_method") != "S256") {
		back(url.Values{"error": {"invalid_request"}, "error_description": {"missing required code challenge"}})
		return
	}
	scope, allowed := o.requestedScope(app, q.Get("scope"))
	if !allowed && o.is("authorize-refusal", "generic") {
		o.errorPage(w, r, genericError)
		return
	}
	if !allowed {
		back(url.Values{"error": {"invalid_scope"}, "error_description": {"the requested scope is not allowed"}})
		return
	}
	if r.Method == http.MethodGet {
		o.loginPage(w, app)
		return
	}
	user := o.userIndex(form.Get("username"))
	if user < 0 {
		http.Error(w, "there is no such user", http.StatusForbidden)
		return
	}
	if slices.Contains(o.config.Blocked, app) {
		back(url.Values{"error": {"OAUTH_APP_BLOCKED"}, "error_description": {"this app is blocked by admin"}}) // assumed wording
		return
	}
	refused := o.admit(app, user, "")
	if refused != nil && o.is("authorize-refusal", "generic") {
		o.errorPage(w, r, genericError)
		return
	}
	if refused != nil {
		back(url.Values{"error": {"OAUTH_APP_ACCESS_DENIED"}, "error_description": {refused.description}})
		return
	}
	id := "aPrx" + random(24)
	o.codes[id] = code{grant{User: user, Client: q.Get("client_id"), Scope: scope}, redirect, q.Get("code_challenge")}
	back(url.Values{"code": {id}})
}

// loginPage is the page on which a user logs in and allows an app.
func (o *Org) loginPage(w http.ResponseWriter, app string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, `<!doctype html><title>Simulated org</title><form method="post"><p>%s asks for access.</p><label>User <input name="username" value="%s"></label> <button>Allow</button></form>`,
		html.EscapeString(app), html.EscapeString(o.config.Username))
}

// The refusals that the platform shows on a page of its own, see errorPage. The descriptions of the first and the
// last are assumed.
var (
	notInstalledHere = &tokenError{"OAUTH_EC_APP_NOT_FOUND", "the external client app is not installed"}
	crossOrg         = &tokenError{"OAUTH_AUTHORIZATION_BLOCKED", "Cross-org OAuth flows are not supported for this external client app"}
	genericError     = &tokenError{"OAUTH_APPROVAL_ERROR_GENERIC", "An unexpected error has occurred during authentication. Please try again."}
)

// authorizeElsewhere answers the authorization of an app that is not on this org but on another one. It is refused
// after the login.
func (o *Org) authorizeElsewhere(w http.ResponseWriter, r *http.Request, packaged bool) {
	switch {
	case r.Method == http.MethodGet:
		o.loginPage(w, "An app")
	case packaged:
		o.errorPage(w, r, notInstalledHere)
	default:
		o.errorPage(w, r, crossOrg)
	}
}

// errorPage redirects to the platform's own error page, whose address holds the reason.
func (o *Org) errorPage(w http.ResponseWriter, r *http.Request, why *tokenError) {
	reason := url.Values{"error": {why.code}, "error_description": {why.description}}
	http.Redirect(w, r, o.url+"/setup/secur/RemoteAccessErrorPage.apexp?"+reason.Encode(), http.StatusFound)
}

// requestedScope returns the scopes of a login: all of the app if none is requested. It reports
// false if one is requested that the app lacks. Full can stand for all but refresh tokens.
func (o *Org) requestedScope(app, requested string) (scope string, allowed bool) {
	has := o.scopes(app)
	full := hasScope(has, "full") && o.is("full-covers-scopes", "yes")
	if strings.TrimSpace(requested) == "" {
		return has, true
	}
	for _, name := range strings.Fields(requested) {
		refreshes := name == "refresh_token" || name == "offline_access"
		if !hasScope(has, name) && (refreshes || !full) {
			return "", false
		}
	}
	return strings.Join(strings.Fields(requested), " "), true
}

func hasScope(scopes, name string) bool { return slices.Contains(strings.Fields(scopes), name) }

// secretClient finds the app that a consumer key belongs to, and checks the secret, which some
// apps need not send.
func (o *Org) secretClient(id, secret string) (app string, failure *tokenError) {
	app, want, failure := o.client(id)
	if failure == nil && secret != want && (secret != "" || !o.globalOf(app).isTrue("isConsumerSecretOptional")) {
		failure = wrongSecret
	}
	return app, failure
}

// byCode checks what an authorization code is exchanged with.
func (o *Org) byCode(id, secret string, form url.Values) (g grant, failure *tokenError) {
	if _, failure := o.secretClient(id, secret); failure != nil {
		return g, failure
	}
	c, known := o.codes[form.Get("code")]
	delete(o.codes, form.Get("code"))
	if !known || c.Client != id {
		return g, &tokenError{"invalid_grant", "invalid authorization code"}
	}
	if c.redirect != form.Get("redirect_uri") {
		return g, wrongRedirect
	}
	sum := sha256.Sum256([]byte(form.Get("code_verifier")))
	if c.challenge != "" && base64.RawURLEncoding.EncodeToString(sum[:]) != c.challenge {
		return g, &tokenError{"invalid_grant", "invalid code verifier"}
	}
	return c.grant, nil
}
