package mdapi

import (
	"errors"
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// ComponentError reports that the org refused one component. Other components of the same call
// may have succeeded.
type ComponentError struct {
	Type     string
	FullName string
	Code     string // the statusCode, like DUPLICATE_VALUE
	Message  string // the platform's message
}

func (e *ComponentError) Error() string {
	if e.Code != "" && !strings.Contains(e.Message, e.Code) {
		return e.Code + ": " + e.Message
	}
	return e.Message
}

// DuplicateOf returns the name of the existing component that takes this one's place, from
// messages like "ExtlClntAppOauthSettingsId duplicates value on App_oauthPlcy". It returns ""
// for any other error, and for a message without a name.
func (e *ComponentError) DuplicateOf() string {
	if !e.IsDuplicate() {
		return ""
	}
	_, after, found := strings.Cut(e.Message, "duplicates value on ")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(after, ";") // several reasons are separated by ";"
	return strings.TrimRight(strings.TrimSpace(name), ".,:")
}

// Transient reports whether a retry may succeed soon, for example because another transaction
// has locked the record.
func (e *ComponentError) Transient() bool {
	return salesforce.IsTransient(&salesforce.Error{Code: e.Code})
}

// IsDuplicate reports whether the component exists under another name.
func (e *ComponentError) IsDuplicate() bool { return e.Code == "DUPLICATE_VALUE" }

// Invalid is what an org's API version does not have: an element of a type, or a value of an enumeration. A call
// with it is refused as a whole, with all its components.
type Invalid struct {
	Element, Type string // "" for a value
	Value, Enum   string // "" for an element
}

// The platform's faults for what a type or an enumeration does not have.
var (
	invalidElement = regexp.MustCompile(`Element (?:\{[^}]*\})?(\w+) invalid at this location in type (\w+)`)
	invalidValue   = regexp.MustCompile(`'(.*)' is not a valid value for the enum '(\w+)'`)
)

// InvalidOf returns what a call was refused for, if it was refused for something invalid in a component. The org
// has not acted then.
func InvalidOf(err error) (Invalid, bool) {
	answer, ok := errors.AsType[*salesforce.Error](err)
	if !ok {
		return Invalid{}, false
	}
	if match := invalidElement.FindStringSubmatch(answer.Message); match != nil {
		return Invalid{Element: match[1], Type: match[2]}, true
	}
	match := invalidValue.FindStringSubmatch(answer.Message)
	if match == nil {
		return Invalid{}, false
	}
	return Invalid{Value: match[1], Enum: match[2]}, true
}
