package scaffold

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// addEntry sets the entry of plugins.eca that the project lacks: all settings of a new app, or those that differ in the
// environment.
func (a *adoption) addEntry() error {
	app, has := a.target.Settings.Apps[a.Config.App]
	path := []string{"eca", "apps", a.Config.App}
	stated, err := a.reduced(a.target.Settings)
	if err != nil || has && len(stated) == 0 {
		return err
	}
	if !has {
		a.entry, a.stated = path, a.whereOff(stated)
		return nil
	}
	if a.isDeclared() {
		what := sfp.ProjectFile + " (plugins." + strings.Join(path, ".") + ": " + strings.Join(a.statedNames(stated), ", ") + ")"
		a.differs = append(a.differs, what)
		return nil
	}
	// Once the environment has settings of its own, those of default are not for it.
	app.Environments = maps.Clone(app.Environments)
	delete(app.Environments, sfp.DefaultFolder)
	alone := a.target.Settings
	alone.Apps = maps.Clone(alone.Apps)
	alone.Apps[a.Config.App] = app
	if a.Org.Alias == sfp.DefaultFolder {
		alone = a.target.Settings
	}
	a.dropCertificate()
	if stated, err = a.reduced(alone); err != nil {
		return err
	}
	a.entry, a.stated = append(path, "environments", a.Org.Alias), stated
	return nil
}

// whereOff returns the settings of a new app with those that switch it off for the environment alone: somebody has
// switched it off on one org.
func (a *adoption) whereOff(stated map[string]any) map[string]any {
	const block, plugin = "pluginPolicies", "isOauthPluginEnabled"
	off := make(map[string]any)
	if is, ok := stated["disabled"]; ok {
		off["disabled"] = is
		delete(stated, "disabled")
	}
	if plugins, _ := stated[block].(map[string]any); plugins[plugin] == false {
		off[block] = map[string]any{plugin: false}
		if delete(plugins, plugin); len(plugins) == 0 {
			delete(stated, block)
		}
	}
	if len(off) > 0 {
		stated["environments"] = map[string]any{a.Org.Alias: off}
	}
	return stated
}

// statedNames returns the names of the settings of an entry, with those of fields.
func (a *adoption) statedNames(stated map[string]any) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		block, ok := stated[name].(map[string]any)
		if !ok {
			names = append(names, name)
		}
		for _, field := range slices.Sorted(maps.Keys(block)) {
			names = append(names, name+"."+field)
		}
	}
	return names
}

// reduced returns the settings that a project with other settings lacks, so that they describe the app as it is on
// the org.
func (a *adoption) reduced(settings project.Settings) (map[string]any, error) {
	effective := settings.For(a.Config.App, a.Org.Alias, a.Org.Sandbox)
	stated := make(map[string]any)
	plugins := a.Components[eca.PluginPolicies]
	off := !eca.Bool(plugins, "isEnabled") && !eca.Bool(plugins, "isOauthPluginEnabled")
	if _, has := settings.Apps[a.Config.App]; off != effective.Off() && (!off || !has) {
		stated["disabled"] = off // a bootstrap leaves an app off
	}
	if !off && !eca.Bool(plugins, "isEnabled") {
		a.noteOnce("switched-off", "isEnabled", "the app is switched off on the org, and a bootstrap leaves it off there; other orgs get it switched on", `state "disabled": true in plugins.eca, if it is to be off everywhere`)
	}
	wanted, err := a.wanted(settings, off)
	if err != nil {
		return nil, err
	}
	a.imply(wanted[eca.GlobalOAuthSettings], off)
	wants := eca.Wants(eca.Desired{App: a.Config.App, Label: a.labelOfNew(), Types: eca.Satellites(), DomainURL: a.Org.DomainURL})
	a.fields = make(map[string]metadata.Fields)
	for _, typ := range eca.Satellites() {
		onOrg := a.Components[typ]
		fields, err := reduce(a.Adoption.App, onOrg, a.comparable(onOrg, off), wanted[typ], wants[typ].Defaults)
		if err == nil && typ == eca.GlobalOAuthSettings {
			err = a.reduceCertificate(fields, wanted[typ])
		}
		if err != nil {
			return nil, err
		}
		a.fields[typ] = portable(fields, a.Org.DomainURL)
		if typ == eca.GlobalOAuthSettings && fields.Has("callbackUrl") {
			a.noteSecretCallbacks()
		}
		if block := project.FieldSettings(eca.Lookup(typ), a.fields[typ]); len(block) > 0 {
			stated[effective.AppSettings.Key(typ)] = block
		}
	}
	a.reduceGrants(stated, effective)
	return stated, nil
}

