package sfp

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/internal/words"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// settingsPath is where eca's settings stand in a project file.
const settingsPath = "plugins.eca"

// Settings is what a project wants of its apps: plugins.eca of the project file.
// Everything in it is optional.
type Settings struct {
	Apps map[string]AppSettings // by the app's name, the header's fullName

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
	OAuthSettings       metadata.Stated // "oauthSettings"
	GlobalOAuthSettings metadata.Stated // "globalOauthSettings"
	PluginPolicies      metadata.Stated // "policies"

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

	// Environments is what differs by environment, by alias: "environments".
	// See For.
	Environments map[string]AppSettings
}

// Of returns the statements about one type, one of metadata.OAuthSettings,
// metadata.GlobalOAuthSettings and metadata.PluginPolicies.
func (a AppSettings) Of(typ string) metadata.Stated {
	switch typ {
	case metadata.OAuthSettings:
		return a.OAuthSettings
	case metadata.GlobalOAuthSettings:
		return a.GlobalOAuthSettings
	case metadata.PluginPolicies:
		return a.PluginPolicies
	}
	return nil
}

// For returns what is wanted in the environment of an org: the app's own
// statements with those of the environment laid over them. The environment is
// chosen as sfp chooses a folder: by the alias, case and all, and where there is
// none of that name, default for sandboxes. It also returns the environment's
// name, "" where none serves, which is no error.
func (a AppSettings) For(alias string, sandbox bool) (AppSettings, string) {
	name := alias
	environment, ok := a.Environments[alias]
	if !ok && sandbox {
		name = DefaultFolder
		environment, ok = a.Environments[DefaultFolder]
	}
	if !ok {
		environment, name = AppSettings{}, ""
	}
	permissionSets := a.PermissionSets
	if environment.PermissionSets != nil {
		permissionSets = environment.PermissionSets
	}
	return AppSettings{
		ApplyPolicies:       cmp.Or(environment.ApplyPolicies, a.ApplyPolicies),
		PermissionSets:      permissionSets,
		AssignToRunAsUser:   cmp.Or(environment.AssignToRunAsUser, a.AssignToRunAsUser),
		OAuthSettings:       environment.OAuthSettings.Over(a.OAuthSettings),
		GlobalOAuthSettings: environment.GlobalOAuthSettings.Over(a.GlobalOAuthSettings),
		PluginPolicies:      environment.PluginPolicies.Over(a.PluginPolicies),
	}, name
}

func parseSettings(data []byte) (Settings, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := decodeStrictly(decoder, settingsPath, 0)
	if err != nil {
		return Settings{}, err
	}
	eca, err := object(settingsPath, value, "apps", "preflight", "applyPolicies")
	if err != nil {
		return Settings{}, err
	}
	settings := Settings{Preflight: PreflightFail}
	if value, ok := eca["preflight"]; ok {
		text, _ := value.(string)
		settings.Preflight = Preflight(text)
		if !slices.Contains([]Preflight{PreflightFail, PreflightWarn, PreflightOff}, settings.Preflight) {
			return Settings{}, &metadata.SettingError{Path: settingsPath + ".preflight", Err: fmt.Errorf("must be %q, %q or %q", PreflightFail, PreflightWarn, PreflightOff)}
		}
	}
	if apply, err := boolean(settingsPath, eca, "applyPolicies"); err != nil {
		return Settings{}, err
	} else if apply != nil {
		settings.ApplyPolicies = *apply
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
			return Settings{}, &metadata.SettingError{Path: at, Err: errors.New("has nothing to assign: no permissionSets are named for the app")}
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
		into     *metadata.Stated
	}{
		{"oauthSettings", metadata.OAuthSettings, &app.OAuthSettings},
		{"globalOauthSettings", metadata.GlobalOAuthSettings, &app.GlobalOAuthSettings},
		{"policies", metadata.PluginPolicies, &app.PluginPolicies},
	}
	keys := append(more, "applyPolicies", "permissionSets", "assignToRunAsUser")
	for _, part := range parts {
		keys = append(keys, part.key)
	}
	entry, err := object(at, value, keys...)
	if err != nil {
		return app, nil, err
	}
	for _, part := range parts {
		if stated, ok := entry[part.key]; ok {
			if *part.into, err = metadata.Lookup(part.typ).State(at+"."+part.key, stated); err != nil {
				return app, nil, err
			}
		}
	}
	if app.ApplyPolicies, err = boolean(at, entry, "applyPolicies"); err != nil {
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
	return app, entry, nil
}

// boolean reads a switch, nil where it is not there.
func boolean(at string, entry map[string]any, key string) (*bool, error) {
	value, ok := entry[key]
	if !ok {
		return nil, nil
	}
	on, ok := value.(bool)
	if !ok {
		return nil, &metadata.SettingError{Path: at + "." + key, Err: errors.New("must be true or false")}
	}
	return &on, nil
}

// permissionSetName is what a permission set's name looks like, with the prefix
// of a namespace or without.
var permissionSetName = regexp.MustCompile(`^[A-Za-z]\w*$`)

// PermissionSetID is what the ID of a permission set looks like, which people
// write where the platform wants a name.
var PermissionSetID = regexp.MustCompile(`^0PS[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)

func permissionSets(at string, value any) ([]string, error) {
	list, ok := value.([]any)
	if !ok {
		return nil, &metadata.SettingError{Path: at, Err: errors.New("must be an array of permission sets' names")}
	}
	names := []string{}
	for i, item := range list {
		at := fmt.Sprintf("%s[%d]", at, i)
		name, _ := item.(string)
		switch {
		case PermissionSetID.MatchString(name):
			return nil, &metadata.SettingError{Path: at, Err: fmt.Errorf("%s is an ID, which differs from org to org; give the permission set's API name", name)}
		case !permissionSetName.MatchString(name):
			return nil, &metadata.SettingError{Path: at, Err: errors.New("must be the API name of a permission set")}
		case slices.ContainsFunc(names, func(other string) bool { return strings.EqualFold(other, name) }):
			return nil, &metadata.SettingError{Path: at, Err: fmt.Errorf("%s is there twice", name)}
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
		return nil, &metadata.SettingError{Path: at, Err: errors.New("must be an object")}
	}
	for key := range o {
		if len(known) > 0 && !slices.Contains(known, key) {
			return nil, &metadata.SettingError{Path: at + "." + key, Err: fmt.Errorf("there is no such setting%s", words.DidYouMean(key, known))}
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
		return nil, &metadata.SettingError{Path: at, Err: errors.New("is nested too deep")}
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
				return nil, &metadata.SettingError{Path: at + "." + key, Err: errors.New("is there twice")}
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
