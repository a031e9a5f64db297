package selftest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// loginProbes log in with the main app: with client credentials, as whose run-as user the session's user
// serves, and with JWT bearer as that user.
var loginProbes = []probe{
	{[]string{"propagation", "client-credentials-token-row", "token-id", "token-menu-item", "revoke-without-session"}, askClientCredentials},
	{[]string{"profiles-authorise"}, askProfiles},
	{[]string{"policies-grant"}, askPolicyGrant},
	{[]string{"permission-set-write"}, askPermissionSetWrite},
	{[]string{"jwt-unknown-user", "jwt-at-login-host"}, askJWT},
	{[]string{"jwt-token-row", "jwt-login-subtype", "login-type-form"}, askTraces},
	{[]string{"jwt-expired-certificate"}, askExpiredCertificate},
}

// tokenProbes ask when access tokens end.
var tokenProbes = []probe{
	{[]string{"usage-delete-status", "usage-delete-ends-access-tokens"}, askUsageDelete},
	{[]string{"disabling-ends-access-tokens"}, askDisabling},
	{[]string{"jwt-scope-claim", "jwt-session-refusal"}, askJWTClaims},
}

// login logs in with client credentials, once the token endpoint knows the consumer.
func (r *run) login(ctx context.Context) error {
	return r.once("login", func() error {
		if err := r.openSecrets(ctx); err != nil {
			return err
		}
		if err := r.pluginPolicies(ctx, true, true); err != nil {
			return err
		}
		if err := r.oauthPolicies(ctx, "permittedUsersPolicyType", "AllSelfAuthorized"); err != nil {
			return err
		}
		began := time.Now()
		patience := login.Patience{Limit: r.options.Wait, Waiting: func(wait, _ time.Duration, _ error) {
			r.notify(Event{Step: Waiting, Wait: wait})
		}}
		attempts := 0
		err := patience.Wait(ctx, func(ctx context.Context) (err error) {
			attempts++
			r.session, err = login.ClientCredentials(r.conn.InstanceURL, r.credentials).Open(ctx, r.conn.HTTPClient)
			if attempts == 1 && login.IsNotYetKnown(err) {
				r.saw("propagation", "later", "the first login was refused: %s", says(err))
			}
			return err
		})
		if err == nil && attempts == 1 {
			r.unknown("propagation", "the first login worked, %s after the run began; other consumers may take longer",
				time.Since(r.began).Round(100*time.Millisecond))
		}
		if err != nil {
			return fmt.Errorf("no login with client credentials within %s: %w", time.Since(began).Round(time.Second), err)
		}
		return nil
	})
}

// tokenRow is a row of OauthToken.
type tokenRow struct {
	ID            *string `json:"Id"`
	AppMenuItemID *string `json:"AppMenuItemId"`
	DeleteToken   salesforce.Secret
}

// tokenRows returns the rows of the main app, or of all apps if there is no app.
func (r *run) tokenRows(ctx context.Context, app string) ([]tokenRow, error) {
	where := ""
	if app != "" {
		where = " WHERE AppName = " + restapi.Quote(app)
	}
	return restapi.Query[tokenRow](ctx, r.rest, "SELECT Id, AppMenuItemId FROM OauthToken"+where+" LIMIT 50")
}

func askClientCredentials(ctx context.Context, r *run) error {
	if err := r.login(ctx); err != nil {
		return err
	}
	rows, err := r.tokenRows(ctx, r.app(mainApp))
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		r.saw("client-credentials-token-row", "no", "OauthToken has no row of the app after a login")
		return r.askTokenID(ctx)
	}
	r.saw("client-credentials-token-row", "yes", "OauthToken has %d rows of the app after a login", len(rows))
	r.sawTokenID(rows)
	if rows[0].AppMenuItemID != nil {
		r.saw("token-menu-item", "yes", "AppMenuItemId has a value in a row of the app")
	} else {
		r.saw("token-menu-item", "no", "AppMenuItemId is null in a row of the app")
	}
	return r.askRevocation(ctx)
}

