package bootstrap

import (
	"errors"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// Kept is what became of the key that a new consumer should get, see Options.Consumers.
type Kept string

// The values of Kept. Whether the secret was honoured too, only a login shows.
const (
	KeptBoth    Kept = "both"    // the consumer has the key, and a login has proved the secret; set by the caller
	KeptKey     Kept = "key"     // the consumer has the key
	KeptIgnored Kept = "ignored" // the org chose another one
	KeptTaken   Kept = "taken"   // the org refused the key, because another app or org has it
	KeptExists  Kept = "exists"  // the consumer exists with another key, and is left alone
)

// kept returns the credentials that an app's consumer should get, and whether there are any.
func (e *engine) kept(app *wanted.App) (login.Credentials, bool) {
	for name, credentials := range e.consumers {
		if strings.EqualFold(name, app.Name) {
			return credentials, true
		}
	}
	return login.Credentials{}, false
}

// keepConsumers adds the keys and secrets to the consumers that the run creates. Whether an org honours
// them is not known, see the facts consumer-key-at-creation and consumer-secret-at-creation of
// pkg/platform. An org that refuses the key gets the consumer without it.
func (e *engine) keepConsumers() {
	for _, app := range e.apps {
		credentials, ok := e.kept(app)
		if !ok {
			continue
		}
		app.Wants[eca.GlobalOAuthSettings].Sealed = &metadata.Sealed{
			Fields: func() []metadata.Field {
				return []metadata.Field{{Name: "consumerKey", Text: credentials.Key}, {Name: "consumerSecret", Text: credentials.Secret.Reveal()}}
			},
			Without: func(err error) bool {
				refused, ok := errors.AsType[*mdapi.ComponentError](err)
				return ok && strings.Contains(strings.ToLower(refused.Message), "consumer key")
			},
		}
	}
}

// outcomeOfKept returns what became of an app's key, "" if none was wanted or the run has not come to it.
func (e *engine) outcomeOfKept(app *wanted.App) Kept {
	credentials, ok := e.kept(app)
	want := app.Wants[eca.GlobalOAuthSettings]
	global := e.find(app, eca.GlobalOAuthSettings)
	switch {
	case !ok || global == nil || global.Text("consumerKey") == "":
		return ""
	case global.Text("consumerKey") == credentials.Key:
		return KeptKey
	case want.Sealed.Refused != nil:
		return KeptTaken
	case e.run.Of(want).Action == reconcile.Create:
		return KeptIgnored
	}
	return KeptExists
}
