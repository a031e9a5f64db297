package login

import (
	"errors"

	"github.com/ecakit/ecakit/pkg/refusal"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Explain returns the row of an error in the table of refusals: of a login, whose error is a
// *salesforce.TokenRefusal, or of a session, whose error is a *salesforce.Error. ok is false if the error is not a
// known refusal.
func Explain(err error) (r refusal.Refusal, ok bool) {
	if refused, is := errors.AsType[*salesforce.TokenRefusal](err); is {
		return refusal.Find(refused.Code, refused.Description)
	}
	if refused, is := errors.AsType[*salesforce.Error](err); is {
		if r, ok = refusal.Find(refused.Code, refused.Message); ok && r.Where == refusal.API {
			return r, true
		}
	}
	return refusal.Refusal{}, false
}

// DiagnoseSession returns the cause of a refused session, nil if err is not one.
func DiagnoseSession(err error) *Diagnosis {
	refused, is := errors.AsType[*salesforce.Error](err)
	why, known := Explain(err)
	if !is || !known || why.Where != refusal.API {
		return nil
	}
	d := &Diagnosis{State: new(State), Cause: why.Causes[0], Err: err}
	if d.Cause == refusal.NotForSOAP && !refused.JWT {
		d.Cause = why.Causes[1]
	}
	d.Found = d.Cause == refusal.NotForSOAP
	return d
}