// askTokenID looks at tokens of other apps.
func (r *run) askTokenID(ctx context.Context) error {
	rows, err := r.tokenRows(ctx, "")
	if err == nil && len(rows) > 0 {
		r.sawTokenID(rows)
	}
	return err
}

func (r *run) sawTokenID(rows []tokenRow) {
	for _, row := range rows {
		if row.ID != nil && *row.ID != "" {
			r.saw("token-id", "value", "Id has a value in a row of OauthToken")
			return
		}
	}
	r.saw("token-id", "null", "Id is null in %d rows of OauthToken", len(rows))
}

// askRevocation revokes a token of the main app without a session.
func (r *run) askRevocation(ctx context.Context) error {
	rows, err := restapi.Query[tokenRow](ctx, r.rest, "SELECT DeleteToken FROM OauthToken WHERE AppName = "+restapi.Quote(r.app(mainApp)))
	if err != nil || len(rows) == 0 {
		return err
	}
	err = r.rest.Revoke(ctx, rows[0].DeleteToken)
	switch {
	case err == nil:
		r.saw("revoke-without-session", "yes", "revoke accepts a DeleteToken")
		r.session = nil
		delete(r.stages, "login")
	case errors.As(err, new(*salesforce.NetworkError)):
		return err
	default:
		r.saw("revoke-without-session", "no", "%s", err)
	}
	return nil
}

// jwt logs in with JWT bearer, and revokes the token.
func (r *run) jwt(ctx context.Context, baseURL string, key salesforce.Secret, username string) error {
	session, err := login.JWT(baseURL, r.credentials.Key, key, username).Open(ctx, r.conn.HTTPClient)
	if err == nil {
		session.Revoke(ctx) // if that fails, the token ends with its app
	}
	return err
}

// settling is the waiting for the token endpoint to know new policies.
var settling = salesforce.Polling{Limit: 30 * time.Second, First: 3 * time.Second}

// settled logs the session's user in with JWT bearer. A real org may take a moment to know new policies, so a
// refusal counts only if it stays.
func (r *run) settled(ctx context.Context) (last error) {
	polling := settling
	if platform.IsLoopback(r.conn.InstanceURL) {
		polling = salesforce.Polling{} // a simulated org knows them at once
	}
	_, err := r.conn.Retry.Until(ctx, polling, func(ctx context.Context) (bool, error) {
		last = r.jwt(ctx, r.conn.InstanceURL, r.certificate.private, r.user.Username)
		return !errors.As(last, new(*salesforce.TokenRefusal)), nil
	})
	return cmp.Or(err, last)
}

// preAuthorised writes OAuth policies under which only pre-authorised users may log in.
func (r *run) preAuthorised(ctx context.Context, pairs ...string) error {
	return r.oauthPolicies(ctx, append(pairs, "permittedUsersPolicyType", "AdminApprovedPreAuthorized")...)
}

// granted logs the session's user in with JWT bearer and records whether a grant lets the user in. Another
// refusal than the missing grant says nothing about it.
func (r *run) granted(ctx context.Context, id string) error {
	err := r.settled(ctx)
	refused, isRefused := errors.AsType[*salesforce.TokenRefusal](err)
	switch {
	case err == nil:
		r.saw(id, "yes", "a login with JWT bearer works")
	case isRefused && (refused.Code == "invalid_app_access" || login.IsNotYetKnown(err)):
		r.saw(id, "no", "%s", says(err))
	case isRefused:
		r.unknown(id, "refused for another reason: %s", says(err))
	default:
		return err
	}
	return nil
}

func askProfiles(ctx context.Context, r *run) error {
	if err := r.login(ctx); err != nil {
		return err
	}
	type user struct{ Profile struct{ Name string } }
	found, err := restapi.Query[user](ctx, r.rest, "SELECT Profile.Name FROM User WHERE Id = "+restapi.Quote(r.user.UserID))
	if err != nil {
		return err
	}
	if len(found) != 1 || found[0].Profile.Name == "" {
		return errors.New("the org does not show the user's profile")
	}
	if err := r.preAuthorised(ctx, "commaSeparatedProfile", found[0].Profile.Name); err != nil {
		return err
	}
	return r.granted(ctx, "profiles-authorise")
}

