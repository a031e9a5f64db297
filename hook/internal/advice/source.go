package advice

import (
	"errors"

	"github.com/ecakit/ecakit/pkg/scaffold"
)

// sourceFindings are hints for findings about the source of a project, by rule.
var sourceFindings = map[string]string{
	"certificate-expires": "eca bootstrap",
}

// sourceError returns a hint for errors about the source of a project.
func sourceError(err error) (hint string, ok bool) {
	switch {
	case errors.Is(err, scaffold.ErrJWTConnection):
		return "eca connect", true
	}
	return "", false
}
