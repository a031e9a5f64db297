// Package advice chooses the hints of eca: what to do about an error, by its type, and about a
// finding, by its rule. It is the one place that names commands and flags for what a package reports.
package advice

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/packaged"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/repair"
	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/selftest"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// Error returns a hint for an error, "" if there is none or the error says it itself.
func Error(err error) string {
	for _, hint := range []func(error) string{respondHint, sessionHint, appHint, consumerHint, sourceHint, selftestHint, answerHint, refusalHint} {
		if text := hint(err); text != "" {
			return text
		}
	}
	return ""
}

// respondHint returns a hint for an app whose access cannot be shown or ended.
func respondHint(err error) string {
	remain, _ := errors.AsType[*respond.RemainError](err)
	switch {
	case errors.As(err, new(*respond.ConnectedAppError)):
		return "block it in Setup (Connected Apps OAuth Usage), then revoke its tokens with eca revoke"
	case errors.As(err, new(*respond.OwnTokensError)):
		return "use a user with the permission Customize Application"
	case errors.As(err, new(*respond.AmbiguousError)):
		return "give the API name of an External Client App, or revoke the tokens in Setup (Connected Apps OAuth Usage)"
	case remain != nil:
		return "cut the app off first, so that nobody logs in again, and run the command again"
	}
	return ""
}

// sessionHint returns a hint for an org without a usable session.
func sessionHint(err error) string {
	if _, text := Session(err); text != "" {
		return text
	}
	failed, _ := errors.AsType[*orgauth.Error](err)
	switch {
	case failed == nil:
		return ""
	case failed.Login == "" && failed.Reason == orgauth.ErrExpired:
		return "give a fresh SF_ACCESS_TOKEN"
	case failed.Login == "":
		return ""
	case failed.Similar != "":
		return fmt.Sprintf("Did you mean %q?", failed.Similar)
	}
	when := "again"
	if failed.Reason == orgauth.ErrUnknownOrg {
		when = "first"
	}
	return "log in " + when + ", for example with: sf org login web --alias " + aliasOf(failed.Login)
}

// appHint returns a hint for an app that is missing, incomplete or broken.
func appHint(err error) string {
	missing, _ := errors.AsType[*apps.NotFoundError](err)
	broken, _ := errors.AsType[*repair.NotRepairableError](err)
	unfinished, _ := errors.AsType[*repair.UnfinishedError](err)
	headless, _ := errors.AsType[*bootstrap.NoHeaderError](err)
	switch {
	case errors.As(err, new(*bootstrap.HiddenCertificateError)):
		return `state "certificate" in globalOauthSettings of plugins.eca: the file of the certificate, or "none" if the app has none`
	case errors.As(err, new(*bootstrap.OwnAppError)):
		return "use another login to switch the app off"
	case headless != nil:
		return deployHeader(headless.App)
	case broken != nil && broken.Problem.Kind == repair.NoConsumer, errors.As(err, new(*apps.NoOAuthError)):
		return "eca bootstrap creates it"
	case missing != nil && missing.Suggestion() == "": // else the error itself suggests an app
		return "correct --app, or deploy the app's header to this org first"
	case unfinished != nil:
		return fmt.Sprintf("run the command again in the project of %s, or save the printed JSON document and run eca repair --restore FILE, which completes the repair", unfinished.App)
	case errors.As(err, new(*packaged.NoSourceError)):
		return "name the Dev Hub with -o"
	case errors.As(err, new(*cutover.NotFoundError)):
		return "eca audit lists the Connected Apps of the org"
	case errors.Is(err, cutover.ErrNoReplacement):
		return "eca migrate --write, then eca bootstrap"
	}
	return ""
}

// consumerHint returns a hint for an error about a consumer, its credentials or where they are stored.
func consumerHint(err error) string {
	locked, _ := errors.AsType[*consumer.AccessError](err)
	switch {
	case locked != nil && locked.Setting:
		return `switch on "Allow access to External Client App consumer secrets via REST API" in Setup (External Client App Settings), or add --enable-access to do so during the command`
	case locked != nil:
		return "give the user the permissions External Client App Developer and View Client Secret (ExternalClientAppDeveloper, ViewClientSecret)"
	case errors.As(err, new(*connection.ConflictError)):
		return "choose another name, or replace it with --replace"
	case errors.As(err, new(*consumer.PackagedError)):
		return "ask that org for them with -o, or verify with --from"
	case errors.As(err, new(*consumer.NotLocalError)):
		return "change its consumer key and secret in Setup of the org where the package was made (External Client App Manager, the app, Settings, OAuth Settings)"
	case errors.As(err, new(*consumer.NoSecretError)):
		return "the reading of secrets was switched on only just now: try again in a minute"
	case errors.As(err, new(*consumer.SeveralError)):
		return "choose one with --consumer KEY, or all with --consumer all"
	case errors.As(err, new(*consumer.OwnSessionError)):
		return "log in to the org in another way, for example with sf org login web"
	case errors.As(err, new(*consumer.HandOverError)):
		return "run the command again, which exports the staged credentials and continues, or discard them with eca rotate abort"
	case errors.As(err, new(*consumer.SwapError)):
		return "run the command again, which completes the rotation"
	}
	return ""
}

