package sfp

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/mod/semver"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// Artifact is a package as sfp build left it in a zip file. As an fs.FS it is the
// artifact's source directory: the project file, the package's directory, and
// manifests.
type Artifact struct {
	fs.FS
	Package string
	Version string // like 1.0.0-1
	File    string // the zip file's path

	zip *zip.ReadCloser
}

var artifactName = regexp.MustCompile(`^(.+)_sfpowerscripts_artifact[_-](.+)\.zip$`)

// OpenDir opens a directory as a file system that leads nowhere else, by no ".."
// and no link, and whose files are regular ones of bearable size: what is read of a
// project, and where an artifact was unpacked.
func OpenDir(dir string) (fs.FS, error) { return files.Dir(dir) }

// Bounds of an artifact. Those of large projects hold some ten thousand files.
const (
	maxEntries = 200_000
	maxName    = 4096 // in bytes
	maxDepth   = 64   // in directories
)

// Close closes the zip file.
func (a *Artifact) Close() error { return a.zip.Close() }

// OpenArtifact opens an artifact's zip file, whose name tells package and version.
func OpenArtifact(file string) (*Artifact, error) {
	match := artifactName.FindStringSubmatch(filepath.Base(file))
	if match == nil {
		return nil, fmt.Errorf("%s is not named like an artifact of sfp build", file)
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() {
		return nil, fmt.Errorf("the artifact %s is no regular file", file)
	}
	reader, err := zip.OpenReader(file)
	if err != nil {
		var pathErr *fs.PathError
		if errors.As(err, &pathErr) {
			err = pathErr.Err
		}
		return nil, fmt.Errorf("the artifact %s cannot be opened: %w", file, err)
	}
	for _, f := range reader.File {
		if len(reader.File) > maxEntries || len(f.Name) > maxName || strings.Count(f.Name, "/") > maxDepth {
			reader.Close()
			return nil, fmt.Errorf("the artifact %s has more than %d entries, or names that are longer than %d bytes or deeper than %d directories", file, maxEntries, maxName, maxDepth)
		}
	}
	a := &Artifact{Package: match[1], Version: match[2], File: file, zip: reader}
	root := path.Join(a.Package+"_sfpowerscripts_artifact", "source")
	if info, err := fs.Stat(reader, root); err != nil || !info.IsDir() {
		reader.Close()
		return nil, fmt.Errorf("the artifact %s holds no %s", file, root)
	}
	if a.FS, err = fs.Sub(reader, root); err != nil {
		reader.Close()
		return nil, err
	}
	return a, nil
}

// FindArtifacts returns the zip files in a directory and below it that are
// artifacts, by package, the one with the latest version of each, as sfp install
// picks them. A directory that does not exist holds none.
func FindArtifacts(dir string) (map[string]string, error) {
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
		name, version := match[1], "v"+match[2]
		if found[name] == "" || semver.Compare(version, versions[name]) > 0 {
			found[name], versions[name] = file, version
		}
		return nil
	})
	return found, err
}
