package project

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tailscale/hujson"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// settingsPath is the path of the settings in a project file.
const settingsPath = "plugins.eca"

// defaultEnvironment serves sandboxes and scratch orgs without an environment of their own,
// like sfp's folder of that name.
const defaultEnvironment = sfp.DefaultFolder

// Settings are the settings of a project: plugins.eca of the project file. Every setting is
// optional.
type Settings struct {
	// Apps are the settings of apps, by the header's fullName.
	Apps map[string]AppSettings `json:"-"`

	// Connections are the connections to other orgs, by the name of the Named Credential.
	Connections map[string]ConnectionSettings `json:"connections"`

	// Audit configures audits.
	Audit AuditSettings `json:"audit"`

	// Preflight is the treatment of findings about the environment's policies. Default:
	// PreflightFail.
	Preflight Preflight `json:"preflight"`

	// ApplyPolicies applies the environment's OAuth policies right away. An app's own setting
	// takes precedence. nil states nothing, see Effective.AppliesPolicies.
	ApplyPolicies *bool `json:"applyPolicies"`

	// Layout is the project's layout, "" to recognise it, see Project.Layout.
	Layout Layout `json:"layout"`

	// Warnings are about names and values in the metadata blocks that the tables of pkg/eca do
	// not have. They are sent as they are.
	Warnings []Warning `json:"-"`
}

// Warning is about a setting that may be wrong.
type Warning struct {
	Path    string // as in SettingError
	Problem string
	Fix     string
}

// String returns the warning on one line.
func (w Warning) String() string { return w.Path + ": " + w.Problem + "; " + w.Fix }

// Preflight is the treatment of findings about policies that sfp is about to deploy.
type Preflight string

// The values of Preflight.
const (
	PreflightFail Preflight = "fail" // a finding that is certain to fail the deployment fails the run
	PreflightWarn Preflight = "warn" // every finding is a warning
	PreflightOff  Preflight = "off"  // policies are not checked
)

// AppSettings are the settings of an app, or of one of its environments. Fields have the
// platform's names.
type AppSettings struct {
	OAuthSettings       metadata.Fields `json:"oauthSettings"`
	GlobalOAuthSettings metadata.Fields `json:"globalOauthSettings"`
	PluginPolicies      metadata.Fields `json:"pluginPolicies"` // or, by its old name, "policies"

	// ApplyPolicies applies the environment's OAuth policies right away. nil: the project's
	// setting.
	ApplyPolicies *bool `json:"applyPolicies"`

	// PermissionSets are the names of the permission sets that grant the app. nil states none.
	PermissionSets []string `json:"permissionSets"`

	// AssignToRunAsUser assigns the permission sets to the user that the environment's policies
	// run the client credentials flow as. nil means false.
	AssignToRunAsUser *bool `json:"assignToRunAsUser"`

	// Disabled switches the app and its OAuth plugin off, and leaves its OAuth policies as they are. nil
	// means false, which switches no app on that is off.
	Disabled *bool `json:"disabled"`

	// RemoteSiteSetting makes the org's own domain a remote site, for Apex that calls it. nil
	// means false.
	RemoteSiteSetting *bool `json:"remoteSiteSetting"`

	// HandOver is the command that receives the app's credentials after a bootstrap, or nil.
	HandOver *HandOver `json:"handOver"`

	// Environments are the differences per environment, by alias. See Settings.For.
	Environments map[string]AppSettings `json:"-"`

	oldPolicies bool // PluginPolicies are stated as "policies"
}

// ConnectionSettings describe how an org calls another one.
type ConnectionSettings struct {
	App                string            `json:"app"`                          // on the org that is called
	From               map[string]string `json:"from"`                         // the org that is called, by the caller's alias
	ExternalCredential string            `json:"externalCredential,omitempty"` // "" for the connection's name
	Principal          string            `json:"principal,omitempty"`
	PermissionSets     []string          `json:"permissionSets,omitempty"` // of the users that may call
	Certificate        string            `json:"certificate,omitempty"`    // for JWT bearer: its name on the calling org
	Username           string            `json:"username,omitempty"`       // the user that JWTs log in as
	OnInstall          bool              `json:"onInstall,omitempty"`      // the hook makes the connection, too
}

// AuditSettings configure the rules of an audit.
type AuditSettings struct {
	Rules  map[string]string `json:"rules"` // off, warning or error, by the rule's ID
	Accept []AcceptedFinding `json:"accept"`
}