// sourceHint returns a hint for an error about the source of a project.
func sourceHint(err error) string {
	policies, _ := errors.AsType[*wanted.PoliciesError](err)
	alias, _ := errors.AsType[*sfp.AliasError](err)
	environment, _ := errors.AsType[*project.EnvironmentError](err)
	switch {
	case errors.As(err, new(*wanted.ArtifactError)):
		return "replace the artifact or remove it, or give the directory with the policies with --policies"
	case errors.As(err, new(*scaffold.DiffersError)):
		return "eca plan -o ORG shows the differences: change the files, or deploy the project's state with eca bootstrap -o ORG"
	case errors.Is(err, scaffold.ErrMetadataFormat):
		return "convert the project with sf project convert mdapi, and run the command in the new project"
	case errors.As(err, new(*scaffold.UserError)):
		return "edit the file"
	case errors.Is(err, scaffold.ErrJWTConnection), errors.Is(err, scaffold.ErrPlainConnection):
		return "eca connect"
	case errors.As(err, new(*metadata.VersionError)) && policies == nil:
		return "choose a later --api-version that the org has, or remove the element"
	case errors.As(err, new(*sfp.ReplacementError)):
		return "set it as for sf project deploy start, or correct replacements of " + sfp.ProjectFile
	case errors.As(err, new(*wanted.NoAppsError)):
		return "name the package that has the app's header, *.eca-meta.xml in externalClientApps"
	case policies != nil && policies.Problem == nil:
		return "give the right directory with --policies"
	case policies != nil && policies.Problem.Kind == metadata.NewerField:
		return "or choose a later --api-version"
	case environment != nil:
		return fmt.Sprintf("add %s/%s with the policies of the org, or give the org an alias that the project has", project.EnvironmentsDir, environment.Alias)
	case alias != nil:
		return fmt.Sprintf("sfp would fail with the same words: add a directory %s to the package, or default, which serves sandboxes and scratch orgs, "+
			"or use an alias that the package has", alias.Alias)
	}
	return ""
}

// selftestHint returns a hint for a selftest that was refused, left something, or found a difference.
func selftestHint(err error) string {
	switch {
	case errors.As(err, new(*selftest.KindError)):
		return "name a scratch org, a sandbox or a Developer Edition with -o"
	case errors.As(err, new(*selftest.LeftoverError)):
		return "run eca selftest again, which deletes and restores what is left"
	case errors.As(err, new(*selftest.DifferentError)):
		return "send the report, which --markdown FILE writes, as an issue; eca simulate --facts FILE serves an org with the answers that --output FILE has"
	}
	return ""
}

// refusalHint returns a hint for an org's refusal, by its error code and message, and for an org
// that cannot be reached.
func refusalHint(err error) string {
	var code, message string
	refused, _ := errors.AsType[*mdapi.ComponentError](err)
	answer, _ := errors.AsType[*salesforce.Error](err)
	switch {
	case refused != nil:
		code, message = refused.Code, refused.Message
	case answer != nil:
		code, message = answer.Code, answer.Message
	}
	element, _ := errors.AsType[*bootstrap.ElementError](err)
	app, name := "the app", "NAME"
	failure, _ := errors.AsType[*bootstrap.ComponentFailure](err)
	if failure != nil {
		app, name = failure.App, failure.App
	}
	switch {
	case code == "INVALID_CROSS_REFERENCE_KEY" && (failure == nil || eca.Lookup(failure.Type) != nil):
		return deployHeader(app)
	case code == "INSUFFICIENT_ACCESS_OR_READONLY" || code == "INSUFFICIENT_ACCESS":
		return "give the user of this session the permissions that eca help permissions lists for the command"
	case code == "URL_NOT_RESET":
		return "the org has another instance URL than this login: log in again, or correct SF_ORG_INSTANCE_URL"
	case strings.HasPrefix(code, "API_DISABLED"):
		return "give the user of this session the permission API Enabled, in an edition of Salesforce that has the API"
	case code == "REQUEST_LIMIT_EXCEEDED":
		return "the org has used up its API calls for today; run the command again tomorrow"
	case strings.Contains(message, "invalid at this location"), element != nil:
		where := "the source"
		if element == nil || element.File == "" {
			where = "the source or plugins.eca"
		}
		return "the org does not have it in the API version in use; choose another with --api-version, or remove it from " + where + " and run the command again"
	case salesforce.IsTransient(err):
		return "this is usually temporary: run the command again later, or raise --retry-for"
	case repair.IsBroken(err):
		return fmt.Sprintf("the OAuth settings of %s cannot be used or changed: they were deployed without an oauthLink and without global OAuth settings; "+
			"remove them from the project, and run eca repair --app %s --yes", app, name)
	}
	return ""
}

func deployHeader(app string) string {
	return fmt.Sprintf("deploy the header of %s to this org first, or with eca bootstrap --headers", app)
}
