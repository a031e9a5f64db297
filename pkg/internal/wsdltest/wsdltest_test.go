package wsdltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestWrongOrderIsFound makes sure that the schema, where it is at hand, finds a wrong request.
func TestWrongOrderIsFound(t *testing.T) {
	t.Parallel()
	schema, why := schemaFile("envelope.xsd")
	if _, err := exec.LookPath("xmllint"); schema == "" || err != nil {
		t.Skip("requests are not validated: ", why)
	}
	bad := filepath.Join(t.TempDir(), "bad.xml")
	// label before externalClientApplication is not the WSDL's order.
	content := `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><e:Body><upsertMetadata xmlns="http://soap.sforce.com/2006/04/metadata"><metadata xsi:type="ExtlClntAppOauthSettings"><fullName>A</fullName><label>A</label><externalClientApplication>A</externalClientApplication></metadata></upsertMetadata></e:Body></e:Envelope>`
	if err := os.WriteFile(bad, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("xmllint", "--noout", "--schema", schema, bad).CombinedOutput(); err == nil {
		t.Errorf("xmllint accepts label before externalClientApplication, want a failure: %s", out)
	}
}

func TestUnknownColumns(t *testing.T) {
	t.Parallel()
	objects := map[string]map[string]string{
		"User":    {"Id": "Id", "Name": "String", "Profile": "Profile", "LastLoginDate": "Datetime"},
		"Profile": {"Name": "String"},
	}
	for soql, want := range map[string]string{
		"SELECT Id, Profile.Name, COUNT(Id) n FROM User WHERE Name = 'Nothing.Here \\' Else' AND LastLoginDate > 2026-01-01T00:00:00Z ORDER BY Name": "",
		"SELECT Id, Nothing FROM User":        "User.Nothing",
		"SELECT Profile.Nothing FROM User":    "Profile.Nothing",
		"SELECT Id FROM User WHERE Is = true": "User.Is",
		"SELECT Id FROM Nothing":              "Nothing.Id",
	} {
		if got := strings.Join(unknownColumns(soql, objects), " "); got != want {
			t.Errorf("%s: unknown %q, want %q", soql, got, want)
		}
	}
	if got := query("/services/data/v68.0/query?q=SELECT+Id+FROM+User+WHERE+Name+%3D+%27a%27&x=y"); got != "SELECT Id FROM User WHERE Name = 'a'" {
		t.Errorf("the query is %q", got)
	}
}
