package lint

import (
	"cmp"
	"fmt"
	"path"
	"strings"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// checkOutside checks that no package contains the environments' policies, which sf would deploy to every org.
func (l *linter) checkOutside() {
	for i := range l.project.Packages {
		if p := &l.project.Packages[i]; l.layout != project.LayoutMetadata && isWithin(project.EnvironmentsDir, p.Path) {
			problem := fmt.Sprintf("the package directory %s contains %s, so the policies of all environments are deployed to every org", p.Path, project.EnvironmentsDir)
			l.addPackage("environments-in-package", finding.Error, p, problem, "give the package a directory of its own")
		}
	}
}

// checkEnvironments checks that sf does not deploy several environments' files of one component to every org.
func (l *linter) checkEnvironments() {
	if l.layout != project.LayoutSF {
		return
	}
	type place struct{ file, environment string }
	places := make(map[string][]place) // by type and fullName
	for _, c := range l.components {
		if project.IsPolicy(c.file) && !project.IsEnvironments(*c.pkg) {
			key := c.Type + "\x00" + strings.ToLower(c.FullName)
			places[key] = append(places[key], place{c.file, l.environmentIn(c)})
		}
	}
	for _, all := range places {
		if len(all) < 2 {
			continue
		}
		last := all[len(all)-1].file
		for _, one := range all {
			l.inPackages[one.file] = true
			problem := "sf deploys the files of all environments to every org, and the last one by name wins: " + last
			to := path.Join(project.EnvironmentsDir, cmp.Or(one.environment, "ENVIRONMENT"), path.Base(path.Dir(one.file)))
			l.add("environments-in-package", finding.Error, one.file, "", problem, "move it to "+to+", from which eca bootstrap deploys it")
		}
	}
}

// environmentIn guesses the environment of a file in a package of a project that sf deploys, "" if none.
func (l *linter) environmentIn(c component) string {
	folders, known := l.guessed[c.pkg.Path]
	if !known {
		folders = l.source.EnvironmentFolders(sfp.Package{Path: c.pkg.Path, Aliasfy: true}, project.SourceLayout())
		l.guessed[c.pkg.Path] = folders
	}
	if folders[c.file] == "" {
		return ""
	}
	return path.Base(folders[c.file])
}
