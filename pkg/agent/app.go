package agent

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// App is what an org shows of the app of an AI client.
type App struct {
	Name                               string
	Settings, Global, Policies, Plugin *metadata.Component // nil if there are none
	Created                            time.Time           // when the consumer was created, zero if the org does not show it
	Scopes                             []string            // names of the metadata, like MCP
}

// readApp reads an app with its components. It takes at most three rounds of requests. The error is an
// *apps.NotFoundError or an *apps.NoOAuthError if the org has no such app or no consumer of it.
func readApp(ctx context.Context, conn *salesforce.Conn, name string) (*App, error) {
	types := []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.OAuthPolicies, eca.PluginPolicies}
	var found *apps.App
	var created map[string]time.Time
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { found, err = apps.Find(groupCtx, conn, types, name); return err })
	group.Go(func() (err error) { created, err = consumersCreated(groupCtx, conn); return err })
	if err := group.Wait(); err != nil {
		return nil, err
	}
	a := &App{Name: found.Name, Settings: found.Component(types[0]), Global: found.Component(types[1]), Policies: found.Component(types[2]), Plugin: found.Component(types[3])}
	for id, at := range created {
		if restapi.SameID(id, found.ID) {
			a.Created = at
		}
	}
	if a.Global == nil || a.Global.Text("consumerKey") == "" {
		return a, &apps.NoOAuthError{App: a.Name, Lack: "OAuth consumer"}
	}
	if a.Settings != nil {
		a.Scopes = metadata.Items(a.Settings.Text("commaSeparatedOauthScopes"))
	}
	return a, nil
}

// consumersCreated returns when consumers were created, by the ID of the app, as far as the org shows it.
func consumersCreated(ctx context.Context, conn *salesforce.Conn) (map[string]time.Time, error) {
	type settings struct {
		ExternalClientApplicationID string `json:"ExternalClientApplicationId"`
		CreatedDate                 string
	}
	found, _, err := restapi.QueryColumns[settings](ctx, &restapi.Client{Conn: conn}, []string{"ExternalClientApplicationId", "CreatedDate"}, "ExtlClntAppOauthSettings")
	if err != nil && !restapi.Refused(err) {
		return nil, err
	}
	created := make(map[string]time.Time)
	for _, one := range found {
		created[one.ExternalClientApplicationID] = restapi.ParseTime(one.CreatedDate)
	}
	return created, nil
}

func (a *App) global(field string) bool { return eca.Bool(a.Global, field) }

func (a *App) policy(field string) bool { return a.Policies != nil && eca.Bool(a.Policies, field) }

func (a *App) has(scope string) bool { return slices.Contains(a.Scopes, scope) }

// young reports whether the consumer may not be known everywhere yet, see login.MaxPropagation.
func (a *App) young() bool {
	return !a.Created.IsZero() && time.Since(a.Created) < login.MaxPropagation
}

// callbacks returns the callback URLs.
func (a *App) callbacks() []string { return strings.Fields(a.Global.Text("callbackUrl")) }

// check adds what is common to all AI clients: is the app on, and are its access tokens JWTs?
func (a *App) check(r *Report) {
	if a.Plugin != nil && !(eca.Bool(a.Plugin, "isEnabled") && eca.Bool(a.Plugin, "isOauthPluginEnabled")) {
		r.found(Failed, AppStage, Cause(refusal.AppOff), "the app or its OAuth is switched off")
	}
	if !a.global("isNamedUserJwtEnabled") {
		r.found(Failed, AppStage, OpaqueTokens, "isNamedUserJwtEnabled is false")
	}
	if a.Policies != nil && a.Policies.Text("ipRelaxationPolicyType") == "Enforce" {
		r.found(Warning, AppStage, EnforcedIP, "the policies enforce the IP ranges of the org")
	}
	if a.young() {
		r.found(Warning, AppStage, YoungConsumer, "the consumer was created at %s", a.Created.UTC().Format("15:04 UTC"))
	}
}

