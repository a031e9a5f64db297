package metadata

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/internal/words"
)

// ProblemKind tells apart what can be wrong with a field of a component.
type ProblemKind uint8

// The kinds of problem.
const (
	UnknownField    ProblemKind = iota // the type has no such field in any version
	NewerField                         // the API version is older than the field
	WrongValue                         // the value is not of the field's kind
	RepeatedField                      // the field stands twice and may stand once
	MissingField                       // the type demands the field
	DeprecatedField                    // the latest API version has it no more
	SecretValue                        // the value is a secret, which has no place in source
)

// Problem is what is wrong with one field of a component. The platform refuses a
// component with any of them, except for a SecretValue; that it refuses a
// RepeatedField is assumed, from the WSDL, which allows one.
type Problem struct {
	Field string // the field, with a dot before that of a nested element
	Kind  ProblemKind
	Err   error  // what is wrong; it repeats no secret
	Says  string // the platform's words for it, "" where they are not known
	Fix   string // what to do about it
}

// Problems returns what is wrong with a component's fields for an API version,
// in the order in which they stand. The version 0 stands for any, so that no
// field is too new. Of versions beyond apiversion.Latest, fields and enum values that
// the table does not have may be right all the same.
//
// Of a type of which nothing is known, there are none.
func (t *Type) Problems(c *Component, v apiversion.Version) []Problem {
	if t == nil {
		return nil
	}
	all := problems(c.Fields, t.Fields, t.Name, "", v)
	if t.Partial {
		all = slices.DeleteFunc(all, func(p Problem) bool { return p.Kind == UnknownField })
	}
	return all[:min(len(all), maxProblems)]
}

// maxProblems bounds what Problems returns, which nobody reads to that length.
const maxProblems = 100

// Secret returns an error for the first field of a component that holds a secret, which it
// does not repeat, or nil.
func (t *Type) Secret(c *Component) error {
	for _, p := range t.Problems(c, 0) {
		if p.Kind == SecretValue {
			return fmt.Errorf("%s: %w", p.Field, p.Err)
		}
	}
	return nil
}

func problems(fields []Field, types []FieldType, in, prefix string, v apiversion.Version) (all []Problem) {
	seen := make(map[string]bool)
	for _, f := range fields {
		if len(all) > maxProblems {
			break
		}
		at := prefix + words.Clip(f.Name)
		ft := findField(types, f.Name)
		if ft != nil && !ft.Repeated && seen[f.Name] {
			all = append(all, Problem{Field: at, Kind: RepeatedField, Err: errors.New("stands more than once"), Fix: "leave one of them"})
		}
		seen[f.Name] = true
		if ft == nil {
			var known []string
			for _, t := range types {
				known = append(known, t.Name)
			}
			p := Problem{Field: at, Kind: UnknownField, Err: fmt.Errorf("%s has no such element", in), Fix: "remove it"}
			if similar := words.Similar(f.Name, known); similar != "" {
				p.Fix = "it is called " + similar
			}
			all = append(all, p)
			continue
		}
		if v != 0 && ft.Since > v {
			all = append(all, Problem{Field: at, Kind: NewerField, Err: fmt.Errorf("it came with API version %s, and this is %s", ft.Since, v), Fix: "raise sourceApiVersion, or remove it"})
		}
		if ft.Deprecated {
			all = append(all, Problem{Field: at, Kind: DeprecatedField, Err: fmt.Errorf("is deprecated, and API version %s does not have it", apiversion.Latest), Fix: "remove it"})
		}
		if ft.Secret && strings.TrimSpace(f.Text) != "" {
			all = append(all, Problem{Field: at, Kind: SecretValue, Err: errors.New("holds a secret, which the platform makes, differently in each org"), Fix: "remove it, and rotate the secret, which the repository has seen"})
			continue
		}
		if ft.Kind == Struct && len(f.Fields) > 0 {
			all = append(all, problems(f.Fields, ft.Fields, ft.Name, at+".", v)...)
			continue
		}
		err := ft.check(f)
		switch text := strings.TrimSpace(f.Text); {
		case err == nil:
		case errors.Is(err, errPrivateKey):
			all = append(all, Problem{Field: at, Kind: SecretValue, Err: err, Fix: "remove it, and replace the key, which the repository has seen"})
		case ft.Kind == Enum && !slices.Contains(ft.Values, text):
			p := Problem{Field: at, Kind: WrongValue, Err: fmt.Errorf("%q is not one of %s", words.Clip(text), strings.Join(ft.Values, ", ")), Says: fmt.Sprintf("'%s' is not a valid value for the enum '%s'", words.Clip(text), ft.EnumName), Fix: "write one of them"}
			if similar := words.Similar(text, ft.Values); similar != "" {
				p.Fix = "write " + similar
			}
			all = append(all, p)
		default:
			all = append(all, Problem{Field: at, Kind: WrongValue, Err: err, Fix: "write a " + ft.Kind.String()})
		}
		if ft.Items == nil {
			continue
		}
		for _, item := range ft.items(f.Text) {
			if !slices.Contains(ft.Items, item) {
				p := Problem{Field: at, Kind: WrongValue, Err: fmt.Errorf("there is no %s %q", ft.Item, words.Clip(item)), Fix: "write one of " + strings.Join(ft.Items, ", ")}
				if similar := words.Similar(item, ft.Items); similar != "" {
					p.Fix = "write " + similar
				}
				all = append(all, p)
			}
		}
	}
	for _, ft := range types {
		if ft.Required && !seen[ft.Name] {
			all = append(all, Problem{Field: prefix + ft.Name, Kind: MissingField, Err: errors.New("is missing, and the platform demands it"), Fix: "add it"})
		}
	}
	return all
}
