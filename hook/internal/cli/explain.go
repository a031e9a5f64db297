package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/consumer"
)

// explain returns an error as one line: what failed, where, and what to do about it.
func explain(err error) string {
	message, hint := explainParts(err)
	if hint == "" {
		return message
	}
	return strings.TrimRight(message, ". ") + "; " + hint
}

// explainParts returns what failed and where, and what to do about it, "" if the message says it. It is
// the one place that words the errors of commands.
func explainParts(err error) (message, todo string) {
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
	message = where + err.Error()
	if says, _ := advice.Session(err); says != "" {
		message += ": " + says
	}
	if by, ok := errors.AsType[*notHandedOverError](err); ok {
		if todo = hint(by.err); todo != "" {
			todo += "; then run: "
		}
		return message, todo + by.byHand()
	}
	if more > 0 {
		message += fmt.Sprintf(" (%s more, marked ! in the output)", console.Plural(more, "failure"))
	}
	if todo = hint(err); todo != "" {
		return message, todo
	}
	// These errors are sentences of the command: what is wrong, then what to do.
	before, after, _ := strings.Cut(message, "; ")
	if errors.As(err, new(usage.Error)) || errors.As(err, new(foundError)) && !strings.Contains(after, ": ") {
		return before, after
	}
	return message, ""
}

// hint returns a hint for an error of a command, "" if there is none.
func hint(err error) string {
	if errors.As(err, new(*leftOnError)) {
		return "eca repair --close-access switches it off"
	}
	if unconnected, ok := errors.AsType[*notConnectedError](err); ok {
		locked, _ := errors.AsType[*consumer.AccessError](err)
		switch {
		case locked != nil && locked.Setting:
			return fmt.Sprintf("switch that on there (ExternalClientAppSettings.enableClientSecretInRestApiAccess), or run eca connect -o %s --enable-access", unconnected.org)
		case errors.As(err, new(*connection.ConflictError)):
			return fmt.Sprintf("choose another name, or run eca connect -o %s --replace", unconnected.org)
		}
	}
	if leak, ok := errors.AsType[*leakError](err); ok {
		return fmt.Sprintf("to end them without an export, and read the new ones with eca credentials: eca rotate --now --even-if-hand-over-fails --yes -o %s --app %s --output FILE", leak.org, leak.app)
	}
	if refused, ok := errors.AsType[*loginError](err); ok {
		return refused.hint
	}
	if ended, ok := errors.AsType[*wayError](err); ok {
		return ended.hint
	}
	if other, ok := errors.AsType[*flowError](err); ok {
		return advice.MadeFor(other.command, other.flow, other.app, other.org)
	}
	return advice.Error(err)
}
