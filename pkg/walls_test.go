// Package walls_test tests that imports only point down.
package walls_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/ecakit/ecakit/"

// pure packages compute: they never reach the network.
var pure = []string{
	"apiversion", "connectedapp", "connection", "eca", "finding", "lint", "metadata", "platform", "preflight",
	"project", "refusal", "scaffold", "sfp", "wanted",
}

// tables are what the simulated org shares with the clients that it judges.
var tables = []string{"apiversion", "connection", "eca", "metadata", "platform"}

// listed is what go list prints of a package.
type listed struct {
	ImportPath string
	Imports    []string
}

// list returns the packages below pkg and all that they depend on, tests aside.
func list(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports", module+"pkg/...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := make(map[string]listed)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := d.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatal(err)
		}
		packages[p.ImportPath] = p
	}
}

// way returns the imports by which a package reaches net/http, or nil.
func way(packages map[string]listed, from string, seen map[string]bool) []string {
	if from == "net/http" {
		return []string{from}
	}
	if seen[from] {
		return nil
	}
	seen[from] = true
	for _, next := range packages[from].Imports {
		if rest := way(packages, next, seen); rest != nil {
			return append([]string{from}, rest...)
		}
	}
	return nil
}

func TestImportsPointDown(t *testing.T) {
	t.Parallel()
	packages := list(t)
	for _, name := range pure {
		p, exists := packages[module+"pkg/"+name]
		if !exists {
			t.Errorf("pkg/%s does not exist", name)
		}
		if way := way(packages, p.ImportPath, make(map[string]bool)); way != nil {
			t.Errorf("pkg/%s is pure and reaches the network: %s", name, strings.Join(way, " -> "))
		}
	}
	for _, p := range packages {
		if strings.HasPrefix(p.ImportPath, module+"hook/") {
			t.Errorf("%s is a dependency of a package below pkg", p.ImportPath)
		}
	}
	for _, imported := range packages[module+"pkg/simorg"].Imports {
		name, ours := strings.CutPrefix(imported, module+"pkg/")
		if ours && !strings.HasPrefix(name, "simorg/internal/") && !slices.Contains(tables, name) {
			t.Errorf("pkg/simorg imports %s; it must not share code with the clients that it judges", imported)
		}
	}
}

// TestMainIsThin: the command line is in hook/internal.
func TestMainIsThin(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("../hook/eca/main.go")
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(source, []byte("\n")); lines >= 120 {
		t.Errorf("hook/eca/main.go has %d lines, want fewer than 120", lines)
	}
}

// TestEachPackageIsShown: each package has an example and a line in the map.
func TestEachPackageIsShown(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for path := range list(t) {
		name, ours := strings.CutPrefix(path, module+"pkg/")
		if !ours || strings.Contains(name, "internal") {
			continue
		}
		if !strings.Contains(string(guide), "`"+name[strings.LastIndexByte(name, '/')+1:]+"`") {
			t.Errorf("README.md does not name %s", name)
		}
		tests, err := filepath.Glob(name + "/*_test.go")
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(tests, func(file string) bool {
			data, err := os.ReadFile(file)
			return err == nil && bytes.Contains(data, []byte("\nfunc Example")) && bytes.Contains(data, []byte("// Output:"))
		}) {
			t.Errorf("%s has no example with its output", name)
		}
	}
}
