package ecakit_test

import (
	"encoding/json"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/simorg"
)

// packageDoc returns the comment of the package.
func packageDoc(t *testing.T) *comment.Doc {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "ecakit.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	return new(comment.Parser).Parse(file.Doc.Text())
}

// TestProgram compiles the program of the package's comment as it is printed, and runs it in the sample project.
func TestProgram(t *testing.T) {
	t.Parallel()
	program := ""
	for _, block := range packageDoc(t).Content {
		if code, ok := block.(*comment.Code); ok && strings.HasPrefix(code.Text, "package main\n") {
			program = code.Text
		}
	}
	if program == "" {
		t.Fatal("the comment has no program")
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	// The overlay places the program in the module, without a file there.
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(root, "printed", "main.go"): write("main.go", []byte(program))}})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "program")
	build := exec.Command("go", "build", "-overlay", write("overlay.json", overlay), "-o", binary, "./printed")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	project := filepath.Join(dir, "project")
	if err := os.CopyFS(project, ecakit.Sample); err != nil {
		t.Fatal(err)
	}
	org := simorg.Start(simorg.Config{Users: []simorg.User{{Username: "integration@example.com.uat"}}})
	defer org.Close()
	for _, changes := range []string{"5", "0"} {
		run := exec.Command(binary)
		run.Dir = project
		run.Env = append(os.Environ(), "SF_ACCESS_TOKEN="+org.AccessToken(), "SF_ORG_INSTANCE_URL="+org.URL)
		out, err := run.CombinedOutput()
		if want := regexp.MustCompile(`^` + changes + ` changes\nErpConnector 3MVG9\S+\n$`); err != nil || !want.Match(out) {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestNamesOfTheComment: what the package's comment refers to is there.
func TestNamesOfTheComment(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("ecakit.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range regexp.MustCompile(`\[github\.com/ecakit/ecakit/(pkg/\w+)(?:\.([\w.]+))?\]`).FindAllStringSubmatch(string(file), -1) {
		args := []string{"doc", "./" + match[1]}
		if match[2] != "" {
			args = append(args, match[2])
		}
		if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", match[0], out)
		}
	}
	for _, name := range regexp.MustCompile(`\bpkg/[a-z]+\b`).FindAllString(string(file), -1) {
		if _, err := os.Stat(name); err != nil {
			t.Error(err)
		}
	}
}
