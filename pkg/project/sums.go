package project

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// SumFile is the file in a package directory with the digests of what the package's hook uses and
// sfp build --diffcheck does not look at: it compares the package directory without the files that
// .forceignore names. A change of the file makes sfp build the package.
const SumFile = "eca.sum"

// SettingsItem is the item of a SumFile for plugins.eca. The other items are files.
const SettingsItem = "plugins.eca"

// builtScript is the path at which sfp build stores the script of a package in its artifact.
const builtScript = "scripts/postDeployment"

// Sums are SHA-256 digests in hexadecimal, by item: SettingsItem or a path relative to the project.
type Sums map[string]string

// HasHook reports whether sfp runs eca after the deployment of a package.
func HasHook(fsys fs.FS, p sfp.Package) bool {
	if p.Name == "" || p.Script == "" {
		return false
	}
	calls, err := CallsHook(fsys, path.Clean(p.Script))
	return err == nil && calls
}

// HiddenPolicies returns the files with components of apps that .forceignore leaves out of a package: eca
// deploys them, or nobody. Source lists the package.
func HiddenPolicies(source *Source, p sfp.Package) (files []string) {
	ignore := source.Ignore(p.Path)
	for _, f := range append(source.Components(p.Path, ""), source.Plugins(p.Path)...) {
		if f.App() != "" && IsPolicy(f.File) && ignore.Ignores(f.File) {
			files = append(files, f.File)
		}
	}
	return files
}

// IsPolicy reports whether a file's name is that of a component of an app other than its header.
func IsPolicy(file string) bool {
	if plugin, _ := eca.SourceTypes().OfFile(file); plugin != nil {
		return true
	}
	typ, _ := eca.Types().OfFile(file)
	return typ != nil && typ.Name != eca.Header && typ.Name != eca.RemoteSiteSetting
}

// Sums returns the digests for a package. hidden are the files of HiddenPolicies: of all packages if
// the package has the hook, otherwise its own. Without the hook, they are the only items.
func (p *Project) Sums(fsys fs.FS, pkg sfp.Package, hook bool, hidden []string) (Sums, error) {
	sums := make(Sums)
	files := hidden
	if hook {
		settings, err := canonical(p.Plugins["eca"])
		if err != nil {
			return nil, fmt.Errorf("plugins.eca: %w", err)
		}
		if settings != nil {
			sum := sha256.Sum256(settings)
			sums[SettingsItem] = hex.EncodeToString(sum[:])
		}
		files = append([]string{path.Clean(pkg.Script)}, hidden...)
	}
	for _, file := range files {
		sum, err := fileSum(fsys, file)
		if err != nil {
			return nil, err
		}
		sums[file] = sum
	}
	return sums, nil
}

// canonical returns JSON without what means nothing: white space and the order of members.
func canonical(data json.RawMessage) ([]byte, error) {
	if data == nil {
		return nil, nil
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	return json.Marshal(value)
}

// fileSum returns the digest of a file with LF as its line ends, because git may check it out with CRLF.
func fileSum(fsys fs.FS, name string) (string, error) {
	file, err := fsys.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	digest := &lines{Hash: sha256.New()}
	if _, err := io.Copy(digest, file); err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return digest.sum(), nil
}

// lines is a hash of text in which CRLF counts as LF.
type lines struct {
	hash.Hash
	held bool // a CR at the end of the last part
}

func (l *lines) Write(part []byte) (int, error) {
	text := part
	if l.held && len(part) > 0 {
		text = append([]byte("\r"), part...)
	}
	if len(text) > 0 {
		text, l.held = bytes.CutSuffix(text, []byte("\r"))
	}
	_, err := l.Hash.Write(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")))
	return len(part), err
}

func (l *lines) sum() string {
	if l.held {
		l.Hash.Write([]byte("\r"))
	}
	return hex.EncodeToString(l.Sum(nil))
}

// Format returns the content of a SumFile: one item per line, sorted.
func (s Sums) Format() []byte {
	var b bytes.Buffer
	for _, item := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&b, "%s  %s\n", s[item], item)
	}
	return b.Bytes()
}

// ParseSums reads the content of a SumFile. A line that is none is an error, as after a merge.
func ParseSums(data []byte) (Sums, error) {
	sums := make(Sums)
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimRight(line, "\r\n"); line == "" {
			continue
		}
		sum, item, ok := strings.Cut(line, "  ")
		if _, err := hex.DecodeString(sum); !ok || err != nil || len(sum) != 2*sha256.Size || item == "" {
			return nil, fmt.Errorf("%q is not a SHA-256 and an item", line)
		}
		sums[item] = sum
	}
	return sums, nil
}

// Differ returns the items that are not the same in both, sorted.
func (s Sums) Differ(other Sums) (items []string) {
	all := make(Sums)
	maps.Copy(all, s)
	maps.Copy(all, other)
	for _, item := range slices.Sorted(maps.Keys(all)) {
		if s[item] != other[item] {
			items = append(items, item)
		}
	}
	return items
}

// CheckArtifact compares the SumFile of a package with what its artifact carries, and returns the items that
// differ. Files that the artifact does not carry are not compared. Without a SumFile there is nothing to compare.
func (p *Project) CheckArtifact(artifact fs.FS, pkg sfp.Package) (differ []string, err error) {
	data, err := fs.ReadFile(artifact, path.Join(pkg.Path, SumFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var sums Sums
	if err == nil {
		sums, err = ParseSums(data)
	}
	if err != nil {
		return nil, err
	}
	settings, err := p.Sums(artifact, sfp.Package{Script: builtScript}, true, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // not an artifact
	}
	if err != nil {
		return nil, err
	}
	for item := range sums {
		var now string
		switch {
		case item == SettingsItem:
			now = settings[SettingsItem]
		case IsPolicy(item):
			if now, err = fileSum(artifact, item); err != nil {
				continue
			}
		default:
			now = settings[builtScript]
		}
		if now != sums[item] {
			differ = append(differ, item)
		}
	}
	slices.Sort(differ)
	return differ, nil
}

// Overlay is a file system in which some files have new content.
type Overlay struct {
	fs.FS
	Files map[string][]byte // by path
}

// Open opens a file.
func (o Overlay) Open(name string) (fs.File, error) {
	content, ok := o.Files[name]
	if !ok {
		return o.FS.Open(name)
	}
	return newContent{bytes.NewReader(content)}, nil
}

// newContent is an open file of an Overlay.
type newContent struct{ *bytes.Reader }

// Stat is not supported.
func (newContent) Stat() (fs.FileInfo, error) { return nil, errors.ErrUnsupported }

// Close does nothing.
func (newContent) Close() error { return nil }
