// Package scaffold adds a new External Client App to an sfp project: the app's header in a
// source package with the bootstrap script, an aliasfied package with each environment's
// policies, and the packages and settings in sfdx-project.json.
package scaffold

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/project"

	"github.com/rogpeppe/go-internal/lockedfile"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Config describes the new app and its place in the project.
type Config struct {
	App          string // the header's fullName
	Label        string // "" means the app's name with spaces for underscores
	ContactEmail string // required in every header

	// Definition and Policies are the directories of the two packages, relative to the project.
	// The last path element is the package's name. "" means eca-definition and eca-policies
	// beside the project's first package. Existing packages are extended.
	Definition, Policies string

	// Environments get their own folders in the policies package, beside default.
	Environments []Environment

	// Scopes are OAuth scopes, by their metadata names; none means the preset's, or Api and
	// RefreshToken.
	Scopes       []string
	CallbackURLs []string // none means the org's own domain

	// Preset is the use that settings and policies are written for: the name of one of
	// Presets, "" for none in particular.
	Preset string

	// PermissionSets grant the app. Those that the project lacks are created, empty.
	PermissionSets []string
	// SetsElsewhere says that the permission sets are on the orgs, so that none is created.
	SetsElsewhere bool

	// Fields are what the app states besides, by type: of the header, of its OAuth policies, SAML
	// policies and canvas settings in every environment, and of its settings, which they replace.
	Fields map[string]metadata.Fields

	// Certificate is the PEM certificate of the key pair for JWT bearer; nil means none.
	Certificate []byte
}

// Environment is one or several orgs with their own policies.
type Environment struct {
	Alias string // the org's alias in sf, used as the folder's name
	// RunAsUser is the user that the client credentials flow runs as. "" leaves the flow off.
	RunAsUser string
}

// File is a file for Write.
type File struct {
	Path    string // relative to the proj, with slashes
	Content []byte
	Mode    fs.FileMode
	// Replaces reports that the file exists and is changed. It is true for the project file, and
	// for files of a package with an app of a Dev Hub.
	Replaces bool

	before []byte // its previous content
}

// script is the path of the script that sfp runs after deploying the definition.
const script = "scripts/bootstrap-eca-oauth.sh"

// windowsScript is its counterpart for cmd.exe, beside it.
const windowsScript = "scripts/bootstrap-eca-oauth.cmd"

// developerName matches the app names that the platform allows.
var developerName = regexp.MustCompile(`^[A-Za-z](_?[A-Za-z0-9])*$`)

// folderName matches aliases that are a single folder name and survive sfp's command line,
// which sfp does not quote.
var folderName = regexp.MustCompile(`^[A-Za-z0-9][\w.@+-]*$`)

// username matches Salesforce usernames, which have the form of an e-mail address.
var username = regexp.MustCompile(`^[^@\s,;=<>"]+@[^@\s,;=<>"]+$`)

// packagePath matches package directories that survive sfp's command line.
var packagePath = regexp.MustCompile(`^[\w.@+-]+(/[\w.@+-]+)*$`)

var placeholder = regexp.MustCompile(`\{[^{}]*\}`)

