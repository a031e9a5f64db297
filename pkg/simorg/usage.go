package simorg

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// usage answers the resources below /apps/oauth/usage: GET of the list of apps with tokens, of
// APP/users and of APP/USER/tokens; DELETE of APP/tokens, APP/USER/tokens and tokens/TOKEN.
func (o *Org) usage(r *http.Request, path, key string) (any, *restError) {
	u := usage{o: o, page: o.pageOf(r), root: strings.TrimSuffix(path, strings.TrimPrefix(key, "oauth/usage")), path: path}
	parts := strings.FieldsFunc(strings.TrimPrefix(key, "oauth/usage"), func(r rune) bool { return r == '/' })
	if len(parts) == 0 && r.Method == http.MethodGet {
		return u.apps(), nil
	}
	if len(parts) == 2 && parts[0] == "tokens" && r.Method == http.MethodDelete {
		return u.revoke(func(token row) bool { return usageID(token) == parts[1] })
	}
	if len(parts) < 2 || len(parts) > 3 {
		return nil, notFoundREST
	}
	if u.header = o.headerOf(parts[0]); u.header == nil {
		return nil, notFoundREST
	}
	switch last := parts[len(parts)-1]; {
	case len(parts) == 2 && last == "users" && r.Method == http.MethodGet:
		return u.users(), nil
	case len(parts) == 2 && last == "tokens" && r.Method == http.MethodDelete:
		u.endSessions(-1)
		return u.revoke(u.of)
	case len(parts) == 3 && last == "tokens":
		user := slices.IndexFunc(o.userRows(), func(r row) bool { return sameID(fmt.Sprint(r["id"]), parts[1]) })
		if user < 0 {
			return nil, notFoundREST
		}
		id := o.user(user)["id"]
		of := func(token row) bool { return u.of(token) && token["userid"] == id }
		if r.Method == http.MethodGet {
			return u.tokens(of), nil
		}
		if r.Method == http.MethodDelete {
			u.endSessions(user)
			return u.revoke(of)
		}
	}
	return nil, notFoundREST
}

// usage is a call for the usage of apps.
type usage struct {
	o          *Org
	page       paging
	root, path string  // of all these resources, and of this one
	header     *record // of the app that the call is about
}

// of reports whether a token is for the app.
func (u usage) of(token row) bool { return token["appname"] == u.header.text("label") }

// all returns the tokens that is holds for.
func (u usage) all(is func(row) bool) (all []row) {
	for _, token := range u.o.state.Filled["OauthToken"] {
		if is(token) {
			all = append(all, token)
		}
	}
	return all
}

func (u usage) apps() any {
	apps := []any{}
	for _, u.header = range u.o.all(eca.Header) {
		if len(u.all(u.of)) > 0 || u.o.is("unused-app-in-usage", "yes") {
			apps = append(apps, map[string]any{
				"accessTokenFormat": u.format(), "availableActions": "disable, enable", "description": u.header.text("description"),
				"developerName": u.header.fullName, "identifier": u.header.id, "isFromPackage": u.o.sources[strings.ToLower(u.header.fullName)] != nil,
				"usageDetailsUrl": u.root + "/" + u.header.id + "/users",
			})
		}
	}
	return u.page.answer("apps", u.path, apps)
}

// format returns the form of the app's access tokens.
func (u usage) format() string {
	if u.o.globalOf(u.header.fullName).isTrue("isNamedUserJwtEnabled") {
		return "JWT"
	}
	return "Opaque"
}

