package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/orgauth"
)

// machine is what eca finds on this machine: the first that somebody asks who is to help.
type machine struct {
	Binary   string   `json:"binary"`
	Store    string   `json:"store"` // sf's, "" where there is no home directory
	Logins   int      `json:"logins"`
	Aliases  int      `json:"aliases"`
	KeyStore string   `json:"keyStore"`
	SF       tool     `json:"sf"`
	SFP      tool     `json:"sfp"`
	Set      []string `json:"set"` // names of the variables that are set
}

// tool is a program that eca works with.
type tool struct {
	Path    string `json:"path,omitempty"`    // "" where it is not on the PATH
	Version string `json:"version,omitempty"` // "" where it is not known
}

// variables are those that change what eca does.
var variables = []string{
	"SF_ACCESS_TOKEN", "SF_ORG_INSTANCE_URL", "SF_ORG_API_VERSION", "SF_TARGET_ORG", "SF_AUDIENCE_URL", "SF_USE_GENERIC_UNIX_KEYCHAIN",
	"ECA_BIN", "ECA_ARTIFACTS", "ECA_POLICIES", "ECA_APPLY_POLICIES", "ECA_VERBOSE", "ECA_TIMEOUT", "ECA_RETRY_FOR", "NO_COLOR",
}

func (e *env) machine(ctx context.Context) *machine {
	m := &machine{Set: []string{}}
	m.Binary, _ = os.Executable()
	var tools sync.WaitGroup
	tools.Go(func() { m.SF = findTool(ctx, "sf", "@salesforce/cli") })
	tools.Go(func() { m.SFP = findTool(ctx, "sfp", "@flxbl-io/sfp") })
	store := e.Store()
	if e.Home != "" {
		m.Store = store.Dir
	}
	entries, _ := os.ReadDir(m.Store) // one that is not there has no logins
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), ".json") && strings.Contains(entry.Name(), "@") {
			m.Logins++
		}
	}
	m.Aliases = len(store.Usernames())
	switch keychain := store.Keychain.(type) {
	case orgauth.KeyFile:
		m.KeyStore = string(keychain)
		if _, err := os.Stat(m.KeyStore); err != nil {
			m.KeyStore += ", which is not there"
		}
	case orgauth.SecretTool:
		m.KeyStore = "secret-tool: " + string(keychain)
	case orgauth.MacKeychain:
		m.KeyStore = "the macOS keychain: " + string(keychain)
	}
	for _, name := range variables {
		if e.Getenv(name) != "" {
			m.Set = append(m.Set, name)
		}
	}
	tools.Wait()
	return m
}

func (m *machine) print(u *console.Console) {
	store := "none: HOME is not set"
	if m.Store != "" {
		store = fmt.Sprintf("%s: %s, %d with an alias", m.Store, console.Plural(m.Logins, "login"), m.Aliases)
	}
	u.Table([]console.Row{
		{Cells: []string{"eca", m.Binary}},
		{Cells: []string{"sf's store", store}},
		{Cells: []string{"key to it", m.KeyStore}},
		{Cells: []string{"sf", m.SF.String()}},
		{Cells: []string{"sfp", m.SFP.String()}},
		{Cells: []string{"variables", cmp.Or(strings.Join(m.Set, ", "), "none is set")}},
	})
}

func (t tool) String() string {
	if t.Path == "" {
		return "not on the PATH"
	}
	return fmt.Sprintf("%s, version %s", t.Path, cmp.Or(t.Version, "unknown"))
}

// maxAsk bounds how long a tool may take to say its version. Both start Node, which can take
// seconds.
const maxAsk = 3 * time.Second

// maxManifest bounds a package.json. Real ones have a few kilobytes.
const maxManifest = 1 << 20

var versionNumber = regexp.MustCompile(`\d+\.\d+\.\d+\S*`)

// findTool looks for a program and its version, which its npm package states. A program that
// is not in such a package is asked.
func findTool(ctx context.Context, name, npm string) tool {
	found, err := exec.LookPath(name)
	if err != nil {
		return tool{}
	}
	t := tool{Path: found}
	if t.Version = packageVersion(found, name, npm); t.Version != "" {
		return t
	}
	ctx, cancel := context.WithTimeout(ctx, maxAsk)
	defer cancel()
	ask := exec.CommandContext(ctx, found, "--version")
	ask.Env = orgauth.ChildEnvironment()
	ask.WaitDelay = time.Second // a child of it may keep the output open
	output, _ := ask.Output()
	t.Version = versionNumber.FindString(string(output[:min(len(output), console.MaxLine)]))
	return t
}

// packageVersion returns the version of the npm package that a program belongs to: that above
// the file that the program links to, or, as on Windows, that in node_modules beside it.
func packageVersion(program, name, npm string) string {
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	for dir := filepath.Dir(program); ; dir = filepath.Dir(dir) {
		for _, in := range []string{dir, filepath.Join(dir, "node_modules", npm), filepath.Join(dir, npm)} {
			var stated struct {
				Name    string          `json:"name"`
				Version string          `json:"version"`
				Bin     json.RawMessage `json:"bin"`
			}
			file := filepath.Join(in, "package.json")
			if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() || info.Size() > maxManifest {
				continue // directories above can be anybody's
			}
			data, err := os.ReadFile(file)
			if err != nil || json.Unmarshal(data, &stated) != nil {
				continue
			}
			var programs map[string]string
			_ = json.Unmarshal(stated.Bin, &programs) // other forms name one program, like the package
			if _, ours := programs[name]; ours || stated.Name == npm {
				return stated.Version
			}
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}
