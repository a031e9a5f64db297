package project_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tailscale/hujson"

	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

var twoPackages = []project.NewPackage{
	{Path: "src/def", Package: "def", VersionNumber: "1.0.0.NEXT", Type: "source", PostDeploymentScript: "scripts/x.sh"},
	{Path: "src/pol", Package: "pol", VersionNumber: "1.0.0.NEXT", Type: "source", Aliasfy: true},
}

func TestAddToProject(t *testing.T) {
	t.Parallel()
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
		{"one line with spaces", `{ "packageDirectories": [ {"path": "a"} ], "plugins": {} }`, `{ "packageDirectories": [ {"path": "a"}, {"path":"src/def","package":"def","versionNumber":"1.0.0.NEXT","type":"source","postDeploymentScript":"scripts/x.sh"}, {"path":"src/pol","package":"pol","versionNumber":"1.0.0.NEXT","type":"source","aliasfy":true} ], "plugins": {"eca": {"apps":{"App":{"permissionSets":["A","B"]}}}} }`},
		{"compact", `{"packageDirectories":[{"path":"a"}]}`, `{"packageDirectories":[{"path":"a"},{"path":"src/def","package":"def","versionNumber":"1.0.0.NEXT","type":"source","postDeploymentScript":"scripts/x.sh"},{"path":"src/pol","package":"pol","versionNumber":"1.0.0.NEXT","type":"source","aliasfy":true}],"plugins":{"eca":{"apps":{"App":{"permissionSets":["A","B"]}}}}}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := project.AddToProject([]byte(test.before), twoPackages, []string{"eca", "apps", "App"}, map[string][]string{"permissionSets": {"A", "B"}})
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.after {
				t.Errorf("got\n%s\nwant\n%s", got, test.after)
			}
		})
	}
	for content, want := range map[string]string{
		`{"plugins": {"eca": {"apps": {"App": {}}}}}`: "plugins.eca.apps.App: already exists",
		`{"plugins": []}`:                                            "plugins must be",
		`{"packageDirectories": {}}`:                                 "packageDirectories must be",
		`{"plugins": {}, "plugins": {}}`:                             "has plugins twice",
		`{"packageDirectories": [], "PackageDirectories": []}`:       "has PackageDirectories instead of packageDirectories",
		`{"packageDirectories": [], "packageDirectories": [{}, {}]}`: "has packageDirectories twice",
		`{"plugins": {"eca": {"apps": []}}}`:                         "plugins.eca.apps: must be an object",
		`[]`:                                                         "is not a project file",
		`{`:                                                          "is not a project file",
	} {
		if _, err := project.AddToProject([]byte(content), twoPackages, []string{"eca", "apps", "App"}, struct{}{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", content, err)
		}
	}
}

// FuzzAddToProject adds to whatever is a project file: the result has the packages and the
// entry, and without them it is what there was, to the letter of each name and value.
func FuzzAddToProject(f *testing.F) {
	f.Add([]byte(`{"packageDirectories": [ {"path": "a"} ], "plugins": {"eca": {"apps": {"B": {}}}}}`))
	f.Add([]byte("{\n\t\"plugins\": {\n\t}\n}"))
	f.Add([]byte("\xef\xbb\xbf{}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := sfp.ParseProject(data)
		if err != nil {
			return
		}
		entry := []string{"eca", "apps", "App"}
		got, err := project.AddToProject(data, twoPackages, entry, struct{}{})
		if err != nil {
			return
		}
		after, err := sfp.ParseProject(got)
		if err != nil {
			t.Fatalf("%q becomes %q, want a project file: %v", data, got, err)
		}
		if want := len(before.Packages) + len(twoPackages); len(after.Packages) != want {
			t.Errorf("%q becomes %q: got %d packages, want %d", data, got, len(after.Packages), want)
		}
		was, is := parse(t, data), parse(t, got)
		removePackages(was, is, len(twoPackages))
		if !removeEntry(was, is, append([]string{"plugins"}, entry...)) {
			t.Errorf("%q becomes %q: got no entry, want %q", data, got, entry)
		}
		was.Minimize()
		is.Minimize()
		if rest, want := is.Pack(), was.Pack(); !bytes.Equal(rest, want) {
			t.Errorf("%q becomes %q, which is more than what was added: got %q for the rest, want %q", data, got, rest, want)
		}
	})
}

func parse(t *testing.T, data []byte) *hujson.Value {
	t.Helper()
	value, err := hujson.Parse(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	if err != nil {
		t.Fatalf("%q: %v", data, err)
	}
	return &value
}

// member returns the place of a member of an object, or -1.
func member(of *hujson.Value, name string) int {
	return slices.IndexFunc(of.Value.(*hujson.Object).Members, func(m hujson.ObjectMember) bool { return m.Name.Value.(hujson.Literal).String() == name })
}

// remove removes a member of an object.
func remove(from *hujson.Value, i int) {
	object := from.Value.(*hujson.Object)
	object.Members = slices.Delete(object.Members, i, i+1)
}

// removePackages removes the last n packages, and the list where there was none.
func removePackages(was, is *hujson.Value, n int) {
	i := member(is, "packageDirectories")
	if member(was, "packageDirectories") < 0 {
		remove(is, i)
		return
	}
	list := is.Value.(*hujson.Object).Members[i].Value.Value.(*hujson.Array)
	list.Elements = list.Elements[:len(list.Elements)-n]
}

// removeEntry removes an entry, with the objects that lead to it and were not there. It reports
// whether there was such an entry.
func removeEntry(was, is *hujson.Value, entry []string) bool {
	added := is
	for _, name := range entry { // whether it is there
		object, ok := added.Value.(*hujson.Object)
		if !ok || member(added, name) < 0 {
			return false
		}
		added = &object.Members[member(added, name)].Value
	}
	for _, name := range entry {
		i, old := member(is, name), member(was, name)
		if old < 0 {
			remove(is, i)
			return true
		}
		was, is = &was.Value.(*hujson.Object).Members[old].Value, &is.Value.(*hujson.Object).Members[i].Value
	}
	return false // it was there before
}
