package simorg

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// The settings of the org besides those of External Client Apps.
const (
	appSettings  = "ConnectedAppSettings"
	oidcSettings = "OauthOidcSettings"
)

// settingsTypes are the types of the org's settings, each of which has one component. All fields are
// false by default.
var settingsTypes = metadata.Schema{
	eca.Lookup(eca.OrgSettings),
	{Name: appSettings, Folder: "settings", Suffix: "settings", Fields: parseFields(`
		enableAdminApprovedAppsOnly?
		enableAdminApprovedAppsOnlyForExternalUser?
		enableSkipUserProvisioningWizardWelcomePage?`)},
	{Name: oidcSettings, Folder: "settings", Suffix: "settings", Fields: parseFields(`
		agentAuthLinking?
		blockOAuthUnPwFlow?
		blockOAuthUsrAgtFlow?
		isPkceRequired?
		oAuthCdCrdtFlowEnable?`)},
}

// settingsName returns the name of the component of a settings type. That of OauthOidcSettings is
// not known.
func (o *Org) settingsName(typ string) string {
	if typ == oidcSettings && o.is("settings-full-names", "no") {
		return typ
	}
	return typ[:len(typ)-len("Settings")]
}

// addSettings adds the settings of a new org.
func (o *Org) addSettings() {
	for i, typ := range settingsTypes {
		settings := &record{typ: typ.Name, fullName: o.settingsName(typ.Name)}
		if i > 0 { // further ones leave the IDs of everything else as they are
			settings.id = fmt.Sprintf("000%012dAAA", i+1)
		}
		if typ.Name == eca.OrgSettings {
			settings.set(secretsInREST, strconv.FormatBool(o.config.SecretsInREST))
		}
		setDefaults(settings)
		o.store(settings)
	}
}

// settingsSuffix is the end of the names of files with settings of the org.
const settingsSuffix = ".settings-meta.xml"

// fillSettings sets the settings of a file.
func (o *Org) fillSettings(fsys fs.FS, name string) error {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	root, err := parseXML(data)
	if err != nil {
		return err
	}
	typ := settingsTypes.Lookup(root.name.Local)
	if full := strings.TrimSuffix(path.Base(name), settingsSuffix); typ == nil || full != o.settingsName(typ.Name) {
		return fmt.Errorf("holds %s of the name %s, which a simulated org does not have", root.name.Local, full)
	}
	rec := o.find(typ.Name, o.settingsName(typ.Name))
	for _, v := range plainValues(root) {
		if !slices.ContainsFunc(typ.Fields, func(f metadata.FieldType) bool { return f.Name == v.Name }) {
			return fmt.Errorf("%s has no field %s", typ.Name, v.Name)
		}
		rec.set(v.Name, v.Text)
	}
	return nil
}
