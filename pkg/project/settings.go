package project

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"

	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/sfp"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// settingsPath is where these settings stand in a project file.
const settingsPath = "plugins.eca"

// defaultEnvironment serves sandboxes and scratch orgs without an environment of their own,
// as sfp's folder of that name does.
const defaultEnvironment = sfp.DefaultFolder

// Settings is what a project wants of its apps: plugins.eca of the project file.
// Everything in it is optional.
type Settings struct {
	Apps map[string]AppSettings // by the app's name, the header's fullName

	// Connections are how orgs call others, by the name of the named credential:
	// "connections".
	Connections map[string]ConnectionSettings

	// Audit tunes eca audit: "audit".
	Audit AuditSettings

	// Preflight is what becomes of findings about the environment's policies:
	// "preflight", PreflightFail where the project says nothing.
	Preflight Preflight

	// ApplyPolicies says that the environment's OAuth policies are brought to the
	// org right away: "applyPolicies". An app can say otherwise.
	ApplyPolicies bool
}

// Preflight says what becomes of findings about policies that sfp is about to
// deploy.
type Preflight string

// What a project can want of the preflight.
const (
	PreflightFail Preflight = "fail" // what is certain to fail fails the run; the rest is a warning
	PreflightWarn Preflight = "warn" // everything is a warning
	PreflightOff  Preflight = "off"  // nothing is looked at
)

// AppSettings is what a project wants of one app, field by field under the
// platform's own names.
type AppSettings struct {
	OAuthSettings       metadata.Fields // "oauthSettings"
	GlobalOAuthSettings metadata.Fields // "globalOauthSettings"
	PluginPolicies      metadata.Fields // "pluginPolicies", and "policies", as it was called

	// ApplyPolicies says that the environment's OAuth policies are brought to the
	// org right away: "applyPolicies". nil leaves it to the project's.
	ApplyPolicies *bool

	// PermissionSets are the names of the permission sets that grant the app:
	// "permissionSets". nil says nothing of them.
	PermissionSets []string

	// AssignToRunAsUser says that the user whom the environment's policies let the
	// client credentials flow run as gets the permission sets:
	// "assignToRunAsUser". nil stands for no.
	AssignToRunAsUser *bool

	// RemoteSiteSetting says that the org's own domain is a remote site, for Apex that calls it:
	// "remoteSiteSetting". nil stands for no.
	RemoteSiteSetting *bool

	// HandOver is the command that gets the app's credentials after a bootstrap: "handOver".
	// nil hands over nothing.
	HandOver *HandOver

	// Environments is what differs by environment, by alias: "environments".
	// See Settings.For.
	Environments map[string]AppSettings

	oldPolicies bool // the plugin policies stand under "policies"
}

// ConnectionSettings is how an org calls another one, by the app that logs it in there.
type ConnectionSettings struct {
	App                string            // on the org that is called: "app"
	From               map[string]string // the org that is called, by the alias of the one that calls: "from"
	ExternalCredential string            // "externalCredential", "" for the connection's name
	Principal          string            // "principal"
	PermissionSets     []string          // whose users may call: "permissionSets"
	Certificate        string            // for JWT bearer: "certificate" of the org that calls
	Username           string            // whom JWTs log in as: "username"
	OnInstall          bool              // the hook makes it, too: "onInstall"
}

// AuditSettings say how the rules of an audit count in this project.
type AuditSettings struct {
	Rules  map[string]string // off, warning or error, by the rule's ID: "rules"
	Accept []AcceptedFinding // "accept"
}

// AcceptedFinding is a finding of an audit that somebody has accepted.
type AcceptedFinding struct {
	App   string    // its name, or * for all: "app"
	Rule  string    // "rule"
	Until time.Time // the last day on which it counts: "until", as 2027-03-31
	Why   string    // "why"
}

// HandOver is a command that gets an app's key and secret, on its standard input and in its
// environment.
type HandOver struct {
	Command []string // its name and arguments, at least one
	// Always hands over after each run; otherwise only after one that has made the consumer.
	Always bool
}

// Key returns the name under which settings state a type of component: "pluginPolicies",
// for one, or "policies" where they say so still.
func (a AppSettings) Key(typ string) string {
	switch typ {
	case eca.OAuthSettings:
		return "oauthSettings"
	case eca.GlobalOAuthSettings:
		return "globalOauthSettings"
	case eca.PluginPolicies:
		if a.oldPolicies {
			return "policies"
		}
		return "pluginPolicies"
	}
	return ""
}

