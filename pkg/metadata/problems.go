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
	UnknownField    ProblemKind = iota // the table has this field in no version
	UnknownValue                       // the table does not have the enum value or list item
	NewerField                         // the field needs a later API version
	WrongValue                         // the value is not of the field's kind
	RepeatedField                      // the field occurs more than once
	MissingField                       // the type requires the field
	DeprecatedField                    // the API version no longer has the field
	SecretValue                        // the value is a secret, which must not be in source
)

// IsUnknown reports whether only the table lacks the field or value. The org may have it, so it
// is sent as it is.
func (k ProblemKind) IsUnknown() bool { return k == UnknownField || k == UnknownValue }

// Problem is one problem with a field of a component. The platform refuses a component with a
// WrongValue, a MissingField or a field that its API version does not have. That it refuses a
// RepeatedField is assumed: the WSDL allows one.
type Problem struct {
	Field string // the path of the field, like trustedIpRanges[0].description
	Kind  ProblemKind
	Err   error  // what is wrong; it never contains a secret
	Says  string // the platform's own message, "" if unknown
	Fix   string // what to do
}

// Problems returns the problems with a component's fields in an API version, in document order.
// Version 0 accepts the fields of all versions but those that apiversion.Latest no longer has.
//
// A nil Type has no problems.
func (t *Type) Problems(c *Component, v apiversion.Version) []Problem {
	if t == nil {
		return nil
	}
	ck := &checker{version: v}
	ck.fields(c.Fields, t.Fields, t.Name, "")
	if t.Partial {
		ck.all = slices.DeleteFunc(ck.all, func(p Problem) bool { return p.Kind == UnknownField })
	}
	return ck.all[:min(len(ck.all), maxProblems)]
}

// maxProblems bounds the length of a list that people still read.
const maxProblems = 100

// Secret returns an error for the first field that holds a secret, or nil. The error does not
// contain the secret.
func (t *Type) Secret(c *Component) error {
	for _, p := range t.Problems(c, 0) {
		if p.Kind == SecretValue {
			return &FieldError{p.Field, p.Err}
		}
	}
	return nil
}

// checker collects the problems with one component.
type checker struct {
	version apiversion.Version
	all     []Problem
}

func (c *checker) add(at string, kind ProblemKind, err error, fix string) {
	c.all = append(c.all, Problem{Field: at, Kind: kind, Err: err, Fix: fix})
}

// fields checks the fields of a component or structure. in is its type, prefix its path.
func (c *checker) fields(fields []Field, types []FieldType, in, prefix string) {
	count := make(map[string]int)
	for _, f := range fields {
		if len(c.all) > maxProblems {
			return
		}
		at, n := prefix+words.Clip(f.Name), count[f.Name]
		count[f.Name]++
		ft := findField(types, f.Name)
		switch {
		case ft == nil && n == 0:
			err := fmt.Errorf("%s has no such element in API version %s", in, apiversion.Latest)
			c.add(at, UnknownField, err, didYouMean(words.Similar(f.Name, fieldNames(types)), "check its name"))
			fallthrough
		case ft == nil:
			if hasPrivateKey(f) {
				c.add(at, SecretValue, errPrivateKey, replaceKey)
			}
			continue
		case ft.Repeated:
			at = fmt.Sprintf("%s[%d]", at, n)
		case n > 0:
			c.add(at, RepeatedField, errors.New("occurs more than once"), "keep one of them")
		}
		c.field(ft, f, at)
	}
	for _, ft := range types {
		if ft.Required && count[ft.Name] == 0 {
			c.add(prefix+ft.Name, MissingField, errors.New("is missing, but the platform requires it"), "add it")
		}
	}
}

// field checks one field whose type the table has.
func (c *checker) field(ft *FieldType, f Field, at string) {
	if c.version != 0 && ft.Since > c.version {
		err := &VersionError{Needs: ft.Since, Has: c.version, ofSource: true}
		c.add(at, NewerField, err, "raise sourceApiVersion, or remove it")
	}
	if ft.isGone(c.version) {
		c.add(at, DeprecatedField, errGone(c.version), "remove it")
	}
	text := strings.TrimSpace(f.Text)
	switch err := ft.check(f); {
	case ft.Secret && text != "":
		err := errors.New("holds a secret, which the platform generates for each org")
		c.add(at, SecretValue, err, "remove it, and rotate the secret, because the repository's history contains it")
	case errors.Is(err, errPrivateKey):
		c.add(at, SecretValue, err, replaceKey)
	case err != nil:
		c.add(at, WrongValue, err, "write a "+ft.Kind.String())
	case ft.Kind == Struct:
		c.fields(f.Fields, ft.Fields, ft.Name, at+".")
	case ft.Kind == Enum && !slices.Contains(ft.Values, text):
		err := fmt.Errorf("%q is not one of %s", words.Clip(text), strings.Join(ft.Values, ", "))
		c.add(at, UnknownValue, err, didYouMean(words.Similar(text, ft.Values), "write one of them"))
		c.all[len(c.all)-1].Says = fmt.Sprintf("'%s' is not a valid value for the enum '%s'", words.Clip(text), ft.EnumName)
	case ft.Items != nil:
		for _, item := range ft.Split(f.Text) {
			if !slices.Contains(ft.Items, item) {
				err := fmt.Errorf("there is no %s %q in API version %s", ft.Item, words.Clip(item), apiversion.Latest)
				c.add(at, UnknownValue, err, didYouMean(ft.Similar(item), "write one of "+strings.Join(ft.Items, ", ")))
			}
		}
	}
}

const replaceKey = "remove it, and replace the key, because the repository's history contains it"

// hasPrivateKey reports whether a field or one nested in it holds a private key.
func hasPrivateKey(f Field) bool {
	return CheckSecret(f.Text) != nil || slices.ContainsFunc(f.Fields, hasPrivateKey)
}

func didYouMean(similar, otherwise string) string {
	if similar != "" {
		return "did you mean " + similar + "?"
	}
	return otherwise
}

// fieldNames returns the names of the fields that a person can write.
func fieldNames(types []FieldType) (names []string) {
	for _, ft := range types {
		if !ft.Platform {
			names = append(names, ft.Name)
		}
	}
	return names
}
