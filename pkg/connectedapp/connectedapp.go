// Package connectedapp converts Connected Apps to the fields of External Client Apps.
//
//	app, err := connectedapp.Read(os.DirFS("."), "connectedApps/Erp.connectedApp-meta.xml")
//	files, err := scaffold.New(project, scaffold.Migrated(app))
//
// Nothing is dropped silently: an element without an equivalent is a finding, with its line and what
// to do instead. An error needs a person; with a warning, the new app works without one. Fields
// correspond by name and by Salesforce's documentation.
//
// Key and secret stay behind, because each org generates a consumer. To keep them, first use
// "Migrate to External Client App" in Setup.
package connectedapp

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/literal"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/internal/xmltree"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// TypeName is the metadata type of Connected Apps.
const TypeName = "ConnectedApp"

// Suffix is the end of the names of source files. Metadata format has no "-meta.xml".
const (
	Suffix         = ".connectedApp-meta.xml"
	metadataSuffix = ".connectedApp"
)

// NameOf returns the name of the Connected App in a file of source or metadata format, "" for any
// other file.
func NameOf(file string) string {
	for _, suffix := range []string{Suffix, metadataSuffix} {
		if name, ok := strings.CutSuffix(path.Base(file), suffix); ok {
			return name
		}
	}
	return ""
}

// App is a converted Connected App.
type App struct {
	Name string

	// Fields are those of the External Client App's components, by type.
	Fields map[string]metadata.Fields

	// RunAsUser is the user that client credentials run as, "" if none.
	RunAsUser string

	// PermissionSets are the API names of those that grant the app, see NamePermissionSets.
	PermissionSets []string
	// Profiles grant the app as well.
	Profiles []string

	// Findings are about what could not be converted as it is, sorted by line.
	Findings []finding.Finding

	file   string        // "" for an app of an org
	root   *xmltree.Node // of the file, or nil
	stated []metadata.Field
	sets   []statedSet
}

// keyPath is the path of a Connected App's key.
const keyPath = "oauthConfig.consumerKey"

// wrongValue is the rule of findings about values without an equivalent.
const wrongValue = "wrong-value"

// maxFile is the maximum size of a source file in bytes.
const maxFile = 4 << 20

// Read reads a Connected App's source file. An error is a *metadata.SourceError.
func Read(fsys fs.FS, name string) (*App, error) {
	fail := func(err error) (*App, error) { return nil, &metadata.SourceError{Path: name, Err: err} }
	full := NameOf(name)
	if full == "" {
		return fail(fmt.Errorf("is not a source file of a Connected App, whose name ends in %s or %s", Suffix, metadataSuffix))
	}
	info, err := fs.Stat(fsys, name)
	if err != nil || !info.Mode().IsRegular() {
		return fail(errors.New("cannot be read as a file"))
	}
	if info.Size() > maxFile {
		return fail(errors.New("is larger than 4 MiB"))
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return fail(errors.New("cannot be read"))
	}
	root, err := xmltree.Parse(data)
	if err != nil {
		return fail(err)
	}
	if root.Name() != "ConnectedApp" {
		return fail(fmt.Errorf("holds %s, not a ConnectedApp", root.Name()))
	}
	c, err := metadata.FromNode(root)
	if err != nil {
		return fail(err)
	}
	return convert(full, name, c, root), nil
}

// FromOrg converts a Connected App as readMetadata returns it. Its findings have no file and no
// line.
func FromOrg(c *metadata.Component) *App { return convert(c.FullName, "", c, nil) }

func convert(fullName, file string, c *metadata.Component, root *xmltree.Node) *App {
	a := &App{Name: fullName, Fields: make(map[string]metadata.Fields), file: file, root: root, stated: c.Fields}
	for _, typ := range []string{header, settings, global, plugin, policies, saml, canvas} {
		a.Fields[typ] = make(metadata.Fields)
	}
	a.convert()
	a.NamePermissionSets(nil)
	return a
}

// has reports whether the app states an element, or one of a structure.
func (a *App) has(name, inner string) bool {
	values := metadata.ByName(a.stated)[name]
	return len(values) > 0 && (inner == "" || metadata.ByName(values[0].Fields).Has(inner))
}

