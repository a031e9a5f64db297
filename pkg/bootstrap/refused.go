package bootstrap

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// ElementError reports an element, or a value of one, that the org does not have, so that it refused the
// component.
type ElementError struct {
	App     string
	Type    string
	Element string
	File    string   // of the source that states the element, "" if the settings do
	Written []string // the app's components that were written before, like "TYPE NAME"
	Err     error
}

func (e *ElementError) Error() string {
	place, written := e.Element, "nothing of "+e.App+" was written before"
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

// failure returns the error of a component that is not as wanted, nil if it is.
func (e *engine) failure(app *wanted.App, o reconcile.Outcome) error {
	invalid, refused := mdapi.InvalidOf(o.Err)
	typ := o.Want.Type
	switch {
	case o.Err == nil:
		return nil
	case !refused:
		return &ComponentFailure{App: app.Name, Type: typ.Name, FullName: o.FullName, File: app.File(typ.Name), Err: o.Err}
	}
	is := func(f metadata.Field) bool { return f.Name == invalid.Element }
	if invalid.Enum != "" {
		is = func(f metadata.Field) bool {
			ft := typ.Field(f.Name)
			return ft != nil && ft.EnumName == invalid.Enum && strings.TrimSpace(f.Text) == invalid.Value
		}
	}
	wrong := &ElementError{App: app.Name, Type: typ.Name, Element: find(o.Want.Fields, is), Err: o.Err}
	if wrong.Element == "" || typ.Name == eca.Header || typ.Name == eca.OAuthPolicies {
		wrong.File = app.File(typ.Name)
	}
	if wrong.Element = cmp.Or(wrong.Element, find(o.Want.Source, is)); wrong.Element == "" {
		return &ComponentFailure{App: app.Name, Type: typ.Name, FullName: o.FullName, File: app.File(typ.Name), Err: o.Err}
	}
	for _, other := range e.outcomes(app) {
		if other.Applied {
			wrong.Written = append(wrong.Written, other.Want.Type.Name+" "+other.FullName)
		}
	}
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
