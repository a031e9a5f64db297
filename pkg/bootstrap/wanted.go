package bootstrap

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
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
	// scratch org is filled in. An org of an unknown kind is no sandbox.
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

// folders resolves the folder of an aliasfied package that is deployed to this
// org. In merge mode the default folder stands behind it: sfp build merges its
// files into each folder that does not have them.
func (t Target) folders(in place, p sfp.Package) ([]string, error) {
	dir, err := in.ResolveAlias(p, t.Alias, t.Kind.IsSandbox())
	var none *sfp.AliasError
	if errors.As(err, &none) {
		return nil, &sfp.AliasError{Package: none.Package, Alias: t.name()}
	}
	if err != nil {
		return nil, err
	}
	if path.Base(dir) != t.Alias {
		t.similar(in, p, dir)
	}
	folders := []string{dir}
	if p.MergeMode {
		fallback, err := in.ResolveAlias(p, sfp.DefaultFolder, t.Kind.IsSandbox())
		if err == nil && fallback != dir {
			folders = append(folders, fallback)
		}
	}
	return folders, nil
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
	Left     []Header // apps that are not Local, which a bootstrap leaves alone
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
	var local []Header
	for _, h := range headers {
		if h.Local() {
			local = append(local, h)
		} else {
			resolved.Left = append(resolved.Left, h)
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
func (s *Source) checkNames(headers []Header, warn func(string)) error {
	var without []string // headers without settings
	for _, h := range headers {
		if _, ok := s.project.Settings.Apps[h.FullName]; !ok {
			without = append(without, h.FullName)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.project.Settings.Apps)) {
		if slices.ContainsFunc(headers, func(h Header) bool { return h.FullName == name }) {
			continue
		}
		for _, app := range without {
			if strings.EqualFold(name, app) {
				return s.settingError(name, "", fmt.Errorf("the app of this package is written %s", app))
			}
		}
		if similar := words.DidYouMean(name, without); similar != "" || s.location.Package == "" {
			warn(fmt.Sprintf("%s: plugins.eca.apps.%s is for an app that has no header here%s", s.name(s.project.File), name, similar))
		}
	}
	return nil
}

func (s *Source) settingError(app, rest string, err error) error {
	return &sfp.ProjectError{File: s.name(s.project.File), Err: &metadata.SettingError{Path: "plugins.eca.apps." + app + rest, Err: err}}
}

func (s *Source) wanted(h Header, policies []Policies, target Target) (*App, error) {
	settings := s.project.Settings.For(h.FullName, target.Alias, target.Kind.IsSandbox())
	app := &App{
		Name: h.FullName, Label: cmp.Or(h.Text("label"), h.FullName), Wanted: make(map[string]metadata.Stated), Environment: settings.Environment,
		PermissionSets: settings.PermissionSets, AssignToRunAsUser: settings.AssignToRunAsUser != nil && *settings.AssignToRunAsUser,
	}
	app.source = h.stated
	app.replaced = s.project.Replaces
	for _, typ := range types {
		stated := settings.Of(typ).Over(nil)
		if err := s.certificate(stated, h.Package); err != nil {
			return nil, s.fieldError(app, typ, "certificate", err)
		}
		if field, err := fill(stated, target); err != nil {
			return nil, s.fieldError(app, typ, field, err)
		}
		app.Wanted[typ] = stated
	}
	apply := target.ApplyPolicies || settings.ApplyPolicies
	app.policies = filesOf(app.Name, policies, apply)
	app.wrong = s.applied(app, apply, target)
	app.checked = len(app.policies) > 0 && s.project.Settings.Preflight != eca.PreflightOff && (apply || !target.Undeployed)
	if err := s.imply(app); err != nil {
		return nil, err
	}
	for _, typ := range types {
		var wrong *metadata.SettingError
		if err := eca.Lookup(typ).CheckVersion(app.Wanted[typ], target.Version); errors.As(err, &wrong) {
			return nil, s.fieldError(app, typ, wrong.Path, wrong.Err)
		}
	}
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

// implied pairs a flow's switch in the OAuth policies with the one in the global
// settings that must be on as well. The platform's documentation says so for
// client credentials; the other two flows have the same pair of switches.
var implied = []struct{ policy, global string }{
	{"isClientCredentialsFlowEnabled", "isClientCredentialsFlowEnabled"},
	{"isTokenExchangeFlowEnabled", "isTokenExchangeEnabled"},
	{"isGuestCodeCredFlowEnabled", "isCodeCredFlowEnabled"},
}

// applied states the app's OAuth policies where they are to be applied, and fills
// in the scratch org's user.
func (s *Source) applied(app *App, apply bool, target Target) error {
	if !apply || len(app.policies) == 0 {
		return nil
	}
	if len(app.policies) > 1 {
		return fmt.Errorf("%s has OAuth policies in %s and in %s, and only one of them can be applied; give the right directory with --policies", app.Name, app.policies[0].File, app.policies[1].File)
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
		fix := problem.Fix
		if problem.Kind == metadata.NewerField {
			fix = "choose a later --api-version, or remove it"
		}
		return &metadata.SourceError{Path: file.File, Field: problem.Field, Err: fmt.Errorf("%w, so that the policies cannot be applied; %s", problem.Err, fix)}
	}
	filled := *file.Component
	filled.Fields = nil
	stated := make(metadata.Stated)
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

// imply adds what the environment's OAuth policies need of the app's settings.
func (s *Source) imply(app *App) error {
	global, plugins := app.Wanted[eca.GlobalOAuthSettings], app.Wanted[eca.PluginPolicies]
	for _, file := range app.policies {
		for _, name := range []string{"isEnabled", "isOauthPluginEnabled"} {
			if plugins.Has(name) && isFalse(plugins, name) {
				return s.fieldError(app, eca.PluginPolicies, name, fmt.Errorf("is false, so that the platform would refuse the OAuth policies in %s", file.File))
			}
		}
		for _, pair := range implied {
			if !eca.Bool(file.Component, pair.policy) {
				continue
			}
			if isFalse(global, pair.global) {
				return s.fieldError(app, eca.GlobalOAuthSettings, pair.global, fmt.Errorf("is false, but %s turns %s on", file.File, pair.policy))
			}
			global.Set(pair.global, "true")
		}
	}
	return nil
}

func isFalse(stated metadata.Stated, name string) bool {
	values := stated[name]
	return len(values) == 1 && values[0].Text == "false"
}

// fieldError is a setting error about a field, at the place that states it: the
// app's settings, or those of the environment.
func (s *Source) fieldError(app *App, typ, field string, err error) error {
	at, settings := "", s.project.Settings.Apps[app.Name]
	name, _, _ := strings.Cut(field, ".")
	if environment := settings.Environments[app.Environment]; environment.Of(typ).Has(name) {
		at, settings = ".environments."+app.Environment, environment
	}
	return s.settingError(app.Name, at+"."+settings.Key(typ)+"."+field, err)
}

var placeholder = regexp.MustCompile(`\{[A-Za-z]+\}`)

// fill replaces the placeholders in all texts of the statement. Beside an error it
// returns the field concerned.
func fill(stated metadata.Stated, target Target) (field string, err error) {
	known := map[string]string{"{orgDomainUrl}": target.DomainURL, "{alias}": target.name()}
	var replace func(fields []metadata.Field) []metadata.Field
	replace = func(fields []metadata.Field) []metadata.Field {
		fields = slices.Clone(fields)
		for i := range fields {
			fields[i].Text = placeholder.ReplaceAllStringFunc(fields[i].Text, func(name string) string {
				text, ok := known[name]
				if !ok && err == nil {
					err = fmt.Errorf("there is no placeholder %s, only %s", name, strings.Join(slices.Sorted(maps.Keys(known)), " and "))
				}
				return text
			})
			fields[i].Fields = replace(fields[i].Fields)
		}
		return fields
	}
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		if stated[name] = replace(stated[name]); err != nil {
			return name, err
		}
	}
	return "", nil
}
