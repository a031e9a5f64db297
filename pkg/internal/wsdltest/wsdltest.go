// Package wsdltest validates the SOAP requests that a simulated org got in a test against the schema
// of the Metadata API's WSDL.
package wsdltest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// Validate returns a simorg.Config.Log that calls log, if that is not nil, and validates the SOAP
// requests when the test ends, also those that the org was told to forget. Requests that the org
// answered with a status of failure are left out: a test may send wrong ones on purpose.
//
// It needs xmllint, and envelope.xsd in ../shared/schema beside the module. Without them it logs that
// nothing is validated.
func Validate(t testing.TB, log func(simorg.Request)) func(simorg.Request) {
	var mu sync.Mutex
	var all []simorg.Request
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		validate(t, all)
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

// schemaFile returns the path of the schema of SOAP requests, or "" and why requests cannot be
// validated.
func schemaFile() (path, why string) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		return "", "xmllint is not installed (Debian has it in libxml2-utils)"
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			path := filepath.Join(dir, "..", "shared", "schema", "envelope.xsd")
			if _, err := os.Stat(path); err != nil {
				return "", "there is no ../shared/schema/envelope.xsd beside the module"
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

func validate(t testing.TB, requests []simorg.Request) {
	t.Helper()
	schema, why := schemaFile()
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
		body := session.ReplaceAllString(string(r.Body), "<sessionId>session</sessionId>")
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
