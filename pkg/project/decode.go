package project

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// SettingError reports an invalid setting.
type SettingError struct {
	Path string // the setting's path in the JSON document, like plugins.eca.apps.MyApp.pluginPolicies.isEnabled
	Err  error
}

func (e *SettingError) Error() string { return words.Clip(e.Path) + ": " + e.Err.Error() }

// Unwrap returns e.Err.
func (e *SettingError) Unwrap() error { return e.Err }

func invalid(path, format string, args ...any) error {
	return &SettingError{path, fmt.Errorf(format, args...)}
}

// settingsJSON are the settings as in plugins.eca.
type settingsJSON struct {
	Settings
	Apps map[string]appJSON `json:"apps"`
}

type appJSON struct {
	environmentJSON
	Environments map[string]environmentJSON `json:"environments"`
}

type environmentJSON struct {
	AppSettings
	OldPolicies metadata.Fields `json:"policies"`
}

func parseSettings(data []byte) (Settings, error) {
	if err := checkStrictly(data); err != nil {
		return Settings{}, settingError(err)
	}
	wire := settingsJSON{Settings: Settings{Preflight: PreflightFail}}
	fields := func(d *jsontext.Decoder, into *metadata.Fields) error {
		path := dotted(d.StackPointer())
		raw, err := d.ReadValue()
		if err != nil {
			return err
		}
		fields, warnings, err := parseFields(blockType(path), path, raw)
		*into, wire.Warnings = fields, append(wire.Warnings, warnings...)
		return err
	}
	err := json.Unmarshal(data, &wire, json.RejectUnknownMembers(true),
		json.WithUnmarshalers(json.JoinUnmarshalers(json.UnmarshalFromFunc(fields), json.UnmarshalFromFunc(decodeHandOver))))
	if err != nil {
		return Settings{}, settingError(err)
	}
	return wire.settings()
}

// blockType returns the type whose fields the metadata block at a path states.
func blockType(path string) *metadata.Type {
	name := path[strings.LastIndexByte(path, '.')+1:]
	for typ, block := range blocks {
		if block == name {
			return eca.Lookup(typ)
		}
	}
	return eca.Lookup(eca.PluginPolicies) // the old name
}

func decodeHandOver(d *jsontext.Decoder, h *HandOver) error {
	path := dotted(d.StackPointer())
	wire := struct {
		Command []string `json:"command"`
		Check   []string `json:"check"`
		When    string   `json:"when"`
	}{When: "created"}
	if err := json.UnmarshalDecode(d, &wire); err != nil {
		return err
	}
	*h = HandOver{Command: wire.Command, Check: wire.Check, Always: wire.When == "always"}
	switch {
	case len(h.Command) == 0 || h.Command[0] == "":
		return invalid(path+".command", "must be the command and its arguments")
	case h.Check != nil && (len(h.Check) == 0 || h.Check[0] == ""):
		return invalid(path+".check", "must be the command and its arguments")
	case h.Check != nil && h.Always:
		return invalid(path+".when", "contradicts check, which decides when the command runs; leave out one of them")
	case wire.When != "created" && wire.When != "always":
		return invalid(path+".when", `must be "created" or "always"`)
	}
	return nil
}

// maxSettingsDepth is more than twice the depth of the settings' own structure.
const maxSettingsDepth = 16

// checkStrictly returns an error for a JSON value that is ambiguous (a name that occurs twice),
// null, which Unmarshal would take for the default, or nested too deep.
func checkStrictly(data []byte) error {
	d := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		token, err := d.ReadToken()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case token.Kind() == 'n':
			return invalid(dotted(d.StackPointer()), "must not be null")
		case d.StackDepth() > maxSettingsDepth:
			return invalid(dotted(d.StackPointer()), "is nested too deep")
		}
	}
}

// dotted returns the path of a value in the project file, like plugins.eca.audit.accept[0].
func dotted(pointer jsontext.Pointer) string {
	path := settingsPath
	for name := range pointer.Tokens() {
		if strings.Trim(name, "0123456789") == "" && name != "" {
			path += "[" + name + "]"
		} else {
			path += "." + name
		}
	}
	return path
}

// settingError returns an error of the JSON decoder as a *SettingError.
func settingError(err error) error {
	if wrong, ok := errors.AsType[*SettingError](err); ok {
		return wrong
	}
	if wrong, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		if errors.Is(err, jsontext.ErrDuplicateName) {
			return invalid(dotted(wrong.JSONPointer), "occurs twice")
		}
		return invalid(dotted(wrong.JSONPointer), "is not valid JSON: %w", wrong.Err)
	}
	wrong, ok := errors.AsType[*json.SemanticError](err)
	if !ok {
		return err
	}
	path := dotted(wrong.JSONPointer)
	switch kind := wrong.GoType.Kind(); {
	case wrong.Err == json.ErrUnknownName:
		name := wrong.JSONPointer.LastToken()
		return invalid(path, "there is no such setting%s", words.DidYouMean(name, memberNames(wrong.GoType)))
	case wrong.GoType == reflect.TypeFor[time.Time]():
		return invalid(path, "must be a day, like 2027-03-31")
	case kind == reflect.Bool:
		return invalid(path, "must be true or false")
	case kind == reflect.String:
		return invalid(path, "must be a string")
	case kind == reflect.Slice:
		return invalid(path, "must be an array")
	}
	return invalid(path, "must be an object")
}

