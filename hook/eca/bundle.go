package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/ecakit/ecakit"
)

type bundleCmd struct {
	Platforms []string `placeholder:"OS/ARCH" help:"Platforms that the script carries eca for: linux/amd64, linux/arm64, darwin/amd64, darwin/arm64. Otherwise that of this eca and those of --binary."`
	Binary    []string `sep:"none" placeholder:"FILE" help:"The eca of this version for another platform, as its release has it; can be repeated. Its platform is read from it."`
	Output    *string  `aliases:"output-file" placeholder:"FILE" help:"File that the script is written to, whole or not at all. Otherwise standard output."`
}

func (bundleCmd) Help() string {
	return `Writes scripts/bootstrap-eca-oauth.sh with eca inside. sfp copies one file into the artifact, the script; so the artifact then carries the very eca that it was built with, and the machines that install it, even months later, need none.

eca bundle --output scripts/bootstrap-eca-oauth.sh

This eca serves its own platform. For others, give theirs with --binary; they have to be of this version: eca bundle --binary eca-linux-arm64.

The script unpacks eca once, into a directory of the user's alone (eca-UID in ECA_CACHE, else in XDG_CACHE_HOME, else in ~/.cache, and in TMPDIR where that cannot be written, or others can write there), and checks it before each run. It needs sh, base64 and gzip. ECA_BIN still counts more than what the script carries.`
}

// carried are the platforms that the script runs on, by what uname -sm calls them.
var carried = map[string]string{
	"linux/amd64": "'Linux x86_64'", "linux/arm64": "'Linux aarch64' | 'Linux arm64'",
	"darwin/amd64": "'Darwin x86_64'", "darwin/arm64": "'Darwin arm64'",
}

// bundleResult is what --json says of a bundle.
type bundleResult struct {
	outcome
	File      string          `json:"file"`
	Version   string          `json:"version"`
	Platforms []bundledResult `json:"platforms"`
}

type bundledResult struct {
	Platform string `json:"platform"`
	SHA256   string `json:"sha256"` // of the binary
	Bytes    int    `json:"bytes"`
}

func (c *bundleCmd) run(_ context.Context, e *env) (result, error) {
	switch {
	case c.Output != nil && *c.Output == "": // which an unset variable of a pipeline leaves
		return nil, usageError{errors.New("--output names no file")}
	case c.Output == nil && e.json:
		return nil, usageError{errors.New("with --json, standard output carries the report: name --output FILE for the script")}
	case c.Output == nil && e.stdoutTerminal:
		return nil, usageError{errors.New("standard output is a terminal, and the script has megabytes: name --output FILE, like scripts/bootstrap-eca-oauth.sh")}
	}
	if c.Output != nil {
		if info, err := os.Lstat(*c.Output); err == nil && !info.Mode().IsRegular() {
			return nil, usageError{fmt.Errorf("--output: %s is not a regular file", *c.Output)}
		}
	}
	binaries, err := c.binaries()
	if err != nil {
		return nil, err
	}
	script, r, err := bundle(binaries)
	if err != nil {
		return nil, err
	}
	if c.Output == nil {
		_, err := e.stdout.Write(script)
		return r, err
	}
	r.File = *c.Output
	if err := writeScript(r.File, script); err != nil {
		return nil, err
	}
	for _, p := range r.Platforms {
		e.line("  %s: %.1f MB, SHA-256 %s", p.Platform, float64(p.Bytes)/1e6, p.SHA256)
	}
	e.line("eca: %s carries eca %s (%.1f MB).", r.File, r.Version, float64(len(script))/1e6)
	return r, nil
}

