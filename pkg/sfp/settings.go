package sfp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// settingsPath is where eca's settings stand in a project file.
const settingsPath = "plugins.eca"

// Settings is what a project wants of its apps: plugins.eca of the project file.
// Everything in it is optional.
type Settings struct {
	Apps map[string]AppSettings // by the app's name, the header's fullName
}

// AppSettings is what a project wants of one app, field by field under the
// platform's own names.
type AppSettings struct {
	OAuthSettings       metadata.Stated // "oauthSettings"
	GlobalOAuthSettings metadata.Stated // "globalOauthSettings"
	PluginPolicies      metadata.Stated // "policies"

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
//
// sandbox is called only where it decides. Its error is returned as it is.
func (a AppSettings) For(alias string, sandbox func() (bool, error)) (AppSettings, string, error) {
	name := alias
	environment, ok := a.Environments[alias]
	if !ok {
		if environment, ok = a.Environments[DefaultFolder]; ok {
			name = DefaultFolder
			var err error
			if ok, err = sandbox(); err != nil {
				return AppSettings{}, "", err
			}
		}
	}
	if !ok {
		environment, name = AppSettings{}, ""
	}
	return AppSettings{
		OAuthSettings:       environment.OAuthSettings.Over(a.OAuthSettings),
		GlobalOAuthSettings: environment.GlobalOAuthSettings.Over(a.GlobalOAuthSettings),
		PluginPolicies:      environment.PluginPolicies.Over(a.PluginPolicies),
	}, name, nil
}

func parseSettings(data []byte) (Settings, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	value, err := decodeStrictly(decoder, settingsPath, 0)
	if err != nil {
		return Settings{}, err
	}
	eca, err := object(settingsPath, value, "apps")
	if err != nil {
		return Settings{}, err
	}
	if eca["apps"] == nil {
		return Settings{}, nil
	}
	apps, err := object(settingsPath+".apps", eca["apps"])
	if err != nil {
		return Settings{}, err
	}
	settings := Settings{Apps: make(map[string]AppSettings, len(apps))}
	for name, value := range apps {
		at := settingsPath + ".apps." + name
		app, rest, err := parseAppSettings(at, value, "environments")
		if err != nil {
			return Settings{}, err
		}
		if environments, ok := rest["environments"]; ok {
			byAlias, err := object(at+".environments", environments)
			if err != nil {
				return Settings{}, err
			}
			app.Environments = make(map[string]AppSettings, len(byAlias))
			for alias, value := range byAlias {
				if app.Environments[alias], _, err = parseAppSettings(at+".environments."+alias, value); err != nil {
					return Settings{}, err
				}
			}
		}
		settings.Apps[name] = app
	}
	return settings, nil
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
	keys := more
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
	return app, entry, nil
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
			return nil, &metadata.SettingError{Path: at + "." + key, Err: fmt.Errorf("there is no such setting%s", metadata.DidYouMean(key, known))}
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