// Of returns the statements about one type, one of OAuthSettings,
// GlobalOAuthSettings and PluginPolicies.
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

// Effective is what a project wants of one app in one environment.
type Effective struct {
	AppSettings

	// Environment is the environment whose settings took part, "" for none.
	Environment string

	// ApplyPolicies says whether the OAuth policies are brought to the org right away, by
	// what the environment, the app or the project says, in this order.
	ApplyPolicies bool
}

// For returns what is wanted of an app in the environment of an org: the app's own
// statements with those of the environment laid over them. The environment is chosen as
// sfp chooses a folder: by the alias, case and all, and where there is none of that name,
// default for sandboxes.
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
	environment.ApplyPolicies = cmp.Or(environment.ApplyPolicies, a.ApplyPolicies)
	environment.AssignToRunAsUser = cmp.Or(environment.AssignToRunAsUser, a.AssignToRunAsUser)
	environment.RemoteSiteSetting = cmp.Or(environment.RemoteSiteSetting, a.RemoteSiteSetting)
	environment.HandOver = cmp.Or(environment.HandOver, a.HandOver)
	environment.OAuthSettings = environment.OAuthSettings.Over(a.OAuthSettings)
	environment.GlobalOAuthSettings = environment.GlobalOAuthSettings.Over(a.GlobalOAuthSettings)
	environment.PluginPolicies = environment.PluginPolicies.Over(a.PluginPolicies)
	apply := s.ApplyPolicies
	if environment.ApplyPolicies != nil {
		apply = *environment.ApplyPolicies
	}
	return Effective{environment, name, apply}
}

// OldKeys returns the paths of settings that stand under a name that they had once.
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

// Project is a project file with what it says of External Client Apps.
type Project struct {
	*sfp.Project
	Settings Settings
}

// Read reads a project file. What is not of External Client Apps may be as it likes,
// as long as it is JSON; plugins.eca is checked strictly. An error is a *sfp.ProjectError,
// which wraps a *SettingError where a setting is wrong.
func Read(fsys fs.FS, name string) (*Project, error) {
	project, err := sfp.ReadProject(fsys, name)
	if err != nil {
		return nil, err
	}
	settings, err := ParseSettings(project.Plugins)
	if err != nil {
		return nil, &sfp.ProjectError{File: name, Err: err}
	}
	return &Project{project, settings}, nil
}

// Parse reads the content of a project file, as Read does.
func Parse(data []byte) (*Project, error) {
	project, err := sfp.ParseProject(data)
	if err != nil {
		return nil, err
	}
	settings, err := ParseSettings(project.Plugins)
	if err != nil {
		return nil, err
	}
	return &Project{project, settings}, nil
}

// ParseSettings reads the settings among those of all plugins of a project file, by the
// plugin's name. An error is, or wraps, a *SettingError as a rule.
func ParseSettings(plugins map[string]json.RawMessage) (Settings, error) {
	settings := Settings{Preflight: PreflightFail}
	for _, name := range slices.Sorted(maps.Keys(plugins)) {
		switch {
		case name == "eca":
			var err error
			if settings, err = parseSettings(plugins[name]); err != nil {
				return Settings{}, err
			}
		case strings.EqualFold(name, "eca"):
			return Settings{}, fmt.Errorf("plugins.%s: eca's settings are under plugins.eca, in lower case", name)
		}
	}
	return settings, nil
}

