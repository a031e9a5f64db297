package cli

import (
	"context"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// loginError says that a login was refused, or will be, and why.
type loginError struct {
	*login.Diagnosis
	says, hint string
}

func (e *loginError) Error() string {
	if e.Err == nil && strings.HasPrefix(e.says, e.App) {
		return e.says
	}
	return e.Diagnosis.Error() + ": " + e.says
}

func (e *loginError) Unwrap() error { return e.Diagnosis }

func newLoginError(d *login.Diagnosis, org string) *loginError {
	says, hint := advice.Cause(d, org)
	return &loginError{d, says, hint}
}

// refusedLogin returns a refused login as a *loginError, and any other error as it is.
func refusedLogin(state *login.State, err error, org string) error {
	if d := state.Diagnose(err); d != nil {
		return newLoginError(d, org)
	}
	return err
}

// lookAtRefusal is refusedLogin for an app that has not been looked at yet.
func lookAtRefusal(ctx context.Context, conn *salesforce.Conn, a login.Attempt, err error, org string) error {
	if _, known := login.Explain(err); !known || ctx.Err() != nil {
		return err
	}
	return refusedLogin(login.Look(ctx, conn, a), err, org)
}
