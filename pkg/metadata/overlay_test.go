package metadata

import (
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/apiversion"
)

// settings is a type with a field of each sort.
var settings = &Type{
	Name: "Settings", Since: 59,
	Fields: []FieldType{
		{Name: "callbackUrl", List: "\n"},
		{Name: "certificate", PEM: true, Withheld: true},
		{Name: "consumerKey", Platform: true, Key: true},
		{Name: "consumerSecret", Platform: true, Secret: true},
		{Name: "isOld", Kind: Boolean, Until: 63},
		{Name: "isOn", Kind: Boolean, Default: "true", Forced: true},
		{Name: "label", Required: true},
		{Name: "level", Kind: Enum, EnumName: "Level", Values: []string{"LOW", "HIGH"}},
		{Name: "parameters", Kind: Struct, Repeated: true, Keys: []string{"name", "type"}, Fields: []FieldType{
			{Name: "name", Required: true}, {Name: "size", Kind: Int, Since: 66}, {Name: "type"}, {Name: "value"},
		}},
		{Name: "range", Kind: Struct, Fields: []FieldType{{Name: "end"}, {Name: "start"}}},
		{
			Name: "scopes", List: ",", Item: "scope", Items: []string{"Api", "Web"}, Synonyms: map[string]string{"api": "Api"},
			Similar: func(item string) string {
				if item == "Wb" {
					return "Web"
				}
				return ""
			},
		},
		{Name: "timeout", Kind: Int, Since: 65},
		{Name: "user", Fold: true},
	},
}

func field(name, text string, nested ...Field) Field {
	return Field{Name: name, Text: text, Fields: nested}
}

func text(fields []Field) string {
	var all []string
	for _, f := range fields {
		if len(f.Fields) > 0 {
			all = append(all, f.Name+"{"+text(f.Fields)+"}")
		} else {
			all = append(all, f.Name+"="+f.Text)
		}
	}
	return strings.Join(all, " ")
}

