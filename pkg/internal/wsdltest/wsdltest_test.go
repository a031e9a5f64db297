package wsdltest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestWrongOrderIsFound makes sure that the schema, where it is at hand, finds a wrong request.
func TestWrongOrderIsFound(t *testing.T) {
	t.Parallel()
	schema, why := schemaFile()
	if schema == "" {
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