// Check returns an error if the configuration is invalid in itself.
func (c Config) Check() error {
	switch {
	case c.App == "":
		return errors.New("the app needs a name")
	case len(c.App) > 80 || !developerName.MatchString(c.App):
		return fmt.Errorf("%q is not a valid app name; use letters, digits and single underscores, starting with a letter", c.App)
	case strings.ContainsFunc(c.Label+c.ContactEmail, unicode.IsControl):
		return errors.New("label and address must not contain control characters or line breaks")
	case !strings.Contains(c.ContactEmail, "@"):
		return fmt.Errorf("%q is not an e-mail address; give that of the app's contact", c.ContactEmail)
	}
	preset, err := c.preset()
	if err != nil {
		return err
	}
	switch {
	case preset.PreAuthorised && len(c.PermissionSets) == 0:
		return fmt.Errorf("the preset %s admits only pre-authorised users; name a permission set that grants the app", preset.Name)
	case preset.Callbacks && len(c.CallbackURLs) == 0:
		return fmt.Errorf("the preset %s needs a callback URL; give one", preset.Name)
	}
	for _, name := range c.PermissionSets {
		if len(name) > 80 || !developerName.MatchString(name) {
			return fmt.Errorf("%q is not a valid permission set name", name)
		}
	}
	if c.Certificate != nil {
		if _, err := metadata.CertificatePEM(c.Certificate); err != nil {
			return fmt.Errorf("the certificate %w", err)
		}
	}
	seen := make(map[string]bool)
	for _, e := range c.Environments {
		switch {
		case strings.EqualFold(e.Alias, sfp.DefaultFolder):
			return errors.New("the environment default is always created, with client credentials off; leave it out")
		case !folderName.MatchString(e.Alias) || eca.Types().IsFolder(e.Alias):
			return fmt.Errorf("%q is not a valid folder name for an environment", e.Alias)
		case seen[strings.ToLower(e.Alias)]:
			return fmt.Errorf("the environment %s is given twice", e.Alias)
		case e.RunAsUser != "" && !username.MatchString(e.RunAsUser):
			return fmt.Errorf("%q is not a Salesforce username", e.RunAsUser)
		}
		seen[strings.ToLower(e.Alias)] = true
	}
	for _, url := range c.CallbackURLs {
		for _, name := range placeholder.FindAllString(url, -1) {
			if name != "{orgDomainUrl}" && name != "{alias}" {
				return fmt.Errorf("the callback URL %s has the unknown placeholder %s; use {orgDomainUrl} or {alias}", url, name)
			}
		}
	}
	for _, dir := range []string{c.Definition, c.Policies} {
		if dir != "" && (!packagePath.MatchString(dir) || !fs.ValidPath(dir) || dir == ".") {
			return fmt.Errorf("%q is not a valid package directory; give a path inside the project, relative to it and without spaces", dir)
		}
	}
	if preset.Certificate && c.Certificate == nil {
		return ErrNoCertificate
	}
	return nil
}

// ErrNoCertificate reports that the preset needs a certificate, and that nothing else is wrong.
var ErrNoCertificate = errors.New("the preset needs a certificate")