func TestOverlay(t *testing.T) {
	t.Parallel()
	parameter := func(name, value string) Field {
		return field("parameters", "", field("name", name), field("value", value))
	}
	for _, test := range []struct {
		name        string
		has, stated []Field
		want        string // the fields
		changes     string // FIELD: FROM -> TO
	}{
		{"the same", []Field{field("label", "a")}, []Field{field("label", "a")}, "label=a", ""},
		{"another value", []Field{field("label", "a"), field("user", "u")}, []Field{field("label", "b")}, "label=b user=u", "label: a -> b"},
		{"cleared", []Field{field("label", "a")}, []Field{field("label", "")}, "label=", "label: a -> "},
		{"line breaks", []Field{field("label", "a\r\nb")}, []Field{field("label", "a\nb")}, "label=a\r\nb", ""},
		{"other case", []Field{field("user", " U@x ")}, []Field{field("user", "u@X")}, "user= U@x ", ""},
		{"numbers", []Field{field("timeout", "010")}, []Field{field("timeout", "10")}, "timeout=010", ""},
		{"no number", []Field{field("timeout", "x")}, []Field{field("timeout", "10")}, "timeout=10", "timeout: x -> 10"},
		{"defaults", nil, []Field{field("isOn", "true")}, "", ""},
		{"off", nil, []Field{field("isOn", "false")}, "isOn=false", "isOn:  -> false forced"},
		{"synonyms", []Field{field("scopes", "Web,api")}, []Field{field("scopes", "Api, Web, Web")}, "scopes=Web,api", ""},
		{"a scope more", []Field{field("scopes", "Web")}, []Field{field("scopes", "Web,Api")}, "scopes=Web,Api", "scopes: Web -> Web, Api"},
		{"a withheld field", nil, []Field{field("certificate", "QUJD")}, "certificate=QUJD", "certificate:  -> sha256:b5d4045c3f466fa9 withheld"},
		{"a shown one", []Field{field("certificate", "QUJE")}, []Field{field("certificate", "QUJD")}, "certificate=QUJD", "certificate: sha256:69f0fb8cb1d21953 -> sha256:b5d4045c3f466fa9"},
		{"no base64", []Field{field("certificate", "a b")}, []Field{field("certificate", "a  b")}, "certificate=a b", ""},
		{"platform's fields", []Field{field("consumerKey", "k"), field("label", "a")}, nil, "label=a", ""},
		{"parts of a structure", []Field{field("range", "", field("end", "2"), field("start", "1"))}, []Field{field("range", "", field("end", "3"))},
			"range{end=3 start=1}", `range: {end="2" start="1"} -> {end="3" start="1"}`},
		{"a structure in another order", []Field{field("range", "", field("start", "1"), field("end", "2"))}, []Field{field("range", "", field("end", "2"))},
			"range{start=1 end=2}", ""},
		{"one of several", []Field{parameter("a", "1"), parameter("b", "2")}, []Field{parameter("B", "3"), parameter("c", "4")},
			"parameters{name=a value=1} parameters{name=B value=3} parameters{name=c value=4}",
			`parameters: {name="a" value="1"}, {name="b" value="2"} -> {name="a" value="1"}, {name="B" value="3"}, {name="c" value="4"}`},
		{"unknown fields stay", []Field{field("future", "1"), field("label", "a")}, []Field{field("label", "b")}, "future=1 label=b", "label: a -> b"},
		{"an unknown field", []Field{field("future", "1")}, []Field{field("future", "2")}, "future=2", "future: 1 -> 2"},
		{"an unknown structure", []Field{field("future", "", field("a", "1"), field("b", "2"))}, []Field{field("future", "", field("b", "3"))},
			"future{a=1 b=3}", `future: {a="1" b="2"} -> {a="1" b="3"}`},
		{"a deep one", []Field{field("future", "", field("a", "", field("b", "1")))}, []Field{field("future", "", field("a", "", field("b", "2")))},
			"future{a{b=2}}", `future: {a="b=\"1\""} -> {a="b=\"2\""}`},
		{"the same unknown structure", []Field{field("future", "", field("a", "", field("b", "1")))}, []Field{field("future", "", field("a", "", field("b", "1")))},
			"future{a{b=1}}", ""},
		{"several unknown values", []Field{field("future", "1")}, []Field{field("future", "2"), field("future", "1")}, "future=2 future=1", "future: 1 -> 2, 1"},
		{"in another order", []Field{field("future", "1"), field("future", "2")}, []Field{field("future", "2"), field("future", "1")}, "future=1 future=2", ""},
		{"cleared unknown values", []Field{field("future", "1"), field("future", "2")}, nil, "future=1 future=2", ""},
	} {
		c := &Component{Type: "Settings", FullName: "x", Fields: test.has}
		before := text(c.Fields)
		got, changes := settings.Overlay(c, ByName(test.stated))
		var all []string
		for _, change := range changes {
			s := change.Field + ": " + change.From + " -> " + change.To
			if change.Withheld {
				s += " withheld"
			}
			if change.Forced {
				s += " forced"
			}
			all = append(all, s)
		}
		if text(got.Fields) != test.want || strings.Join(all, "; ") != test.changes || got.FullName != "x" {
			t.Errorf("%s: got %s with %s\nwant %s with %s", test.name, text(got.Fields), strings.Join(all, "; "), test.want, test.changes)
		}
		if text(c.Fields) != before {
			t.Errorf("%s: the component itself changed", test.name)
		}
	}
	// An empty list clears a field.
	if got, _ := settings.Overlay(&Component{Fields: []Field{field("range", "", field("end", "1"))}}, Fields{"range": {}}); len(got.Fields) > 0 {
		t.Errorf("a cleared structure is %v", got.Fields)
	}
}

func TestSendable(t *testing.T) {
	t.Parallel()
	c := &Component{Fields: []Field{field("consumerKey", "k"), field("consumerSecret", "s"), field("future", "1"), field("future", "2"), field("isOld", "true"), field("label", "a")}}
	if got, want := text(New("", "", settings.Sendable(c, 64)).Fields), "future=1 future=2 label=a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for v, want := range map[apiversion.Version]bool{62: true, 63: true, 64: false, 0: false} {
		if got := settings.Sendable(c, v).Has("isOld"); got != want {
			t.Errorf("API version %s: a field of versions until 63.0 is sent: %t", v, got)
		}
		old := &Component{Type: "Settings", Fields: []Field{field("isOld", "true"), field("label", "a")}}
		if got := len(settings.Problems(old, v)) == 0; got != want {
			t.Errorf("API version %s: problems %v", v, settings.Problems(old, v))
		}
		if err := settings.CheckVersion(Stated("isOld", "true"), v); (err == nil) != want {
			t.Errorf("API version %s: %v", v, err)
		}
	}
	if got := settings.Sendable(nil, 64); got == nil || len(got) > 0 {
		t.Errorf("fields of no component: %v", got)
	}
	var none *Type
	if got := none.Sendable(c, 64); len(got) != 5 {
		t.Errorf("of an unknown type, %v is sent", got)
	}
}

