package cli

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"debug/buildinfo"
	_ "embed"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

type bundleCmd struct {
	Platforms []string `placeholder:"OS/ARCH" help:"Platforms of the eca in the script: linux/amd64, linux/arm64, darwin/amd64, darwin/arm64. Default: the platform of this eca, and those of --binary."`
	Binary    []string `sep:"none" placeholder:"FILE" help:"The eca of this version for another platform, as its release has it; can be repeated. Its platform is read from it."`
	Output    *string  `aliases:"output-file" placeholder:"FILE" help:"File to write the script to. Default: standard output."`
}

func (bundleCmd) Help() string {
	return `Writes scripts/bootstrap-eca-oauth.sh with eca inside. sfp copies the script to the artifact, so the artifact contains the eca with which it was built, and machines that install it need no eca.

  eca bundle --output scripts/bootstrap-eca-oauth.sh

The script contains this eca. Add those of other platforms, of the same version, with --binary eca-linux-arm64.

Where a package has an eca.sum, run eca lint --fix afterwards: it updates the digest of the script.

The script unpacks eca once, to a directory that only the user can write (eca-UID in ECA_CACHE, XDG_CACHE_HOME or ~/.cache, or in TMPDIR if that fails), and checks it before each run with sha256sum, shasum or openssl. The script needs sh, base64 and gzip. ECA_BIN has precedence over the eca in the script.`
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
		return nil, usage.Errorf("--output names no file")
	case c.Output == nil && e.JSON:
		return nil, usage.Errorf("with --json, standard output has the report: name --output FILE for the script")
	case c.Output == nil && e.stdoutTerminal:
		return nil, usage.Errorf("standard output is a terminal, and the script has megabytes: name --output FILE, like scripts/bootstrap-eca-oauth.sh")
	}
	if c.Output != nil {
		if err := atomicfile.Check(*c.Output, atomicfile.Options{}); err != nil {
			return nil, usage.Errorf("--output: %w", outputError(*c.Output, err))
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
		_, err := e.Stdout.Write(script)
		return r, err
	}
	r.File = *c.Output
	if err := atomicfile.Write(r.File, script, atomicfile.Options{Mode: 0o755}); err != nil {
		return nil, outputError(r.File, err)
	}
	for _, p := range r.Platforms {
		e.Line("  %s: %.1f MB, SHA-256 %s", p.Platform, float64(p.Bytes)/1e6, p.SHA256)
	}
	e.Line("eca: %s contains eca %s (%.1f MB).", r.File, r.Version, float64(len(script))/1e6)
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
			return nil, usage.Errorf("--binary: %w", err)
		}
		if binaries[platform], err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	if len(c.Platforms) == 0 {
		if len(binaries) == 0 {
			return nil, usage.Errorf("sh does not run on %s: give the eca of another platform with --binary", own)
		}
		return binaries, nil
	}
	chosen := make(map[string][]byte)
	for _, platform := range c.Platforms {
		switch {
		case carried[platform] == "":
			return nil, usage.Errorf("--platforms: a script can contain eca for %s, not for %q", strings.Join(platforms(carried), ", "), platform)
		case binaries[platform] == nil:
			return nil, usage.Errorf("this eca is for %s; for %s, give the eca %s of that platform with --binary", own, platform, salesforce.Version())
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
	info, err := buildinfo.ReadFile(name)
	if err != nil || !sameProgram(info) {
		return "", fmt.Errorf("%s is not an eca: give the binary itself, unpacked", name)
	}
	if other := salesforce.VersionIn(info); other != salesforce.Version() {
		return "", fmt.Errorf("%s is eca %s, and this one is %s: a script contains one version", name, other, salesforce.Version())
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

// sameProgram reports whether a binary is the same program as this one.
func sameProgram(info *debug.BuildInfo) bool {
	own, ok := debug.ReadBuildInfo()
	return ok && info.Path == own.Path
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
	r := &bundleResult{Version: salesforce.Version(), Platforms: []bundledResult{}}
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
	about := fmt.Sprintf("All the work is done by eca,\n# which this script contains. eca bundle wrote it, with version\n# %s for %s.\n", r.Version, strings.Join(platforms(binaries), ", "))
	unpack := strings.NewReplacer("\t# PLATFORMS\n", cases.String(), "CONTAINED", strings.Join(platforms(binaries), ", ")).Replace(unpackSh)
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
