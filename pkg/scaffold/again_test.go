package scaffold_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/scaffold"
)

// TestAgain adds an app to projects that an interrupted run has left with the first of its files. The result
// is that of one run, and another run has nothing to do.
func TestAgain(t *testing.T) {
	t.Parallel()
	whole := project(t)
	all, err := scaffold.New(os.DirFS(whole), config("App"))
	if err != nil {
		t.Fatal(err)
	}
	if err := scaffold.Write(whole, all); err != nil {
		t.Fatal(err)
	}
	for n := range all {
		dir := project(t)
		for _, f := range all[:n] {
			write(t, dir, f)
		}
		files, err := scaffold.New(os.DirFS(dir), config("App"))
		if err != nil || !slices.EqualFunc(files, all[n:], func(a, b scaffold.File) bool { return a.Path == b.Path }) {
			t.Errorf("after %d files: %v, %v", n, files, err)
		}
		if err := scaffold.Write(dir, files); err != nil {
			t.Errorf("after %d files: %v", n, err)
		}
		for _, f := range all {
			got, _ := os.ReadFile(filepath.Join(dir, f.Path))
			if want, err := os.ReadFile(filepath.Join(whole, f.Path)); err != nil || string(got) != string(want) {
				t.Errorf("after %d files: %s has %q", n, f.Path, got)
			}
		}
		if files, err := scaffold.New(os.DirFS(dir), config("App")); err != nil || len(files) > 0 {
			t.Errorf("after everything: %v, %v", files, err)
		}
	}
	// A file with another content is not of an earlier run, and settings that differ are another app's.
	for _, f := range all[:len(all)-1] {
		if strings.HasPrefix(f.Path, "scripts/") || f.Path == "eca-definition/eca.sum" {
			continue // which have rules of their own
		}
		dir := project(t)
		f.Content = append(slices.Clone(f.Content), ' ')
		write(t, dir, f)
		if files, err := scaffold.New(os.DirFS(dir), config("App")); err == nil {
			t.Errorf("%s with another content: %v", f.Path, files)
		}
	}
	other := config("App")
	other.CallbackURLs = []string{"https://other.example.com"}
	if _, err := scaffold.New(os.DirFS(whole), other); !errors.As(err, new(*scaffold.ExistsError)) {
		t.Errorf("other settings: %v", err)
	}
}

func write(t *testing.T, dir string, f scaffold.File) {
	t.Helper()
	name := filepath.Join(dir, f.Path)
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, f.Content, 0o644); err != nil {
		t.Fatal(err)
	}
}
