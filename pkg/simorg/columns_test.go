package simorg_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/wsdltest"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// written are columns that sf writes, although the described org does not have them.
var written = []string{"ScratchOrgInfo.Template", "ScratchOrgInfo.Snapshot"}

// TestColumnsAreThoseOfARealOrg holds the columns that can be queried against those of a real org, with the
// types of their values.
func TestColumnsAreThoseOfARealOrg(t *testing.T) {
	t.Parallel()
	objects, isValue := wsdltest.Objects(t)
	org := simorg.Start(simorg.Config{
		Kind: simorg.Production, DevHub: true, Facts: platform.Answers{"security-settings-with-consumer": "created", "any-api-client-column": "yes", "uninstalled-apps-column": "yes"},
		Users: []simorg.User{{Username: "ann@example.com", Profile: "Sales"}}, Profiles: []string{"Sales"}, PermissionSets: []string{"Users"},
	})
	defer org.Close()
	if err := org.Fill(os.DirFS("testdata/journeys"), "."); err != nil {
		t.Fatal(err)
	}
	ranges := fstest.MapFS{"ranges.json": {Data: []byte(`{
		"ExtlClntAppOauthIpRange": [{"Id": "0y1000000001AAA", "StartIpAddress": "192.0.2.1", "EndIpAddress": "192.0.2.9",
			"ExtlClntAppOauthSettingsId": "0xI000000001AAA", "ExtlClntAppOauthSettings": {"ExternalClientApplicationId": "0xI000000002AAA"}}],
		"ExtlClntAppOauthSecurityTokenIpRange": [{"Id": "0y1000000002AAA", "StartIpAddress": "192.0.2.1", "EndIpAddress": "192.0.2.9",
			"ExtlClntAppOauthSecurityId": "0xI000000001AAA", "ExtlClntAppOauthSecurity": {"ExternalClientApplicationId": "0xI000000002AAA"}}]}`)}}
	if err := org.Fill(ranges, "."); err != nil {
		t.Fatal(err)
	}
	newClient(t, org, "Api, RefreshToken", withoutPKCE).logIn("")
	signUp(t, org, `"ConnectedAppConsumerKey": "PlatformCLI"`)
	id := func(soql string) string { return ask(t, org, soql).Records[0]["Id"].(string) }
	set, user := id("SELECT Id FROM PermissionSet"), id("SELECT Id FROM User")
	rest(t, org, "POST", "sobjects/PermissionSetAssignment", `{"AssigneeId": "`+user+`", "PermissionSetId": "`+set+`"}`)
	rest(t, org, "POST", "sobjects/SetupEntityAccess", `{"ParentId": "`+set+`", "SetupEntityId": "`+id("SELECT Id FROM "+eca.Header)+`"}`)
	rest(t, org, "POST", "sobjects/ObjectPermissions", `{"ParentId": "`+set+`", "SobjectType": "UserExternalCredential", "PermissionsRead": true}`)
	for object, columns := range simorg.QueriedColumns() {
		if len(columns) == 0 || objects[object] == nil && strings.HasSuffix(object, "__c") || object == "UserLogin" {
			continue // objects of packages, and one that sobjects.json lacks; source: platform-respond.md, section 8
		}
		for _, path := range columns {
			typ := object
			for name := range strings.SplitSeq(path, ".") {
				if typ = objects[typ][name]; typ == "" && !strings.HasSuffix(name, "__c") && !slices.Contains(written, object+"."+path) {
					t.Errorf("a real org does not have %s of %s", path, object)
				}
			}
			answer := ask(t, org, "SELECT "+path+" FROM "+object)
			if len(answer.Records) == 0 && answer.Refused == "" && strings.HasSuffix(object, "IpRange") {
				continue // the app has none
			}
			if len(answer.Records) == 0 {
				t.Errorf("there is no %s: %s", object, answer.Refused)
				break
			}
			for _, record := range answer.Records {
				v := any(record)
				for name := range strings.SplitSeq(path, ".") {
					if parent, ok := v.(map[string]any); ok {
						v = parent[name]
					}
				}
				if typ != "" && !isValue(typ, v) {
					t.Errorf("%s of %s, of type %s, is %v", path, object, typ, v)
				}
			}
		}
	}
}
