package simorg

import (
	"errors"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// DeployFailure reports a component that made a deploy fail.
type DeployFailure struct {
	File     string // relative to the deployed directory
	Type     string
	FullName string
	Problem  string // the platform's message
}

func (f DeployFailure) Error() string { return f.File + ": " + f.Problem }

// Deploy deploys the source files of External Client Apps in and below a directory, as sfp and
// the Salesforce CLI do with the Metadata API's deploy. It ignores other files, and deploys all
// or nothing. An error joins a DeployFailure for each component that the org refuses.
//
// A deploy is stricter than an upsert. Scratch orgs refuse global OAuth settings of Packaged
// apps. OAuth settings without an oauthLink break the app's OAuth plugin for good, unless the
// app has global OAuth settings or the same deploy brings them: then the platform makes the
// link.
func (o *Org) Deploy(fsys fs.FS, dir string) error {
	files, failures, err := o.collect(fsys, dir, "-meta.xml", o.config.Version)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	failures = append(failures, o.deployFiles(files, o.config.Version, len(failures) > 0)...)
	return joined(failures)
}

func joined(failures []DeployFailure) error {
	var all []error
	for _, f := range failures {
		all = append(all, f)
	}
	return errors.Join(all...)
}

// deployFile is one component of a deploy.
type deployFile struct {
	path    string // relative to the deployed directory
	rec     *record
	created bool // whether the deploy creates it
}

// collect reads the components below a directory. File names end in the type's suffix plus
// ending, which is "-meta.xml" in source and "" in a deploy's zip.
func (o *Org) collect(fsys fs.FS, dir, ending string, version apiversion.Version) (files []*deployFile, failures []DeployFailure, err error) {
	err = fs.WalkDir(fsys, dir, func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		typ, fullName := typeOf(entry.Name(), ending)
		if typ == nil {
			return nil
		}
		relative := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
		rec, err := o.readSource(fsys, p, typ, version)
		if err != nil {
			failures = append(failures, DeployFailure{relative, typ.Name, fullName, problem(err)})
			return nil
		}
		rec.fullName = fullName
		files = append(files, &deployFile{path: relative, rec: rec})
		return nil
	})
	// The platform deploys components in dependency order.
	rank := func(typ string) int {
		return slices.IndexFunc(types(), func(t *metadata.Type) bool { return t.Name == typ })
	}
	slices.SortStableFunc(files, func(a, b *deployFile) int { return rank(a.rec.typ) - rank(b.rec.typ) })
	return files, failures, err
}

// deployFiles deploys components, all or none.
func (o *Org) deployFiles(files []*deployFile, version apiversion.Version, checkOnly bool) (failures []DeployFailure) {
	before, broken := o.snapshot(), maps.Clone(o.broken)
	own := make(map[string]bool) // apps with global settings in this deploy, in lower case
	for _, f := range files {
		if f.rec.typ == eca.GlobalOAuthSettings {
			own[strings.ToLower(f.rec.app())] = true
		}
	}
	for _, f := range files {
		f.created = o.find(f.rec.typ, f.rec.fullName) == nil
		if err := o.deploy(f.rec, own, version); err != nil {
			failures = append(failures, DeployFailure{f.path, f.rec.typ, f.rec.fullName, problem(err)})
		}
	}
	if len(failures) > 0 || checkOnly {
		o.records, o.broken = before, broken
	}
	return failures
}

// problem returns a deploy's message for an error.
func problem(err error) string {
	if refused, ok := errors.AsType[*failed](err); ok {
		return refused.message
	}
	return err.Error()
}

// deploy deploys one component. own are the apps with global settings in the same deploy.
func (o *Org) deploy(rec *record, own map[string]bool, version apiversion.Version) error {
	app := strings.ToLower(rec.app())
	switch rec.typ {
	case eca.GlobalOAuthSettings:
		header := o.find(eca.Header, app)
		packaged := header != nil && header.text("distributionState") == "Packaged"
		if o.config.Kind == Scratch && (packaged || o.is("local-on-scratch-deploy", "refused")) {
			return refuse(invalid, ephemeralOrg)
		}
	case eca.OAuthSettings:
		if rec.text("oauthLink") == "" && !own[app] && o.of(eca.GlobalOAuthSettings, app) == nil {
			// The deploy itself succeeds, and everything after it fails.
			// Its settings have no link from then on.
			defer func() {
				o.broken[app] = true
				if settings := o.of(eca.OAuthSettings, app); settings != nil {
					settings.drop("oauthLink")
				}
			}()
		}
	}
	return o.put(rec, version)
}

func (o *Org) snapshot() map[string]map[string]*record {
	copied := maps.Clone(o.records)
	for typ, records := range copied {
		copied[typ] = maps.Clone(records)
	}
	return copied
}

// typeOf returns the type and fullName of a file by its suffix.
func typeOf(name, ending string) (*metadata.Type, string) {
	for _, typ := range types() {
		if fullName, ok := strings.CutSuffix(path.Base(name), "."+typ.Suffix+ending); ok {
			return typ, fullName
		}
	}
	return nil, ""
}

func (o *Org) readSource(fsys fs.FS, name string, typ *metadata.Type, version apiversion.Version) (*record, error) {
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	root, err := parseXML(data)
	if err != nil {
		return nil, refuse(invalid, "Error parsing file: %v", err)
	}
	if root.name.Local != typ.Name {
		return nil, refuse(invalid, "Could not infer a metadata type from %s", root.name.Local)
	}
	return o.decodeRecord(inWSDLOrder(root), typ.Name, version)
}

// inWSDLOrder sorts a source file's elements: unlike in a SOAP request, they may have any
// order.
func inWSDLOrder(n *node) *node {
	slices.SortStableFunc(n.children, func(a, b *node) int {
		switch {
		case a.name.Local == b.name.Local:
			return 0
		case a.name.Local == "fullName":
			return -1
		case b.name.Local == "fullName":
			return 1
		}
		return strings.Compare(a.name.Local, b.name.Local)
	})
	for _, child := range n.children {
		inWSDLOrder(child)
	}
	return n
}

// Component is a copy of a component of the org, for tests.
type Component struct {
	Type, FullName string
	Fields         map[string]string // the simple fields
	Secret         string            // the consumer secret, of global OAuth settings
}

// Components returns the org's components of a type, by name.
func (o *Org) Components(typ string) []Component {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Component
	for _, rec := range o.all(typ) {
		c := Component{Type: typ, FullName: rec.fullName, Fields: make(map[string]string), Secret: rec.secret}
		for _, v := range rec.fields {
			c.Fields[v.Name] = v.Text
		}
		all = append(all, c)
	}
	return all
}
