package sfp

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestIgnore(t *testing.T) {
	t.Parallel()
	read := func(text string) *Ignore {
		return List(fstest.MapFS{IgnoreFile: {Data: []byte(text)}}, ".").Ignore(".")
	}
	for _, test := range []struct {
		text, name string
		ignored    bool
	}{
		{"", "src/a.xml", false},
		{"", "src/.hidden/a.xml", true},
		{"", "src/a.dup", true},
		{"# src/a.xml\n\n", "src/a.xml", false},
		{"a.xml", "src/deep/a.xml", true},
		{"src/a.xml", "src/a.xml", true},
		{"src/a.xml", "other/src/a.xml", false},
		{"/a.xml", "src/a.xml", false},
		{"**/policies", "src/policies/uat/a.xml", true},
		{"policies/", "src/policies/a.xml", true},
		{"policies/", "src/policies", false},
		{"src/**/a.xml", "src/a.xml", true},
		{"src/**/a.xml", "src/x/y/a.xml", true},
		{"src/*", "src/x/a.xml", true},
		{"src/*.xml", "src/x/a.xml", false},
		{"*.eca-meta.xml\r\n", "src/A.eca-meta.xml", true},
		{"*.ECA-meta.xml", "src/A.eca-meta.xml", true},
		{"*.xml\n!b.xml", "src/a.xml", true},
		{"*.xml\n!b.xml", "src/b.xml", false},
		{"src/**\n!src/b.xml", "src/a.xml", true},
		{"src/**\n!src/b.xml", "src/b.xml", false},
		{"src\n!src/b.xml", "src/b.xml", true},
		{"*.xml\n!b.xml\nsrc/b.xml", "src/b.xml", true},
		{"src/uat/**/", "src/uat/a.xml", true},
		{`\#a`, "#a", true},
		{`\!a`, "!a", true},
		{`a\ `, "a ", true},
		{"a  ", "a", true},
		{"uat/ ", "uat/a", true},
		{"uat/ ", "src/uat/a", false},
		{"{a,b}", "a", false},
		{"{a,b}", "{a,b}", true},
		{"[ab].xml", "b.xml", true},
		{"[", "[", false},
		{"/", "a", false},
	} {
		if got := read(test.text).Ignores(test.name); got != test.ignored {
			t.Errorf("%q ignores %s: %v", test.text, test.name, got)
		}
	}
	for _, text := range []string{strings.Repeat("\n", maxIgnore+1), strings.Repeat("a\n", maxIgnoreRules+1)} {
		if read(text) != nil {
			t.Error("a .forceignore beyond the bounds counts")
		}
	}
	nested := fstest.MapFS{IgnoreFile: {Data: []byte("src")}, "src/pol/" + IgnoreFile: {Data: []byte("/uat/")}}
	if of := List(nested, "src/pol").Ignore("src/pol/uat"); !of.Ignores("src/pol/uat/a") || of.Ignores("src/pol/prod/a") || of.Ignores("src/def/a") {
		t.Error("the nearest .forceignore does not count alone")
	}
	if of := List(nested, "src/def").Ignore("src/def"); !of.Ignores("src/def/a") {
		t.Error("the .forceignore above does not count")
	}
	if none := List(fstest.MapFS{}, "a/b").Ignore("a/b"); none.Ignores("src/.hidden") {
		t.Error("something is left out without a .forceignore")
	}
}
