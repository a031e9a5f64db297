package bootstrap

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/salesforce"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Target is the org that a run is for, as far as files are chosen and filled in
// by it.
type Target struct {
	Username string
	Alias    string // "" where the org has none
	// Kind decides whether the folder default serves the org, and whether the user of a
	// scratch org is filled in. An org of an unknown kind counts as production.
	Kind salesforce.Kind
	// DomainURL is the org's own domain, like https://example.my.salesforce.com.
	DomainURL string
	// Version is the API version of the calls.
	Version apiversion.Version
	// ApplyPolicies makes the OAuth policies part of what is wanted, whatever the
	// project says.
	ApplyPolicies bool
	// Undeployed says that nobody deploys the policies after the run.
	Undeployed bool

	applying   bool // policies are to be applied, by ApplyPolicies or by the project
	appliesAny bool // policies of any of the apps are to be applied
	warn       func(warning string)
}

// name is what the org is called, by alias where it has one.
func (t Target) name() string {
	if t.Alias != "" {
		return t.Alias
	}
	return t.Username
}

// folders returns the folders of a package that are deployed to this org.
func (t Target) folders(in place, p sfp.Package) ([]string, error) {
	folders, err := in.DeployedFolders(p, t.Alias, t.Kind.IsSandbox())
	if none, ok := errors.AsType[*sfp.AliasError](err); ok {
		return nil, &sfp.AliasError{Package: none.Package, Alias: t.name()}
	}
	if err == nil && path.Base(folders[0]) != t.Alias {
		t.similar(in, p, folders[0])
	}
	return folders, err
}

// similar warns where a folder differs from the alias by case alone. sfp passes it
// over, and hardly anybody means that.
func (t Target) similar(in place, p sfp.Package, used string) {
	for _, dir := range in.Dirs(p.Path) {
		if strings.EqualFold(path.Base(dir), t.Alias) {
			t.warn(fmt.Sprintf("%s is not used for the alias %s, because case counts to sfp; %s is", dir, t.Alias, used))
		}
	}
}

// Resolved is what a run wants of an org.
type Resolved struct {
	Apps     []*App
	Skipped  []AppReport // apps that are not Local, which a bootstrap leaves alone
	Policies []Policies
	Warnings []string

	// Preflight is what becomes of findings about the policies.
	Preflight eca.Preflight
}

// Resolve chooses the environment for the org and says what is wanted of each
// app: the project's settings, those of the environment, and what the
// environment's policies imply. Settings that contradict one another, or that
// the API version does not know, are an error.
func (s *Source) Resolve(target Target) (*Resolved, error) {
	resolved := &Resolved{Preflight: s.project.Settings.Preflight}
	target.warn = func(warning string) {
		if !slices.Contains(resolved.Warnings, warning) {
			resolved.Warnings = append(resolved.Warnings, warning)
		}
	}
	for _, warning := range s.warnings {
		target.warn(warning)
	}
	target.applying = target.ApplyPolicies || s.project.Settings.ApplyPolicies
	headers, err := s.headers(target)
	if err != nil {
		return nil, err
	}
	var local []header
	for _, h := range headers {
		if h.Local() {
			local = append(local, h)
		} else {
			resolved.Skipped = append(resolved.Skipped, AppReport{Name: h.FullName, DistributionState: h.distributionState()})
		}
	}
	if err := s.checkNames(headers, target.warn); err != nil {
		return nil, err
	}
	if len(local) > 0 {
		target.appliesAny = s.applies(local, target)
		if resolved.Policies, err = s.policies(local, target); err != nil {
			return nil, err
		}
	}
	for _, h := range local {
		app, err := s.wanted(h, resolved.Policies, target)
		if err != nil {
			return nil, err
		}
		resolved.Apps = append(resolved.Apps, app)
	}
	for i := range resolved.Policies {
		if place := &resolved.Policies[i]; place.left || len(place.oauth) > 0 && !place.used {
			place.Why += "; " + sfp.IgnoreFile + " leaves them out, so they are not deployed"
		}
	}
	return resolved, nil
}

// checkNames catches settings that count for nothing because no header has the
// app's name: it is an error where the name differs by case alone. Other names
// are warned of where all headers of the project are at hand, or where one at
// hand has a similar name and no settings.
func (s *Source) checkNames(headers []header, warn func(string)) error {
	var without []string // headers without settings
	for _, h := range headers {
		if _, ok := s.project.Settings.Apps[h.FullName]; !ok {
			without = append(without, h.FullName)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.project.Settings.Apps)) {
		if slices.ContainsFunc(headers, func(h header) bool { return h.FullName == name }) {
			continue
		}
		for _, app := range without {
			if strings.EqualFold(name, app) {
				wrong := &metadata.SettingError{Path: "plugins.eca.apps." + name, Err: fmt.Errorf("the app of this package is written %s", app)}
				return &sfp.ProjectError{File: s.name(s.project.File), Err: wrong}
			}
		}
		if similar := words.DidYouMean(name, without); similar != "" || s.location.Package == "" {
			warn(fmt.Sprintf("%s: plugins.eca.apps.%s is for an app that has no header here%s", s.name(s.project.File), name, similar))
		}
	}
	return nil
}

