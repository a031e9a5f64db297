package simorg

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// usage answers the resources below /apps/oauth/usage: the list of apps with tokens, and DELETE of
// APP/tokens and APP/USER/tokens.
func (o *Org) usage(method, path, key string) (any, *restError) {
	key = strings.Trim(strings.TrimPrefix(key, "oauth/usage"), "/")
	if method == http.MethodGet && key == "" {
		apps := []any{}
		for _, header := range o.all(eca.Header) {
			used := slices.ContainsFunc(o.state.Filled["OauthToken"], func(r row) bool { return r["appname"] == header.text("label") })
			if used || o.is("unused-app-in-usage", "yes") {
				apps = append(apps, map[string]any{
					"accessTokenFormat": "Opaque", "availableActions": "disable, enable", "developerName": header.fullName,
					"identifier": header.id, "isFromPackage": false, "usageDetailsUrl": path + "/" + header.id + "/users",
				})
			}
		}
		return map[string]any{"apps": apps, "currentPageUrl": path, "nextPageUrl": nil}, nil
	}
	parts := strings.Split(key, "/")
	header := o.headerOf(parts[0])
	if method != http.MethodDelete || header == nil || len(parts) > 3 || parts[len(parts)-1] != "tokens" {
		return nil, notFoundREST
	}
	user := -1 // all users
	if len(parts) == 3 {
		user = slices.IndexFunc(o.userRows(), func(r row) bool { return r["id"] == parts[1] })
		if user < 0 {
			return nil, notFoundREST
		}
	}
	o.forget(func(r row) bool {
		deleted := r["appname"] == header.text("label") && (user < 0 || r["userid"] == parts[1])
		if token, ok := r["deletetoken"].(string); ok && deleted {
			delete(o.refresh, token)
		}
		return deleted
	})
	if o.is("usage-delete-ends-access-tokens", "yes") {
		o.endSessions(header.fullName, user)
	}
	if o.is("usage-delete-status", "200") {
		return struct{}{}, nil
	}
	return noContent, nil
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