// memberNames returns the names that a JSON object for a struct can have.
func memberNames(t reflect.Type) (names []string) {
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// settings checks the decoded settings and returns them. Of several errors it returns the first in
// alphabetical order.
func (wire *settingsJSON) settings() (Settings, error) {
	s := wire.Settings
	if !slices.Contains([]Preflight{PreflightFail, PreflightWarn, PreflightOff}, s.Preflight) {
		return s, invalid(settingsPath+".preflight", "must be %q, %q or %q", PreflightFail, PreflightWarn, PreflightOff)
	}
	if !slices.Contains([]Layout{"", LayoutSFP, LayoutSF}, s.Layout) {
		return s, invalid(settingsPath+".layout", "must be %q or %q", LayoutSFP, LayoutSF)
	}
	if err := s.Audit.check(settingsPath + ".audit"); err != nil {
		return s, err
	}
	for _, name := range slices.Sorted(maps.Keys(s.Connections)) {
		if err := s.Connections[name].check(settingsPath + ".connections." + name); err != nil {
			return s, err
		}
	}
	s.Apps = make(map[string]AppSettings, len(wire.Apps))
	for _, name := range slices.Sorted(maps.Keys(wire.Apps)) {
		var err error
		if s.Apps[name], err = wire.Apps[name].settings(settingsPath + ".apps." + name); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (wire appJSON) settings(at string) (AppSettings, error) {
	app, err := wire.environmentJSON.settings(at)
	if err != nil {
		return app, err
	}
	app.Environments = make(map[string]AppSettings, len(wire.Environments))
	for _, alias := range slices.Sorted(maps.Keys(wire.Environments)) {
		if app.Environments[alias], err = wire.Environments[alias].settings(at + ".environments." + alias); err != nil {
			return app, err
		}
	}
	if at := assignsNothing(at, app); at != "" {
		return app, invalid(at, "has nothing to assign: no permissionSets are named for the app")
	}
	return app, nil
}

func (wire environmentJSON) settings(at string) (AppSettings, error) {
	app := wire.AppSettings
	if wire.OldPolicies != nil {
		if app.PluginPolicies != nil {
			return app, invalid(at+".policies", "is the old name of pluginPolicies, and both are stated; keep only pluginPolicies")
		}
		app.PluginPolicies, app.oldPolicies = wire.OldPolicies, true
	}
	return app, checkPermissionSets(at, app.PermissionSets)
}

// assignsNothing returns the path of an assignToRunAsUser without permission sets to assign, or "".
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

func (c ConnectionSettings) check(at string) error {
	switch {
	case c.App == "":
		return invalid(at+".app", "is missing: the app on the org that is called")
	case len(c.From) == 0:
		return invalid(at+".from", "must be an object: the org that is called, by the alias of the calling org")
	case (c.Certificate == "") != (c.Username == ""):
		return invalid(at+".certificate", "goes with username, for JWT bearer")
	}
	for _, alias := range slices.Sorted(maps.Keys(c.From)) {
		if c.From[alias] == "" {
			return invalid(at+".from."+alias, "must be the alias of an org")
		}
	}
	return checkPermissionSets(at, c.PermissionSets)
}

func (a AuditSettings) check(at string) error {
	for _, rule := range slices.Sorted(maps.Keys(a.Rules)) {
		if !slices.Contains([]string{"off", "warning", "error"}, a.Rules[rule]) {
			return invalid(at+".rules."+rule, `must be "off", "warning" or "error"`)
		}
	}
	for i, f := range a.Accept {
		if f.App == "" || f.Rule == "" || f.Why == "" || f.Until.IsZero() {
			return invalid(fmt.Sprintf("%s.accept[%d]", at, i), "needs app, rule, until and why")
		}
	}
	return nil
}

// permissionSetName matches the name of a permission set, with or without a namespace prefix.
var permissionSetName = regexp.MustCompile(`^[A-Za-z]\w*$`)

func checkPermissionSets(at string, names []string) error {
	for i, name := range names {
		at := fmt.Sprintf("%s.permissionSets[%d]", at, i)
		switch {
		case eca.IsPermissionSetID(name):
			return invalid(at, "%s is an ID, which differs from org to org; give the permission set's API name", name)
		case !permissionSetName.MatchString(name):
			return invalid(at, "must be the API name of a permission set")
		case slices.ContainsFunc(names[:i], func(other string) bool { return strings.EqualFold(other, name) }):
			return invalid(at, "%s occurs twice", name)
		}
	}
	return nil
}