// AcceptedFinding is a finding of an audit that somebody has accepted.
type AcceptedFinding struct {
	App   string    `json:"app"` // its name, or * for all
	Rule  string    `json:"rule"`
	Until time.Time `json:"until,format:DateOnly"` // the last day of the acceptance
	Why   string    `json:"why"`
}

// HandOver is a command that receives an app's key and secret, on its standard input and in its
// environment.
type HandOver struct {
	Command []string // its name and arguments, at least one
	// Check is a command that prints the client ID that the receiver has, or nothing if it has none.
	// With it, Command runs after each run that finds another client ID on the org. nil: there is none.
	Check []string
	// Always runs the command after each run. Default without Check: only after a run that created
	// the consumer, until it has succeeded.
	Always bool
}

// WarningsFor returns the warnings about the settings of an app in an environment, "" for none.
func (s Settings) WarningsFor(app, environment string) []Warning {
	at := settingsPath + ".apps." + app + "."
	return slices.DeleteFunc(slices.Clone(s.Warnings), func(w Warning) bool {
		rest, isApp := strings.CutPrefix(w.Path, at)
		other := strings.HasPrefix(rest, "environments.") && !strings.HasPrefix(rest, "environments."+environment+".")
		return !isApp || other
	})
}

// blocks are the names of the metadata blocks, by the type whose fields they state.
var blocks = map[string]string{
	eca.OAuthSettings:       "oauthSettings",
	eca.GlobalOAuthSettings: "globalOauthSettings",
	eca.PluginPolicies:      "pluginPolicies",
}

// Key returns the name under which the settings state a type of component, like "pluginPolicies",
// or "policies" if they use its old name.
func (a AppSettings) Key(typ string) string {
	if typ == eca.PluginPolicies && a.oldPolicies {
		return "policies"
	}
	return blocks[typ]
}

// Of returns the stated fields of a type: OAuthSettings, GlobalOAuthSettings or PluginPolicies.
func (a AppSettings) Of(typ string) metadata.Fields {
	switch typ {
	case eca.OAuthSettings:
		return a.OAuthSettings
	case eca.GlobalOAuthSettings:
		return a.GlobalOAuthSettings
	case eca.PluginPolicies:
		return a.PluginPolicies
	}
	return nil
}

// Effective are the settings of one app in one environment.
type Effective struct {
	AppSettings

	// Environment is the environment whose settings apply, "" for none.
	Environment string
}

// AppliesPolicies reports whether the OAuth policies are applied right away, as stated by the environment,
// the app or the project, in order of precedence. byDefault is for settings that state nothing: true for
// policies below EnvironmentsDir, which nobody else deploys.
func (e Effective) AppliesPolicies(byDefault bool) bool {
	if e.ApplyPolicies == nil {
		return byDefault
	}
	return *e.ApplyPolicies
}

// For returns the settings of an app in the environment of an org: the app's own settings
// overlaid with those of the environment. The environment is selected as sfp selects a folder: by
// the alias, case-sensitive. If there is none of that name, sandboxes use default.
func (s Settings) For(app, alias string, sandbox bool) Effective {
	a := s.Apps[app]
	name := alias
	environment, ok := a.Environments[alias]
	if !ok && sandbox {
		name = defaultEnvironment
		environment, ok = a.Environments[defaultEnvironment]
	}
	if !ok {
		environment, name = AppSettings{}, ""
	}
	if environment.PermissionSets == nil {
		environment.PermissionSets = a.PermissionSets
	}
	environment.ApplyPolicies = cmp.Or(environment.ApplyPolicies, a.ApplyPolicies, s.ApplyPolicies)
	environment.AssignToRunAsUser = cmp.Or(environment.AssignToRunAsUser, a.AssignToRunAsUser)
	environment.Disabled = cmp.Or(environment.Disabled, a.Disabled)
	environment.RemoteSiteSetting = cmp.Or(environment.RemoteSiteSetting, a.RemoteSiteSetting)
	environment.HandOver = cmp.Or(environment.HandOver, a.HandOver)
	environment.OAuthSettings = environment.OAuthSettings.Over(a.OAuthSettings)
	environment.GlobalOAuthSettings = environment.GlobalOAuthSettings.Over(a.GlobalOAuthSettings)
	environment.PluginPolicies = environment.PluginPolicies.Over(a.PluginPolicies)
	return Effective{environment, name}
}

