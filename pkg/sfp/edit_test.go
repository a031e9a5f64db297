package sfp_test

import (
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/sfp"
)

var twoPackages = []sfp.NewPackage{
	{Path: "src/def", Package: "def", VersionNumber: "1.0.0.NEXT", Type: "source", PostDeploymentScript: "scripts/x.sh"},
	{Path: "src/pol", Package: "pol", VersionNumber: "1.0.0.NEXT", Type: "source", Aliasfy: true},
}

func TestAddToProject(t *testing.T) {
	for _, test := range []struct{ name, before, after string }{
		{"two spaces", `{
  "packageDirectories": [
    {
      "path": "force-app",
      "default": true
    }
  ],
  "name": "x",

  "sourceApiVersion": "65.0"
}
`, `{
  "packageDirectories": [
    {
      "path": "force-app",
      "default": true
    },
    {
      "path": "src/def",
      "package": "def",
      "versionNumber": "1.0.0.NEXT",
      "type": "source",
      "postDeploymentScript": "scripts/x.sh"
    },
    {
      "path": "src/pol",
      "package": "pol",
      "versionNumber": "1.0.0.NEXT",
      "type": "source",
      "aliasfy": true
    }
  ],
  "name": "x",

  "sourceApiVersion": "65.0",
  "plugins": {
    "eca": {
      "apps": {
        "App": {
          "permissionSets": [
            "A",
            "B"
          ]
        }
      }
    }
  }
}
`},
		{"tabs, odd spaces, other plugins", "{\n\t\"plugins\" :  { \"sfp\": {\"x\":1} },\n\t\"packageDirectories\": [\n\t\t{ \"path\": \"a\" }   ]\n}", "{\n\t\"plugins\" :  { \"sfp\": {\"x\":1}, \"eca\": {\"apps\":{\"App\":{\"permissionSets\":[\"A\",\"B\"]}}} },\n\t\"packageDirectories\": [\n\t\t{ \"path\": \"a\" },\n\t\t{\n\t\t\t\"path\": \"src/def\",\n\t\t\t\"package\": \"def\",\n\t\t\t\"versionNumber\": \"1.0.0.NEXT\",\n\t\t\t\"type\": \"source\",\n\t\t\t\"postDeploymentScript\": \"scripts/x.sh\"\n\t\t},\n\t\t{\n\t\t\t\"path\": \"src/pol\",\n\t\t\t\"package\": \"pol\",\n\t\t\t\"versionNumber\": \"1.0.0.NEXT\",\n\t\t\t\"type\": \"source\",\n\t\t\t\"aliasfy\": true\n\t\t}   ]\n}"},
		{"Windows, byte order mark, empty objects", "\xef\xbb\xbf{\r\n    \"packageDirectories\": [],\r\n    \"plugins\": {\"eca\": {\"apps\": {\"B\": {}}}}\r\n}\r\n", "\xef\xbb\xbf{\r\n    \"packageDirectories\": [\r\n        {\r\n            \"path\": \"src/def\",\r\n            \"package\": \"def\",\r\n            \"versionNumber\": \"1.0.0.NEXT\",\r\n            \"type\": \"source\",\r\n            \"postDeploymentScript\": \"scripts/x.sh\"\r\n        },\r\n        {\r\n            \"path\": \"src/pol\",\r\n            \"package\": \"pol\",\r\n            \"versionNumber\": \"1.0.0.NEXT\",\r\n            \"type\": \"source\",\r\n            \"aliasfy\": true\r\n        }\r\n    ],\r\n    \"plugins\": {\"eca\": {\"apps\": {\"B\": {}, \"App\": {\"permissionSets\":[\"A\",\"B\"]}}}}\r\n}\r\n"},
		{"compact", `{"packageDirectories":[{"path":"a"}]}`, `{"packageDirectories":[{"path":"a"},{"path":"src/def","package":"def","versionNumber":"1.0.0.NEXT","type":"source","postDeploymentScript":"scripts/x.sh"},{"path":"src/pol","package":"pol","versionNumber":"1.0.0.NEXT","type":"source","aliasfy":true}],"plugins":{"eca":{"apps":{"App":{"permissionSets":["A","B"]}}}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := sfp.AddToProject([]byte(test.before), twoPackages, []string{"eca", "apps", "App"}, map[string][]string{"permissionSets": {"A", "B"}})
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.after {
				t.Errorf("got\n%s\nwant\n%s", got, test.after)
			}
		})
	}
	for content, want := range map[string]string{
		`{"plugins": {"eca": {"apps": {"App": {}}}}}`: "plugins.eca.apps.App: is there already",
		`{"plugins": []}`:            "plugins must be",
		`{"packageDirectories": {}}`: "packageDirectories must be",
		`[]`:                         "is not a project file",
		`{`:                          "is not a project file",
	} {
		if _, err := sfp.AddToProject([]byte(content), twoPackages, []string{"eca", "apps", "App"}, struct{}{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// FuzzAddToProject adds to whatever is a project file: all of it stays, in order,
// and the result is one with the packages and the app.
func FuzzAddToProject(f *testing.F) {
	f.Add([]byte(`{"packageDirectories": [ {"path": "a"} ], "plugins": {"eca": {"apps": {"B": {}}}}}`))
	f.Add([]byte("{\n\t\"plugins\": {\n\t}\n}"))
	f.Add([]byte("\xef\xbb\xbf{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := sfp.ParseProject(data)
		if err != nil {
			return
		}
		got, err := sfp.AddToProject(data, twoPackages, []string{"eca", "apps", "App"}, struct{}{})
		if err != nil {
			return
		}
		after, err := sfp.ParseProject(got)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", data, got, err)
		}
		if !strings.Contains(string(after.Plugins["eca"]), "App") || len(after.Packages) != len(before.Packages)+2 {
			t.Errorf("%q becomes %q", data, got)
		}
		rest := got
		for _, c := range data {
			if strings.IndexByte(" \t\r\n", c) >= 0 {
				continue
			}
			i := strings.IndexByte(string(rest), c)
			if i < 0 {
				t.Fatalf("%q becomes %q: something is gone", data, got)
			}
			rest = rest[i+1:]
		}
	})
}
