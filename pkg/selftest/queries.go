package selftest

import (
	"context"
	"strings"

	"github.com/ecakit/ecakit/pkg/restapi"
)

// queryProbes ask what queries and readMetadata answer. They write nothing.
var queryProbes = []probe{
	{[]string{"settings-created-date"}, func(ctx context.Context, r *run) error {
		return r.askColumn(ctx, "settings-created-date", "ExtlClntAppOauthSettings", "CreatedDate")
	}},
	{[]string{"uninstalled-apps-column"}, func(ctx context.Context, r *run) error {
		return r.askColumn(ctx, "uninstalled-apps-column", permissionSet, "PermissionsCanApproveUninstalledApps")
	}},
	{[]string{"any-api-client-column"}, askAnyClient},
	{[]string{"token-dates-aggregate"}, askAggregate},
	{[]string{"cli-app-internal"}, askCLI},
	{[]string{"settings-absent"}, askSettings},
	{[]string{"settings-full-names"}, askSettingsName},
}

// askColumn records whether an object has a column.
func (r *run) askColumn(ctx context.Context, id, object, column string) error {
	_, err := restapi.Query[struct{}](ctx, r.rest, "SELECT "+column+" FROM "+object+" LIMIT 1")
	switch {
	case err == nil:
		r.saw(id, "yes", "the query is accepted")
	case restapi.Refused(err) && strings.Contains(err.Error(), column):
		r.saw(id, "no", "%s", says(err))
	default:
		return err
	}
	return nil
}

// askAnyClient asks orgs without API Access Control.
func askAnyClient(ctx context.Context, r *run) error {
	const id = "any-api-client-column"
	found, err := r.meta.Read(ctx, "ConnectedAppSettings", "ConnectedApp")
	if err != nil && !restapi.Refused(err) {
		return err
	}
	if len(found) > 0 && found[0].Text("enableAdminApprovedAppsOnly") == "true" {
		r.unknown(id, "the org has API Access Control")
		return nil
	}
	return r.askColumn(ctx, id, permissionSet, "PermissionsUseAnyApiClient")
}

func askAggregate(ctx context.Context, r *run) error {
	_, err := restapi.Query[struct{}](ctx, r.rest, "SELECT AppName, MAX(LastUsedDate) last FROM OauthToken GROUP BY AppName LIMIT 1")
	return r.accepts("token-dates-aggregate", err, "yes", "no")
}

func askCLI(ctx context.Context, r *run) error {
	type record struct{ OptionsIsInternal bool }
	found, err := restapi.Query[record](ctx, r.rest, "SELECT OptionsIsInternal FROM ConnectedApplication WHERE Name = 'Salesforce CLI'")
	switch {
	case err != nil:
		return err
	case len(found) == 0:
		r.unknown("cli-app-internal", "the app is not installed")
	default:
		r.saw("cli-app-internal", map[bool]string{true: "yes", false: "no"}[found[0].OptionsIsInternal], "OptionsIsInternal is %t", found[0].OptionsIsInternal)
	}
	return nil
}

// askSettingsName reads settings whose full name is assumed.
func askSettingsName(ctx context.Context, r *run) error {
	const typ = "OauthOidcSettings"
	for _, candidate := range []struct{ answer, name string }{{"yes", strings.TrimSuffix(typ, "Settings")}, {"no", typ}} {
		found, err := r.meta.Read(ctx, typ, candidate.name)
		if err != nil {
			return err
		}
		if len(found) > 0 && len(found[0].Fields) > 0 {
			r.saw("settings-full-names", candidate.answer, "readMetadata of %s returns the settings as %s", typ, candidate.name)
			return nil
		}
	}
	r.unknown("settings-full-names", "readMetadata returns no %s under either name", typ)
	return nil
}

// settingsTypes are settings of orgs, some of which an org may lack, by type.
var settingsTypes = []struct{ typ, name string }{
	{"EventSettings", "Event"}, {"MyDomainSettings", "MyDomain"}, {"ConnectedAppSettings", "ConnectedApp"},
	{"OauthOidcSettings", "OauthOidc"}, {"SecuritySettings", "Security"},
}

// askSettings reads settings types until the org lacks one.
func askSettings(ctx context.Context, r *run) error {
	for _, settings := range settingsTypes {
		found, err := r.meta.Read(ctx, settings.typ, settings.name)
		switch {
		case restapi.Refused(err):
			r.saw("settings-absent", "fault", "readMetadata of %s: %s", settings.typ, says(err))
			return nil
		case err != nil:
			return err
		case len(found) == 0 || len(found[0].Fields) == 0:
			r.saw("settings-absent", "empty-record", "readMetadata of %s %s returns a record without fields", settings.typ, settings.name)
			return nil
		}
	}
	r.unknown("settings-absent", "the org lacks none of the %d settings types that were read", len(settingsTypes))
	return nil
}
