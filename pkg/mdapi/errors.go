package mdapi

import (
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/wire"
)

// Fault is a SOAP fault: the whole call failed. Nothing of it was done, unless
// Uncertain says that nobody knows.
type Fault struct {
	Operation string // the call, like upsertMetadata
	Code      string // the faultcode without its prefix, like INVALID_SESSION_ID
	Message   string // the faultstring, in the platform's words
	Status    int    // the HTTP status, 500 as a rule
}

func (f *Fault) Error() string {
	message := strings.TrimPrefix(f.Message, f.Code+": ")
	if f.Code == "" {
		return fmt.Sprintf("%s: %s", f.Operation, message)
	}
	return fmt.Sprintf("%s: %s: %s", f.Operation, f.Code, message)
}

// SessionExpired reports whether the org does not accept the access token: it
// expired, was revoked, or belongs to another org.
func (f *Fault) SessionExpired() bool { return f.Code == "INVALID_SESSION_ID" }

// Uncertain reports whether the org may have acted before it gave up.
func (f *Fault) Uncertain() bool {
	return wire.TransientStatus(f.Status) || f.Code == "SERVER_UNAVAILABLE" || f.Code == "REQUEST_RUNNING_TOO_LONG"
}

// Transient reports whether the same call may well succeed soon.
func (f *Fault) Transient() bool { return wire.TransientCode(f.Code) || wire.TransientStatus(f.Status) }

// ComponentError is why the org refused one component while it may have accepted
// others of the same call.
type ComponentError struct {
	Type     string
	FullName string
	Code     string   // the statusCode, like DUPLICATE_VALUE
	Message  string   // in the platform's words
	Fields   []string // the fields concerned, where the platform names them
}

func (e *ComponentError) Error() string {
	message := fmt.Sprintf("%s %s: ", e.Type, e.FullName)
	if e.Code != "" && !strings.Contains(e.Message, e.Code) {
		message += e.Code + ": "
	}
	return message + e.Message
}

// DuplicateOf returns the name of the component that exists in this one's place
// under another name, from messages like "ExtlClntAppOauthSettingsId duplicates
// value on App_oauthPlcy". It returns "" for any other error, and where the
// message names none.
func (e *ComponentError) DuplicateOf() string {
	if !e.IsDuplicate() {
		return ""
	}
	_, after, found := strings.Cut(e.Message, "duplicates value on ")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(after, ";") // several reasons stand behind one another
	return strings.TrimRight(strings.TrimSpace(name), ".,:")
}

// Transient reports whether the org may well accept the component soon: somebody
// else has the record locked, for one.
func (e *ComponentError) Transient() bool { return wire.TransientCode(e.Code) }

// IsDuplicate reports whether the org has the component under another name.
func (e *ComponentError) IsDuplicate() bool { return e.Code == "DUPLICATE_VALUE" }
