package wanted

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
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Target is the org of a run, as far as it determines files and values.
type Target struct {
	Username string
	Alias    string // "" if the org has none
	OrgID    string // "" if unknown
	// Kind decides whether the folder default serves the org, and whether the placeholder for
	// the run-as user is replaced. An unknown kind counts as production.
	Kind platform.Kind
	// DomainURL is the org's domain, like https://example.my.salesforce.com.
	DomainURL string
	// Version is the API version of the calls.
	Version apiversion.Version
	// ApplyPolicies includes the OAuth policies in the wanted state, whatever the project says.
	ApplyPolicies bool
	// Headers includes the apps' headers in the wanted state. Default: sfp deploys them first.
	Headers bool
	// Undeployed reports that nobody deploys the policies after the run.
	Undeployed bool
}

// name returns the org's alias, or its username if it has none.
func (t Target) name() string { return cmp.Or(t.Alias, t.Username) }

// resolution is one call of Resolve.
type resolution struct {
	Target
	headers  []header // of Local apps
	applying bool     // ApplyPolicies, or the project's setting
	applies  bool     // applying for at least one of the apps
	found    []*foundPolicies
	created  map[string]bool // permission sets that the run creates, folded
	warnings []string
	errs     Errors
}

// fail records an error once, so that it does not hide those after it. nil is none.
func (r *resolution) fail(err error) {
	if err != nil && !slices.ContainsFunc(r.errs, func(other error) bool { return other.Error() == err.Error() }) {
		r.errs = append(r.errs, err)
	}
}

// err returns what was recorded: nil, one error, or Errors.
func (r *resolution) err() error {
	switch len(r.errs) {
	case 0:
		return nil
	case 1:
		return r.errs[0]
	}
	return r.errs
}

// Errors are at least two errors about the apps of a source.
type Errors []error

func (all Errors) Error() string {
	texts := make([]string, len(all))
	for i, err := range all {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the first.
func (all Errors) Unwrap() error { return all[0] }

// warn adds a warning once.
func (r *resolution) warn(warning string) {
	if !slices.Contains(r.warnings, warning) {
		r.warnings = append(r.warnings, warning)
	}
}

// warnLiteral warns about a file that sfp deploys without the project's replacements.
func (r *resolution) warnLiteral(f project.SourceFile, file string) {
	if f.Literal {
		r.warn(file + ": sfp deploys the file as it stands, without the replacements of " + sfp.ProjectFile)
	}
}

// folders returns the folders of a package that are deployed to this org.
func (r *resolution) folders(in place, p sfp.Package) ([]string, error) {
	folders, err := in.DeployedFolders(p, r.Alias, r.Kind.IsSandbox())
	if none, ok := errors.AsType[*sfp.AliasError](err); ok {
		if project.IsEnvironments(p) {
			return nil, &project.EnvironmentError{Alias: r.name(), Sandbox: r.Kind.IsSandbox()}
		}
		return nil, &sfp.AliasError{Package: none.Package, Alias: r.name()}
	}
	if err == nil && path.Base(folders[0]) != r.Alias {
		r.warnSimilar(in, p, folders[0])
	}
	return folders, err
}

// warnSimilar warns about folders that differ from the alias by case alone. sfp ignores them, which
// is rarely intended.
func (r *resolution) warnSimilar(in place, p sfp.Package, used string) {
	for _, dir := range in.Dirs(p.Path) {
		if strings.EqualFold(path.Base(dir), r.Alias) {
			r.warn(fmt.Sprintf("%s is not used for the alias %s, because names are case-sensitive; %s is used", dir, r.Alias, used))
		}
	}
}

// Skipped is an app that gets its OAuth from its package.
type Skipped struct {
	Name              string
	DistributionState string // not Local
}

// Resolved is the wanted state of an org.
type Resolved struct {
	Apps     []*App
	Skipped  []Skipped // apps that are not Local
	Policies []Policies
	Warnings []string

	// Preflight is how findings about the policies are treated.
	Preflight project.Preflight
}

// Resolve selects the org's environment and returns the wanted state of each app: the project's
// settings, those of the environment, and what the environment's policies imply. Settings that
// contradict one another, or that the API version does not know, are an error: Errors if there are several
// of one or of several apps.
func (s *Source) Resolve(target Target) (*Resolved, error) {
	r := &resolution{
		Target: target, applying: target.ApplyPolicies || s.applyByDefault(), created: make(map[string]bool),
	}
	for _, warning := range s.warnings {
		r.warn(warning)
	}
	headers, err := s.headers(r)
	if err != nil {
		return nil, err
	}
	r.fail(s.checkNames(headers, r.warn))
	resolved := &Resolved{Preflight: s.project.Settings.Preflight}
	for _, h := range headers {
		if h.Local() {
			r.headers = append(r.headers, h)
			r.applies = r.applies || target.ApplyPolicies || s.settings(h, target).AppliesPolicies(false)
		} else {
			resolved.Skipped = append(resolved.Skipped, Skipped{h.FullName, h.distributionState()})
		}
	}
	if len(r.headers) > 0 {
		s.findPolicies(r)
	}
	for _, h := range r.headers {
		resolved.Apps = append(resolved.Apps, s.wanted(h, r))
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	for _, found := range r.found {
		if !found.used && (found.skipped || len(found.oauth) > 0) {
			found.Why += "; " + sfp.IgnoreFile + " leaves them out, so they are not deployed"
		}
		resolved.Policies = append(resolved.Policies, found.Policies)
	}
	resolved.Warnings = r.warnings
	return resolved, nil
}

// applyByDefault reports whether the project's setting applies the policies of apps.
func (s *Source) applyByDefault() bool {
	stated := s.project.Settings.ApplyPolicies
	return stated != nil && *stated
}

// settings returns the settings of an app for an org.
func (s *Source) settings(h header, target Target) project.Effective {
	return s.project.Settings.For(h.FullName, target.Alias, target.Kind.IsSandbox())
}

// checkNames checks for settings without a matching header. It is an error if the name differs
// by case alone. Other names cause a warning, but only if all headers of the project are known,
// or a known header without settings has a similar name.
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
				wrong := &project.SettingError{Path: "plugins.eca.apps." + name, Err: fmt.Errorf("the app of this package is named %s; use the same spelling", app)}
				return &sfp.ProjectError{File: s.name(s.project.File), Err: wrong}
			}
		}
		if similar := words.DidYouMean(name, without); similar != "" || !s.isOnePackage() {
			warn(fmt.Sprintf("%s: plugins.eca.apps.%s is for an app without a header here%s", s.name(s.project.File), name, similar))
		}
	}
	return nil
}