// grantSet creates a permission set and assigns it to the session's user.
func (r *run) grantSet(ctx context.Context) (id string, err error) {
	err = r.once("permission set", func() error {
		if err := r.mainHeader(ctx); err != nil {
			return err
		}
		set := metadata.New(permissionSet, r.name, metadata.Stated("label", r.name))
		if err := upsert(ctx, r.meta, set); err != nil {
			return err
		}
		id, err := r.setID(ctx)
		if err != nil {
			return err
		}
		_, err = r.rest.Create(ctx, "PermissionSetAssignment", map[string]any{"AssigneeId": r.user.UserID, "PermissionSetId": id})
		return err
	})
	if err != nil {
		return "", err
	}
	return r.setID(ctx)
}

func (r *run) setID(ctx context.Context) (string, error) {
	type record struct{ ID string }
	found, err := restapi.Query[record](ctx, r.rest, "SELECT Id FROM PermissionSet WHERE Name = "+restapi.Quote(r.name))
	if err == nil && len(found) != 1 {
		err = errors.New("the org does not show the permission set that was created")
	}
	if err != nil {
		return "", err
	}
	return found[0].ID, nil
}

func askPolicyGrant(ctx context.Context, r *run) error {
	if err := r.login(ctx); err != nil {
		return err
	}
	if _, err := r.grantSet(ctx); err != nil {
		return err
	}
	if err := r.preAuthorised(ctx, "commaSeparatedPermissionSet", r.name); err != nil {
		return err
	}
	return r.granted(ctx, "policies-grant")
}

// grant lets the session's user in by a permission set with a SetupEntityAccess record, which is
// the way that is certain.
func (r *run) grant(ctx context.Context) error {
	return r.once("grant", func() error {
		if err := r.login(ctx); err != nil {
			return err
		}
		set, err := r.grantSet(ctx)
		if err != nil {
			return err
		}
		if _, err := r.rest.Create(ctx, "SetupEntityAccess", map[string]any{"ParentId": set, "SetupEntityId": r.header}); err != nil {
			return err
		}
		if err := r.preAuthorised(ctx, "commaSeparatedPermissionSet", r.name); err != nil {
			return err
		}
		if err := r.settled(ctx); err != nil {
			return fmt.Errorf("no login with JWT bearer: %w", err)
		}
		return nil
	})
}

// askPermissionSetWrite writes the permission set again, which has access to the main app.
func askPermissionSetWrite(ctx context.Context, r *run) error {
	if err := r.grant(ctx); err != nil {
		return err
	}
	set, err := r.setID(ctx)
	if err != nil {
		return err
	}
	label := metadata.Stated("label", r.name, "description", "written again")
	if err := upsert(ctx, r.meta, metadata.New(permissionSet, r.name, label)); err != nil {
		return err
	}
	type record struct{ ID string }
	left, err := restapi.Query[record](ctx, r.rest, "SELECT Id FROM SetupEntityAccess WHERE ParentId = "+restapi.Quote(set)+" AND SetupEntityId = "+restapi.Quote(r.header))
	if err != nil {
		return err
	}
	if len(left) > 0 {
		r.saw("permission-set-write", "kept", "the SetupEntityAccess record is still there")
		return nil
	}
	r.saw("permission-set-write", "removed", "the SetupEntityAccess record is gone")
	_, err = r.rest.Create(ctx, "SetupEntityAccess", map[string]any{"ParentId": set, "SetupEntityId": r.header})
	return err
}

