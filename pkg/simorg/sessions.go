package simorg

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// sessionObject has a record for each open session.
const sessionObject = "AuthSession"

// sessionRows returns the sessions of apps. Access tokens without an app are the administrator's own
// login, of which there is one record.
func (o *Org) sessionRows() (rows []row) {
	for _, token := range slices.Sorted(maps.Keys(o.state.Sessions)) {
		g, ofApp := o.state.Grants[token]
		if !ofApp || !o.accepts(token) {
			continue
		}
		app, _, unknown := o.client(g.Client)
		if unknown != nil {
			continue
		}
		label := app
		if header := o.find(eca.Header, app); header != nil {
			label = header.text("label")
		}
		rows = append(rows, row{
			"id": sessionID(token), "usersid": o.user(g.User)["id"], "users": o.user(g.User), "logintype": o.loginType(), "parentid": nil, "iscurrent": token == o.state.Token,
			"loginhistory": row{"application": label}, "sourceip": "127.0.0.1",
		})
	}
	return rows
}

// loginType returns LoginType of logins with OAuth 2.
func (o *Org) loginType() string {
	if o.is("login-type-form", "api-value") {
		return "Oauth2"
	}
	return "Remote Access 2.0"
}

// sessionID returns the ID of a session's record. Its prefix is assumed.
func sessionID(token string) string {
	sum := sha256.Sum256([]byte(token))
	return "0Ak" + hex.EncodeToString(sum[:6]) + "AAA"
}

// endSessionRecord ends a session by its record, and maybe the sessions that were opened from it.
func (o *Org) endSessionRecord(id string) (any, *restError) {
	if o.is("parent-session-ends-children", "yes") {
		o.state.Filled[sessionObject] = slices.DeleteFunc(o.state.Filled[sessionObject], func(r row) bool {
			parent, _ := r["parentid"].(string)
			return sameID(parent, id)
		})
	}
	for token := range o.state.Sessions {
		if sameID(sessionID(token), id) {
			delete(o.state.Sessions, token)
			delete(o.state.Grants, token)
			return noContent, nil
		}
	}
	before := len(o.state.Filled[sessionObject])
	o.state.Filled[sessionObject] = slices.DeleteFunc(o.state.Filled[sessionObject], func(r row) bool {
		known, _ := r["id"].(string)
		return strings.EqualFold(known, id)
	})
	if len(o.state.Filled[sessionObject]) < before {
		return noContent, nil
	}
	return nil, &restError{http.StatusNotFound, o.config.Facts.Of("ended-session-delete"), "The requested resource does not exist"}
}