// convert converts the fields, and adds the defaults of a Connected App that differ from those of
// an External Client App.
func (a *App) convert() {
	a.each("", a.stated)
	if !a.has("samlConfig", "") {
		a.Fields[saml] = make(metadata.Fields) // only custom attributes
	}
	if a.NotOAuth() != "" {
		return
	}
	global, policies := a.Fields[eca.GlobalOAuthSettings], a.Fields[eca.OAuthPolicies]
	if !global.Has("isPkceRequired") {
		global.Set("isPkceRequired", "false")
	}
	if global.IsFalse("isPkceRequired") {
		a.find("pkce-off", finding.Warning, "oauthConfig.isPkceRequired", "PKCE is not required, as in the Connected App",
			"set it to true once all clients send a code challenge; some orgs always require it")
	}
	if !policies.Has("permittedUsersPolicyType") {
		policies.Set("permittedUsersPolicyType", "AllSelfAuthorized")
	}
	a.checkCallback()
	a.checkScopes()
	a.checkProfiles()
	// A policy that is stated and wrong has its own finding.
	if !a.has("oauthPolicy", "refreshTokenPolicy") {
		a.find("refresh-token-policy", finding.Warning, "oauthConfig",
			"the source states no refreshTokenPolicy, as if policies were never saved; refresh tokens of the new app live for 365 days",
			"check the app's policies in Setup, and correct refreshTokenPolicyType")
	}
	if a.RunAsUser == "" && global.Text("isClientCredentialsFlowEnabled") == "true" {
		a.find("no-run-as-user", finding.Warning, "oauthConfig.isClientCredentialEnabled",
			"the flow is on, and the source names no user to run it as", "name one for each org; without one the flow stays off there")
	}
	if a.RunAsUser != "" && !global.Has("isClientCredentialsFlowEnabled") {
		a.find("run-as-user", finding.Warning, "oauthConfig.oauthClientCredentialUser",
			"the app has a user for client credentials, and the flow is off", "remove the user, or turn the flow on")
	}
}

// each converts fields at a path.
func (a *App) each(at string, fields []metadata.Field) {
	count := make(map[string]int)
	for _, f := range fields {
		where := strings.TrimPrefix(at+"."+f.Name, ".")
		rule, known := rules[where]
		place := fmt.Sprintf("%s[%d]", where, count[f.Name])
		count[f.Name]++
		switch {
		case !known:
			a.unknown(place)
		case rule.each:
			a.each(where, f.Fields)
		case where == keyPath && a.file == "":
			// An org always shows the key, so nobody can remove it.
		default:
			a.element(place, rule, f)
		}
	}
}

// element converts one element according to its rule.
func (a *App) element(place string, rule rule, f metadata.Field) {
	text, reported := strings.TrimSpace(f.Text), len(a.Findings)
	value, allowed := rule.values[cmp.Or(booleans[strings.ToLower(text)], strings.ToLower(text))]
	switch {
	case text == "" && len(f.Fields) == 0:
	case rule.structure != nil:
		a.structure(place, rule, f)
	case len(f.Fields) > 0 && rule.lost == "":
		a.find(wrongValue, finding.Error, place, "has elements in it, such as "+words.Clip(f.Fields[0].Name)+", and can only have a text", "correct it, or remove it")
	case rule.lost != "":
		a.find(rule.id, rule.level, place, rule.lost, rule.fix)
	case rule.own != nil:
		rule.own(a, place, text)
	case rule.values != nil && !allowed:
		a.wrong(place, text)
	default:
		for _, to := range rule.to {
			a.set(place, to, cmp.Or(value, text))
		}
	}
	if reported == len(a.Findings) {
		a.checkPlaceholder(place, text)
	}
}

// set sets a field, unless its type does not allow the value.
func (a *App) set(place string, to target, text string) {
	ft := eca.Lookup(to.typ).Field(to.field)
	text, ok := plain(ft, text)
	if !ok {
		a.wrong(place, text)
		return
	}
	if ft.Kind == metadata.Enum && !slices.Contains(ft.Values, text) {
		i := slices.IndexFunc(ft.Values, func(v string) bool { return strings.EqualFold(v, text) })
		if i < 0 {
			a.wrong(place, text)
			return
		}
		text = ft.Values[i]
	}
	fields := a.Fields[to.typ]
	if ft.List != "" && fields.Has(to.field) { // one of several
		separator := ft.List
		if separator == "," {
			separator = ", "
		}
		text = fields[to.field][0].Text + separator + text
	}
	fields.Set(to.field, text)
}