// wanted returns the wanted state of an app. It is of no use if the resolution has failed.
func (s *Source) wanted(h header, r *resolution) *App {
	target, settings := r.Target, s.settings(h, r.Target)
	app := &App{
		Name: h.FullName, Label: cmp.Or(h.Text("label"), h.FullName), Environment: settings.Environment,
		PermissionSets: settings.PermissionSets, AssignToRunAsUser: settings.AssignToRunAsUser != nil && *settings.AssignToRunAsUser, HandOver: settings.HandOver,
	}
	app.source, app.file, app.version = h.stated, h.File, target.Version
	s.checkSource(h, r)
	apply := (target.ApplyPolicies || settings.AppliesPolicies(r.ours(app.Name))) && !settings.Off()
	app.policies, app.idle = filesOf(app.Name, r.found, apply)
	org := project.Org{Alias: target.Alias, Name: target.name(), Sandbox: target.Kind.IsSandbox(), DomainURL: target.DomainURL, Version: target.Version}
	var files []project.SourceFile
	for _, file := range app.policies {
		if !app.idle {
			files = append(files, project.SourceFile{File: file.File, Component: file.Component})
		}
	}
	for _, warning := range s.project.Settings.WarningsFor(app.Name, app.Environment) {
		r.warn(s.name(s.project.File) + ": " + warning.String())
	}
	var err error
	if app.Wanted, err = s.project.Settings.Wanted(app.Name, org, files, s.certificates[certificatesOf(h.Package, app.Name)]); err != nil {
		r.fail(&sfp.ProjectError{File: s.name(s.project.File), Err: err})
	}
	app.splitImplied(settings)
	if app.StatesConsumer() && app.File(eca.GlobalOAuthSettings) == "" && app.File(eca.OAuthSettings) != "" {
		r.leftOut(app.source[eca.OAuthSettings].Component, app.File(eca.OAuthSettings))
	}
	app.Wrong = s.applied(app, apply, r)
	app.checkPlaceholders(h, r)
	app.checked = len(app.policies) > 0 && !app.idle && !settings.Off() && s.project.Settings.Preflight != project.PreflightOff && (apply || !target.Undeployed)
	for name := range s.project.Settings.Apps[h.FullName].Environments {
		if name != settings.Environment && strings.EqualFold(name, target.Alias) {
			r.warn(fmt.Sprintf("%s: plugins.eca.apps.%s.environments.%s is not used for the alias %s, because names are case-sensitive", s.name(s.project.File), h.FullName, name, target.Alias))
		}
	}
	if target.Headers {
		app.header = r.withoutForeign(h.Component)
		r.fail(s.inDir(h.unreplaced))
	}
	_, inPackage := h.stated[eca.OAuthPolicies]
	if app.Deployer = s.deployer(app, r); apply && len(app.policies) == 0 && !inPackage && !r.Undeployed {
		r.warn(fmt.Sprintf("%s has no OAuth policies for %s, so none are deployed", app.Name, cmp.Or(target.name(), "this org")))
	}
	if target.Headers {
		app.CreatedSets = s.createdSets(app, r)
	}
	if !settings.Off() {
		s.findPlugins(app, func(byDefault bool) bool { return target.ApplyPolicies || settings.AppliesPolicies(byDefault) }, r)
		r.fail(app.checkPlugins())
	}
	app.remote = settings.RemoteSiteSetting != nil && *settings.RemoteSiteSetting
	app.plan(target.DomainURL)
	return app
}

