package mdapi

import (
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// ComponentError is why the org refused one component while it may have accepted
// others of the same call.
type ComponentError struct {
	Type     string
	FullName string
	Code     string // the statusCode, like DUPLICATE_VALUE
	Message  string // in the platform's words
}

func (e *ComponentError) Error() string {
	if e.Code != "" && !strings.Contains(e.Message, e.Code) {
		return e.Code + ": " + e.Message
	}
	return e.Message
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
func (e *ComponentError) Transient() bool {
	return salesforce.IsTransient(&salesforce.Error{Code: e.Code})
}

// IsDuplicate reports whether the org has the component under another name.
func (e *ComponentError) IsDuplicate() bool { return e.Code == "DUPLICATE_VALUE" }
