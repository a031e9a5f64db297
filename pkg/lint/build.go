package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// checkBuild checks that sfp can build the packages with components of apps.
func (l *linter) checkBuild() {
	if l.layout != project.LayoutSFP {
		return
	}
	file, _ := fs.ReadFile(l.fsys, sfp.ProjectFile)
	for i := range l.project.Packages {
		p := &l.project.Packages[i]
		if p.Name == "" || p.Type == "data" {
			continue
		}
		ignore := l.source.Ignore(p.Path)
		for _, name := range l.source.Files(p.Path) {
			suffix := unbuildable(name)
			if suffix == "" || ignore.Ignores(name) || l.passedOver(p, path.Dir(name)) {
				continue
			}
			if bytes.Contains(file, []byte("registryCustomizations")) && bytes.Contains(file, []byte(`"`+suffix+`"`)) {
				continue // the project adds the type to the registry
			}
			l.add("sfp-cannot-build", finding.Error, name, "", fmt.Sprintf("the metadata registry of sfp 39.2.2 (source-deploy-retrieve 12.0.1) does not know .%s, so sfp build fails to infer a metadata type and leaves out the package %s", suffix, p.Name), l.elsewhere(suffix))
		}
	}
}

// unbuildable returns the suffix of a component that sfp cannot build, or "".
func unbuildable(file string) string {
	name := strings.TrimSuffix(path.Base(file), metadata.SourceEnding)
	if suffix := strings.TrimPrefix(path.Ext(name), "."); slices.Contains(eca.Unbuildable(), suffix) {
		return suffix
	}
	return ""
}

// elsewhere returns where a component can be that sfp cannot build.
func (l *linter) elsewhere(suffix string) string {
	for _, typ := range eca.Plugins() {
		if eca.Lookup(typ).Suffix == suffix {
			return "move it to " + project.EnvironmentsDir + "/ENVIRONMENT in the package with the header, add that directory to " + sfp.IgnoreFile + ", and eca deploys it"
		}
	}
	return "add it to " + sfp.IgnoreFile + ", and deploy it with sf"
}