func parseSettings(data []byte) (Settings, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := decodeStrictly(decoder, settingsPath, 0)
	if err != nil {
		return Settings{}, err
	}
	eca, err := object(settingsPath, value, "apps", "audit", "connections", "preflight", "applyPolicies")
	if err != nil {
		return Settings{}, err
	}
	settings := Settings{Preflight: PreflightFail}
	if value, ok := eca["preflight"]; ok {
		text, _ := value.(string)
		settings.Preflight = Preflight(text)
		if !slices.Contains([]Preflight{PreflightFail, PreflightWarn, PreflightOff}, settings.Preflight) {
			return Settings{}, &SettingError{Path: settingsPath + ".preflight", Err: fmt.Errorf("must be %q, %q or %q", PreflightFail, PreflightWarn, PreflightOff)}
		}
	}
	if apply, err := boolean(settingsPath, eca, "applyPolicies"); err != nil {
		return Settings{}, err
	} else if apply != nil {
		settings.ApplyPolicies = *apply
	}
	if value, ok := eca["connections"]; ok {
		if settings.Connections, err = parseConnections(settingsPath+".connections", value); err != nil {
			return Settings{}, err
		}
	}
	if value, ok := eca["audit"]; ok {
		if settings.Audit, err = parseAudit(settingsPath+".audit", value); err != nil {
			return Settings{}, err
		}
	}
	if _, ok := eca["apps"]; !ok {
		return settings, nil
	}
	apps, err := object(settingsPath+".apps", eca["apps"])
	if err != nil {
		return Settings{}, err
	}
	settings.Apps = make(map[string]AppSettings, len(apps))
	for _, name := range slices.Sorted(maps.Keys(apps)) { // so that of several errors it is always the same
		at := settingsPath + ".apps." + name
		app, rest, err := parseAppSettings(at, apps[name], "environments")
		if err != nil {
			return Settings{}, err
		}
		if environments, ok := rest["environments"]; ok {
			byAlias, err := object(at+".environments", environments)
			if err != nil {
				return Settings{}, err
			}
			app.Environments = make(map[string]AppSettings, len(byAlias))
			for _, alias := range slices.Sorted(maps.Keys(byAlias)) {
				if app.Environments[alias], _, err = parseAppSettings(at+".environments."+alias, byAlias[alias]); err != nil {
					return Settings{}, err
				}
			}
		}
		if at := assignsNothing(at, app); at != "" {
			return Settings{}, &SettingError{Path: at, Err: errors.New("has nothing to assign: no permissionSets are named for the app")}
		}
		settings.Apps[name] = app
	}
	return settings, nil
}

// assignsNothing returns the path of an assignToRunAsUser that no permission sets go
// with anywhere, "" where there is none.
func assignsNothing(at string, app AppSettings) string {
	yes := func(assign *bool) bool { return assign != nil && *assign }
	used := len(app.PermissionSets) > 0
	for _, alias := range slices.Sorted(maps.Keys(app.Environments)) {
		environment := app.Environments[alias]
		sets := app.PermissionSets
		if environment.PermissionSets != nil {
			sets = environment.PermissionSets
		}
		if yes(environment.AssignToRunAsUser) && len(sets) == 0 {
			return at + ".environments." + alias + ".assignToRunAsUser"
		}
		used = used || len(sets) > 0 && (environment.AssignToRunAsUser == nil || *environment.AssignToRunAsUser)
	}
	if yes(app.AssignToRunAsUser) && !used {
		return at + ".assignToRunAsUser"
	}
	return ""
}

// parseAppSettings reads an app's entry, or that of one of its environments, and
// returns the whole object beside it. more lists the keys that it may have
// besides.
func parseAppSettings(at string, value any, more ...string) (AppSettings, map[string]any, error) {
	var app AppSettings
	parts := []struct {
		key, typ string
		into     *metadata.Fields
	}{
		{"oauthSettings", eca.OAuthSettings, &app.OAuthSettings},
		{"globalOauthSettings", eca.GlobalOAuthSettings, &app.GlobalOAuthSettings},
		{"pluginPolicies", eca.PluginPolicies, &app.PluginPolicies},
		{"policies", eca.PluginPolicies, &app.PluginPolicies},
	}
	keys := append(more, "applyPolicies", "permissionSets", "assignToRunAsUser", "remoteSiteSetting", "handOver")
	for _, part := range parts {
		keys = append(keys, part.key)
	}
	entry, err := object(at, value, keys...)
	if err != nil {
		return app, nil, err
	}
	if _, old := entry["policies"]; old {
		if _, also := entry["pluginPolicies"]; also {
			return app, nil, &SettingError{Path: at + ".policies", Err: errors.New("is what pluginPolicies was called once, and both are there; leave pluginPolicies alone")}
		}
		app.oldPolicies = true
	}
	for _, part := range parts {
		if stated, ok := entry[part.key]; ok {
			if *part.into, err = parseFields(eca.Lookup(part.typ), at+"."+part.key, stated); err != nil {
				return app, nil, err
			}
		}
	}
	if app.ApplyPolicies, err = boolean(at, entry, "applyPolicies"); err != nil {
		return app, nil, err
	}
	if app.RemoteSiteSetting, err = boolean(at, entry, "remoteSiteSetting"); err != nil {
		return app, nil, err
	}
	if app.AssignToRunAsUser, err = boolean(at, entry, "assignToRunAsUser"); err != nil {
		return app, nil, err
	}
	if value, ok := entry["permissionSets"]; ok {
		if app.PermissionSets, err = permissionSets(at+".permissionSets", value); err != nil {
			return app, nil, err
		}
	}
	if value, ok := entry["handOver"]; ok {
		if app.HandOver, err = parseHandOver(at+".handOver", value); err != nil {
			return app, nil, err
		}
	}
	return app, entry, nil
}