func (s *Source) wanted(h header, policies []Policies, target Target) (*App, error) {
	settings := s.project.Settings.For(h.FullName, target.Alias, target.Kind.IsSandbox())
	app := &App{
		Name: h.FullName, Label: cmp.Or(h.Text("label"), h.FullName), Environment: settings.Environment,
		PermissionSets: settings.PermissionSets, AssignToRunAsUser: settings.AssignToRunAsUser != nil && *settings.AssignToRunAsUser, HandOver: settings.HandOver,
	}
	app.source = h.stated
	app.replaced = s.project.Replaces
	apply := target.ApplyPolicies || settings.ApplyPolicies
	app.policies = filesOf(app.Name, policies, apply)
	org := eca.Org{Alias: target.Alias, Name: target.name(), Sandbox: target.Kind.IsSandbox(), DomainURL: target.DomainURL, Version: target.Version}
	var files []eca.SourceFile
	for _, file := range app.policies {
		files = append(files, eca.SourceFile{File: file.File, Component: file.Component})
	}
	var err error
	if app.Wanted, err = s.project.Settings.Wanted(app.Name, org, files, s.certificates[certificatesOf(h.Package, app.Name)]); err != nil {
		return nil, &sfp.ProjectError{File: s.name(s.project.File), Err: err}
	}
	app.wrong = s.applied(app, apply, target)
	app.checked = len(app.policies) > 0 && s.project.Settings.Preflight != eca.PreflightOff && (apply || !target.Undeployed)
	for name := range s.project.Settings.Apps[h.FullName].Environments {
		if name != settings.Environment && strings.EqualFold(name, target.Alias) {
			target.warn(fmt.Sprintf("%s: plugins.eca.apps.%s.environments.%s is not used for the alias %s, because case counts", s.name(s.project.File), h.FullName, name, target.Alias))
		}
	}
	app.plan(target.DomainURL)
	return app, nil
}

// filesOf returns the files with an app's policies. One that .forceignore leaves
// out is not deployed, so it counts only where it is to be applied, and there is no
// other.
func filesOf(app string, policies []Policies, apply bool) (files []policiesFile) {
	for _, ignored := range []bool{false, true} {
		for i := range policies {
			for _, file := range policies[i].oauth {
				if file.Ignored == ignored && strings.EqualFold(eca.App(file.Component), app) {
					policies[i].used = true
					file.place = &policies[i]
					files = append(files, file)
				}
			}
		}
		if len(files) > 0 || !apply {
			break
		}
	}
	return files
}

// applied states the app's OAuth policies where they are to be applied, and fills
// in the scratch org's user.
func (s *Source) applied(app *App, apply bool, target Target) error {
	if !apply || len(app.policies) == 0 {
		return nil
	}
	if len(app.policies) > 1 {
		return &PoliciesError{App: app.Name, Files: []string{app.policies[0].File, app.policies[1].File}}
	}
	file := app.policies[0]
	if s.project.Replaces {
		target.warn(fmt.Sprintf("%s has replacements, which sf makes when it deploys, and eca does not in the policies that it applies", s.name(s.project.File)))
	}
	for _, problem := range eca.Problems(file.Component, target.Version) {
		later := target.Version > apiversion.Latest // which may have what this table does not
		if problem.Kind == metadata.SecretValue || later && (problem.Kind == metadata.UnknownField || problem.Kind == metadata.WrongValue) {
			continue
		}
		return &PoliciesError{App: app.Name, Files: []string{file.File}, Problem: &problem}
	}
	filled := *file.Component
	filled.Fields = nil
	stated := make(metadata.Fields)
	for _, f := range file.Fields {
		f.Text = strings.TrimSpace(f.Text)
		if f.Name == "clientCredentialsFlowUser" && strings.TrimSpace(f.Text) == eca.UsernamePlaceholder {
			wrong := func(format string, args ...any) error {
				return &metadata.SourceError{Path: file.File, Field: f.Name, Err: fmt.Errorf(format, args...)}
			}
			switch {
			case target.Username == "":
				return wrong("%s cannot be filled in, because it is not known whose session this is", eca.UsernamePlaceholder)
			case target.Kind != salesforce.Scratch:
				return wrong("%s is filled in on scratch orgs only; name the user of this environment", eca.UsernamePlaceholder)
			}
			f.Text = target.Username
		}
		filled.Fields = append(filled.Fields, f)
		if f.Name != "externalClientApplication" {
			stated[f.Name] = append(stated[f.Name], f)
		}
	}
	app.policies[0].Component = &filled
	app.Wanted[eca.OAuthPolicies] = stated
	return nil
}

// PoliciesError says that policies are to be applied, and cannot be.
type PoliciesError struct {
	App     string
	Files   []string          // one, or two where one was expected
	Problem *metadata.Problem // with a field of the file, nil where there are two files
}

func (e *PoliciesError) Error() string {
	if e.Problem == nil {
		return fmt.Sprintf("%s has OAuth policies in %s, and only one of them can be applied", e.App, strings.Join(e.Files, " and in "))
	}
	return fmt.Sprintf("%s: %s: %v, so the policies cannot be applied; %s", e.Files[0], e.Problem.Field, e.Problem.Err, e.Problem.Fix)
}

// Unwrap returns what is wrong with the field, or nil.
func (e *PoliciesError) Unwrap() error {
	if e.Problem == nil {
		return nil
	}
	return e.Problem.Err
}
