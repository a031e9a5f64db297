package lint

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// sums returns what a package's SumFile should have, nil if the package needs none. Files are read from fsys.
func (l *linter) sums(fsys fs.FS, p sfp.Package) (project.Sums, error) {
	hook := l.hasHook(p)
	var hidden []string
	for _, other := range l.project.Packages {
		if other.Type != "data" && !project.IsEnvironments(other) && (hook || other.Path == p.Path) {
			hidden = append(hidden, project.HiddenPolicies(l.source, other)...)
		}
	}
	if p.Name == "" || !hook && len(hidden) == 0 || l.layout != project.LayoutSFP {
		return nil, nil
	}
	return l.project.Sums(fsys, p, hook, hidden)
}

func (l *linter) hasHook(p sfp.Package) bool {
	return p.Type != "data" && project.HasHook(l.fsys, p) && slices.ContainsFunc(l.of(eca.Header), func(h component) bool {
		return h.pkg.Path == p.Path && isLocal(h)
	})
}

// checkSums checks that sfp build --diffcheck sees every change of what the hooks use.
func (l *linter) checkSums() {
	for i := range l.project.Packages {
		p := &l.project.Packages[i]
		want, err := l.sums(l.fsys, *p)
		if err != nil || len(want) == 0 {
			continue // other rules report what cannot be read
		}
		file := path.Join(p.Path, project.SumFile)
		data, err := fs.ReadFile(l.fsys, file)
		if errors.Is(err, fs.ErrNotExist) {
			l.addPackage("stale-sum", finding.Warning, p, fmt.Sprintf("the package %s has no %s, so sfp build --diffcheck misses changes of %s", p.Name, project.SumFile, strings.Join(project.Sums(nil).Differ(want), ", ")), "write it")
			continue
		}
		has, err := project.ParseSums(data)
		switch differ := has.Differ(want); {
		case err != nil:
			l.add("stale-sum", finding.Error, file, "", err.Error(), "write it again")
		case len(differ) > 0:
			l.add("stale-sum", finding.Error, file, "", "is stale: "+strings.Join(differ, ", ")+" changed, and sfp build --diffcheck does not see that", "update it")
		}
	}
}

// checkAlwaysDeploy checks that sfp deploys the packages with a hook, and with policies of its apps, to an org
// that has artifact records but no apps.
func (l *linter) checkAlwaysDeploy() {
	hooked := make(map[string]bool) // apps, folded
	for _, h := range l.of(eca.Header) {
		if l.hasHook(*h.pkg) {
			hooked[strings.ToLower(h.FullName)] = true
		}
	}
	for i := range l.project.Packages {
		p := &l.project.Packages[i]
		what := ""
		for _, c := range slices.Concat(l.components, l.ignored) {
			if c.pkg.Path == p.Path && c.Type == eca.OAuthPolicies && hooked[strings.ToLower(eca.App(c.Component))] {
				what = "policies of " + eca.App(c.Component)
			}
		}
		if l.hasHook(*p) {
			what = "the hook"
		}
		if what != "" && p.Name != "" && !p.AlwaysDeploy {
			l.addPackage("always-deploy", finding.Warning, p, fmt.Sprintf(`the package %s with %s lacks "alwaysDeploy": true, so sfp install --skipifalreadyinstalled deploys nothing to a refreshed sandbox`, p.Name, what), `add "alwaysDeploy": true to its entry`)
		}
	}
}
