package bootstrap

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// ElementError reports an element, or a value of one, that the org does not have, so that it refused the
// whole call.
type ElementError struct {
	App     string
	Type    string
	Element string
	File    string   // of the source that states the element, "" if the settings do
	Written []string // the components that were written before, like "TYPE NAME"
	Err     error
}

func (e *ElementError) Error() string {
	place, written := e.Element, "nothing was written before"
	if e.File != "" {
		place = e.File + ": " + e.Element
	}
	if len(e.Written) > 0 {
		written = "written before: " + strings.Join(e.Written, ", ")
	}
	return fmt.Sprintf("%s: the org refused this element of %s: %v (%s)", place, e.Type, e.Err, written)
}

// Unwrap returns e.Err.
func (e *ElementError) Unwrap() error { return e.Err }

// The platform's faults for what a type or an enumeration does not have.
var (
	invalidElement = regexp.MustCompile(`Element (?:\{[^}]*\})?(\w+) invalid at this location in type (\w+)`)
	invalidValue   = regexp.MustCompile(`'(.*)' is not a valid value for the enum '(\w+)'`)
)

// located returns a fault about an element of a component as an *ElementError, and other errors as they
// are.
func (e *engine) located(err error) error {
	answer, isAnswer := errors.AsType[*salesforce.Error](err)
	if !isAnswer {
		return err
	}
	var is func(typ *metadata.Type, f metadata.Field) bool
	if match := invalidElement.FindStringSubmatch(answer.Message); match != nil {
		is = func(typ *metadata.Type, f metadata.Field) bool {
			return f.Name == match[1] && (typ.Name == match[2] || eca.Lookup(match[2]) == nil)
		}
	} else if match := invalidValue.FindStringSubmatch(answer.Message); match != nil {
		is = func(typ *metadata.Type, f metadata.Field) bool {
			ft := typ.Field(f.Name)
			return ft != nil && ft.EnumName == match[2] && strings.TrimSpace(f.Text) == match[1]
		}
	} else {
		return err
	}
	var wrong *ElementError
	var written []string
	for _, app := range e.apps {
		for _, o := range e.outcomes(app) {
			if o.Applied {
				written = append(written, o.Want.Type.Name+" "+o.FullName)
			}
			if wrong != nil || o.Applied || o.Action == reconcile.Unchanged {
				continue
			}
			typ := o.Want.Type
			named := func(fields metadata.Fields) string {
				return find(fields, func(f metadata.Field) bool { return is(typ, f) })
			}
			if element := named(o.Want.Fields); element != "" {
				wrong = &ElementError{App: app.Name, Type: typ.Name, Element: element, Err: err}
				if typ.Name == eca.Header || typ.Name == eca.OAuthPolicies {
					wrong.File = app.File(typ.Name)
				}
			} else if element := named(o.Want.Source); element != "" {
				wrong = &ElementError{App: app.Name, Type: typ.Name, Element: element, File: app.File(typ.Name), Err: err}
			}
		}
	}
	if wrong == nil {
		return err
	}
	wrong.Written = written
	return wrong
}

// find returns the path of the first field that is the one meant, "" if none.
func find(fields metadata.Fields, is func(metadata.Field) bool) string {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		for _, f := range fields[name] {
			if is(f) {
				return name
			}
			if nested := find(metadata.ByName(f.Fields), is); nested != "" {
				return name + "." + nested
			}
		}
	}
	return ""
}