// Off reports whether the settings switch the app off.
func (e Effective) Off() bool { return e.Disabled != nil && *e.Disabled }

// OldKeys returns the paths of settings that are stated under an old name.
func (s Settings) OldKeys() (paths []string) {
	for _, app := range slices.Sorted(maps.Keys(s.Apps)) {
		at := settingsPath + ".apps." + app
		if s.Apps[app].oldPolicies {
			paths = append(paths, at+".policies")
		}
		for _, alias := range slices.Sorted(maps.Keys(s.Apps[app].Environments)) {
			if s.Apps[app].Environments[alias].oldPolicies {
				paths = append(paths, at+".environments."+alias+".policies")
			}
		}
	}
	return paths
}

// Project is a project file with its settings for External Client Apps.
type Project struct {
	*sfp.Project
	Settings Settings
}

// Read reads a project file. Only plugins.eca is checked strictly. An error is a
// *sfp.ProjectError, which wraps a *SettingError if a setting is wrong.
func Read(fsys fs.FS, name string) (*Project, error) {
	project, err := sfp.ReadProject(fsys, name)
	if err != nil {
		return nil, err
	}
	p, err := withSettings(project)
	if err != nil {
		if _, all, _ := ReadLoosely(fsys, name); len(all) > 1 { // one error must not hide the others
			err = SettingErrors(all)
		}
		return nil, &sfp.ProjectError{File: name, Err: err}
	}
	return p, nil
}

// ReadLoosely is like Read, but leaves out settings that are wrong, and returns an error for each.
func ReadLoosely(fsys fs.FS, name string) (*Project, []*SettingError, error) {
	project, err := sfp.ReadProject(fsys, name)
	if err != nil {
		return nil, nil, err
	}
	var all []*SettingError
	for {
		p, err := withSettings(project)
		if err == nil {
			return p, all, nil
		}
		wrong, ok := errors.AsType[*SettingError](err)
		if !ok {
			return nil, all, &sfp.ProjectError{File: name, Err: err}
		}
		all = append(all, wrong)
		if data := without(project.Plugins["eca"], strings.TrimPrefix(wrong.Path, settingsPath)); data != nil && len(all) < maxWrong {
			project.Plugins["eca"] = data
		} else {
			delete(project.Plugins, "eca")
			maps.DeleteFunc(project.Plugins, func(name string, _ json.RawMessage) bool { return strings.EqualFold(name, "eca") })
		}
	}
}

// maxWrong bounds the wrong settings that ReadLoosely reports one by one.
const maxWrong = 50

// without returns a JSON document without the member at a path like .apps.App.oauthSettings, or the
// deepest one on it that exists. It returns nil if there is none.
func without(data []byte, path string) []byte {
	root, err := hujson.Parse(data)
	if err != nil {
		return nil
	}
	var in *hujson.Object // the object with the member
	last := -1
	for v := &root; v != nil; {
		object, _ := v.Value.(*hujson.Object)
		v = nil
		if object == nil {
			break
		}
		path = strings.TrimPrefix(path, ".")
		length := 0
		for i := range object.Members {
			literal, _ := object.Members[i].Name.Value.(hujson.Literal)
			name := literal.String()
			if rest, ok := strings.CutPrefix(path, name); ok && len(name) > length && (rest == "" || rest[0] == '.' || rest[0] == '[') {
				in, last, length, v = object, i, len(name), &object.Members[i].Value
			}
		}
		path = path[length:]
	}
	if in == nil {
		return nil
	}
	in.Members = slices.Delete(in.Members, last, last+1)
	return root.Pack()
}

// Parse parses the content of a project file like Read.
func Parse(data []byte) (*Project, error) {
	project, err := sfp.ParseProject(data)
	if err != nil {
		return nil, err
	}
	return withSettings(project)
}

func withSettings(project *sfp.Project) (*Project, error) {
	for _, name := range slices.Sorted(maps.Keys(project.Plugins)) {
		if name != "eca" && strings.EqualFold(name, "eca") {
			return nil, &SettingError{"plugins." + name, errors.New("eca's settings are under plugins.eca, in lower case")}
		}
	}
	data, ok := project.Plugins["eca"]
	if !ok {
		data = []byte("{}")
	}
	settings, err := parseSettings(data)
	if err != nil {
		return nil, err
	}
	return &Project{project, settings}, nil
}