// checkMCP adds what the app lacks for clients of MCP servers.
func (a *App) checkMCP(r *Report) {
	before := len(r.Steps)
	if !a.has("MCP") {
		r.found(Failed, AppStage, NoMCPScope, "the scopes are %s", cmp.Or(strings.Join(a.Scopes, ", "), "not shown"))
	}
	a.check(r)
	if len(a.callbacks()) == 0 {
		r.found(Failed, AppStage, NoCallback, "the app has no callback URL")
	}
	if !a.has("RefreshToken") && !a.has("OfflineAccess") {
		r.found(Warning, AppStage, NoRefreshScope, "the scopes are %s", strings.Join(a.Scopes, ", "))
	}
	if a.has("SFApiPlatform") || a.has("EinsteinGPT") {
		r.found(Warning, AppStage, BetaScopes, "the scopes are %s", strings.Join(a.Scopes, ", "))
	}
	if !a.global("isPkceRequired") {
		r.found(Warning, AppStage, NoPKCE, "isPkceRequired is false")
	}
	if !a.global("isConsumerSecretOptional") || a.global("isSecretRequiredForRefreshToken") {
		r.found(Warning, AppStage, SecretRequired, "clients must send the consumer secret")
	}
	if len(r.Steps) == before {
		r.ok(AppStage, "scopes %s, JWT-based access tokens, PKCE", strings.Join(a.Scopes, " and "))
	}
}

// agentScopes are the scopes that the Agent API needs.
var agentScopes = []string{"Api", "Chatbot", "SFApiPlatform"}

// checkAPI adds what the app lacks for the Agent API.
func (a *App) checkAPI(r *Report) {
	before := len(r.Steps)
	for _, scope := range agentScopes {
		if !a.has(scope) {
			r.found(Failed, AppStage, NoAgentScope, "the scopes are %s", cmp.Or(strings.Join(a.Scopes, ", "), "not shown"))
			break
		}
	}
	a.check(r)
	const flow = "isClientCredentialsFlowEnabled"
	switch {
	case !a.global(flow):
		r.found(Failed, AppStage, Cause(refusal.FlowOff), "the client credentials flow is off in the global OAuth settings")
	case a.Policies == nil:
		r.found(Failed, AppStage, Cause(refusal.NoPolicies), "the app has no OAuth policies")
	case !a.policy(flow):
		r.found(Failed, AppStage, Cause(refusal.PoliciesFlowOff), "the client credentials flow is off in the OAuth policies")
	case strings.TrimSpace(a.Policies.Text("clientCredentialsFlowUser")) == "":
		r.found(Failed, AppStage, Cause(refusal.NoRunAsUser), "the OAuth policies name no user to run as")
	}
	if len(r.Steps) == before {
		r.ok(AppStage, "scopes %s, JWT-based access tokens, client credentials as %s", strings.Join(a.Scopes, ", "), a.Policies.Text("clientCredentialsFlowUser"))
	}
}

// accessControl reports whether API Access Control is on. known is false if the org does not show it, as most
// orgs do not have it.
func accessControl(ctx context.Context, conn *salesforce.Conn) (on, known bool, err error) {
	found, err := (&mdapi.Client{Conn: conn}).Read(ctx, "ConnectedAppSettings", "ConnectedApp")
	if answer, refused := errors.AsType[*salesforce.Error](err); refused && !answer.SessionExpired() && !salesforce.IsTransient(err) {
		return false, false, nil
	}
	if err != nil || len(found) == 0 {
		return false, false, err
	}
	value := found[0].Text("enableAdminApprovedAppsOnly")
	return value == "true", value != "", nil
}

// mayUseAnyClient reports whether a user has the permission Use Any API Client. A column that the org lacks, or
// a refused query, counts as no.
func mayUseAnyClient(ctx context.Context, conn *salesforce.Conn, userID string) (bool, error) {
	type assignment struct{ ID string }
	const soql = "SELECT Id FROM PermissionSetAssignment WHERE PermissionSet.PermissionsUseAnyApiClient = true AND AssigneeId = "
	found, err := restapi.Query[assignment](ctx, &restapi.Client{Conn: conn}, soql+restapi.Quote(userID)+" LIMIT 1")
	if restapi.Refused(err) {
		return false, nil
	}
	return len(found) > 0, err
}
