// Package wsdltest validates the SOAP requests that a simulated org got in a test against the schema
// of the Metadata API's WSDL.
package wsdltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// Validate returns a simorg.Config.Log that calls log, if that is not nil, and validates the SOAP
// requests and the columns of queries when the test ends, also those that the org was told to forget. Requests that the org
// answered with a status of failure are left out: a test may send wrong ones on purpose.
//
// It needs xmllint, and envelope.xsd and sobjects.json in ../shared/schema beside the module. Without
// them it logs that nothing is validated.
func Validate(t testing.TB, log func(simorg.Request)) func(simorg.Request) {
	var mu sync.Mutex
	var all []simorg.Request
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		validate(t, all)
		validateQueries(t, all)
	})
	return func(r simorg.Request) {
		mu.Lock()
		all = append(all, r)
		mu.Unlock()
		if log != nil {
			log(r)
		}
	}
}

// schemaFile returns the path of a file in ../shared/schema, or "" and why there is none.
func schemaFile(name string) (path, why string) {
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(dir, "..", "shared", "schema", name)
			if _, err := os.Stat(path); err != nil {
				return "", "there is no ../shared/schema/" + name + " beside the module"
			}
			return path, ""
		}
		if dir == filepath.Dir(dir) {
			return "", "the test does not run inside a module"
		}
	}
}

// start is the directory in which the tests of a package start. Some tests change it.
var start, _ = os.Getwd()

// valid are the valid requests of this process, without their sessions: most tests send the same.
var valid sync.Map // from string to struct{}

var session = regexp.MustCompile(`<sessionId>[^<]*</sessionId>`)

// validateQueries checks the columns of the queries that the org answered.
func validateQueries(t testing.TB, requests []simorg.Request) {
	t.Helper()
	objects, err := sobjects()
	if err != nil {
		t.Logf("queries are not validated: %v", err)
		return
	}
	for _, r := range requests {
		if soql := query(r.Path); soql != "" && r.Status < 400 {
			for _, wrong := range wrongIn(soql, objects) {
				t.Errorf("a real org does not have %s, in: %s", wrong, soql)
			}
		}
	}
}

// Objects returns the columns of a real org's objects and a check of values by the type of
// their column. Without sobjects.json it skips the test.
func Objects(t testing.TB) (objects map[string]map[string]string, isValue func(typ string, v any) bool) {
	t.Helper()
	objects, err := sobjects()
	if err != nil {
		t.Skipf("objects are not compared: %v", err)
	}
	return objects, isOfType
}

func validate(t testing.TB, requests []simorg.Request) {
	t.Helper()
	schema, why := schemaFile("envelope.xsd")
	if _, err := exec.LookPath("xmllint"); err != nil {
		schema, why = "", "xmllint is not installed (Debian has it in libxml2-utils)"
	}
	if schema == "" {
		t.Logf("SOAP requests are not validated: %s", why)
		return
	}
	dir, err := os.MkdirTemp("", "wsdltest-")
	if err != nil {
		t.Error(err)
		return
	}
	defer os.RemoveAll(dir)
	args := []string{"--noout", "--nonet", "--schema", schema}
	checked := make(map[string]bool)
	for i, r := range requests {
		if r.Operation == "" || r.Status >= 400 {
			continue
		}
		body := withoutRemoved(session.ReplaceAllString(string(r.Body), "<sessionId>session</sessionId>"), r.Path)
		if _, known := valid.Load(body); known || checked[body] {
			continue
		}
		checked[body] = true
		file := filepath.Join(dir, fmt.Sprintf("%04d-%s.xml", i, r.Operation))
		if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
			t.Error(err)
			return
		}
		args = append(args, file)
	}
	if len(checked) == 0 {
		return
	}
	if out, err := exec.Command("xmllint", args...).CombinedOutput(); err != nil {
		t.Errorf("a SOAP request does not follow the Metadata API's schema: %v\n%s", err, out)
		return
	}
	for body := range checked {
		valid.Store(body, struct{}{})
	}
}

// withoutRemoved returns a request to a path without the elements that its API version has and that of the
// schema does not.
func withoutRemoved(body, path string) string {
	_, text, _ := strings.Cut(path, "/Soap/m/")
	v, err := apiversion.Parse(text)
	if err != nil {
		return body
	}
	for _, typ := range eca.Types() {
		for _, ft := range typ.Fields {
			if v <= ft.Until {
				element := regexp.MustCompile(`(?s)(xsi:type="` + typ.Name + `">.*?)<` + ft.Name + `>[^<]*</` + ft.Name + `>`)
				body = element.ReplaceAllString(body, "$1")
			}
		}
	}
	return body
}