func askJWT(ctx context.Context, r *run) error {
	if err := r.grant(ctx); err != nil {
		return err
	}
	err := r.jwt(ctx, r.conn.InstanceURL, r.certificate.private, "nobody@"+random(8)+".example.com")
	refused, isRefused := errors.AsType[*salesforce.TokenRefusal](err)
	switch {
	case err == nil:
		r.unknown("jwt-unknown-user", "the login worked")
	case isRefused:
		r.saw("jwt-unknown-user", strings.ToLower(refused.Description), "%s", says(err))
	default:
		return err
	}
	err = r.jwt(ctx, loginHost(r.conn.InstanceURL, r.org), r.certificate.private, r.user.Username)
	if err != nil && !isRefusal(err) {
		r.unknown("jwt-at-login-host", "%s", says(err))
		return nil
	}
	return r.accepts("jwt-at-login-host", err, "yes", "no")
}

// loginRow is a row of LoginHistory.
type loginRow struct{ Application, LoginType, LoginSubType string }

// historyPolling is the waiting for LoginHistory, which orgs write with a delay.
var historyPolling = salesforce.Polling{Limit: time.Minute, First: 5 * time.Second}

// askTraces asks what a login with JWT bearer leaves.
func askTraces(ctx context.Context, r *run) error {
	if err := r.grant(ctx); err != nil {
		return err
	}
	app := r.app(mainApp)
	before, err := r.tokenRows(ctx, app)
	if err != nil {
		return err
	}
	session, err := login.JWT(r.conn.InstanceURL, r.credentials.Key, r.certificate.private, r.user.Username).Open(ctx, r.conn.HTTPClient)
	if err != nil {
		return err
	}
	defer session.Revoke(ctx) // if that fails, the token ends with its app
	after, err := r.tokenRows(ctx, app)
	if err != nil {
		return err
	}
	answer := "no"
	if len(after) > len(before) {
		answer = "yes"
	}
	r.saw("jwt-token-row", answer, "OauthToken has %d rows of the app before the login and %d after it", len(before), len(after))
	var byJWT loginRow
	_, err = r.conn.Retry.Until(ctx, historyPolling, func(ctx context.Context) (bool, error) {
		rows, err := restapi.Query[loginRow](ctx, r.rest, "SELECT Application, LoginType, LoginSubType FROM LoginHistory WHERE UserId = "+
			restapi.Quote(r.user.UserID)+" ORDER BY LoginTime DESC LIMIT 100")
		for _, row := range rows {
			if row.Application == app && row.LoginSubType != "OauthClientCredentials" {
				byJWT = row
			}
		}
		return byJWT.Application != "", err
	})
	switch {
	case err != nil:
		return err
	case byJWT.Application == "":
		return errors.New("LoginHistory does not show the login yet")
	}
	r.saw("login-type-form", map[string]string{"Remote Access 2.0": "label", "Oauth2": "api-value"}[byJWT.LoginType], "LoginType is %q", byJWT.LoginType)
	if byJWT.LoginSubType == "" {
		r.saw("jwt-login-subtype", "null", "LoginSubType is null")
	} else {
		r.saw("jwt-login-subtype", "value", "LoginSubType is %q", byJWT.LoginSubType)
	}
	return nil
}

// loginHost returns the address of the org's login host. A simulated org answers as its login host under
// the name localhost.
func loginHost(instance string, org Org) string {
	u, err := url.Parse(instance)
	switch {
	case err == nil && platform.IsLoopback(instance):
		u.Host = strings.Replace(u.Host, u.Hostname(), "localhost", 1)
		return u.String()
	case org.Kind == developerEdition:
		return "https://login.salesforce.com"
	}
	return "https://test.salesforce.com"
}

func askExpiredCertificate(ctx context.Context, r *run) error {
	if err := r.grant(ctx); err != nil {
		return err
	}
	expired, err := newCertificate(r.certificate.key, -time.Hour)
	if err != nil {
		return err
	}
	err = upsert(ctx, r.meta, r.globalSettings(expired.pem))
	if isRefusal(err) {
		r.unknown("jwt-expired-certificate", "the org does not store an expired certificate: %s", says(err))
		return nil
	}
	if err != nil {
		return err
	}
	loginErr := r.jwt(ctx, r.conn.InstanceURL, expired.private, r.user.Username)
	if err := upsert(ctx, r.meta, r.globalSettings(r.certificate.pem)); err != nil {
		return err
	}
	return r.accepts("jwt-expired-certificate", loginErr, "accepted", "invalid assertion")
}