func TestChangesOfANewComponent(t *testing.T) {
	t.Parallel()
	private := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE " + "KEY", Bytes: []byte("topsecret")}))
	c := &Component{Fields: []Field{
		field("label", "a"), field("consumerKey", "3MVG9abcdefghijklmnop"), field("consumerSecret", "topsecret"), field("user", private),
		field("future", "", field("a", "1")), field("isOn", "1"), field("certificate", "no base64!"), field("callbackUrl", "https://a\nhttps://b"),
	}}
	var all []string
	for _, change := range settings.Changes(c) {
		all = append(all, change.Field+" "+change.To)
	}
	want := `callbackUrl https://a, https://b; certificate sha256:effb836005e6400d; consumerKey 3MVG9…nop; consumerSecret (secret); future {a="1"}; isOn true; label a; user (secret)`
	if got := strings.Join(all, "; "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	base, over := Stated("a", "1", "b", "2", "odd"), Stated("b", "false")
	merged := over.Over(base)
	if got := text(New("", "", merged).Fields); got != "a=1 b=false" {
		t.Errorf("merged fields are %s", got)
	}
	if base["b"][0].Text != "2" || over.Has("a") || !over.Has("b") {
		t.Error("Over changed its operands")
	}
	if !merged.IsFalse("b") || merged.IsFalse("a") || merged.IsFalse("c") {
		t.Error("IsFalse is wrong")
	}
	c := &Component{Fields: []Field{field("isOn", ""), field("future", "1")}}
	if !settings.Bool(c, "isOn") || !settings.Bool(c, "future") || settings.Bool(c, "label") || c.Text("missing") != "" {
		t.Error("Bool is wrong")
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	label := field("label", "a")
	private := "-----BEGIN " + "PRIVATE KEY-----topsecret"
	for _, test := range []struct {
		fields []Field
		want   string // KIND FIELD: ERROR; FIX
	}{
		{[]Field{label}, ""},
		{nil, "MissingField label: is missing, but the platform requires it; add it"},
		{[]Field{label, label}, "RepeatedField label: occurs more than once; keep one of them"},
		{[]Field{label, field("lable", "b")}, "UnknownField lable: Settings has no such element in API version 68.0; did you mean label?"},
		{[]Field{label, field("future", "b"), field("future", "c")}, "UnknownField future: Settings has no such element in API version 68.0; check its name"},
		{[]Field{label, field("consumerSecre", "b")}, "UnknownField consumerSecre: Settings has no such element in API version 68.0; check its name"},
		{[]Field{label, field("range", "", field("strat", "b"))}, "UnknownField range.strat: range has no such element in API version 68.0; did you mean start?"},
		{[]Field{label, field("level", "low")}, `UnknownValue level: "low" is not one of LOW, HIGH; did you mean LOW?`},
		{[]Field{label, field("level", "?")}, `UnknownValue level: "?" is not one of LOW, HIGH; write one of them`},
		{[]Field{label, field("scopes", "Api, Wb")}, `UnknownValue scopes: there is no scope "Wb" in API version 68.0; did you mean Web?`},
		{[]Field{label, field("scopes", "Foo")}, `UnknownValue scopes: there is no scope "Foo" in API version 68.0; write one of Api, Web`},
		{[]Field{label, field("timeout", "1")}, "NewerField timeout: needs API version 65.0 or later, and this is 64.0; raise sourceApiVersion, or remove it"},
		{[]Field{label, field("isOld", "true")}, "DeprecatedField isOld: is deprecated, and API version 64.0 does not have it; remove it"},
		{[]Field{label, field("isOn", "yes")}, `WrongValue isOn: "yes" is neither true nor false; write a boolean`},
		{[]Field{label, field("isOn", "", field("x", ""))}, "WrongValue isOn: must be a boolean, not nested elements; write a boolean"},
		{[]Field{label, field("range", "text")}, "WrongValue range: must have nested elements, not text; write a structure"},
		{[]Field{label, field("user", "\x00")}, "WrongValue user: contains the character U+0000, which XML cannot represent; write a string"},
		{[]Field{label, field("user", "\xff")}, "WrongValue user: is not valid UTF-8; write a string"},
		{[]Field{label, field("parameters", "", field("name", "a")), field("parameters", "", field("size", "b"))},
			"NewerField parameters[1].size: needs API version 66.0 or later, and this is 64.0; raise sourceApiVersion, or remove it" +
				`|WrongValue parameters[1].size: "b" is not a whole number; write a whole number` +
				"|MissingField parameters[1].name: is missing, but the platform requires it; add it"},
		{[]Field{label, field("consumerSecret", "topsecret")}, "SecretValue consumerSecret: holds a secret"},
		{[]Field{label, field("consumerSecret", " ")}, ""},
		{[]Field{label, field("user", private)}, "SecretValue user: holds a private key"},
		{[]Field{label, field("certificate", "LS0tLS1CRUdJTiBQUklWQVRFIEtFWS0tLS0t")}, "SecretValue certificate: holds a private key"},
		{[]Field{label, field("future", "", field("x", private))}, "UnknownField future: Settings has no such element in API version 68.0; check its name|SecretValue future: holds a private key"},
	} {
		c := &Component{Type: "Settings", Fields: test.fields}
		var all []string
		for _, p := range settings.Problems(c, 64) {
			kind := [...]string{"UnknownField", "UnknownValue", "NewerField", "WrongValue", "RepeatedField", "MissingField", "DeprecatedField", "SecretValue"}[p.Kind]
			s := fmt.Sprintf("%s %s: %v; %s", kind, p.Field, p.Err, p.Fix)
			if p.Kind.IsUnknown() != strings.HasPrefix(kind, "Unknown") || strings.Contains(s, "topsecret") {
				t.Errorf("%s: unknown %t", s, p.Kind.IsUnknown())
			}
			all = append(all, s)
		}
		got := strings.Join(all, "|")
		if secret := strings.HasPrefix(test.want, "Secret"); got != test.want && !(strings.Contains(test.want, "Secret") && strings.HasPrefix(got, test.want)) {
			t.Errorf("got  %s\nwant %s", got, test.want)
		} else if err := settings.Secret(c); (err != nil) != strings.Contains(test.want, "Secret") || secret && err == nil {
			t.Errorf("%s: the secret is %v", got, err)
		}
	}
	if problems := settings.Problems(&Component{Fields: []Field{label, field("timeout", "1")}}, 0); len(problems) > 0 {
		t.Errorf("version 0 has the problems %v", problems)
	}
	if problems := (*Type)(nil).Problems(&Component{}, 0); problems != nil {
		t.Errorf("a nil Type has the problems %v", problems)
	}
	partial := &Type{Name: "Partial", Partial: true}
	if problems := partial.Problems(&Component{Fields: []Field{field("future", ""), field("key", private)}}, 0); len(problems) != 1 || problems[0].Kind != SecretValue {
		t.Errorf("a partial type has the problems %v", problems)
	}
	var many []Field
	for i := range 3 * maxProblems {
		many = append(many, field(fmt.Sprint("f", i), ""))
	}
	if problems := settings.Problems(&Component{Fields: many}, 0); len(problems) != maxProblems {
		t.Errorf("got %d problems, want %d", len(problems), maxProblems)
	}
}

func TestCheckVersion(t *testing.T) {
	t.Parallel()
	stated := Stated("label", "a", "timeout", "1", "future", "1")
	if err := settings.CheckVersion(stated, 65); err != nil {
		t.Error(err)
	}
	if err := settings.CheckVersion(stated, 64); len(err) != 1 || err[0].Error() != "timeout: needs API version 65.0 or later, and this run uses 64.0" {
		t.Errorf("got %v", err)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	if schema.Lookup("ExternalClientApplication") != schema[0] || schema.Lookup("Other") != nil || !schema.IsFolder("externalClientApps") || schema.IsFolder("other") {
		t.Error("the schema finds the wrong types")
	}
	if settings.Field("range").Field("end") == nil || settings.Field("end") != nil || (*Type)(nil).Field("end") != nil {
		t.Error("the type finds the wrong fields")
	}
	if got := fmt.Sprint(String, Boolean, Int, Enum, Struct); got != "string boolean whole number enum structure" {
		t.Errorf("the kinds are %s", got)
	}
	if got := fmt.Sprintf("%q", Items(" a, ,b")); got != `["a" "b"]` {
		t.Errorf("the items are %s", got)
	}
}
