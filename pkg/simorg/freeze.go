package simorg

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// userLoginObject has a record for each user, with whether the user is frozen.
const userLoginObject = "UserLogin"

func (o *Org) userLoginRows() (rows []row) {
	for i, user := range o.config.Users {
		rows = append(rows, row{"id": fmt.Sprintf("0Yw%012dAAA", i+1), "userid": o.user(i)["id"], "isfrozen": user.Frozen})
	}
	return rows
}

// freeze freezes a user by the record of UserLogin, or unfreezes the user.
func (o *Org) freeze(id string, caller int, body []byte) (any, *restError) {
	fields, failure := decodeBody[struct{ IsFrozen bool }](body)
	user := slices.IndexFunc(o.userLoginRows(), func(r row) bool { return sameID(fmt.Sprint(r["id"]), id) })
	switch {
	case failure != nil:
		return nil, failure
	case user < 0:
		return nil, notFoundREST
	case user == caller && fields.IsFrozen:
		return nil, &restError{http.StatusBadRequest, "CANNOT_FREEZE_SELF", "You cannot freeze yourself"} // assumed wording
	}
	o.config.Users[user].Frozen = fields.IsFrozen
	if fields.IsFrozen && o.is("freezing-ends-access-tokens", "yes") {
		for token, g := range o.state.Grants {
			if g.User == user {
				o.endSession(token)
			}
		}
	}
	return noContent, nil
}

// setActive activates or deactivates a user. The run-as user of an app may have to stay.
func (o *Org) setActive(id string, body []byte) (any, *restError) {
	fields, failure := decodeBody[struct{ IsActive bool }](body)
	user := slices.IndexFunc(o.userRows(), func(r row) bool { return sameID(fmt.Sprint(r["id"]), id) })
	switch {
	case failure != nil:
		return nil, failure
	case user < 0:
		return nil, notFoundREST
	case !fields.IsActive && o.isRunAsUser(user) && o.is("run-as-user-deactivation", "refused"):
		return nil, &restError{http.StatusBadRequest, "FIELD_INTEGRITY_EXCEPTION", "This user runs an external client app and can't be deactivated."} // assumed
	}
	o.config.Users[user].Inactive = !fields.IsActive
	return noContent, nil
}

// isRunAsUser reports whether policies name a user as the one that client credentials log in as.
func (o *Org) isRunAsUser(user int) bool {
	return slices.ContainsFunc(o.all(eca.OAuthPolicies), func(policies *record) bool {
		return strings.EqualFold(policies.text("clientCredentialsFlowUser"), o.config.Users[user].Username)
	})
}

// Rename changes a username, as a sandbox refresh does. That OAuth policies keep the old one is assumed.
func (o *Org) Rename(username, to string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.config.Users {
		if user := &o.config.Users[i]; strings.EqualFold(user.Username, username) {
			user.Username = to
		}
	}
}

// Deactivate deactivates a user of the org, as an administrator does in Setup.
func (o *Org) Deactivate(username string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i := range o.config.Users {
		if user := &o.config.Users[i]; strings.EqualFold(user.Username, username) {
			user.Inactive = true
		}
	}
}

// refusesFrozen reports whether a user is frozen and may not log in. fact is the one that decides for the
// flow, "" for flows that are certain.
func (o *Org) refusesFrozen(user int, fact string) bool {
	return o.config.Users[user].Frozen && (fact == "" || o.is(fact, "yes"))
}

// endRefreshTokens ends the refresh tokens of an app.
func (o *Org) endRefreshTokens(app string) {
	key := o.globalOf(app).text("consumerKey")
	for token, refresh := range o.state.Refresh {
		if refresh.Client == key {
			delete(o.state.Refresh, token)
		}
	}
}

// disabled applies what switching an app off does to its tokens.
func (o *Org) disabled(plugins *record) {
	if o.isOn(plugins.app()) {
		return
	}
	if o.is("disabling-ends-access-tokens", "yes") {
		o.endSessions(plugins.app(), -1)
	}
	if o.is("enabling-revives-refresh-tokens", "no") {
		o.endRefreshTokens(plugins.app())
	}
}