func askUsageDelete(ctx context.Context, r *run) error {
	if err := r.login(ctx); err != nil {
		return err
	}
	deleted, err := r.call(ctx, http.MethodDelete, "apps/oauth/usage/"+url.PathEscape(r.header)+"/tokens", nil)
	if err != nil {
		return err
	}
	r.saw("usage-delete-status", fmt.Sprint(deleted.status), "DELETE answers HTTP %d", deleted.status)
	return r.sawToken(ctx, "usage-delete-ends-access-tokens")
}

func askDisabling(ctx context.Context, r *run) error {
	delete(r.stages, "login") // its token may be deleted
	if err := r.login(ctx); err != nil {
		return err
	}
	if err := r.pluginPolicies(ctx, true, false); err != nil {
		return err
	}
	if err := r.sawToken(ctx, "disabling-ends-access-tokens"); err != nil {
		return err
	}
	return r.pluginPolicies(ctx, true, true)
}

// askJWTClaims logs in while the app issues JWT-based access tokens.
func askJWTClaims(ctx context.Context, r *run) error {
	if err := r.login(ctx); err != nil {
		return err
	}
	global := r.globalSettings(r.certificate.pem)
	global.Fields = append(global.Fields, metadata.Field{Name: "isNamedUserJwtEnabled", Text: "true"})
	if err := upsert(ctx, r.meta, global); err != nil {
		return err
	}
	session, err := login.ClientCredentials(r.conn.InstanceURL, r.credentials).Open(ctx, r.conn.HTTPClient)
	if err != nil {
		return err
	}
	defer session.Revoke(ctx) // if that fails, the token ends with its app
	claims, isJWT := session.Claims()
	if !isJWT {
		return errors.New("the app got an opaque access token")
	}
	for _, claim := range platform.Lookup("jwt-scope-claim").Answers {
		if scopes, has := claims[claim]; has {
			r.saw("jwt-scope-claim", claim, "the token has the claim %s with %s", claim, scopes)
		}
	}
	if r.result("jwt-scope-claim") == nil {
		r.unknown("jwt-scope-claim", "the token has the claims %s", strings.Join(slices.Sorted(maps.Keys(claims)), ", "))
	}
	if err := r.sawRefusal(ctx, session); err != nil {
		return err
	}
	return upsert(ctx, r.meta, r.globalSettings(r.certificate.pem))
}

// opaqueVersion is the last API version in which SOAP refuses JWT-based access tokens.
const opaqueVersion apiversion.Version = 67

// sawRefusal records how SOAP refuses a JWT-based access token.
func (r *run) sawRefusal(ctx context.Context, session *login.Session) error {
	conn := session.Conn()
	conn.Version = min(opaqueVersion, r.conn.APIVersion())
	_, err := (&mdapi.Client{Conn: conn}).List(ctx, eca.Header)
	switch refused, _ := errors.AsType[*salesforce.Error](err); {
	case err == nil:
		r.unknown("jwt-session-refusal", "the org accepts the token in API version %s", conn.Version)
	case refused == nil || refused.Code == "":
		return err
	case refused.Code == "INVALID_SESSION_ID":
		r.saw("jwt-session-refusal", refused.Code, "%s", says(err))
	default:
		r.saw("jwt-session-refusal", "other", "%s", says(err))
	}
	return nil
}

// sawToken records whether the access token of the client credentials has ended.
func (r *run) sawToken(ctx context.Context, id string) error {
	_, err := r.session.UserInfo(ctx)
	switch {
	case err == nil:
		r.saw(id, "no", "the access token still works")
	case errors.As(err, new(*salesforce.NetworkError)):
		return err
	default:
		r.saw(id, "yes", "the access token is refused: %s", says(err))
	}
	return nil
}