// New returns the files that add the app to the project in fsys, in the order to write them.
// The project file comes last, so it never names files that do not exist. Existing files stay
// unchanged, except that the project file gets additions. A file in the way is an error.
func New(fsys fs.FS, config Config) ([]File, error) {
	if err := config.Check(); err != nil {
		return nil, err
	}
	target, err := readProject(fsys)
	if err != nil {
		return nil, err
	}
	proj := target.Project
	for app := range proj.Settings.Apps {
		if strings.EqualFold(app, config.App) {
			return nil, fmt.Errorf("%s already has settings of %s, and init adds new apps only; for another environment, copy a folder of the policies", sfp.ProjectFile, app)
		}
	}
	if v := proj.SourceAPIVersion; v != 0 && v < eca.MinVersion {
		return nil, fmt.Errorf("%s: sourceApiVersion is %s, but External Client Apps with policies need %s", sfp.ProjectFile, v, eca.MinVersion)
	}
	if config.Fields, err = fieldsFor(config.Fields, proj.SourceAPIVersion); err != nil {
		return nil, err
	}
	if config.Definition == "" {
		config.Definition = target.beside("eca-definition")
	}
	if config.Policies == "" {
		config.Policies = target.beside("eca-policies")
	}
	packages, err := newPackages(fsys, proj, config)
	if err != nil {
		return nil, err
	}
	dirs := []string{config.Policies}
	for _, p := range proj.Packages {
		dirs = append(dirs, p.Path)
	}
	source := project.ReadSource(fsys, dirs...)
	for _, p := range proj.Packages {
		for _, f := range source.Components(p.Path, eca.Header) {
			if strings.EqualFold(f.Name, config.App) {
				return nil, fmt.Errorf("%s is already a header of %s; init adds new apps only, and overwrites nothing", f.File, config.App)
			}
		}
	}

	preset, err := config.preset()
	if err != nil {
		return nil, err
	}
	label := config.Label
	if label == "" {
		label = strings.ReplaceAll(config.App, "_", " ")
	}
	fields := config.Fields[eca.Header].Over(nil)
	fields.Set("contactEmail", config.ContactEmail)
	fields.Set("distributionState", "Local")
	fields.Set("isProtected", "false")
	fields.Set("label", label)
	header, err := sourceFile(config.Definition, eca.Header, config.App, fields)
	if err != nil {
		return nil, err
	}
	files := []File{header}
	folders, others, err := existingFolders(fsys, source, config)
	if err != nil {
		return nil, err
	}
	files = append(files, others...)
	for _, f := range folders {
		file, err := policies(config, preset, label, f)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
		for _, plugin := range plugins {
			if fields := config.Fields[plugin.typ]; len(fields) > 0 {
				fields = fields.Over(nil)
				fields.Set("externalClientApplication", config.App)
				fields.Set("label", label)
				if file, err = sourceFile(f.dir, plugin.typ, config.App+plugin.ending, fields); err != nil {
					return nil, err
				}
				files = append(files, file)
			}
		}
	}
	if config.Certificate != nil {
		text, err := metadata.CertificatePEM(config.Certificate)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: path.Join(config.Definition, certificateFile(config.App)), Content: []byte(text + "\n")})
	}
	for _, name := range config.PermissionSets {
		if !config.SetsElsewhere && !hasPermissionSet(source, proj, name) {
			files = append(files, permissionSet(config.Definition, name))
		}
	}
	if _, err := fs.Stat(fsys, script); errors.Is(err, fs.ErrNotExist) {
		for _, name := range []string{script, windowsScript} {
			content, err := fs.ReadFile(ecakit.Sample, name)
			if err != nil {
				return nil, err
			}
			files = append(files, File{Path: name, Content: content, Mode: 0o755})
		}
	} else if calls, err := project.CallsHook(fsys, script); err != nil {
		return nil, fmt.Errorf("cannot create %s: its path contains something other than a directory of the project", script)
	} else if !calls {
		return nil, fmt.Errorf("%s already exists but does not call eca; init overwrites nothing", script)
	}
	var inTheWay []string
	for i := range files {
		if files[i].Mode == 0 {
			files[i].Mode = 0o644
		}
		if _, err := fs.Lstat(fsys, files[i].Path); err == nil {
			inTheWay = append(inTheWay, files[i].Path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("cannot create %s: its path contains something other than a directory of the project", files[i].Path)
		}
	}
	if len(inTheWay) > 0 {
		return nil, fmt.Errorf("%s already exists; init overwrites nothing", strings.Join(inTheWay, ", "))
	}
	settings, err := settingsOf(config, preset)
	if err != nil {
		return nil, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	edited, err := target.edit(packages, []string{"eca", "apps", config.App}, settings)
	if err != nil {
		return nil, err
	}
	return append(files, edited), nil
}

// fieldsFor returns fields as an API version has them, 0 for the latest. Before 63.0, the start page
// is a field of the OAuth policies.
func fieldsFor(fields map[string]metadata.Fields, v apiversion.Version) (map[string]metadata.Fields, error) {
	if v == 0 {
		return fields, nil
	}
	fields = maps.Clone(fields)
	if plugin := fields[eca.PluginPolicies]; plugin.Has("startUrl") && v < eca.Lookup(eca.PluginPolicies).Field("startUrl").Since {
		policies := fields[eca.OAuthPolicies].Over(nil)
		policies["startUrl"] = plugin["startUrl"]
		plugin = plugin.Over(nil)
		delete(plugin, "startUrl")
		delete(plugin, "startPage")
		fields[eca.PluginPolicies], fields[eca.OAuthPolicies] = plugin, policies
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		typ := eca.Lookup(name)
		if len(fields[name]) > 0 && typ.Since > v {
			return nil, fmt.Errorf("%s needs API version %s: raise sourceApiVersion in %s, which is %s", name, typ.Since, sfp.ProjectFile, v)
		}
		if err := typ.CheckVersion(fields[name], v); err != nil {
			return nil, fmt.Errorf("%w; raise sourceApiVersion in %s", err, sfp.ProjectFile)
		}
	}
	return fields, nil
}

// target is the project that files are added to.
type target struct {
	*project.Project
	data []byte      // of its file, read once: another run may change it meanwhile
	mode fs.FileMode // of its file
}

func readProject(fsys fs.FS) (*target, error) {
	data, err := fs.ReadFile(fsys, sfp.ProjectFile)
	if err != nil {
		return nil, err
	}
	proj, err := project.Parse(data)
	if err != nil {
		return nil, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	info, err := fs.Lstat(fsys, sfp.ProjectFile)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o200 == 0 {
		return nil, fmt.Errorf("%s is a link or write-protected; make it a regular, writable file", sfp.ProjectFile)
	}
	return &target{proj, data, info.Mode().Perm()}, nil
}

// beside returns a directory beside the project's first package.
func (t *target) beside(name string) string {
	if len(t.Packages) == 0 {
		return name
	}
	return path.Join(path.Dir(t.Packages[0].Path), name)
}

// edit returns the project file with packages and an entry of plugins added.
func (t *target) edit(packages []project.NewPackage, entry []string, settings any) (File, error) {
	edited, err := project.AddToProject(t.data, packages, entry, settings)
	if err != nil {
		return File{}, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	return File{Path: sfp.ProjectFile, Content: edited, Mode: t.mode, Replaces: true, before: t.data}, nil
}

// certificateFile is the path of the app's certificate below the definition's directory.
func certificateFile(app string) string { return "certs/" + app + ".crt" }

// hasPermissionSet reports whether the project has a permission set.
func hasPermissionSet(source *project.Source, proj *project.Project, name string) bool {
	file := strings.ToLower(name) + ".permissionset-meta.xml"
	for _, p := range proj.Packages {
		if slices.ContainsFunc(source.Files(p.Path), func(other string) bool { return strings.ToLower(path.Base(other)) == file }) {
			return true
		}
	}
	return false
}

// permissionSet returns the file of an empty permission set, which will grant the app.
func permissionSet(dir, name string) File {
	content := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<PermissionSet xmlns="%s">
    <hasActivationRequired>false</hasActivationRequired>
    <label>%s</label>
</PermissionSet>
`, metadata.Namespace, strings.ReplaceAll(name, "_", " "))
	return File{Path: path.Join(dir, "permissionsets", name+".permissionset-meta.xml"), Content: []byte(content)}
}

// policies returns the file with the app's OAuth policies for an environment.
func policies(config Config, preset Preset, label string, e folder) (File, error) {
	fields := make(metadata.Fields)
	permitted := "AllSelfAuthorized"
	if preset.PreAuthorised {
		permitted = "AdminApprovedPreAuthorized"
	}
	days := preset.RefreshTokenDays
	if days == 0 {
		days = 365
	}
	for _, f := range [][2]string{
		{"externalClientApplication", config.App},
		{"ipRelaxationPolicyType", "Enforce"},
		{"isClientCredentialsFlowEnabled", fmt.Sprint(e.RunAsUser != "")},
		{"label", label + " policies"},
		{"permittedUsersPolicyType", permitted},
		{"refreshTokenPolicyType", "SpecificLifetime"},
		{"refreshTokenValidityPeriod", fmt.Sprint(days)},
		{"refreshTokenValidityUnit", "Days"},
		{"requiredSessionLevel", "STANDARD"},
	} {
		fields.Set(f[0], f[1])
	}
	if stated := config.Fields[eca.OAuthPolicies]; stated != nil {
		if stated.Has("refreshTokenPolicyType") {
			delete(fields, "refreshTokenValidityPeriod")
			delete(fields, "refreshTokenValidityUnit")
		}
		flow := fields["isClientCredentialsFlowEnabled"]
		fields = stated.Over(fields)
		fields["isClientCredentialsFlowEnabled"] = flow
	}
	if e.RunAsUser != "" {
		fields.Set("clientCredentialsFlowUser", e.RunAsUser)
	}
	return sourceFile(e.dir, eca.OAuthPolicies, config.App+"_oauthPlcy", fields)
}

// plugins are the types that lie beside the OAuth policies, so that they come after the app's
// consumer, and how their names end.
var plugins = []struct{ typ, ending string }{{eca.SAMLPolicies, "_samlPlcy"}, {eca.CanvasSettings, "_canvas"}}

// folder is an environment with its directory.
type folder struct {
	Environment
	dir string
}

// existingFolders returns the folders that need the app's policies: default, those of the
// configuration, and existing folders with policies of other apps, because an org gets only its
// own folder. For the same reason, others are copies of default's policies of other apps for
// the new folders.
func existingFolders(fsys fs.FS, source *project.Source, config Config) (folders []folder, others []File, err error) {
	info, err := fs.Stat(fsys, config.Policies)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil, fmt.Errorf("cannot read %s: it is not a directory of the project", config.Policies)
	}
	there := make(map[string]string) // existing folders by alias
	var inDefault []string           // policies
	byFile := source.EnvironmentFolders(sfp.Package{Path: config.Policies, Aliasfy: true}, project.Layout())
	for _, f := range source.Components(config.Policies, eca.OAuthPolicies) {
		file, dir := f.File, byFile[f.File]
		if dir == "" {
			continue
		}
		if strings.EqualFold(f.App(), config.App) {
			return nil, nil, fmt.Errorf("%s already has policies of %s; init overwrites nothing", file, f.App())
		}
		alias := path.Base(dir)
		if other := there[alias]; other != "" && other != dir {
			return nil, nil, fmt.Errorf("%s and %s are both named %s, and sfp deploys only one of them; name the folders after the orgs' aliases, with one folder per org", other, dir, alias)
		}
		if there[alias] = dir; alias == sfp.DefaultFolder {
			inDefault = append(inDefault, file)
		}
	}
	fallback := cmp.Or(there[sfp.DefaultFolder], path.Join(config.Policies, sfp.DefaultFolder))
	folders = []folder{{Environment{Alias: sfp.DefaultFolder}, fallback}}
	delete(there, sfp.DefaultFolder)
	for _, e := range config.Environments {
		for _, alias := range slices.Sorted(maps.Keys(there)) {
			if alias != e.Alias && strings.EqualFold(alias, e.Alias) {
				return nil, nil, fmt.Errorf("the environment %s differs from %s by case alone, but sfp is case-sensitive; use the existing spelling", e.Alias, there[alias])
			}
		}
		dir := there[e.Alias]
		if dir == "" {
			dir = path.Join(path.Dir(fallback), e.Alias)
			for _, file := range inDefault {
				content, err := fs.ReadFile(fsys, file)
				if err != nil {
					return nil, nil, fmt.Errorf("cannot read %s", file)
				}
				others = append(others, File{Path: path.Join(dir, strings.TrimPrefix(file, fallback)), Content: content})
			}
		}
		folders = append(folders, folder{e, dir})
		delete(there, e.Alias)
	}
	for _, alias := range slices.Sorted(maps.Keys(there)) {
		folders = append(folders, folder{Environment{Alias: alias}, there[alias]})
	}
	return folders, others, reachable(source, config.Policies, folders)
}

// reachable returns an error if sfp would not choose a folder for its alias, or would deploy it
// together with another one.
func reachable(source *project.Source, root string, folders []folder) error {
	var dirs [][]string // existing and new directories below root, split into path elements
	for _, dir := range source.Dirs(root) {
		dirs = append(dirs, strings.Split(dir, "/"))
	}
	for _, f := range folders {
		dirs = append(dirs, strings.Split(f.dir, "/"))
	}
	slices.SortFunc(dirs, slices.Compare) // sfp's walk order
	for _, f := range folders {
		first := slices.IndexFunc(dirs, func(dir []string) bool { return dir[len(dir)-1] == f.Alias })
		if taken := path.Join(dirs[first]...); taken != f.dir {
			return fmt.Errorf("sfp would deploy %s to %s instead of %s; rename that directory first", taken, f.Alias, f.dir)
		}
		for _, other := range folders {
			if strings.HasPrefix(other.dir, f.dir+"/") {
				return fmt.Errorf("%s contains the folder of another environment, %s, and sfp deploys all of it to %s; choose another name", f.dir, other.dir, f.Alias)
			}
		}
	}
	return nil
}

// newPackages returns those of the two packages that the project lacks.
func newPackages(fsys fs.FS, proj *project.Project, config Config) (packages []project.NewPackage, err error) {
	if inside(config.Definition, config.Policies) || inside(config.Policies, config.Definition) || path.Base(config.Definition) == path.Base(config.Policies) {
		return nil, fmt.Errorf("%s and %s cannot be the two packages; use different names, and do not nest them", config.Definition, config.Policies)
	}
	definition, policies := -1, -1
	for _, wanted := range []project.NewPackage{
		{Path: config.Definition, PostDeploymentScript: script, Default: !hasDefault(proj)},
		{Path: config.Policies, Aliasfy: true},
	} {
		wanted.Package, wanted.VersionNumber, wanted.Type = path.Base(wanted.Path), "1.0.0.NEXT", "source"
		there := slices.IndexFunc(proj.Packages, func(p sfp.Package) bool { return p.Path == wanted.Path })
		if there >= 0 {
			p := proj.Packages[there]
			switch {
			case p.Name == "":
				return nil, fmt.Errorf("the directory %s is listed in %s without a package name; add one, or choose another directory", wanted.Path, sfp.ProjectFile)
			case p.Aliasfy != wanted.Aliasfy:
				return nil, fmt.Errorf("the package %s already exists; the policies package must be aliasfied, and the definition package must not be", p.Name)
			case wanted.PostDeploymentScript != "" && path.Clean(p.Script) != script:
				if calls, err := project.CallsHook(fsys, path.Clean(p.Script)); err != nil || !calls {
					return nil, fmt.Errorf(`the package %s already exists, but its "postDeploymentScript" does not call eca`, p.Name)
				}
			}
		}
		if wanted.Aliasfy {
			policies = there
		} else {
			definition = there
		}
		for _, p := range proj.Packages {
			if there < 0 && p.Path == "." {
				return nil, fmt.Errorf("the package %s covers the whole project; give it a directory first", p.Name)
			}
			if there < 0 && (p.Name == wanted.Package || inside(wanted.Path, p.Path) || inside(p.Path, wanted.Path)) {
				return nil, fmt.Errorf("the package %s in %s conflicts with %s; choose other directories", p.Name, p.Path, wanted.Path)
			}
		}
		if there < 0 {
			packages = append(packages, wanted)
		}
	}
	if policies >= 0 && definition < 0 || policies >= 0 && policies < definition {
		return nil, fmt.Errorf("the policies package %s must come after the definition package %s in %s; change their order, or choose another directory", config.Policies, config.Definition, sfp.ProjectFile)
	}
	return packages, nil
}

// appSettings is the app's entry in plugins.eca.
type appSettings struct {
	OAuthSettings       map[string]any `json:"oauthSettings"`
	GlobalOAuthSettings map[string]any `json:"globalOauthSettings"`
	PluginPolicies      map[string]any `json:"pluginPolicies,omitempty"`
	PermissionSets      []string       `json:"permissionSets,omitempty"`
	AssignToRunAsUser   bool           `json:"assignToRunAsUser,omitempty"`
}

// settingsOf returns the app's entry in plugins.eca.
func settingsOf(config Config, preset Preset) (settings appSettings, err error) {
	scopes := config.Scopes
	if len(scopes) == 0 {
		scopes = preset.Scopes
	}
	callbacks := config.CallbackURLs
	if len(callbacks) == 0 {
		callbacks = []string{"{orgDomainUrl}/services/oauth2/success"}
	}
	settings = appSettings{
		OAuthSettings:       map[string]any{"commaSeparatedOauthScopes": scopes},
		GlobalOAuthSettings: map[string]any{"callbackUrl": callbacks},
		PluginPolicies:      project.FieldSettings(eca.Lookup(eca.PluginPolicies), config.Fields[eca.PluginPolicies]),
		PermissionSets:      config.PermissionSets,
	}
	for field, on := range preset.Global {
		settings.GlobalOAuthSettings[field] = on
	}
	maps.Copy(settings.OAuthSettings, project.FieldSettings(eca.Lookup(eca.OAuthSettings), config.Fields[eca.OAuthSettings]))
	maps.Copy(settings.GlobalOAuthSettings, project.FieldSettings(eca.Lookup(eca.GlobalOAuthSettings), config.Fields[eca.GlobalOAuthSettings]))
	if config.Certificate != nil {
		settings.GlobalOAuthSettings["certificate"] = map[string]string{"file": certificateFile(config.App)}
	}
	settings.AssignToRunAsUser = len(config.PermissionSets) > 0 && slices.ContainsFunc(config.Environments, func(e Environment) bool { return e.RunAsUser != "" })
	for _, scope := range scopes {
		if err := eca.CheckScope(scope); err != nil {
			return settings, err
		}
	}
	return settings, nil
}

// sourceFile returns a component's file below a package directory.
func sourceFile(dir, typ, fullName string, fields metadata.Fields) (File, error) {
	t := eca.Lookup(typ)
	var b bytes.Buffer
	err := metadata.WriteSource(&b, metadata.New(typ, fullName, fields))
	return File{Path: path.Join(dir, t.Folder, fullName+"."+t.Suffix+"-meta.xml"), Content: b.Bytes()}, err
}

// Write writes the files below a project's directory. New files must not exist yet. If a file
// cannot be written, or the project file has changed since New, Write removes the files it
// created.
func Write(dir string, files []File) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var made []string // created files and directories, outer ones first
	defer func() {
		if err != nil {
			for _, name := range slices.Backward(made) {
				root.Remove(name)
			}
		}
	}()
	for _, f := range files {
		name := filepath.FromSlash(f.Path)
		if f.Replaces {
			// Write in place to keep owner and mode, under a lock against other runs.
			err := lockedfile.Transform(filepath.Join(dir, name), func(now []byte) ([]byte, error) {
				if !bytes.Equal(now, f.before) {
					return nil, errors.New("the file has changed meanwhile; try again")
				}
				return f.Content, nil
			})
			if err != nil {
				return fmt.Errorf("%s: %w", f.Path, err)
			}
			continue
		}
		for _, dir := range ancestors(f.Path) {
			if err := root.Mkdir(filepath.FromSlash(dir), 0o755); err == nil {
				made = append(made, filepath.FromSlash(dir))
			} else if !errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("cannot create %s: %w", dir, err)
			}
		}
		file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
		if err != nil {
			return fmt.Errorf("cannot write %s: %w", f.Path, err)
		}
		made = append(made, name)
		_, err = file.Write(f.Content)
		if err := errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("cannot write %s: %w", f.Path, err)
		}
	}
	return nil
}

// ancestors returns the directories above a file, outermost first.
func ancestors(file string) (dirs []string) {
	for dir := path.Dir(file); dir != "."; dir = path.Dir(dir) {
		dirs = append(dirs, dir)
	}
	slices.Reverse(dirs)
	return dirs
}