func parseConnections(at string, value any) (map[string]ConnectionSettings, error) {
	all, err := object(at, value)
	if err != nil {
		return nil, err
	}
	connections := make(map[string]ConnectionSettings, len(all))
	for _, name := range slices.Sorted(maps.Keys(all)) {
		at := at + "." + name
		entry, err := object(at, all[name], "app", "from", "externalCredential", "principal", "permissionSets", "certificate", "username", "onInstall")
		if err != nil {
			return nil, err
		}
		c := ConnectionSettings{From: make(map[string]string)}
		wrong := func(key, what string) (map[string]ConnectionSettings, error) {
			return nil, &SettingError{Path: at + "." + key, Err: errors.New(what)}
		}
		texts := map[string]*string{"app": &c.App, "externalCredential": &c.ExternalCredential, "principal": &c.Principal, "certificate": &c.Certificate, "username": &c.Username}
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			if text, ok := entry[key]; ok {
				if *texts[key], ok = text.(string); !ok || *texts[key] == "" {
					return wrong(key, "must be a text")
				}
			}
		}
		from, err := object(at+".from", entry["from"])
		if err != nil || len(from) == 0 {
			return wrong("from", "must be an object: the org that is called, by the alias of the one that calls")
		}
		for _, alias := range slices.Sorted(maps.Keys(from)) {
			text, _ := from[alias].(string)
			if text == "" {
				return wrong("from."+alias, "must be the alias of an org")
			}
			c.From[alias] = text
		}
		if value, ok := entry["permissionSets"]; ok {
			if c.PermissionSets, err = permissionSets(at+".permissionSets", value); err != nil {
				return nil, err
			}
		}
		onInstall, err := boolean(at, entry, "onInstall")
		switch {
		case err != nil:
			return nil, err
		case c.App == "":
			return wrong("app", "is missing: the app on the org that is called")
		case (c.Certificate == "") != (c.Username == ""):
			return wrong("certificate", "goes with username, for JWT bearer")
		}
		c.OnInstall = onInstall != nil && *onInstall
		connections[name] = c
	}
	return connections, nil
}

func parseAudit(at string, value any) (audit AuditSettings, err error) {
	entry, err := object(at, value, "rules", "accept")
	if err != nil {
		return audit, err
	}
	wrong := func(key, what string) (AuditSettings, error) {
		return AuditSettings{}, &SettingError{Path: at + "." + key, Err: errors.New(what)}
	}
	if rules, ok := entry["rules"]; ok {
		levels, err := object(at+".rules", rules)
		if err != nil {
			return audit, err
		}
		audit.Rules = make(map[string]string, len(levels))
		for _, rule := range slices.Sorted(maps.Keys(levels)) {
			level, _ := levels[rule].(string)
			if !slices.Contains([]string{"off", "warning", "error"}, level) {
				return wrong("rules."+rule, `must be "off", "warning" or "error"`)
			}
			audit.Rules[rule] = level
		}
	}
	list, ok := entry["accept"].([]any)
	if _, stated := entry["accept"]; stated && !ok {
		return wrong("accept", "must be an array of objects with app, rule, until and why")
	}
	for i, item := range list {
		at := fmt.Sprintf("%s.accept[%d]", at, i)
		accepted, err := object(at, item, "app", "rule", "until", "why")
		if err != nil {
			return audit, err
		}
		var a AcceptedFinding
		var until string
		for key, into := range map[string]*string{"app": &a.App, "rule": &a.Rule, "until": &until, "why": &a.Why} {
			if *into, _ = accepted[key].(string); *into == "" {
				return audit, &SettingError{Path: at, Err: errors.New("needs app, rule, until and why, each a text")}
			}
		}
		if a.Until, err = time.Parse(time.DateOnly, until); err != nil {
			return audit, &SettingError{Path: at + ".until", Err: errors.New("must be a day, like 2027-03-31")}
		}
		audit.Accept = append(audit.Accept, a)
	}
	return audit, nil
}