// binaries returns the binary of each platform.
func (c *bundleCmd) binaries() (map[string][]byte, error) {
	own := runtime.GOOS + "/" + runtime.GOARCH
	binaries := make(map[string][]byte)
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if carried[own] != "" {
		if binaries[own], err = os.ReadFile(program); err != nil {
			return nil, fmt.Errorf("this eca cannot be read: %w", err)
		}
	}
	for _, name := range c.Binary {
		platform, err := platformOf(name)
		if err != nil {
			return nil, usageError{fmt.Errorf("--binary: %w", err)}
		}
		if binaries[platform], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	if len(c.Platforms) == 0 {
		if len(binaries) == 0 {
			return nil, usageError{fmt.Errorf("sh does not run on %s: give the eca of another platform with --binary", own)}
		}
		return binaries, nil
	}
	chosen := make(map[string][]byte)
	for _, platform := range c.Platforms {
		switch {
		case carried[platform] == "":
			return nil, usageError{fmt.Errorf("--platforms: a script carries eca for %s, not for %q", strings.Join(platforms(carried), ", "), platform)}
		case binaries[platform] == nil:
			return nil, usageError{fmt.Errorf("this eca is for %s; for %s, give the eca %s of that platform with --binary", own, platform, version())}
		}
		chosen[platform] = binaries[platform]
	}
	return chosen, nil
}

func platforms[V any](of map[string]V) []string {
	var names []string
	for name := range of {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// platformOf returns the platform of a file, if it is eca of this version.
func platformOf(name string) (string, error) {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a file", name)
	}
	info, err := buildInfo(name)
	if err != nil || info.Main.Path != modulePath {
		return "", fmt.Errorf("%s is not an eca: give the binary itself, unpacked", name)
	}
	if other := versionOf(info); other != version() {
		return "", fmt.Errorf("%s is eca %s, and this one is %s: a script carries one version", name, other, version())
	}
	goos, arch := "", ""
	for _, setting := range info.Settings {
		switch setting.Key {
		case "GOOS":
			goos = setting.Value
		case "GOARCH":
			arch = setting.Value
		}
	}
	platform := goos + "/" + arch
	if carried[platform] == "" {
		return "", fmt.Errorf("%s is for %s, where sh does not run", name, platform)
	}
	return platform, nil
}

const modulePath = "github.com/ecakit/ecakit"

// buildInfo reads what Go notes in a binary of eca, which stands there as text. debug/buildinfo
// reads that of any binary, by code for the formats of all systems, which is half a megabyte.
func buildInfo(name string) (*debug.BuildInfo, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	_, text, found := bytes.Cut(data, fmt.Appendf(nil, "path\t%s/hook/eca\n", modulePath))
	if !found {
		return nil, errors.New("is not an eca")
	}
	if end := bytes.IndexFunc(text, func(r rune) bool { return r != '\t' && r != '\n' && (r < ' ' || r > '~') }); end >= 0 {
		text = text[:end]
	}
	return debug.ParseBuildInfo(string(text))
}

// unpackSh is the part of the script that takes the place of the search for an installed eca.
//
//go:embed unpack.sh
var unpackSh string

// payloadLine is how many characters of a binary a line of the script has. Lines of up to 2048
// are text to all tools.
const payloadLine = 1020

// bundle returns the script with the binaries inside: scripts/bootstrap-eca-oauth.sh, which
// unpacks eca where the original looks for it. The binaries stand behind its last command, as
// comments.
func bundle(binaries map[string][]byte) ([]byte, *bundleResult, error) {
	original, err := ecakit.Sample.ReadFile("scripts/bootstrap-eca-oauth.sh")
	if err != nil {
		return nil, nil, err
	}
	r := &bundleResult{Version: version(), Platforms: []bundledResult{}}
	var cases, payload bytes.Buffer
	for i, platform := range platforms(binaries) {
		binary := binaries[platform]
		sum := sha256.Sum256(binary)
		digest := hex.EncodeToString(sum[:])
		r.Platforms = append(r.Platforms, bundledResult{platform, digest, len(binary)})
		fmt.Fprintf(&cases, "\t%s) part=%d size=%d digest=%s ;;\n", carried[platform], i, len(binary), digest)
		packed := new(bytes.Buffer)
		z := gzip.NewWriter(packed)
		z.Write(binary)
		z.Close()
		text := base64.StdEncoding.EncodeToString(packed.Bytes())
		for line := range slices.Chunk([]byte(text), payloadLine) {
			fmt.Fprintf(&payload, "#%d %s\n", i, line)
		}
	}
	about := fmt.Sprintf("All the work is done by eca,\n# which this script carries: eca bundle has written it, with version\n# %s for %s.\n", r.Version, strings.Join(platforms(binaries), ", "))
	unpack := strings.NewReplacer("\t# PLATFORMS\n", cases.String(), "CARRIED", strings.Join(platforms(binaries), ", ")).Replace(unpackSh)
	script, err := replace(string(original), "All the work is done by", "\nset -eu", about)
	if err == nil {
		script, err = replace(script, "\nelif ", "\nfi\n\nexec ", "\n"+strings.TrimSuffix(unpack, "\n"))
	}
	return append([]byte(script), payload.Bytes()...), r, err
}

// replace puts another text in the place of what is between the first place of one and the next
// of another, from the one on.
func replace(text, from, to, with string) (string, error) {
	before, rest, found := strings.Cut(text, from)
	_, after, ended := strings.Cut(rest, to)
	if !found || !ended {
		return "", fmt.Errorf("scripts/bootstrap-eca-oauth.sh has no %q before %q", from, to)
	}
	return before + with + to + after, nil
}

// writeScript writes a file that can be run, whole or not at all: sh runs an empty one without
// an error.
func writeScript(name string, script []byte) error {
	file, err := os.CreateTemp(filepath.Dir(name), ".eca-*")
	if err != nil {
		return usageError{fmt.Errorf("--output: files cannot be made in %s", filepath.Dir(name))}
	}
	defer os.Remove(file.Name())
	_, err = file.Write(script)
	if err := cmp.Or(err, file.Chmod(0o755), file.Close()); err != nil {
		return fmt.Errorf("%s cannot be written: %w", name, err)
	}
	return os.Rename(file.Name(), name)
}

// digestOf returns the SHA-256 of a file.
func digestOf(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
