package advice

import (
	"errors"
	"fmt"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/packaged"
	"github.com/ecakit/ecakit/pkg/repair"
)

// credsFindings are hints for the findings of package credential, by rule, and for the problems of
// package repair, by kind.
var credsFindings = map[string]string{
	"no-named-credential":    "eca connect --named-credential NAME creates it",
	"legacy-credential":      "eca connect --named-credential NAME creates one under another name",
	"no-external-credential": "eca connect creates it",
	"no-principal":           "eca connect adds one",
	"not-configured":         "eca connect --principal NAME stores the secret",
	"no-read":                "eca connect --permission-set NAME gives it",
	"no-access":              "eca connect --permission-set NAME gives it",

	string(repair.NullLink):   "eca repair --app NAME --yes",
	string(repair.NoConsumer): "eca bootstrap",
	string(repair.Duplicates): "eca repair --app NAME --yes recreates duplicates other than policies",
}

// credsError returns a hint for an error about consumers, their credentials and broken apps.
func credsError(err error) (hint string, ok bool) {
	locked, _ := errors.AsType[*consumer.AccessError](err)
	missing, _ := errors.AsType[*apps.NotFoundError](err)
	refused, _ := errors.AsType[*mdapi.ComponentError](err)
	broken, _ := errors.AsType[*repair.NotRepairableError](err)
	unfinished, _ := errors.AsType[*repair.UnfinishedError](err)
	switch {
	case broken != nil && broken.Problem.Kind == repair.NoConsumer, errors.As(err, new(*apps.NoOAuthError)):
		return "eca bootstrap creates it", true
	case missing != nil && missing.Suggestion() != "":
		return "", false // the error itself suggests an app
	case missing != nil:
		return "correct --app, or deploy the app's header to this org first", true
	case locked != nil && locked.Setting:
		return `switch on "Allow access to External Client App consumer secrets via REST API" in Setup (External Client App Settings), or add --enable-access to do so during the command`, true
	case locked != nil:
		return "give the user the permissions External Client App Developer and View Client Secret (ExternalClientAppDeveloper, ViewClientSecret)", true
	case errors.As(err, new(*consumer.PackagedError)):
		return "ask that org for them with -o, or verify with --from", true
	case errors.As(err, new(*consumer.NoSecretError)):
		return "the reading of secrets was switched on only just now: try again in a minute", true
	case errors.As(err, new(*consumer.OwnSessionError)):
		return "log in to the org in another way, for example with sf org login web", true
	case errors.As(err, new(*consumer.HandOverError)):
		return "run the command again, which hands over the staged credentials and goes on, or discard them with eca rotate --abort", true
	case errors.As(err, new(*consumer.SwapError)):
		return "run the command again, which completes the rotation", true
	case unfinished != nil:
		return fmt.Sprintf("run the command again, which completes the repair; eca bootstrap recreates %s too, with its defaults", unfinished.App), true
	case errors.As(err, new(*packaged.NoSourceError)):
		return "name the Dev Hub with -o", true
	case refused != nil && repair.IsBroken(refused):
		return "remove OAuth settings without an oauthLink from the project, and run eca repair --app NAME --yes", true
	}
	return "", false
}
