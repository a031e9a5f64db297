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
	"os"
	"path"
	"path/filepath"
	"regexp"
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
	maxName     = 4096      // in bytes
	maxDepth    = 64        // in directories
	maxUnpacked = 256 << 20 // in bytes, of a tgz file, which is unpacked as a whole
)

// Close closes the artifact's file.
func (a *Artifact) Close() error {
	if a.zip == nil {
		return nil
	}
	return a.zip.Close()
}

// OpenArtifact opens an artifact's file, whose name tells package and version. A
// tgz file is read into memory, up to 256 MiB of content, and packed again there;
// its name may begin with an npm scope, so the package is the one that its metadata
// name. An error names the file and what is wrong with it.
func OpenArtifact(file string) (*Artifact, error) {
	match := artifactName.FindStringSubmatch(filepath.Base(file))
	if match == nil {
		return nil, fmt.Errorf("%s is not named like an artifact of sfp build", file)
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the artifact %s is no regular file", file)
	}
	a := &Artifact{Package: match[1], Version: match[2], File: file}
	top := a.Package + "_sfpowerscripts_artifact"
	var reader *zip.Reader
	var err error
	if match[3] == "tgz" {
		top = "package" // as npm calls it
		reader, err = unpack(file)
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
	for _, f := range reader.File {
		if len(reader.File) > maxEntries || len(f.Name) > maxName || strings.Count(f.Name, "/") > maxDepth {
			return fail("has more than %d entries, or names that are longer than %d bytes or deeper than %d directories", maxEntries, maxName, maxDepth)
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

// unpack reads a tgz file and packs it as a zip file in memory, because that is a
// file system. Only files and directories count.
func unpack(file string) (*zip.Reader, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	decompressed, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	content := &io.LimitedReader{R: decompressed, N: maxUnpacked}
	from := tar.NewReader(content)
	var packed bytes.Buffer
	to := zip.NewWriter(&packed)
	for entries := 0; ; entries++ {
		header, err := from.Next()
		if err == io.EOF && content.N > 0 {
			break
		}
		if entries > maxEntries || content.N <= 0 {
			return nil, fmt.Errorf("it has more than %d entries or %d MiB", maxEntries, maxUnpacked>>20)
		}
		if err != nil {
			return nil, err
		}
		name := path.Clean(header.Name)
		if header.Typeflag != tar.TypeReg || !fs.ValidPath(name) {
			continue
		}
		entry, err := to.Create(name)
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(entry, from); err != nil {
			if content.N <= 0 {
				continue // and say so
			}
			return nil, err
		}
	}
	if err := to.Close(); err != nil {
		return nil, err
	}
	return zip.NewReader(bytes.NewReader(packed.Bytes()), int64(packed.Len()))
}

// FindArtifacts returns the files in a directory and below it that are artifacts of
// the packages, by package, the one with the latest version of each, as sfp install
// picks them. A directory that does not exist holds none.
func FindArtifacts(dir string, packages []Package) (map[string]string, error) {
	// sfp follows a link to the directory, and walking one would not.
	if target, err := filepath.EvalSymlinks(dir); err == nil && target != filepath.Clean(dir) {
		dir = target
	}
	found := make(map[string]string)
	versions := make(map[string]string)
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
		name, version := packageOf(match[1], match[3] == "tgz", packages), "v"+match[2]
		if name != "" && (found[name] == "" || semver.Compare(version, versions[name]) > 0) {
			found[name], versions[name] = file, version
		}
		return nil
	})
	return found, err
}

// packageOf returns the package that an artifact's file is named after, "" where
// that is none of them. The name that sfp publishes to npm is in lower case, and
// npm puts the scope before it: SCOPE-PACKAGE. Of several that it may be, the
// longest is.
func packageOf(name string, tgz bool, packages []Package) string {
	best := ""
	for _, p := range packages {
		lower := strings.ToLower(p.Name)
		if p.Name == name || tgz && (name == lower || strings.HasSuffix(name, "-"+lower)) {
			if len(p.Name) > len(best) {
				best = p.Name
			}
		}
	}
	return best
}
