package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// explain turns an error into the words that a person gets: what failed, where,
// and what to do about it. It is the one place that does so.
func explain(err error) string {
	where := ""
	if org := new(orgs.Error); errors.As(err, &org) {
		where, err = org.Org+": ", org.Err
	}
	more := -1
	all := []error{err}
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		all = joined.Unwrap()
		err = all[0]
	}
	for _, one := range all {
		more++
		if refused := new(bootstrap.PreflightError); errors.As(one, &refused) {
			more += len(refused.Findings) - 1
		}
	}
	message := where + err.Error()
	if by, ok := errors.AsType[*notHandedOverError](err); ok {
		reason := by.err
		if advice := advise(reason, nil); advice != "" {
			message += "; " + advice
		}
		return message + "; then hand them over by hand: " + by.byHand()
	}
	if more > 0 {
		message += fmt.Sprintf(" (%s more, marked ! in the output)", console.Plural(more, "failure"))
	}
	var failure *bootstrap.ComponentFailure
	errors.As(err, &failure)
	if advice := advise(err, failure); advice != "" {
		message = strings.TrimRight(message, ". ") + "; " + advice
	}
	return message
}

// advise says what to do about an error that the org gave, "" where the error
// says it itself.
func advise(err error, failure *bootstrap.ComponentFailure) string {
	var code, message string
	var refused *mdapi.ComponentError
	var answer *salesforce.Error
	var noFolder *sfp.AliasError
	var network *salesforce.NetworkError
	policies, _ := errors.AsType[*wanted.PoliciesError](err)
	missing, _ := errors.AsType[*apps.NotFoundError](err)
	locked, _ := errors.AsType[*consumer.AccessError](err)
	staged, _ := errors.AsType[*consumer.HandOverError](err)
	if unconnected, ok := errors.AsType[*notConnectedError](err); ok {
		switch {
		case locked != nil && locked.Setting:
			return fmt.Sprintf("switch that on there (ExternalClientAppSettings.enableClientSecretInRestApiAccess), or make the connections with: eca connect -o %s --enable-access", unconnected.org)
		case errors.As(err, new(*connection.ConflictError)):
			return fmt.Sprintf("choose another name, or take it over with: eca connect -o %s --replace", unconnected.org)
		}
	}
	switch {
	case errors.As(err, new(*apps.NoOAuthError)):
		return "run eca bootstrap, which makes it"
	case missing != nil && missing.Suggestion() != "":
		return "" // it asks whether another one was meant
	case missing != nil:
		return "correct --app, or deploy the app's header to this org first"
	case locked != nil && locked.Setting:
		return `switch on "Allow access to External Client App consumer secrets via REST API" in Setup (External Client App Settings; in metadata ExternalClientAppSettings.enableClientSecretInRestApiAccess), or let eca do so for the reading with --enable-access`
	case locked != nil:
		return "give the user the permissions External Client App Developer and View Client Secret (ExternalClientAppDeveloper, ViewClientSecret)"
	case errors.As(err, new(*connection.ConflictError)):
		return "choose another name, or take it over with --replace"
	case errors.As(err, new(*consumer.PackagedError)):
		return "ask that org for them, with -o; eca verify takes it by --from"
	case errors.As(err, new(*consumer.NoSecretError)):
		return "the org has let secrets be read only just now: try again in a minute"
	case errors.As(err, new(*consumer.OwnSessionError)):
		return "log in to the org in another way, as with sf org login web"
	case staged != nil:
		return "run the command again, which hands over the staged credentials and goes on, or eca rotate --abort"
	case policies != nil && policies.Problem == nil:
		return "give the right directory with --policies"
	case policies != nil && policies.Problem.Kind == metadata.NewerField:
		return "or choose a later --api-version"
	case errors.As(err, &noFolder):
		return fmt.Sprintf("sfp would fail with the same words: add a directory %s to the package, or default, which serves sandboxes and scratch orgs, or name the org as one that the package has", noFolder.Alias)
	case errors.As(err, &network):
		return "look at the network, the proxy settings and the instance URL"
	case errors.As(err, &refused):
		code, message = refused.Code, refused.Message
	case errors.As(err, &answer):
		code, message = answer.Code, answer.Message
	}
	app := "the app"
	if failure != nil {
		app = failure.App
	}
	switch {
	case code == "INVALID_CROSS_REFERENCE_KEY" && (failure == nil || eca.Lookup(failure.Type) != nil):
		return fmt.Sprintf("deploy the header of %s to this org first, or bring it as well: eca bootstrap --headers", app)
	case code == "INSUFFICIENT_ACCESS_OR_READONLY" || code == "INSUFFICIENT_ACCESS":
		return "the user of this session needs the right to customize the application and to manage External Client Apps"
	case code == "REQUEST_LIMIT_EXCEEDED":
		return "the org's limit of API calls for today is used up, and trying again before tomorrow does not help"
	case code == "UNSUPPORTED_API_VERSION":
		return "choose a version that this org has with --api-version"
	case strings.Contains(message, "invalid at this location"):
		return "the org does not know this field in the API version in use; choose another with --api-version, or remove the field from plugins.eca"
	case salesforce.IsTransient(err):
		return "this is usually temporary: run it again later, or raise --retry-for"
	case strings.Contains(message, `"oauthLink" is null`), strings.Contains(message, "ak3tl_setup_entity_data"):
		name := "NAME"
		if failure != nil {
			name = failure.App
		}
		return fmt.Sprintf("the OAuth of %s is broken for good, as by a deployment of its OAuth settings without an oauthLink and without global OAuth settings: take those settings out of the project, and let eca repair --app %s --yes make it anew", app, name)
	}
	return ""
}