// imply adds the switches of the global settings that a bootstrap switches on for the OAuth policies.
func (a *adoption) imply(global metadata.Fields, off bool) {
	policies := a.policies
	if a.own.File != "" {
		policies = a.own.Component
	}
	if policies == nil || off {
		return
	}
	for _, need := range eca.Needs(policies) {
		if !global.Has(need.Switch) {
			global.Set(need.Switch, "true")
		}
	}
}

func (a *adoption) noteOnce(rule, field, problem, fix string) {
	for _, n := range a.notes {
		if n.Rule == rule && n.Field == field {
			return
		}
	}
	a.note(rule, field, problem, fix)
}

// labelOfNew returns the label that a bootstrap gives to new components of the app: that of the project's header.
func (a *adoption) labelOfNew() string {
	label := a.Components[eca.Header].Text("label")
	for _, f := range a.source.Components(".", eca.Header) {
		if f.File == a.header && f.Component != nil {
			label = f.Component.Text("label")
		}
	}
	if label == "" {
		return a.Config.App
	}
	return label
}

// wanted returns the fields that the project's settings and source state, by type, as a bootstrap with
// some policies sees them. off reports that the app is switched off on the org.
func (a *adoption) wanted(settings project.Settings, off bool, policies ...project.SourceFile) (map[string]metadata.Fields, error) {
	name := a.Config.App
	app := settings.Apps[name]
	app.Disabled, app.Environments = &off, maps.Clone(app.Environments)
	for alias, environment := range app.Environments {
		environment.Disabled = &off
		app.Environments[alias] = environment
	}
	settings.Apps = maps.Clone(settings.Apps)
	if settings.Apps == nil {
		settings.Apps = make(map[string]project.AppSettings)
	}
	settings.Apps[name] = app
	wanted, err := settings.Wanted(name, a.Org, policies, a.certificates(settings))
	if err != nil {
		return nil, &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	plugins := a.Components[eca.PluginPolicies]
	for _, typ := range eca.Satellites() {
		for _, f := range a.source.Components(".", typ) {
			if a.isOfApp(f) {
				wanted[typ] = wanted[typ].Over(eca.Lookup(typ).Sendable(f.Component, a.Org.Version))
			}
		}
		for _, name := range eca.Switches() {
			if typ == eca.PluginPolicies && !eca.Bool(plugins, "isEnabled") && !wanted[typ].IsFalse(name) {
				delete(wanted[typ], name) // a bootstrap switches no app on
			}
		}
		delete(wanted[typ], "externalClientApplication")
	}
	return wanted, nil
}

// certificates returns the function that reads certificate files of the app's settings, new ones among them.
func (a *adoption) certificates(settings project.Settings) func(string) (string, error) {
	existing := settings.Certificates(a.Config.App, a.target.fsys, a.Config.Definition)
	return func(file string) (string, error) {
		for _, f := range a.files {
			if f.Path == path.Join(a.Config.Definition, file) {
				return metadata.CertificatePEM(f.Content)
			}
		}
		return existing(file)
	}
}

// comparable returns the fields of a component on the org that settings can state. The switches of an app that is off
// are stated in another way, or not at all, and a certificate is too.
func (a *adoption) comparable(onOrg *metadata.Component, off bool) metadata.Fields {
	typ := eca.Lookup(onOrg.Type)
	fields := typ.Sendable(onOrg, a.Org.Version)
	maps.DeleteFunc(fields, func(name string, _ []metadata.Field) bool {
		ft := typ.Field(name)
		return ft != nil && (ft.Action || ft.PEM || ft.Unsettable != "")
	})
	if onOrg.Type == eca.PluginPolicies && !eca.Bool(onOrg, "isEnabled") {
		delete(fields, "isEnabled")
		if off {
			delete(fields, "isOauthPluginEnabled")
		}
	}
	return fields
}

// reduce returns the fields that settings have to state in addition to those that are stated: fields with another value
// on the org, and fields that a new component does not get by default.
func reduce(app string, onOrg *metadata.Component, has, stated, defaults metadata.Fields) (metadata.Fields, error) {
	typ := eca.Lookup(onOrg.Type)
	reduced := make(metadata.Fields)
	stated = stated.Over(nil)
	maps.DeleteFunc(stated, func(name string, _ []metadata.Field) bool { ft := typ.Field(name); return ft != nil && ft.PEM })
	_, changes := typ.Overlay(onOrg, stated)
	for _, change := range changes {
		values, ok := has[change.Field]
		if !ok {
			if values, ok = without(typ.Field(change.Field)); !ok {
				return nil, &UnstatableError{app, change.Field, "the project states a value for all environments, and the org has none"}
			}
		}
		reduced[change.Field] = values
	}
	rest := has.Over(nil)
	maps.DeleteFunc(rest, func(name string, _ []metadata.Field) bool { return stated.Has(name) })
	_, changes = typ.Overlay(metadata.New(typ.Name, "", defaults), rest)
	for _, change := range changes {
		reduced[change.Field] = has[change.Field]
	}
	return reduced, nil
}

// without returns the values with which settings state that a field has none, and whether there are such.
func without(ft *metadata.FieldType) ([]metadata.Field, bool) {
	switch {
	case ft == nil:
		return nil, false
	case ft.Repeated:
		return []metadata.Field{}, true
	case ft.Kind == metadata.Struct:
		return []metadata.Field{{Name: ft.Name}}, true
	case ft.Kind == metadata.Boolean && ft.Default == "true":
		return []metadata.Field{{Name: ft.Name, Text: "true"}}, true
	case ft.Kind == metadata.Boolean:
		return []metadata.Field{{Name: ft.Name, Text: "false"}}, true
	case ft.Kind == metadata.String:
		return []metadata.Field{{Name: ft.Name}}, true
	}
	return nil, false
}

// portable returns fields with the placeholder for the org's own domain in the addresses that begin with it.
func portable(fields metadata.Fields, domain string) metadata.Fields {
	domain = strings.TrimSuffix(domain, "/")
	if domain == "" {
		return fields
	}
	moved := fields.Over(nil)
	for name, values := range fields {
		values = slices.Clone(values)
		for i := range values {
			lines := strings.Split(values[i].Text, "\n")
			for j, line := range lines {
				if rest, ok := strings.CutPrefix(line, domain); ok && (rest == "" || strings.ContainsRune("/?#\r", rune(rest[0]))) {
					lines[j] = "{orgDomainUrl}" + rest
				}
			}
			values[i].Text = strings.Join(lines, "\n")
		}
		moved[name] = values
	}
	return moved
}

// secretParameters are parameters of a URL that are often secrets.
var secretParameters = regexp.MustCompile(`(?i)[?&](?:[\w-]*(?:secret|token|password|key)|code|sig)=[^&]`)

// noteSecretCallbacks notes callback URLs that seem to contain a secret, which the files of the project then have.
func (a *adoption) noteSecretCallbacks() {
	const field = "callbackUrl"
	if secretParameters.MatchString(a.Components[eca.GlobalOAuthSettings].Text(field)) {
		a.noteOnce("secret-in-callback", field, "a callback URL seems to contain a secret, and the project now has it", "do not commit the files before you have replaced the secret")
	}
}

// reduceCertificate adds the certificate to the fields of the global settings, as a file, if the project does not state
// it.
func (a *adoption) reduceCertificate(reduced, stated metadata.Fields) error {
	const field = "certificate"
	global := a.Components[eca.GlobalOAuthSettings]
	text := strings.TrimSpace(global.Text(field))
	known := a.CertificatesShown || !eca.HasRefreshToken(metadata.Items(a.Components[eca.OAuthSettings].Text("commaSeparatedOauthScopes")))
	if text == "" {
		switch {
		case stated.Text(field) != "" && !known:
			return &UnstatableError{a.Adoption.App, field, "the project states one for all environments, and the org shows none, which it may hide"}
		case stated.Text(field) != "":
			reduced[field] = []metadata.Field{}
		case !known && !stated.Has(field):
			a.noteOnce("certificate-hidden", field, "the org shows no certificate, and it may hide one", `state "certificate" in globalOauthSettings of plugins.eca before a change: its file, or "none" if the app has none`)
		}
		return nil
	}
	if stated.Has(field) {
		if _, changes := eca.Lookup(eca.GlobalOAuthSettings).Overlay(global, metadata.Fields{field: stated[field]}); len(changes) == 0 {
			return nil
		}
	}
	pem, err := metadata.CertificatePEM([]byte(text))
	if err != nil {
		return fmt.Errorf("the certificate of %s on the org %w", a.Adoption.App, err)
	}
	name := a.Config.App
	if _, has := a.target.Settings.Apps[name]; has {
		name += "-" + a.Org.Alias
	}
	file := certificateFile(name)
	reduced[field] = []metadata.Field{{Name: field, Fields: []metadata.Field{{Name: "file", Text: file}}}}
	at := path.Join(a.Config.Definition, file)
	if !slices.ContainsFunc(a.files, func(f File) bool { return f.Path == at }) {
		a.files = append(a.files, File{Path: at, Content: []byte(pem + "\n"), Mode: 0o644})
	}
	return nil
}

// dropCertificate drops the certificate's file, of which settings without those of default may need none.
func (a *adoption) dropCertificate() {
	a.files = slices.DeleteFunc(a.files, func(f File) bool { return inside(f.Path, path.Join(a.Config.Definition, "certs")) })
}

// reduceGrants adds the permission sets that grant the app, if the project states others.
func (a *adoption) reduceGrants(stated map[string]any, effective project.Effective) {
	fold := func(names []string) []string {
		folded := []string{}
		for _, name := range names {
			folded = append(folded, strings.ToLower(name))
		}
		slices.Sort(folded)
		return folded
	}
	sets := append([]string{}, a.Adoption.PermissionSets...)
	slices.Sort(sets)
	if !slices.Equal(fold(sets), fold(effective.PermissionSets)) {
		stated["permissionSets"] = sets
		for _, set := range sets {
			if !a.hasPermissionSet(set) {
				a.noteOnce("permission-set-elsewhere", set, "the permission set "+set+" grants the app, and the project does not contain it", "retrieve PermissionSet:"+set+" from the org")
			}
		}
	}
	if a.policies == nil || a.policies.Text("clientCredentialsFlowUser") == "" {
		return
	}
	assigned, is := a.Assigned && len(sets) > 0, effective.AssignToRunAsUser != nil && *effective.AssignToRunAsUser
	if assigned && len(stated) > 0 && !is || is && !assigned {
		stated["assignToRunAsUser"] = assigned
	}
}

// hasPermissionSet reports whether a package has the source of a permission set.
func (a *adoption) hasPermissionSet(name string) bool {
	return slices.ContainsFunc(a.target.Project.Packages, func(p sfp.Package) bool {
		return slices.ContainsFunc(a.source.Files(p.Path), func(file string) bool {
			base, isSet := strings.CutSuffix(path.Base(file), ".permissionset-meta.xml")
			return isSet && strings.EqualFold(base, name)
		})
	})
}

// check returns an error if a bootstrap with the edited project file would change the app: plugins.eca has no way to
// state what the org has.
func (a *adoption) check(edited []byte) error {
	proj, err := project.Parse(edited)
	if err != nil {
		return &sfp.ProjectError{File: sfp.ProjectFile, Err: err}
	}
	plugins := a.Components[eca.PluginPolicies]
	off := !eca.Bool(plugins, "isEnabled") && !eca.Bool(plugins, "isOauthPluginEnabled")
	var policies []project.SourceFile
	switch {
	case a.own.File != "":
		policies = append(policies, a.own)
	case a.policies != nil:
		policies = append(policies, project.SourceFile{File: a.policies.FullName, Component: a.policies})
	}
	wanted, err := a.wanted(proj.Settings, off, policies...)
	if projectErr, ok := errors.AsType[*project.SettingError](err); ok {
		return &UnstatableError{a.Adoption.App, projectErr.Path, projectErr.Err.Error()}
	}
	if err != nil {
		return err
	}
	for _, typ := range eca.Satellites() {
		for _, change := range differences(a.Components[typ], wanted[typ]) {
			return &UnstatableError{a.Adoption.App, change.Field, fmt.Sprintf("a bootstrap would change it from %q to %q", change.From, change.To)}
		}
	}
	return nil
}

// differences returns the fields of a component on the org that are not as wanted.
func differences(onOrg *metadata.Component, wanted metadata.Fields) []metadata.Change {
	_, changes := eca.Lookup(onOrg.Type).Overlay(onOrg, wanted)
	return changes
}
