package sfp

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
	"golang.org/x/tools/txtar"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// Artifact is a package in the zip file that sfp build wrote, or in the tgz file that npm
// packed for sfp publish. As an fs.FS it is the artifact's source directory: the project file,
// the package's directory and the manifests.
type Artifact struct {
	fs.FS
	Package string
	Version string // like 1.0.0-1
	File    string // the path of the zip or tgz file

	zip io.Closer // nil for an artifact in memory
}

var artifactName = regexp.MustCompile(`^(.+)_sfpowerscripts_artifact[_-](.+)\.(zip|tgz)$`)

// OpenDir opens the directory of a project, or of an unpacked artifact, as a file system. File
// access is confined to the directory: ".." and symlinks cannot leave it. Only regular files of
// limited size can be read.
func OpenDir(dir string) (fs.FS, error) { return files.Dir(dir) }

// Bounds of an artifact. Artifacts of large projects hold some ten thousand files.
const (
	maxEntries  = 200_000
	maxElements = 1_000_000 // path elements of all names
	maxNames    = 32 << 20  // bytes of all names
	maxDepth    = 64        // directories
	maxUnpacked = 512 << 20 // bytes of an unpacked tgz file
	maxKept     = 64 << 20  // bytes kept in memory from a tgz file
)

func (a *Artifact) Close() error {
	if a.zip == nil {
		return nil
	}
	return a.zip.Close()
}

// OpenArtifact opens an artifact's file. Package and version come from the file's name. Errors
// name the file.
//
// A tgz file has no index, so OpenArtifact reads it from end to end, up to 512 MiB unpacked,
// and keeps its file names in memory. It keeps the content only of project files, .forceignore
// files and files for which matters returns true; other files appear empty. An npm scope may
// precede the package in a tgz file's name, so the package comes from the artifact's metadata.
func OpenArtifact(file string, matters func(name string) bool) (*Artifact, error) {
	match := artifactName.FindStringSubmatch(filepath.Base(file))
	if match == nil {
		return nil, fmt.Errorf("%s is not named like an artifact of sfp build; expected PACKAGE_sfpowerscripts_artifact_VERSION.zip", file)
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the artifact %s is not a regular file", file)
	}
	a := &Artifact{Package: match[1], Version: match[2], File: file}
	top, packed := a.Package+"_sfpowerscripts_artifact", match[3] == "tgz"
	var contents fs.FS
	var err error
	if packed {
		top = npmTop
		contents, err = unpack(file, matters, maxUnpacked, maxKept)
	} else {
		contents, err = a.openZip()
	}
	if err != nil {
		a.Close()
		return nil, fmt.Errorf("cannot open the artifact %s: %w", file, files.Plain(err))
	}
	fail := func(format string, args ...any) (*Artifact, error) {
		a.Close()
		return nil, fmt.Errorf("the artifact %s %s", file, fmt.Sprintf(format, args...))
	}
	root := path.Join(top, "source")
	if info, err := fs.Stat(contents, root); err != nil || !info.IsDir() {
		return fail("has no directory %s", root)
	}
	if packed {
		if a.Package = packageIn(contents, path.Join(top, artifactMetadata)); a.Package == "" {
			return fail("has no package_name in %s/%s", top, artifactMetadata)
		}
	}
	if a.FS, err = fs.Sub(contents, root); err != nil {
		return fail("cannot be opened: %v", err)
	}
	return a, nil
}

// openZip opens the artifact's zip file, which Close closes.
func (a *Artifact) openZip() (fs.FS, error) {
	reader, err := zip.OpenReader(a.File)
	if err != nil {
		return nil, err
	}
	a.zip = reader
	var names nameBound
	for _, f := range reader.File {
		if names.exceeded(f.Name) {
			return nil, errTooMuch
		}
	}
	return reader, nil
}

// npmTop is the top directory of every npm package.
const npmTop = "package"

// artifactMetadata is the file in which sfp build describes the artifact.
const artifactMetadata = "artifact_metadata.json"

// packageIn returns the package named in an artifact's metadata, "" if none.
func packageIn(fsys fs.FS, name string) string {
	file, err := fsys.Open(name)
	if err != nil {
		return ""
	}
	defer file.Close()
	var about struct {
		Package string `json:"package_name"`
	}
	if json.NewDecoder(io.LimitReader(file, files.MaxFile)).Decode(&about) != nil {
		return ""
	}
	return about.Package
}

// nameBound bounds the names in an artifact, which are kept in memory as a tree.
type nameBound struct{ entries, elements, bytes int }

