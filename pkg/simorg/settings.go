package simorg

import (
	"fmt"
	"strconv"

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
