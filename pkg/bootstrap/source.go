package bootstrap

import (
	"cmp"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/internal/words"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Location says where a run's files are.
type Location struct {
	// Project is the directory that holds sfdx-project.json: an artifact's source
	// directory, or a project.
	Project fs.FS

	// Dir is the path of Project, put before the names of its files in messages
	// where it is not ".".
	Dir string

	// Package is the name of the one package whose apps are meant, "" for all
	// packages of the project.
	Package string

	// PackageDirectory is that package's directory below Project, where it is
	// known. Otherwise the project file says it.
	PackageDirectory string

	// Policies is a directory with the policies of the environment at hand, given
	// outright. "" looks for them.
	Policies string

	// Artifacts is a directory with artifacts of sfp build, where sibling packages
	// are looked for. "" looks in none.
	Artifacts string

	// Sibling is a project in which sibling packages are looked for when there is
	// no artifact, the one of the working directory as a rule. May be nil.
	Sibling fs.FS
}

// Source is what the files of a run say. See Load.
type Source struct {
	// Version is the project's sourceApiVersion, 0 where it has none.
	Version apiversion.Version

	location Location
	project  *eca.Project
	original *eca.Project // the project before sfp build cut it down
	packages []sfp.Package

	// What is costly to find out, and the same for all orgs.
	permissionSets func() map[string]string
	tarballs       sync.Map // by file, a func() (*sfp.Artifact, error) that opens it once
}

// Header is an app's header in the source.
type Header struct {
	*metadata.Component
	File    string // for messages
	Package sfp.Package

	deployed func(typ string, do func(file string) error) error // calls do with the files of a type that are deployed along with it
}

// Local reports whether the app is made in this org, so that its OAuth is to be
// enabled here. A Packaged app gets it from its package.
func (h Header) Local() bool { return h.distributionState() == "Local" }

// distributionState is Local where the header does not say, which is what the
// platform makes of it.
func (h Header) distributionState() string { return cmp.Or(h.Text("distributionState"), "Local") }

// Load reads the project file at a location. It reads files only; an error names
// the file, the place and the cause.
func Load(location Location) (*Source, error) {
	s := &Source{location: location}
	s.permissionSets = sync.OnceValue(s.findPermissionSets)
	project, err := eca.ReadProject(location.Project, sfp.ProjectFile)
	if err != nil {
		return nil, s.inDir(err)
	}
	s.project, s.original, s.Version = project, project, project.SourceAPIVersion
	if _, err := fs.Stat(location.Project, sfp.OriginalProjectFile); err == nil {
		if s.original, err = eca.ReadProject(location.Project, sfp.OriginalProjectFile); err != nil {
			return nil, s.inDir(err)
		}
	}
	switch {
	case location.Package == "":
		s.packages = slices.DeleteFunc(slices.Clone(project.Packages), func(p sfp.Package) bool { return p.Type == "data" })
	default:
		p := sfp.Package{Name: location.Package}
		if known := project.Package(location.Package); known != nil {
			p = *known
		} else if location.PackageDirectory == "" {
			return nil, fmt.Errorf("%s has no package %q%s", s.name(sfp.ProjectFile), location.Package, words.DidYouMean(location.Package, packageNames(project.Project)))
		}
		if location.PackageDirectory != "" {
			p.Path = path.Clean(filepath.ToSlash(location.PackageDirectory))
		}
		if !fs.ValidPath(p.Path) {
			return nil, fmt.Errorf("the package directory %q leads out of %s", location.PackageDirectory, s.name("."))
		}
		if info, err := fs.Stat(location.Project, p.Path); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("the directory %s of package %s does not exist", s.name(p.Path), p.Name)
		}
		s.packages = []sfp.Package{p}
	}
	return s, nil
}

func packageNames(p *sfp.Project) []string {
	var names []string
	for _, pkg := range p.Packages {
		names = append(names, pkg.Name)
	}
	return names
}

// File returns the path of the project file, for messages.
func (s *Source) File() string { return s.name(s.project.File) }

// name writes the path of one of the project's files for messages.
func (s *Source) name(file string) string {
	return path.Join(filepath.ToSlash(s.location.Dir), file)
}

// inDir puts the project's directory into an error that names one of its files.
func (s *Source) inDir(err error) error {
	var projectErr *sfp.ProjectError
	if errors.As(err, &projectErr) {
		return &sfp.ProjectError{File: s.name(projectErr.File), Err: projectErr.Err}
	}
	var sourceErr *metadata.SourceError
	if errors.As(err, &sourceErr) {
		return &metadata.SourceError{Path: s.name(sourceErr.Path), Field: sourceErr.Field, Err: sourceErr.Err}
	}
	return err
}

