package simorg_test

import (
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// TestPermissions: the org refuses what a user without a permission may not do, and does it for others.
func TestPermissions(t *testing.T) {
	t.Parallel()
	list := `<listMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><queries><type>` + eca.Header + `</type></queries><asOfVersion>67.0</asOfVersion></listMetadata>`
	drop := `<deleteMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><type>` + eca.Header + `</type><fullNames>App</fullNames></deleteMetadata>`
	call := func(body string) func(*simorg.Server) string {
		return func(org *simorg.Server) string {
			_, answer := soap(org, "67.0", org.AccessToken(), body)
			return answer
		}
	}
	write := func(typ, fields string) func(*simorg.Server) string {
		return func(org *simorg.Server) string {
			_, answer := upsert(org, typ, fields)
			return answer
		}
	}
	for name, test := range map[string]struct {
		withdrawn []string
		do        func(*simorg.Server) string
		refusal   string
	}{
		"SOAP without API":         {[]string{"ApiEnabled"}, call(list), "sf:API_DISABLED_FOR_ORG"},
		"SOAP":                     {[]string{"ModifyMetadata"}, call(list), "sf:INSUFFICIENT_ACCESS"},
		"list":                     {[]string{"ExternalClientAppViewer", "ExternalClientAppAdmin", "ExternalClientAppDeveloper"}, call(list), "sf:INSUFFICIENT_ACCESS"},
		"delete":                   {[]string{"ExternalClientAppDeveloper"}, call(drop), "INSUFFICIENT_ACCESS_OR_READONLY"},
		"header":                   {[]string{"ExternalClientAppDeveloper"}, write(eca.Header, header), "INSUFFICIENT_ACCESS_OR_READONLY"},
		"policies":                 {[]string{"ExternalClientAppAdmin"}, write(eca.PluginPolicies, `<fullName>App_plcy</fullName>`+link), "INSUFFICIENT_ACCESS_OR_READONLY"},
		"permission set":           {[]string{"ManageProfilesPermissionsets"}, write("PermissionSet", `<fullName>New</fullName><label>New</label>`), "INSUFFICIENT_ACCESS_OR_READONLY"},
		"REST without API":         {[]string{"ApiEnabled"}, get(t, "limits"), "API_DISABLED_FOR_ORG"},
		"named credentials":        {[]string{"ManageNamedCredentials", "CustomizeApplication"}, get(t, "named-credentials/credential?externalCredential=A&principalName=B"), "INSUFFICIENT_ACCESS_OR_READONLY"},
		"named credentials, other": {[]string{"ManageNamedCredentials"}, get(t, "named-credentials/credential?externalCredential=A&principalName=B"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			org := simorg.Start(simorg.Config{Withdrawn: test.withdrawn})
			t.Cleanup(org.Close)
			if test.refusal == "" {
				if answer := test.do(org); strings.Contains(answer, "INSUFFICIENT_ACCESS") {
					t.Errorf("got %s", answer)
				}
				return
			}
			if answer := test.do(org); !strings.Contains(answer, test.refusal) {
				t.Errorf("got %s, not %s", answer, test.refusal)
			}
			org.Withdraw()
			if answer := test.do(org); strings.Contains(answer, test.refusal) {
				t.Errorf("with all permissions, got %s", answer)
			}
		})
	}
}

func get(t *testing.T, path string) func(*simorg.Server) string {
	return func(org *simorg.Server) string {
		_, answer := rest(t, org, "GET", path, "")
		return answer
	}
}
