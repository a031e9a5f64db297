package eca

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/metadata"
)

var update = flag.Bool("update", false, "write the golden files")

// documentedType is what Salesforce's documentation of a metadata type says.
type documentedType struct {
	Suffix    string                                `json:"suffix"`
	Directory string                                `json:"directory"`
	Fields    map[string]documentedField            `json:"fields"`
	Types     map[string]map[string]documentedField `json:"sub_types"`
}

type documentedField struct {
	Type        string `json:"type"`
	Description string `json:"description"`
}

// since returns the first version that has the field, 0 where nothing is said of it.
func (f documentedField) since() apiversion.Version {
	var first apiversion.Version
	for _, match := range availableSince.FindAllStringSubmatch(f.Description, -1) {
		n, _ := strconv.Atoi(cmp.Or(match[1], match[2]))
		if v := apiversion.Version(n); first == 0 || v < first {
			first = v
		}
	}
	return first
}

// isGone reports whether the documentation calls the field deprecated in its first word: the WSDL does not
// have it.
func (f documentedField) isGone() bool { return strings.HasPrefix(f.Description, "Deprecated. ") }

// isTrueByDefault reports whether a boolean that is absent is said to stand for true.
func (f documentedField) isTrueByDefault() bool {
	return f.Type == "boolean" && trueByDefault.MatchString(f.Description)
}

var (
	availableSince = regexp.MustCompile(`(?:[Aa]vailable in API version (\d+)\.0 and later|Seen in retrieved files of (\d+)\.0)`)
	trueByDefault  = regexp.MustCompile(`true \(default\)|[Dd]efault(?: value)? is true|[Dd]efaults to true`)
)

// published are the first versions of fields that the documentation does not have yet, by the
// date of the types that Salesforce publishes. Source: platform.md, "The components of one app".
var published = map[string]apiversion.Version{"isEnforceRefreshTokenTTL": 67}

// removed are the first and last versions of the fields that the WSDL lacks. The documentation names neither. Source: platform-migration.md, section 3.
var removed = map[string][2]apiversion.Version{"isNamedUserJwtEnabled": {61, 63}}

// TestTypesFollowTheDocumentation holds Since and Default of every field, which the WSDL
// does not tell, against Salesforce's documentation, and where source keeps a type.
func TestTypesFollowTheDocumentation(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "schema", "fields.json"))
	if err != nil {
		t.Skip("the documentation of the fields is not at hand: ", err)
	}
	var documented map[string]documentedType
	if err := json.Unmarshal(data, &documented); err != nil {
		t.Fatal(err)
	}
	for _, typ := range Types() {
		if _, ok := documented[typ.Name]; typ.Partial && !ok {
			continue
		}
		t.Run(typ.Name, func(t *testing.T) {
			doc, ok := documented[typ.Name]
			if !ok {
				t.Fatal("the documentation does not have the type")
			}
			if got, want := typ.Folder+" ."+typ.Suffix, doc.Directory+" "+doc.Suffix; got != want {
				t.Errorf("folder and suffix: got %s, documented %s", got, want)
			}
			compareDocumented(t, typ.Fields, doc.Fields, doc.Types)
			for name := range doc.Fields {
				if typ.Field(name) == nil && name != "fullName" {
					t.Errorf("%s is documented, and the table does not have it", name)
				}
			}
		})
	}
}

func compareDocumented(t *testing.T, fields []metadata.FieldType, documented map[string]documentedField, types map[string]map[string]documentedField) {
	t.Helper()
	for _, ft := range fields {
		doc := documented[ft.Name] // the documentation lacks some, so that nothing is said of them
		since, until := cmp.Or(doc.since(), published[ft.Name]), apiversion.Version(0)
		if doc.isGone() {
			since, until = removed[ft.Name][0], removed[ft.Name][1]
		}
		if ft.Since != since || ft.Until != until {
			t.Errorf("%s: Since and Until: got %v and %v, documented %v and %v", ft.Name, ft.Since, ft.Until, since, until)
		}
		if want := map[bool]string{true: "true"}[doc.isTrueByDefault()]; ft.Default != want {
			t.Errorf("%s: Default: got %q, documented %q", ft.Name, ft.Default, want)
		}
		if ft.Kind == metadata.Struct {
			compareDocumented(t, ft.Fields, types[strings.TrimSuffix(doc.Type, "[]")], types)
		}
	}
}

// TestTypesAreAsTheyWere holds the table against testdata/types.golden, for a clone that has
// neither the WSDL nor the documentation beside it. A change that is meant is written with
// go test ./pkg/eca -update.
func TestTypesAreAsTheyWere(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	line := func(typ, field, since, standard, kind string) {
		fmt.Fprintf(&b, "%-38s %-45s %-6s %-8s %s\n", typ, field, since, standard, kind)
	}
	line("type", "field", "since", "default", "kind")
	for _, typ := range Types() {
		line(typ.Name, "-", typ.Since.String(), "-", "type")
		var lines func(prefix string, fields []metadata.FieldType)
		lines = func(prefix string, fields []metadata.FieldType) {
			for _, ft := range fields {
				since := "-"
				if ft.Since != 0 {
					since = ft.Since.String()
				}
				if ft.Until != 0 {
					since = fmt.Sprintf("%d-%d", ft.Since, ft.Until)
				}
				line(typ.Name, prefix+ft.Name, since, cmp.Or(ft.Default, "-"), ft.Kind.String())
				lines(prefix+ft.Name+".", ft.Fields)
			}
		}
		lines("", typ.Fields)
	}
	golden(t, "types.golden", b.String())
}

// golden compares a text with a file of testdata.
func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Split(text, "\n"), strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
	for i := range max(len(got), len(want)) {
		var g, w string
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Fatalf("line %d of %s:\n got %q\nwant %q", i+1, name, g, w)
		}
	}
}
