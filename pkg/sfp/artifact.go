package sfp

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// Artifact is a package as sfp build left it in a zip file, or as npm packed it
// again for sfp publish. As an fs.FS it is the artifact's source directory: the
// project file, the package's directory, and manifests.
type Artifact struct {
	fs.FS
	Package string
	Version string // like 1.0.0-1
	File    string // the path of the zip or tgz file

	zip io.Closer // nil where the artifact is in memory
}

var artifactName = regexp.MustCompile(`^(.+)_sfpowerscripts_artifact[_-](.+)\.(zip|tgz)$`)

// OpenDir opens a directory as a file system that leads nowhere else, by no ".."
// and no link, and whose files are regular ones of bearable size: what is read of a
// project, and where an artifact was unpacked.
func OpenDir(dir string) (fs.FS, error) { return files.Dir(dir) }

// Bounds of an artifact. Those of large projects hold some ten thousand files.
const (
	maxEntries  = 200_000
	maxElements = 1_000_000 // of all names together
	maxNames    = 32 << 20  // in bytes, of all names together
	maxDepth    = 64        // in directories
	maxUnpacked = 512 << 20 // in bytes, of a tgz file, which is read from end to end
	maxKept     = 64 << 20  // in bytes, of what is kept of it
)

// Close closes the artifact's file.
func (a *Artifact) Close() error {
	if a.zip == nil {
		return nil
	}
	return a.zip.Close()
}

// OpenArtifact opens an artifact's file, whose name tells package and version. An
// error names the file and what is wrong with it.
//
// A tgz file has no directory, so it is read from end to end, up to 512 MiB, and its
// files are kept in memory: those that matter by their name, the project files and the
// .forceignore with their content, all others empty. Its name may begin with an npm scope,
// so the package is the one that its metadata name.
func OpenArtifact(file string, matters func(name string) bool) (*Artifact, error) {
	match := artifactName.FindStringSubmatch(filepath.Base(file))
	if match == nil {
		return nil, fmt.Errorf("%s is not named like an artifact of sfp build", file)
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the artifact %s is not a regular file", file)
	}
	a := &Artifact{Package: match[1], Version: match[2], File: file}
	top := a.Package + "_sfpowerscripts_artifact"
	var reader *zip.Reader
	var err error
	if match[3] == "tgz" {
		top = npmTop
		reader, err = unpack(file, matters, maxUnpacked, maxKept)
	} else {
		var opened *zip.ReadCloser
		if opened, err = zip.OpenReader(file); err == nil {
			reader, a.zip = &opened.Reader, opened
		}
	}
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, fmt.Errorf("the artifact %s cannot be opened: %w", file, err)
	}
	fail := func(format string, args ...any) (*Artifact, error) {
		a.Close()
		return nil, fmt.Errorf("the artifact %s %s", file, fmt.Sprintf(format, args...))
	}
	var names nameBound
	for _, f := range reader.File {
		if names.exceeded(f.Name) {
			return fail("%v", errTooMuch)
		}
	}
	root := path.Join(top, "source")
	if info, err := fs.Stat(reader, root); err != nil || !info.IsDir() {
		return fail("holds no %s", root)
	}
	if match[3] == "tgz" {
		if a.Package = packageIn(reader, path.Join(top, artifactMetadata)); a.Package == "" {
			return fail("does not tell its package in %s/%s", top, artifactMetadata)
		}
	}
	if a.FS, err = fs.Sub(reader, root); err != nil {
		return fail("cannot be opened: %v", err)
	}
	return a, nil
}

// npmTop is the directory that npm packs everything into.
const npmTop = "package"

// artifactMetadata is where sfp build says what an artifact is.
const artifactMetadata = "artifact_metadata.json"

// packageIn returns the package that an artifact's metadata name, "" for none.
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

// nameBound bounds the names in an artifact, of which a file system makes directories.
type nameBound struct{ entries, elements, bytes int }

var errTooMuch = fmt.Errorf("has more than %d entries, or names that are deeper than %d directories or too much in all", maxEntries, maxDepth)

func (b *nameBound) exceeded(name string) bool {
	depth := strings.Count(name, "/")
	b.entries++
	b.elements += depth + 1
	b.bytes += len(name)
	return depth > maxDepth || b.entries > maxEntries || b.elements > maxElements || b.bytes > maxNames
}

// unpack reads a tgz file and packs its regular files as a zip file in memory,
// because that is a file system. It reads up to max bytes and keeps up to maxKept.
func unpack(file string, matters func(name string) bool, max, maxKept int64) (*zip.Reader, error) {
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
	entries := tar.NewReader(stream)
	contents := make(map[string][]byte) // a name that is there twice is the last one, as tar has it
	kept := int64(0)
	var names nameBound
	for {
		entry, err := entries.Next()
		if err == io.EOF && stream.N > 0 {
			break
		}
		tooLarge := fmt.Errorf("it has more than %d MiB, or %d MiB that matter", max>>20, maxKept>>20)
		if stream.N <= 0 {
			return nil, tooLarge
		}
		if err != nil {
			return nil, err
		}
		if names.exceeded(entry.Name) {
			return nil, fmt.Errorf("it %w", errTooMuch)
		}
		name := path.Clean(entry.Name)
		if entry.Typeflag != tar.TypeReg || !fs.ValidPath(name) || !strings.HasPrefix(name, npmTop+"/") {
			continue
		}
		contents[name] = nil
		if isOwn(name) || matters(name) {
			// The size that a sparse file states costs nothing, so it counts before it is read.
			if kept += entry.Size; kept > maxKept {
				return nil, tooLarge
			}
			if contents[name], err = io.ReadAll(entries); err != nil {
				return nil, err
			}
		}
	}
	var packed bytes.Buffer
	w := zip.NewWriter(&packed)
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		to, err := w.Create(name)
		if err == nil {
			_, err = to.Write(contents[name])
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
}

// isOwn reports whether a file in an artifact is one that this package reads.
func isOwn(name string) bool {
	switch path.Base(name) {
	case artifactMetadata, IgnoreFile, path.Base(ProjectFile), path.Base(OriginalProjectFile):
		return true
	}
	return false
}

// FindArtifacts returns the files in a directory and below it that may be artifacts
// of the packages, by package, the latest version first, which is what sfp install
// takes. Of a tgz file only its metadata tell the package for certain, because the
// name of another one can end in the same way. A directory that does not exist holds
// none.
func FindArtifacts(dir string, packages []Package) (map[string][]string, error) {
	// sfp follows a link to the directory, and walking one would not.
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

// mayBe reports whether an artifact's file is named after a package. The name that
// sfp publishes to npm is in lower case, and npm puts the scope before it:
// SCOPE-PACKAGE.
func mayBe(pkg, name string, tgz bool) bool {
	lower := strings.ToLower(pkg)
	return pkg == name || tgz && (name == lower || strings.HasSuffix(name, "-"+lower))
}
