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

// DeployFailure is a component that a deploy was refused for.
type DeployFailure struct {
	File     string // relative to the deployed directory
	Type     string
	FullName string
	Problem  string // in the platform's words
}

func (f DeployFailure) Error() string { return f.File + ": " + f.Problem }

// Deploy deploys the source files of External Client Apps in a directory and
// below it, as sfp and the Salesforce CLI do through the Metadata API's deploy.
// Files that it does not know are passed over. It deploys all or nothing: an
// error joins a DeployFailure for each component that the org refuses, in the
// platform's words.
//
// A deploy is stricter than an upsert: global OAuth settings of Packaged apps are refused
// on scratch orgs, and OAuth settings without an oauthLink break the app's OAuth plugin for
// good, unless the app has global OAuth settings or they come in the same deploy: the
// platform makes the link then.
func (o *Org) Deploy(fsys fs.FS, dir string) error {
	files, failures, err := o.collect(fsys, dir, "-meta.xml", o.config.Version)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	failures = append(failures, o.deployFiles(files, o.config.Version, len(failures) > 0)...)
	var all []error
	for _, f := range failures {
		all = append(all, f)
	}
	return errors.Join(all...)
}

// deployFile is one component of a deploy.
type deployFile struct {
	path    string // relative to what is deployed
	rec     *record
	created bool // after the deploy
}

// collect reads the components below a directory. Their files end in the types'
// suffixes and in ending, which is "-meta.xml" in source and "" in a deploy's zip.
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
		rec, err := readSource(fsys, p, typ, version)
		if err != nil {
			failures = append(failures, DeployFailure{relative, typ.Name, fullName, problem(err)})
			return nil
		}
		rec.fullName = fullName
		files = append(files, &deployFile{path: relative, rec: rec})
		return nil
	})
	// The platform brings components in the order of their dependencies.
	rank := func(typ string) int {
		return slices.IndexFunc(eca.Types(), func(t *metadata.Type) bool { return t.Name == typ })
	}
	slices.SortStableFunc(files, func(a, b *deployFile) int { return rank(a.rec.typ) - rank(b.rec.typ) })
	return files, failures, err
}

// deployFiles brings components by way of a deploy, all or none.
func (o *Org) deployFiles(files []*deployFile, version apiversion.Version, checkOnly bool) (failures []DeployFailure) {
	before, broken := o.snapshot(), maps.Clone(o.broken)
	own := make(map[string]bool) // apps whose global settings come along, in lower case
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

// problem is what a deploy says of an error.
func problem(err error) string {
	if refused := new(failed); errors.As(err, &refused) {
		return refused.message
	}
	return err.Error()
}

// deploy brings one component by way of a deploy that brings along the global settings of
// some apps of their own.
func (o *Org) deploy(rec *record, own map[string]bool, version apiversion.Version) error {
	app := strings.ToLower(rec.app())
	switch rec.typ {
	case eca.GlobalOAuthSettings:
		header := o.find(eca.Header, app)
		packaged := header != nil && header.text("distributionState") == "Packaged"
		if o.config.Kind == Scratch && (packaged || o.config.RefuseLocalOnScratch) {
			return refuse(invalid, ephemeralOrg)
		}
	case eca.OAuthSettings:
		if rec.text("oauthLink") == "" && !own[app] && o.of(eca.GlobalOAuthSettings, app) == nil {
			// The deploy itself goes through, and everything after it fails.
			defer func() { o.broken[app] = true }()
		}
	}
	return o.put(rec, version)
}

func (o *Org) snapshot() map[string]map[string]*record {
	copied := make(map[string]map[string]*record, len(o.records))
	for typ, records := range o.records {
		copied[typ] = maps.Clone(records)
	}
	return copied
}

// typeOf tells the type of a file by its suffix.
func typeOf(name, ending string) (*metadata.Type, string) {
	for _, typ := range eca.Types() {
		if fullName, ok := strings.CutSuffix(path.Base(name), "."+typ.Suffix+ending); ok {
			return typ, fullName
		}
	}
	return nil, ""
}

func readSource(fsys fs.FS, name string, typ *metadata.Type, version apiversion.Version) (*record, error) {
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
	return decodeRecord(inWSDLOrder(root), typ.Name, version)
}

// inWSDLOrder sorts a source file's elements: unlike a SOAP request, a file may
// have them in any order.
func inWSDLOrder(n *node) *node {
	slices.SortStableFunc(n.children, func(a, b *node) int {
		if (a.name.Local == "fullName") != (b.name.Local == "fullName") {
			return map[bool]int{true: -1, false: 1}[a.name.Local == "fullName"]
		}
		return strings.Compare(a.name.Local, b.name.Local)
	})
	for _, child := range n.children {
		inWSDLOrder(child)
	}
	return n
}

// Component is a component that the org holds, as far as a test wants to look at
// it without a client.
type Component struct {
	Type, FullName string
	Fields         map[string]string // the simple fields
	Secret         string            // the consumer secret, of global OAuth settings
}

// Components returns what the org holds of a type, by name.
func (o *Org) Components(typ string) []Component {
	o.mu.Lock()
	defer o.mu.Unlock()
	var all []Component
	for _, rec := range o.all(typ) {
		c := Component{Type: typ, FullName: rec.fullName, Fields: make(map[string]string), Secret: rec.secret}
		for _, v := range rec.fields {
			c.Fields[v.name] = v.text
		}
		all = append(all, c)
	}
	return all
}