// plain returns a boolean or number in the form of settings, and whether it is one.
func plain(ft *metadata.FieldType, text string) (string, bool) {
	switch ft.Kind {
	case metadata.Boolean:
		value, ok := booleans[strings.ToLower(text)]
		if !ok {
			return text, false
		}
		return value, true
	case metadata.Int:
		n, err := strconv.Atoi(text)
		return text, err == nil && n >= 0
	}
	return text, true
}

// booleans are those of XML Schema, whatever their case.
var booleans = map[string]string{"true": "true", "1": "true", "false": "false", "0": "false"}

// structure converts a structure whose elements have other names.
func (a *App) structure(place string, rule rule, f metadata.Field) {
	converted := metadata.Field{Name: rule.to[0].field}
	for _, part := range f.Fields {
		name, ok := rule.structure[part.Name]
		if !ok {
			a.unknown(place + "." + part.Name)
			continue
		}
		if text := strings.TrimSpace(part.Text); text != "" {
			to := eca.Lookup(rule.to[0].typ).Field(converted.Name)
			text, ok := plain(to.Field(name), text)
			if !ok {
				a.wrong(place+"."+part.Name, text)
				continue
			}
			converted.Fields = append(converted.Fields, metadata.Field{Name: name, Text: text})
			a.checkPlaceholder(place+"."+part.Name, text)
		}
	}
	converted.Fields = metadata.InOrder(converted.Fields)
	for _, to := range rule.to {
		a.Fields[to.typ][converted.Name] = append(a.Fields[to.typ][converted.Name], converted)
	}
}

func (a *App) unknown(place string) {
	a.find("unknown-element", finding.Warning, place, "is not an element of a Connected App", "remove it")
}

func (a *App) wrong(place, text string) {
	problem := fmt.Sprintf("%q has no equivalent", words.Clip(text))
	if name := literal.Placeholder(text); name != "" {
		problem = "is the placeholder " + name + ", and its value decides how the app works"
	}
	a.find(wrongValue, finding.Error, place, problem, "correct it, or remove it")
}

// find records a finding about the element at a path, or the app as a whole.
func (a *App) find(rule string, level finding.Level, place, problem, fix string) {
	line := 0
	if a.root != nil {
		line = a.root.At(place).Line()
	}
	a.Findings = append(a.Findings, finding.Finding{
		Rule: rule, Level: level, App: a.Name, File: a.file, Line: line, Field: strings.ReplaceAll(place, "[0]", ""), Problem: problem, Fix: fix,
	})
}

// Wrong returns the first finding about a value without an equivalent, or nil. Such a value makes the
// result differ from the source, perhaps in who may use the app, so the result must not be written.
func (a *App) Wrong() *finding.Finding {
	i := slices.IndexFunc(a.Findings, func(f finding.Finding) bool { return f.Rule == wrongValue })
	if i < 0 {
		return nil
	}
	return &a.Findings[i]
}

// NotOAuth returns what an app without oauthConfig is instead, "" for an app with it.
func (a *App) NotOAuth() string {
	if a.has("oauthConfig", "") {
		return ""
	}
	for _, kind := range []struct{ element, what string }{
		{"samlConfig", "SAML"}, {"canvasConfig", "canvas"}, {"canvas", "canvas"}, {"mobileAppConfig", "a mobile app"}, {"startUrl", "a link"},
	} {
		if a.has(kind.element, "") {
			return kind.what
		}
	}
	return "no OAuth, SAML or canvas"
}

// Namespace returns the namespace of the package that the app belongs to, or "".
func (a *App) Namespace() string {
	namespace, _, ok := strings.Cut(a.Name, "__")
	if !ok {
		return ""
	}
	return namespace
}

// Label is the app's name for people.
func (a *App) Label() string { return a.Header("label") }

// Header returns a field of the header as text, or "".
func (a *App) Header(name string) string { return a.Fields[header].Text(name) }
