package sfp

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

// replacing is a case of testdata/replacements.json. sf 2.150.6 gave Want for each case without Err.
type replacing struct {
	Name         string
	Replacements json.RawMessage
	File         string // default: a file of OAuth settings
	Content      string // default: one with placeholders
	Want, Err    string // Want is the Content by default
}

// The names of the variables and files that the cases of testdata/replacements.json use.
var (
	replacingEnv   = map[string]string{"URL": "https://a.example.com/cb", "DOLLAR": "a$$b$&c$1d", "STAGE": "uat", "ON": "true"}
	replacingFiles = fstest.MapFS{"new/url.txt": {Data: []byte("\n https://file.example.com \n")}, "new/empty": {}}
)

func TestReplace(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/replacements.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []replacing
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			p, err := ParseProject([]byte(`{"replacements": ` + string(c.Replacements) + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if c.File == "" {
				c.File = "force-app/main/default/extlClntAppGlobalOauthSets/My.ecaGlblOauth-meta.xml"
			}
			if c.Content == "" {
				c.Content = "<callbackUrl>__URL__</callbackUrl>\n<label>${LABEL}</label>\n"
			}
			if c.Want == "" {
				c.Want = c.Content
			}
			got, err := p.Replace(replacingFiles, c.File, []byte(c.Content), func(name string) string { return replacingEnv[name] })
			switch wrong, _ := errors.AsType[*ReplacementError](err); {
			case c.Err != "" && (wrong == nil || wrong.File != c.File || !strings.Contains(wrong.Error(), c.Err)):
				t.Errorf("got %q, %v, want the error %q", got, err, c.Err)
			case c.Err == "" && (err != nil || string(got) != c.Want):
				t.Errorf("got %q, %v, want %q", got, err, c.Want)
			}
		})
	}
}

func TestAsItStands(t *testing.T) {
	t.Parallel()
	p, err := ParseProject([]byte(`{"packageDirectories": [{"path": "a", "package": "a"}, {"path": "b", "package": "b", "type": "source"}, {"path": "c"},
		{"path": "d", "package": "d"}, {"path": "a/e", "package": "e", "type": "unlocked"}, {"path": "f", "package": "f", "type": "source"}],
		"packageAliases": {"d": "0HoAAA", "e": "0HoAAB", "f": "0HoAAC", "a": "04tAAA"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{"a": true, "b": true, "c": false, "d": false, "a/e": false, "f": true} {
		if got := p.PackageOf(dir + "/x").AsItStands(); got != want {
			t.Errorf("%s is deployed as it stands: %v", dir, got)
		}
	}
	if p.PackageOf("ab/x") != nil {
		t.Error("a file outside the packages is in one")
	}
}
