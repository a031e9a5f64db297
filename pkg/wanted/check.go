package wanted

import (
	"errors"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// check returns the first problem with a component of source for which the platform refuses it in the run's
// API version, or nil. It warns about what the tables do not have, and about what is left out.
func (r *resolution) check(c *metadata.Component, file string) *metadata.Problem {
	typ := eca.Lookup(c.Type)
	for _, p := range eca.Problems(c, r.Version) {
		ft := typ.Field(p.Field)
		switch {
		case ft != nil && ft.Platform:
			// It is never sent, see leftOut.
		case p.Kind == metadata.SecretValue:
			return &p
		case p.Kind.IsUnknown():
			r.warn(unknown(file, p))
		case p.Kind == metadata.DeprecatedField && typ.Bool(c, p.Field) == typ.Bool(new(metadata.Component), p.Field):
			r.warn(file + ": " + p.Field + " is left out, because it " + p.Err.Error())
		default:
			if version, ok := errors.AsType[*metadata.VersionError](p.Err); ok {
				p.Err = &metadata.VersionError{Needs: version.Needs, Has: version.Has}
			}
			return &p
		}
	}
	return nil
}

// leftOut warns about the fields of a component that the platform fills in for each org.
func (r *resolution) leftOut(c *metadata.Component, file string) {
	for _, f := range c.Fields {
		ft := eca.Lookup(c.Type).Field(f.Name)
		switch {
		case !isOrgScoped(c, f) && (ft == nil || !ft.Platform), r.isOwn(f.Text):
		case ft.Action:
			r.warn(file + ": " + f.Name + " is left out, because it would rotate the credentials on every run")
		default:
			r.warn(file + ": " + f.Name + " is left out, because each org fills it in")
		}
	}
}

// isOrgScoped reports whether a field is the header's field with the org of a Packaged app.
func isOrgScoped(c *metadata.Component, f metadata.Field) bool {
	return c.Type == eca.Header && f.Name == "orgScopedExternalApp"
}

// isOwn reports whether a value that the platform fills in belongs to the org of the run: it begins with the
// ID of its org.
func (r *resolution) isOwn(value string) bool {
	org, _, found := strings.Cut(strings.TrimSpace(value), ":")
	return found && len(org) >= 15 && len(r.OrgID) >= 15 && org[:15] == r.OrgID[:15]
}

// withoutForeign returns a header without the field that names another org, which the platform refuses.
func (r *resolution) withoutForeign(header *metadata.Component) *metadata.Component {
	own := *header
	own.Fields = slices.DeleteFunc(slices.Clone(header.Fields), func(f metadata.Field) bool {
		return isOrgScoped(header, f) && !r.isOwn(f.Text)
	})
	return &own
}

// checkSource checks what the run sends of an app: its header, and the components that its source states
// beside it.
func (s *Source) checkSource(h header, r *resolution) error {
	fail := func(file string, p *metadata.Problem) error {
		return &metadata.SourceError{Path: file, Field: p.Field, Err: p.Err}
	}
	if p := r.check(h.Component, h.File); p != nil && r.Headers {
		return fail(h.File, p)
	}
	if r.Headers {
		r.leftOut(h.Component, h.File)
	}
	for _, typ := range eca.Satellites() {
		file, ok := h.stated[typ]
		if !ok {
			continue
		}
		if file.unreplaced != nil {
			return s.inDir(file.unreplaced)
		}
		if p := r.check(file.Component, file.File); p != nil {
			return fail(file.File, p)
		}
		r.leftOut(file.Component, file.File)
	}
	return nil
}
