package wanted

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// check returns the problems with a component of source for which the platform refuses it in the run's API
// version. It warns about what the tables do not have, and about what is left out.
func (r *resolution) check(c *metadata.Component, file string) (refused []*metadata.Problem) {
	typ := eca.Lookup(c.Type)
	for _, p := range eca.Problems(c, r.Version) {
		ft := typ.Field(p.Field)
		switch {
		case ft != nil && ft.Platform:
			// It is never sent, see leftOut.
		case p.Kind == metadata.SecretValue:
			refused = append(refused, &p)
		case p.Kind.IsUnknown():
			r.warn(unknown(file, p))
		case p.Kind == metadata.DeprecatedField && typ.Bool(c, p.Field) == typ.Bool(new(metadata.Component), p.Field):
			r.warn(file + ": " + p.Field + " is left out, because it " + p.Err.Error())
		default:
			if version, ok := errors.AsType[*metadata.VersionError](p.Err); ok {
				p.Err = &metadata.VersionError{Needs: version.Needs, Has: version.Has}
			}
			refused = append(refused, &p)
		}
	}
	return refused
}

// leftOut warns about the fields of a component that the platform fills in for each org.
func (r *resolution) leftOut(c *metadata.Component, file string) {
	for _, f := range c.Fields {
		ft := eca.Lookup(c.Type).Field(f.Name)
		switch {
		case !isOrgScoped(c, f) && (ft == nil || !ft.Platform), r.isOwn(f.Text):
		case ft.Action && !eca.Bool(c, f.Name):
			// Nothing happens with it or without it.
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
func (r *resolution) isOwn(value string) bool { return isOf(value, r.OrgID) }

func isOf(value, orgID string) bool {
	org, _, found := strings.Cut(strings.TrimSpace(value), ":")
	return found && len(org) >= 15 && len(orgID) >= 15 && org[:15] == orgID[:15]
}

// withoutForeign returns a header without the field that names another org, which the platform refuses.
func (r *resolution) withoutForeign(header *metadata.Component) *metadata.Component {
	own := *header
	own.Fields = slices.DeleteFunc(slices.Clone(header.Fields), func(f metadata.Field) bool {
		return isOrgScoped(header, f) && !r.isOwn(f.Text)
	})
	return &own
}

// checkSuffixes fails for the files of a package's folders whose suffix sf does not know, although they are meant as
// components of apps: the suffix differs by case, or is the name of the type. sf stops the whole deployment then, and
// what they state would get lost here.
func (s *Source) checkSuffixes(folders []string, ignore *sfp.Ignore, r *resolution) {
	for _, folder := range folders {
		for _, file := range s.own.Files(folder) {
			base, inSource := strings.CutSuffix(path.Base(file), metadata.SourceEnding)
			dot := strings.LastIndexByte(base, '.')
			if !inSource || dot < 0 {
				continue
			}
			suffix := base[dot+1:]
			for _, typ := range eca.Types() {
				meant := strings.EqualFold(suffix, typ.Suffix) || strings.EqualFold(suffix, typ.Name)
				if meant && suffix != typ.Suffix && !ignore.Ignores(file) {
					r.fail(fmt.Errorf("%s: sf does not know the suffix .%s%s; rename the file to %s.%s%s", s.name(file), suffix, metadata.SourceEnding, base[:dot], typ.Suffix, metadata.SourceEnding))
				}
			}
		}
	}
}

// checkSource checks what the run sends of an app: its header, and the components that its source states
// beside it.
func (s *Source) checkSource(h header, r *resolution) {
	check := func(c *metadata.Component, file string) {
		for _, p := range r.check(c, file) {
			r.fail(&metadata.SourceError{Path: file, Field: p.Field, Err: p.Err})
		}
	}
	if r.Headers {
		check(h.Component, h.File)
		r.leftOut(h.Component, h.File)
	} else {
		r.check(h.Component, h.File) // for its warnings
	}
	for _, typ := range eca.Satellites() {
		switch file, ok := h.stated[typ]; {
		case !ok:
		case file.unreplaced != nil:
			r.fail(s.inDir(file.unreplaced))
		default:
			check(file.Component, file.File)
			if _, own := h.stated[eca.GlobalOAuthSettings]; own || typ != eca.OAuthSettings {
				r.leftOut(file.Component, file.File)
			}
		}
	}
}
