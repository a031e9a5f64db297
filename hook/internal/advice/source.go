package advice

import (
	"errors"

	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// sourceFindings are hints for findings about the source of a project, by rule.
var sourceFindings = map[string]string{
	"certificate-expires": "eca bootstrap",
}

// sourceError returns a hint for errors about the source of a project.
func sourceError(err error) (hint string, ok bool) {
	_, noApps := errors.AsType[*wanted.NoAppsError](err)
	switch {
	case errors.Is(err, scaffold.ErrJWTConnection):
		return "eca connect", true
	case noApps:
		return "name the package that has the app's header, *.eca-meta.xml in externalClientApps", true
	}
	return "", false
}