var errTooMuch = fmt.Errorf("it has more than %d entries, a path deeper than %d directories, or too many bytes of names",
	maxEntries, maxDepth)

func (b *nameBound) exceeded(name string) bool {
	depth := strings.Count(name, "/")
	b.entries++
	b.elements += depth + 1
	b.bytes += len(name)
	return depth > maxDepth || b.entries > maxEntries || b.elements > maxElements || b.bytes > maxNames
}

// unpack reads the regular files of a tgz file into memory. It reads up to max bytes and keeps up
// to maxKept.
func unpack(file string, matters func(name string) bool, max, maxKept int64) (fs.FS, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decompressed, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	stream := &io.LimitedReader{R: decompressed, N: max}
	contents, err := readTar(tar.NewReader(stream), matters, maxKept)
	if stream.N <= 0 || errors.Is(err, errTooLarge) {
		return nil, fmt.Errorf("it has more than %d MiB unpacked, or more than %d MiB of relevant files", max>>20, maxKept>>20)
	}
	if err != nil {
		return nil, err
	}
	archive := new(txtar.Archive)
	for name, data := range contents {
		archive.Files = append(archive.Files, txtar.File{Name: name, Data: data})
	}
	fsys, err := txtar.FS(archive)
	if err != nil { // all names are valid paths
		return nil, errors.New("it has a file and a directory of the same name")
	}
	return fsys, nil
}

// errTooLarge reports more relevant files than may be kept.
var errTooLarge = errors.New("too large")

// readTar returns the contents of the regular files by name. It keeps only the content of relevant
// files, up to maxKept bytes. Of duplicate names the last one counts, as in tar.
func readTar(entries *tar.Reader, matters func(name string) bool, maxKept int64) (map[string][]byte, error) {
	contents := make(map[string][]byte)
	var names nameBound
	for {
		entry, err := entries.Next()
		if err == io.EOF {
			return contents, nil
		}
		if err != nil {
			return nil, err
		}
		if names.exceeded(entry.Name) {
			return nil, errTooMuch
		}
		name := path.Clean(entry.Name)
		if entry.Typeflag != tar.TypeReg || !fs.ValidPath(name) || !strings.HasPrefix(name, npmTop+"/") {
			continue
		}
		contents[name] = nil
		if !isOwn(name) && !matters(name) {
			continue
		}
		// A sparse file can state a huge size at no cost, so check the size before reading.
		if maxKept -= entry.Size; maxKept < 0 {
			return nil, errTooLarge
		}
		if contents[name], err = io.ReadAll(entries); err != nil {
			return nil, err
		}
	}
}

// isOwn reports whether this package itself reads the file.
func isOwn(name string) bool {
	switch path.Base(name) {
	case artifactMetadata, IgnoreFile, path.Base(ProjectFile), path.Base(OriginalProjectFile):
		return true
	}
	return false
}

// FindArtifacts returns the files in or below a directory that may be artifacts of the
// packages, by package. The latest version comes first, because sfp install takes that one. A
// tgz file is only a candidate: another package's name can end the same way, and only the
// artifact's metadata tells them apart. A directory that does not exist yields no files and no
// error.
func FindArtifacts(dir string, packages []Package) (map[string][]string, error) {
	// sfp follows a symlink to the directory; WalkDir would not.
	if target, err := filepath.EvalSymlinks(dir); err == nil && target != filepath.Clean(dir) {
		dir = target
	}
	found := make(map[string][]string)
	err := filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			if file == dir && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipAll
			}
			return err
		}
		match := artifactName.FindStringSubmatch(entry.Name())
		if match == nil || entry.IsDir() {
			return nil
		}
		for _, p := range packages {
			if p.Name != "" && mayBe(p.Name, match[1], match[3] == "tgz") && !slices.Contains(found[p.Name], file) {
				found[p.Name] = append(found[p.Name], file)
			}
		}
		return nil
	})
	version := func(file string) string { return "v" + artifactName.FindStringSubmatch(filepath.Base(file))[2] }
	for _, files := range found {
		slices.SortStableFunc(files, func(a, b string) int { return semver.Compare(version(b), version(a)) })
	}
	return found, err
}

// mayBe reports whether an artifact's file name fits a package. sfp publishes to npm under the
// lower-case name, and npm puts the scope before it: SCOPE-PACKAGE.
func mayBe(pkg, name string, tgz bool) bool {
	lower := strings.ToLower(pkg)
	return pkg == name || tgz && (name == lower || strings.HasSuffix(name, "-"+lower))
}
