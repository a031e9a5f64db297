package simorg

import (
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
)

// The user permissions that the org checks, by their API names. Salesforce documents who may see tokens, sessions and
// logins, read consumers, and change named credentials. For the others there is the label of the permission only, and
// which calls check it is assumed.
const (
	apiEnabled             = "ApiEnabled"                   // any call of an API; assumed
	modifyMetadata         = "ModifyMetadata"               // any call of the Metadata API; assumed
	customizeApplication   = "CustomizeApplication"         // others' rows of OauthToken; to write settings of the org, assumed
	ecaDeveloper           = "ExternalClientAppDeveloper"   // consumers; to write apps, OAuth settings and global OAuth settings, by its label
	ecaAdmin               = "ExternalClientAppAdmin"       // to write policies, by its label
	ecaViewer              = "ExternalClientAppViewer"      // to read apps, by its label, as the other two
	viewClientSecret       = "ViewClientSecret"             // consumers
	manageNamedCredentials = "ManageNamedCredentials"       // named and external credentials; Customize Application does, too
	manageUsers            = "ManageUsers"                  // others' rows of AuthSession and LoginHistory
	monitorLoginHistory    = "MonitorLoginHistory"          // others' rows of LoginHistory
	managePermissionSets   = "ManageProfilesPermissionsets" // to write permission sets and what they grant; assumed
	assignPermissionSets   = "AssignPermissionSets"         // to assign permission sets; assumed
)

// Permissions returns the user permissions that the org checks, by their API names.
func Permissions() []string {
	return []string{
		apiEnabled, modifyMetadata, customizeApplication, ecaDeveloper, ecaAdmin, ecaViewer, viewClientSecret,
		manageNamedCredentials, manageUsers, monitorLoginHistory, managePermissionSets, assignPermissionSets,
	}
}

// Withdraw takes user permissions from the administrator. It replaces those that Config.Withdrawn or an earlier call
// has taken.
func (o *Org) Withdraw(permissions ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.config.Withdrawn = permissions
}

// may reports whether a session's user has one of some permissions. Users besides the administrator have all, because
// only logins of apps have such sessions.
func (o *Org) may(session string, any ...string) bool {
	if o.state.Grants[session].User != 0 {
		return true
	}
	return slices.ContainsFunc(any, func(permission string) bool { return !slices.Contains(o.config.Withdrawn, permission) })
}

// The refusals of a call that the user may not make. The code of apiDisabled and all texts are assumed.
var (
	apiDisabled = &restError{http.StatusForbidden, "API_DISABLED_FOR_ORG", "API is not enabled for this Organization or Partner"}
	noRight     = &restError{http.StatusForbidden, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on cross-reference id"}
)

// refuseCall refuses a SOAP call whose user may not use the API.
func (o *Org) refuseCall(session string) error {
	switch {
	case !o.may(session, apiEnabled):
		return &soapError{"sf:" + apiDisabled.code, apiDisabled.code + ": " + apiDisabled.message}
	case !o.may(session, modifyMetadata):
		return &soapError{"sf:INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS: use of the Metadata API requires a user with the ModifyAllData or ModifyMetadata permissions"}
	}
	return nil
}

// refuseRead refuses to read or list components of External Client Apps.
func (o *Org) refuseRead(session, typ string) error {
	ofApps := strings.HasPrefix(typ, "ExtlClntApp") || typ == eca.Header
	if ofApps && !o.may(session, ecaViewer, ecaAdmin, ecaDeveloper) {
		return &soapError{"sf:INSUFFICIENT_ACCESS", "INSUFFICIENT_ACCESS: " + noRight.message}
	}
	return nil
}

// refuseWrite refuses to write or delete a component of a type.
func (o *Org) refuseWrite(session, typ string) error {
	needed := []string{customizeApplication}
	switch typ {
	case eca.Header, eca.OAuthSettings, eca.GlobalOAuthSettings:
		needed = []string{ecaDeveloper}
	case eca.PluginPolicies, eca.OAuthPolicies, eca.SAMLPolicies:
		needed = []string{ecaAdmin}
	case connection.NamedCredential, connection.ExternalCredential:
		needed = []string{manageNamedCredentials, customizeApplication}
	case permissionSet:
		needed = []string{managePermissionSets}
	case connectedApp:
		return nil // nobody reports which permission this takes
	}
	if !o.may(session, needed...) {
		return refuse(noRight.code, "%s", noRight.message)
	}
	return nil
}

// refuseREST refuses a REST call of a user who may not make it.
func (o *Org) refuseREST(r *http.Request, session, resource, key string) *restError {
	object, _, _ := strings.Cut(key, "/")
	is := func(name string) bool { return resource == "sobjects" && strings.EqualFold(object, name) }
	switch {
	case !o.may(session, apiEnabled):
		return apiDisabled
	case resource == "named-credentials" && !o.may(session, manageNamedCredentials, customizeApplication),
		(is(accessObject) || is("ObjectPermissions")) && r.Method != http.MethodGet && !o.may(session, managePermissionSets),
		is(assignmentObject) && r.Method != http.MethodGet && !o.may(session, assignPermissionSets),
		(is(sessionObject) || is("User") || is(userLoginObject)) && r.Method != http.MethodGet && !o.may(session, manageUsers),
		resource == "metadata" && !o.may(session, modifyMetadata):
		return noRight
	}
	return nil
}

// shown returns the rows of an object that the administrator sees.
func (o *Org) shown(object string, rows []row) []row {
	var needed []string
	user := "userid"
	switch object {
	case "OauthToken":
		needed = []string{customizeApplication}
	case "LoginHistory":
		needed = []string{manageUsers, monitorLoginHistory}
	case sessionObject:
		needed, user = []string{manageUsers}, "usersid"
	}
	if needed == nil || o.may("", needed...) {
		return rows
	}
	return slices.DeleteFunc(rows, func(r row) bool { return r[user] != o.user(0)["id"] })
}
