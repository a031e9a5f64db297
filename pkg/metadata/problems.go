package metadata

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/internal/words"
)

// ProblemKind classifies a Problem.
type ProblemKind uint8

// The kinds of problem.
const (
	UnknownField    ProblemKind = iota // the type has this field in no version
	NewerField                         // the field needs a later API version
	WrongValue                         // the field does not allow the value
	RepeatedField                      // the field occurs more than once
	MissingField                       // the type requires the field
	DeprecatedField                    // the latest API version no longer has the field
	SecretValue                        // the value is a secret, which must not be in source
)

// Problem is one problem with a field of a component. The platform refuses a component with any
// problem except a SecretValue. That it refuses a RepeatedField is assumed: the WSDL allows
// one.
type Problem struct {
	Field string // the field's name; nested names are separated by dots
	Kind  ProblemKind
	Err   error  // what is wrong; it never contains a secret
	Says  string // the platform's own message, "" if unknown
	Fix   string // what to do
}

// Problems returns the problems with a component's fields in an API version, in document order.
// Version 0 accepts fields of all versions. A version beyond apiversion.Latest may have fields
// and enum values that the table lacks.
//
// A nil Type has no problems.
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

// maxProblems bounds the length of a list that people still read.
const maxProblems = 100

// Secret returns an error for the first field that holds a secret, or nil. The error does not
// contain the secret.
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
			all = append(all, Problem{Field: at, Kind: RepeatedField, Err: errors.New("occurs more than once"), Fix: "keep one of them"})
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
			all = append(all, Problem{Field: at, Kind: NewerField, Err: fmt.Errorf("needs API version %s or later, and this is %s", ft.Since, v), Fix: "raise sourceApiVersion, or remove it"})
		}
		if ft.Deprecated {
			all = append(all, Problem{Field: at, Kind: DeprecatedField, Err: fmt.Errorf("is deprecated, and API version %s does not have it", apiversion.Latest), Fix: "remove it"})
		}
		if ft.Secret && strings.TrimSpace(f.Text) != "" {
			all = append(all, Problem{Field: at, Kind: SecretValue, Err: errors.New("holds a secret, which the platform generates for each org"), Fix: "remove it, and rotate the secret, because the repository's history contains it"})
			continue
		}
		if ft.Kind == Struct && len(f.Fields) > 0 {
			all = append(all, problems(f.Fields, ft.Fields, ft.Name, at+".", v)...)
			continue
		}
		err := ft.Check(f)
		switch text := strings.TrimSpace(f.Text); {
		case err == nil:
		case errors.Is(err, errPrivateKey):
			all = append(all, Problem{Field: at, Kind: SecretValue, Err: err, Fix: "remove it, and replace the key, because the repository's history contains it"})
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
		for _, item := range ft.Split(f.Text) {
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
			all = append(all, Problem{Field: prefix + ft.Name, Kind: MissingField, Err: errors.New("is missing, but the platform requires it"), Fix: "add it"})
		}
	}
	return all
}