func parseHandOver(at string, value any) (*HandOver, error) {
	entry, err := object(at, value, "command", "when")
	if err != nil {
		return nil, err
	}
	wrong := func(key, what string) (*HandOver, error) {
		return nil, &SettingError{Path: at + "." + key, Err: errors.New(what)}
	}
	h := new(HandOver)
	list, _ := entry["command"].([]any)
	for _, item := range list {
		word, ok := item.(string)
		if !ok {
			return wrong("command", "must be an array of texts: the command and its arguments")
		}
		h.Command = append(h.Command, word)
	}
	if len(h.Command) == 0 || h.Command[0] == "" {
		return wrong("command", "must be an array of texts: the command and its arguments")
	}
	switch entry["when"] {
	case nil, "created":
	case "always":
		h.Always = true
	default:
		return wrong("when", `must be "created" or "always"`)
	}
	return h, nil
}

// boolean reads a switch, nil where it is not there.
func boolean(at string, entry map[string]any, key string) (*bool, error) {
	value, ok := entry[key]
	if !ok {
		return nil, nil
	}
	on, ok := value.(bool)
	if !ok {
		return nil, &SettingError{Path: at + "." + key, Err: errors.New("must be true or false")}
	}
	return &on, nil
}

// permissionSetName is what a permission set's name looks like, with the prefix
// of a namespace or without.
var permissionSetName = regexp.MustCompile(`^[A-Za-z]\w*$`)

func permissionSets(at string, value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, &SettingError{Path: at, Err: errors.New("must be an array of permission sets' names")}
	}
	names := []string{}
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		name, _ := item.(string)
		switch {
		case eca.IsPermissionSetID(name):
			return nil, &SettingError{Path: at, Err: fmt.Errorf("%s is an ID, which differs from org to org; give the permission set's API name", name)}
		case !permissionSetName.MatchString(name):
			return nil, &SettingError{Path: at, Err: errors.New("must be the API name of a permission set")}
		case slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) }):
			return nil, &SettingError{Path: at, Err: fmt.Errorf("%s is there twice", name)}
		}
		names = append(names, name)
	}
	return names, nil
}

// object returns a JSON object whose keys are among the known ones, or any where
// none are given.
func object(at string, value any, known ...string) (map[string]any, error) {
	o, ok := value.(map[string]any)
	if !ok {
		return nil, &SettingError{Path: at, Err: errors.New("must be an object")}
	}
	for _, key := range slices.Sorted(maps.Keys(o)) {
		if len(known) > 0 && !slices.Contains(known, key) {
			return nil, &SettingError{Path: at + "." + key, Err: fmt.Errorf("there is no such setting%s", words.DidYouMean(key, known))}
		}
	}
	return o, nil
}

// maxSettingsDepth is more than twice what the settings' own structure needs.
const maxSettingsDepth = 16

// decodeStrictly reads a JSON value like encoding/json does, but refuses an
// object that has a key twice: of two settings with one name nobody could tell
// which one holds.
func decodeStrictly(d *json.Decoder, at string, depth int) (any, error) {
	if depth > maxSettingsDepth {
		return nil, &SettingError{Path: at, Err: errors.New("is nested too deep")}
	}
	token, err := d.Token()
	if err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := make(map[string]any)
		for d.More() {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			key := token.(string)
			if _, twice := o[key]; twice {
				return nil, &SettingError{Path: at + "." + key, Err: errors.New("is there twice")}
			}
			if o[key], err = decodeStrictly(d, at+"."+key, depth+1); err != nil {
				return nil, err
			}
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := decodeStrictly(d, fmt.Sprintf("%s[%d]", at, len(list)), depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err := d.Token()
		return list, err
	}
	return token, nil
}