// users lists who has tokens of the app, with the latest and first of each user's.
func (u usage) users() any {
	users := []any{}
	for _, user := range u.o.userRows() {
		tokens := u.all(func(token row) bool { return u.of(token) && token["userid"] == user["id"] })
		if len(tokens) == 0 {
			continue
		}
		count := 0
		first, last := fmt.Sprint(tokens[0]["createddate"]), ""
		for _, token := range tokens {
			first, last = min(first, fmt.Sprint(token["createddate"])), max(last, fmt.Sprint(token["lastuseddate"]))
			n, _ := strconv.Atoi(fmt.Sprint(token["usecount"]))
			count += n
		}
		users = append(users, u.entry(user, first, last, count, fmt.Sprintf("%s/%s/%s/tokens", u.root, u.header.id, user["id"])))
	}
	return u.page.answer("users", u.path, users)
}

// tokens lists the tokens that of holds for.
func (u usage) tokens(of func(row) bool) any {
	tokens := []any{}
	for _, token := range u.all(of) {
		user := by(u.o.userRows(), token["userid"])
		n, _ := strconv.Atoi(fmt.Sprint(token["usecount"]))
		tokens = append(tokens, u.entry(user, token["createddate"], token["lastuseddate"], n, u.root+"/tokens/"+usageID(token)))
	}
	return u.page.answer("tokens", u.path, tokens)
}

func (u usage) entry(user row, first, last any, count int, revoke string) any {
	return map[string]any{
		"accessTokenFormat": u.format(), "appDeveloperName": u.header.fullName, "appIdentifier": u.header.id,
		"initialConnectionAt": first, "lastUsedAt": last, "revocationUrl": revoke, "useCount": count,
		"userIdentifier": user["id"], "username": user["username"],
	}
}

// usageID returns the ID of a token in these resources, which is no secret. Its form is assumed.
func usageID(token row) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(token["deletetoken"], token["appname"], token["userid"], token["createddate"])))
	return "0CQ" + hex.EncodeToString(sum[:6]) + "AAA"
}

// revoke deletes the refresh tokens that is holds for.
func (u usage) revoke(is func(row) bool) (any, *restError) {
	for _, token := range u.all(is) {
		if family, ok := token["deletetoken"].(string); ok {
			u.o.endFamily(family, u.o.is("usage-delete-ends-access-tokens", "yes"))
		}
	}
	u.o.forget(is)
	if u.o.is("usage-delete-status", "200") {
		return struct{}{}, nil
	}
	return noContent, nil
}

// endSessions ends the access tokens of the app that were given to a user, or to all for -1, if
// the platform does so.
func (u usage) endSessions(user int) {
	if u.o.is("usage-delete-ends-access-tokens", "yes") {
		u.o.endSessions(u.header.fullName, user)
	}
}

// endSessions ends the access tokens of an app, of one user or, for -1, of all.
func (o *Org) endSessions(app string, user int) {
	var keys []string
	for _, pair := range o.pairs(app) {
		keys = append(keys, pair.Key)
	}
	maps.DeleteFunc(o.state.Grants, func(token string, g grant) bool {
		ends := slices.Contains(keys, g.Client) && (user < 0 || g.User == user)
		if ends {
			delete(o.state.Sessions, token)
		}
		return ends
	})
}

// paging is the page of a list that a call asks for.
type paging struct{ page, size int }

// pageOf reads the paging of a request. Pages count from 0.
func (o *Org) pageOf(r *http.Request) paging {
	q := r.URL.Query()
	number := func(name string, otherwise int) int {
		if n, err := strconv.Atoi(q.Get(name)); err == nil && n >= 0 && n < 1<<20 {
			return n
		}
		return otherwise
	}
	size, _ := strconv.Atoi(o.config.Facts.Of("usage-page-size"))
	return paging{number("page", 0), max(1, number("pageSize", size))}
}

// answer returns a page of a list. There is a next one also behind the last, which is empty.
func (p paging) answer(name, path string, all []any) map[string]any {
	from := min(p.page*p.size, len(all))
	url := func(page int) string { return fmt.Sprintf("%s?page=%d&pageSize=%d", path, page, p.size) }
	return map[string]any{name: all[from:min(from+p.size, len(all))], "currentPageUrl": url(p.page), "nextPageUrl": url(p.page + 1)}
}