// headers finds the headers of the source's packages: every *.eca-meta.xml that
// sfp deploys to the org at hand. Of an aliasfied package that is the org's
// folder. Those that .forceignore leaves out are not deployed, except that a pool
// has an ignore file of its own, and its orgs tell what was.
func (s *Source) headers(target Target) ([]Header, error) {
	var headers []Header
	var ignored []string // files
	for _, p := range s.packages {
		dirs := []string{p.Path}
		if p.Aliasfy {
			if has, err := s.hasHeaders(p, target); err != nil || !has && s.location.Package == "" {
				if err != nil {
					return nil, err
				}
				continue // of a whole project, a package without any app is none of this run's business
			}
			var err error
			if dirs, err = target.folders(s.location.Project, p); err != nil {
				return nil, err
			}
		}
		ignore := s.ignore(dirs[0], target)
		err := eachFile(s.location.Project, dirs, eca.Header, func(file string) error {
			if ignore.Ignores(file) {
				ignored = append(ignored, s.name(file))
				return nil
			}
			c, err := eca.Types().ReadFile(s.location.Project, file)
			if err != nil {
				return s.inDir(err)
			}
			headers = append(headers, Header{Component: c, File: s.name(file), Package: p, deployed: func(typ string, do func(file string) error) error {
				return eachFile(s.location.Project, dirs, typ, func(file string) error {
					if ignore.Ignores(file) {
						return nil
					}
					return do(file)
				})
			}})
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(headers, func(a, b Header) int { return strings.Compare(a.FullName, b.FullName) })
	byName := make(map[string]Header)
	for _, h := range headers {
		// The platform's names differ by more than case.
		key := strings.ToLower(h.FullName)
		if other, twice := byName[key]; twice {
			return nil, fmt.Errorf("two headers of one name: %s and %s", other.File, h.File)
		}
		byName[key] = h
	}
	if len(headers) == 0 {
		where := "in the packages of " + s.name(sfp.ProjectFile)
		if s.location.Package != "" {
			where = "below " + s.name(s.packages[0].Path)
		}
		if len(ignored) > 0 {
			return nil, fmt.Errorf("there is no External Client App to bootstrap %s: %s leaves out %s", where, sfp.IgnoreFile, ignored[0])
		}
		return nil, fmt.Errorf("there is no External Client App to bootstrap: no externalClientApps/*.eca-meta.xml %s; the hook belongs to the package with the header", where)
	}
	return headers, nil
}

// stated returns what the source of an app states of its OAuth beside the header, by type:
// the components that are deployed along with it. Salesforce documents Local apps that are
// source as a whole. A file that cannot be made out is not this run's business.
func (s *Source) stated(h Header) (map[string]*metadata.Component, error) {
	stated := make(map[string]*metadata.Component)
	for _, typ := range append(slices.Clone(types), eca.OAuthPolicies) {
		err := h.deployed(typ, func(file string) error {
			if c, err := eca.Types().ReadFileLenient(s.location.Project, file); err == nil && strings.EqualFold(eca.App(c), h.FullName) {
				stated[typ] = c
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return stated, nil
}

// hasHeaders reports whether a package has headers that are deployed to any org.
func (s *Source) hasHeaders(p sfp.Package, target Target) (has bool, err error) {
	ignore := s.ignore(p.Path, target)
	err = eachFile(s.location.Project, []string{p.Path}, eca.Header, func(file string) error {
		if has = !ignore.Ignores(file); has {
			return fs.SkipAll
		}
		return nil
	})
	return has, err
}

// ignore returns what is left out of the deployment of a directory.
func (s *Source) ignore(dir string, target Target) *sfp.Ignore {
	if target.Undeployed {
		return nil
	}
	return sfp.ReadIgnore(s.location.Project, dir)
}

// eachFile calls do with every source file of a type in the directories and
// below. A file of one directory hides those of the same path in later ones. A
// directory that does not exist has none.
func eachFile(fsys fs.FS, dirs []string, typ string, do func(file string) error) error {
	seen := make(map[string]bool)
	for _, dir := range dirs {
		stop := false
		err := fs.WalkDir(fsys, dir, func(file string, entry fs.DirEntry, err error) error {
			if err != nil {
				if file == dir && errors.Is(err, fs.ErrNotExist) {
					return fs.SkipAll
				}
				return err
			}
			relative := strings.TrimPrefix(file, dir)
			if t, _ := eca.Types().OfFile(file); t == nil || t.Name != typ || entry.IsDir() || seen[relative] {
				return nil
			}
			seen[relative] = true
			err = do(file)
			stop = err == fs.SkipAll
			return err
		})
		if err != nil || stop {
			return err
		}
	}
	return nil
}

// maxCertificate is the most that a certificate's file can hold. The platform
// takes certificates of up to 4 KB.
const maxCertificate = 64 << 10

// certificate replaces the reference to a certificate's file by its content, in
// PEM.
func (s *Source) certificate(stated metadata.Stated, p sfp.Package) error {
	values := stated["certificate"]
	if len(values) == 0 || len(values[0].Fields) == 0 {
		return nil
	}
	given := values[0].Fields[0].Text
	file := path.Join(p.Path, filepath.ToSlash(given))
	fail := func(what string) error { return fmt.Errorf("the file %s %s", given, what) }
	inside := "of the package directory " + s.name(p.Path)
	if !filepath.IsLocal(filepath.FromSlash(given)) {
		return fail("must be one " + inside)
	}
	info, err := fs.Stat(s.location.Project, file)
	if err != nil || !info.Mode().IsRegular() {
		return fail("is not to be found as a file " + inside)
	}
	if info.Size() > maxCertificate {
		return fail("is too large for a certificate")
	}
	data, err := fs.ReadFile(s.location.Project, file)
	if err != nil {
		return fail("cannot be read")
	}
	text, err := certificatePEM(data)
	if err != nil {
		return fail(err.Error())
	}
	stated.Set("certificate", text)
	return nil
}

// certificatePEM returns the PEM text of a certificate that is given in PEM or
// DER.
func certificatePEM(data []byte) (string, error) {
	if err := metadata.CheckSecret(string(data)); err != nil {
		return "", err
	}
	der := data
	if block, _ := pem.Decode(data); block != nil && block.Type != "CERTIFICATE" {
		return "", fmt.Errorf("holds a %s, not a certificate", strings.ToLower(block.Type))
	} else if written := metadata.CertificateDER(string(data)); written != nil {
		der = written
	}
	if _, err := x509.ParseCertificate(der); err != nil {
		return "", errors.New("is not an X.509 certificate in PEM or DER")
	}
	return strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))), nil
}
