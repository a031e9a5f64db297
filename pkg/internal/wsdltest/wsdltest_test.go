package wsdltest

import (
	"cmp"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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

func TestWrongQueries(t *testing.T) {
	t.Parallel()
	objects := map[string]map[string]string{
		"User":    {"Id": "Id", "Name": "String", "Profile": "Profile", "LastLoginDate": "Datetime", "IsActive": "Boolean", "Logins": "Integer"},
		"Profile": {"Name": "String"},
	}
	for soql, want := range map[string]string{
		"SELECT Id, Profile.Name, COUNT(Id) n FROM User WHERE Name = 'Nothing.Here \\' Else' AND LastLoginDate > 2026-01-01T00:00:00Z ORDER BY Name": "",
		"SELECT Id, Nothing FROM User":        "User.Nothing",
		"SELECT Profile.Nothing FROM User":    "Profile.Nothing",
		"SELECT Id FROM User WHERE Is = true": "User.Is",
		"SELECT Id FROM Nothing":              "Nothing.Id",
		"SELECT Id FROM User WHERE IsActive = true AND Logins >= 3 AND Id IN ('1', '2')":    "",
		"SELECT Id FROM User WHERE LastLoginDate >= LAST_N_DAYS:30 AND Name NOT IN (%s)":    "",
		"SELECT Id FROM User WHERE IsActive = 'true'":                                       "IsActive, of type Boolean, compared with ''",
		"SELECT Id FROM User WHERE Name = true AND Logins = '3'":                            "Name, of type String, compared with true Logins, of type Integer, compared with ''",
		"SELECT Id FROM User WHERE LastLoginDate > '2026-01-01T00:00:00Z' AND Id IN (1, 2)": "LastLoginDate, of type Datetime, compared with '' Id, of type Id, compared with 1",
		"SELECT Id FROM User WHERE Profile.Name LIKE 5":                                     "Profile.Name, of type String, compared with 5",
	} {
		if got := strings.Join(wrongIn(soql, objects), " "); got != want {
			t.Errorf("%s: wrong %q, want %q", soql, got, want)
		}
	}
	if got := query("/services/data/v68.0/query?q=SELECT+Id+FROM+User+WHERE+Name+%3D+%27a%27&x=y"); got != "SELECT Id FROM User WHERE Name = 'a'" {
		t.Errorf("the query is %q", got)
	}
}

// dynamic are the queries whose columns are known at run time alone: tests send them to simulated orgs, where
// Validate checks them.
var dynamic = []string{"SELECT %s FROM %s", "SELECT %s FROM %s LIMIT 1"}

// TestQueriesInSource checks each query that stands in the source of the module, also those that no test
// sends. Columns that a documentation page names and sobjects.json lacks would be exceptions here: there
// are none.
func TestQueriesInSource(t *testing.T) {
	t.Parallel()
	objects, _ := Objects(t)
	found := 0
	root := filepath.Join("..", "..", "..")
	err := filepath.WalkDir(root, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() && (entry.Name() == "simorg" || entry.Name() == "wsdltest") {
			return cmp.Or(err, filepath.SkipDir)
		}
		if filepath.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			text, isText := textOf(n)
			if !isText || !strings.HasPrefix(text, "SELECT ") || !strings.Contains(text, " FROM ") {
				return !isText
			}
			found++
			for _, wrong := range wrongIn(strings.ReplaceAll(text, "%%", "%"), objects) {
				if !slices.Contains(dynamic, text) {
					t.Errorf("%s: a real org does not have %s, in: %s", name, wrong, text)
				}
			}
			return false
		})
		return nil
	})
	if err != nil || found < 20 {
		t.Errorf("found %d queries, %v", found, err)
	}
}

// textOf returns the text of a string, or of texts that are joined. %s stands for what is not constant.
func textOf(n ast.Node) (text string, ok bool) {
	switch n := n.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(n.Value)
		return text, n.Kind == token.STRING && err == nil
	case *ast.BinaryExpr:
		if n.Op != token.ADD {
			return "", false
		}
		left, leftIs := textOf(n.X)
		right, rightIs := textOf(n.Y)
		if !leftIs {
			left = "%s"
		}
		if !rightIs {
			right = "%s"
		}
		return left + right, leftIs || rightIs
	}
	return "", false
}
