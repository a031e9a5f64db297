// Package wsdltest starts simulated orgs for this module's own tests, and holds the SOAP
// requests that they get against the schema of the Metadata API's WSDL.
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
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// Start serves a simulated org until the test ends, like simorgtest.Start.
//
// Where the schema is at hand (envelope.xsd in ../shared/schema beside the module) and
// xmllint is installed, every SOAP request that the org got is then validated against it,
// also those that it was told to forget, and the test fails for one that does not follow it.
// Requests that the test sent wrong on purpose are those that the org answered with a status
// of failure; they are left out.
func Start(t testing.TB, config simorg.Config) *simorg.Server {
	t.Helper()
	var mu sync.Mutex
	var all []simorg.Request
	log := config.Log
	config.Log = func(r simorg.Request) {
		mu.Lock()
		all = append(all, r)
		mu.Unlock()
		if log != nil {
			log(r)
		}
	}
	t.Cleanup(func() { // after the org is closed
		mu.Lock()
		defer mu.Unlock()
		validate(t, all)
	})
	return simorgtest.Start(t, config)
}

// schemaFile returns the path of the schema of SOAP requests, and why requests
// cannot be validated where it returns "".
func schemaFile() (path, why string) {
	if _, err := exec.LookPath("xmllint"); err != nil {
		return "", "xmllint is not installed (Debian has it in libxml2-utils)"
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", err.Error()
	}
	for ; ; dir = filepath.Dir(dir) {
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

// valid are the requests that were found valid in this process, sessions aside: most tests
// send the same.
var valid sync.Map // from string to struct{}

var session = regexp.MustCompile(`<sessionId>[^<]*</sessionId>`)

// validate checks the SOAP requests against the schema, where there is one.
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