// ours reports whether policies of an app are in project.EnvironmentsDir, which nobody else deploys.
func (r *resolution) ours(app string) bool {
	return slices.ContainsFunc(r.found, func(found *foundPolicies) bool {
		return found.ours && slices.ContainsFunc(found.oauth, func(file policiesFile) bool { return strings.EqualFold(eca.App(file.Component), app) })
	})
}

// filesOf returns the files with an app's policies. An ignored file is not deployed, so it counts only if
// there is no other file. idle reports that nobody deploys the files then, because policies are not applied.
func filesOf(app string, policies []*foundPolicies, apply bool) (files []policiesFile, idle bool) {
	var ignored []policiesFile
	for _, found := range policies {
		for _, file := range found.oauth {
			switch {
			case !strings.EqualFold(eca.App(file.Component), app):
			case file.Ignored:
				ignored = append(ignored, file)
			default:
				files = append(files, file)
			}
		}
	}
	if len(files) == 0 {
		files, idle = ignored, !apply && len(ignored) > 0
	}
	for _, file := range files {
		file.found.used = file.found.used || !idle
	}
	return files, idle
}

// applied adds the app's OAuth policies to its wanted state if they are to be applied, and
// replaces the placeholder for the run-as user.
func (s *Source) applied(app *App, apply bool, r *resolution) error {
	if !apply || len(app.policies) == 0 {
		return nil
	}
	if len(app.policies) > 1 {
		return &PoliciesError{App: app.Name, Files: []string{app.policies[0].File, app.policies[1].File}}
	}
	file, target := app.policies[0], r.Target
	if file.unreplaced != nil {
		return s.inDir(file.unreplaced)
	}
	for _, problem := range r.check(file.Component, file.File) {
		if problem.Kind != metadata.SecretValue {
			return &PoliciesError{App: app.Name, Files: []string{file.File}, Problem: problem}
		}
	}
	filled := *file.Component
	filled.Fields = nil
	for _, f := range file.Fields {
		f.Text = strings.TrimSpace(f.Text)
		if f.Name == "clientCredentialsFlowUser" && f.Text == eca.UsernamePlaceholder {
			wrong := func(format string, args ...any) error {
				return &metadata.SourceError{Path: file.File, Field: f.Name, Err: fmt.Errorf(format, args...)}
			}
			switch {
			case target.Username == "":
				return wrong("%s cannot be replaced, because the session's user is unknown", eca.UsernamePlaceholder)
			case target.Kind != platform.Scratch:
				return wrong("%s is replaced on scratch orgs only; name the user of this environment", eca.UsernamePlaceholder)
			}
			f.Text = target.Username
		}
		filled.Fields = append(filled.Fields, f)
	}
	app.policies[0].Component = &filled
	app.Wanted[eca.OAuthPolicies] = stated(&filled, app.version)
	return nil
}

// stated returns the fields that a file with policies states about an app, and that the API version has.
func stated(policies *metadata.Component, v apiversion.Version) metadata.Fields {
	fields := eca.Lookup(policies.Type).Sendable(policies, v)
	delete(fields, "externalClientApplication")
	return fields
}

// deployer returns who deploys an app's policies.
func (s *Source) deployer(app *App, r *resolution) Deployer {
	switch {
	case len(app.policies) == 0:
		return ""
	case app.Applied() || app.Wrong != nil:
		return ByECA
	case app.idle:
		return ByNobody
	case r.Undeployed || app.policies[0].found.given || app.policies[0].found.ours:
		return ByOthers
	case s.Layout == project.LayoutSFP:
		return BySFP
	}
	return BySF
}

// createdSets returns the permission sets of the app's settings and applied policies that the run creates
// if the org lacks them, except those that an earlier app has.
func (s *Source) createdSets(app *App, r *resolution) (all []*metadata.Want) {
	for _, name := range app.sets() {
		key := strings.ToLower(name)
		if c := s.creatable[key]; c != nil && !r.created[key] {
			r.created[key] = true
			all = append(all, &metadata.Want{Type: eca.Lookup(c.Type), Names: []string{c.FullName}, Defaults: metadata.ByName(c.Fields)})
		}
	}
	return all
}

// unknown returns the warning about an element or value of source that the tables do not have.
func unknown(file string, p metadata.Problem) string {
	return fmt.Sprintf("%s: %s: %v; %s", file, p.Field, p.Err, p.Fix)
}

// PoliciesError reports policies that cannot be applied.
type PoliciesError struct {
	App     string
	Files   []string          // one file, or two competing ones
	Problem *metadata.Problem // the problem with a field, nil for competing files
}

func (e *PoliciesError) Error() string {
	if e.Problem == nil {
		return fmt.Sprintf("%s has OAuth policies in %s, but only one of them can be applied", e.App, strings.Join(e.Files, " and in "))
	}
	return fmt.Sprintf("%s: %s: %v, so the policies cannot be applied; %s", e.Files[0], e.Problem.Field, e.Problem.Err, e.Problem.Fix)
}

// Unwrap returns the problem's error, or nil.
func (e *PoliciesError) Unwrap() error {
	if e.Problem == nil {
		return nil
	}
	return e.Problem.Err
}
