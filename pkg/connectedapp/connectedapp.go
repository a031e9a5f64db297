// Package connectedapp turns Connected Apps into what a project states of External Client Apps.
//
//	app, err := connectedapp.Read(os.DirFS("."), "connectedApps/Erp.connectedApp-meta.xml")
//	files, err := scaffold.New(project, scaffold.Migrated(app))
//
// Nothing is dropped silently: what cannot be carried is a finding, with its line and what to do
// instead. The pairing of fields is by name and Salesforce's documentation.
//
// Key and secret are not carried, because each org makes a consumer of its own. Where they have to
// stay, "Migrate to External Client App" in Setup comes first.
package connectedapp

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/internal/xmltree"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// TypeName is the metadata type of Connected Apps.
const TypeName = "ConnectedApp"

// Suffix is how the names of source files end.
const Suffix = ".connectedApp-meta.xml"

// App is what a Connected App becomes.
type App struct {
	Name string

	// Fields are those of the External Client App's components, by type.
	Fields map[string]metadata.Fields

	// RunAsUser is the user that client credentials run as, "" if none.
	RunAsUser string

	// PermissionSets grant the app.
	PermissionSets []string

	// Findings are what could not be carried as it is, sorted by line.
	Findings []finding.Finding

	file   string        // "" for an app of an org
	root   *xmltree.Node // of the file, or nil
	stated []metadata.Field
}

// keyPath is where a Connected App has its key.
const keyPath = "oauthConfig.consumerKey"

// maxFile bounds a source file in bytes.
const maxFile = 4 << 20

// Read reads a Connected App's source file. An error is a *metadata.SourceError.
func Read(fsys fs.FS, name string) (*App, error) {
	fail := func(err error) (*App, error) { return nil, &metadata.SourceError{Path: name, Err: err} }
	full, ok := strings.CutSuffix(path.Base(name), Suffix)
	if !ok || full == "" {
		return fail(fmt.Errorf("is not a source file of a Connected App, which ends in %s", Suffix))
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

// FromOrg turns a Connected App into an App, as readMetadata returns it. Its findings have no
// file and no line.
func FromOrg(c *metadata.Component) *App { return convert(c.FullName, "", c, nil) }

func convert(fullName, file string, c *metadata.Component, root *xmltree.Node) *App {
	a := &App{Name: fullName, Fields: make(map[string]metadata.Fields), file: file, root: root, stated: c.Fields}
	for _, typ := range []string{header, settings, global, plugin, policies, saml, canvas} {
		a.Fields[typ] = make(metadata.Fields)
	}
	a.convert()
	a.Findings = finding.Sort(a.Findings)
	return a
}

// has reports whether the app states an element, or one of a structure.
func (a *App) has(name, inner string) bool {
	return slices.ContainsFunc(a.stated, func(f metadata.Field) bool {
		return f.Name == name && (inner == "" || slices.ContainsFunc(f.Fields, func(f metadata.Field) bool { return f.Name == inner }))
	})
}

// convert carries the fields, and then what a Connected App has where its source says nothing.
func (a *App) convert() {
	a.each("", a.stated)
	if !a.has("samlConfig", "") {
		a.Fields[saml] = make(metadata.Fields) // custom attributes alone
	}
	if !a.has("oauthConfig", "") {
		a.find("no-oauth", finding.Error, "", "has no oauthConfig, so it is not an OAuth app", "keep it as it is, or make an External Client App in Setup; eca is for apps with OAuth")
		return
	}
	global, policies := a.Fields[eca.GlobalOAuthSettings], a.Fields[eca.OAuthPolicies]
	if !global.Has("isPkceRequired") {
		global.Set("isPkceRequired", "false")
	}
	if global.IsFalse("isPkceRequired") {
		a.find("pkce-off", finding.Warning, "oauthConfig.isPkceRequired", "PKCE is not required, as in the Connected App", "set it to true once all clients send a code challenge; some orgs require it whatever is sent")
	}
	if !policies.Has("permittedUsersPolicyType") {
		policies.Set("permittedUsersPolicyType", "AllSelfAuthorized")
	}
	// A policy that is stated and wrong has its own finding.
	if !a.has("oauthPolicy", "refreshTokenPolicy") {
		a.find("refresh-token-policy", finding.Warning, "oauthConfig", "the source states no refreshTokenPolicy, as where policies were never saved; refresh tokens of the new app live for 365 days", "look at the app's policies in Setup, and correct refreshTokenPolicyType")
	}
	if values := global["isClientCredentialsFlowEnabled"]; a.RunAsUser == "" && len(values) == 1 && values[0].Text == "true" {
		a.find("run-as-user", finding.Warning, "oauthConfig.isClientCredentialEnabled", "the flow is on, and the source names no user that it runs as", "name one for each org, as in --env prod=USER; without one the flow stays off there")
	}
	if a.RunAsUser != "" && !global.Has("isClientCredentialsFlowEnabled") {
		a.find("run-as-user", finding.Warning, "oauthConfig.oauthClientCredentialUser", "the app has a user for client credentials, and the flow is off", "leave it out, or switch the flow on")
	}
}

// each carries fields at a path.
func (a *App) each(at string, fields []metadata.Field) {
	seen := make(map[string]int)
	for _, f := range fields {
		where := f.Name
		if at != "" {
			where = at + "." + f.Name
		}
		rule, known := rules[where]
		place := fmt.Sprintf("%s[%d]", where, seen[f.Name])
		seen[f.Name]++
		text := strings.TrimSpace(f.Text)
		switch {
		case !known:
			a.find("unknown-element", finding.Warning, place, "is no element of a Connected App", "remove it")
		case rule.each:
			a.each(where, f.Fields)
		case rule.structure != nil:
			a.structure(place, rule, f)
		case where == keyPath && a.file == "":
			// An org always shows it, so nobody can leave it out.
		case rule.lost != "":
			if text != "" || len(f.Fields) > 0 {
				a.find("not-carried", rule.level(), place, rule.lost, rule.fix)
			}
		case rule.own != nil:
			rule.own(a, place, text)
		case text != "":
			if rule.values != nil {
				key := strings.ToLower(text)
				if boolean, ok := booleans[key]; ok {
					key = boolean
				}
				value, ok := rule.values[key]
				if !ok {
					a.wrong(place, text)
					continue
				}
				text = value
			}
			for _, to := range rule.to {
				a.set(place, to, text)
			}
		}
	}
}

// set states a field, unless its type does not allow the value.
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

// plain checks a boolean or a number, and writes it as settings have it.
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

// structure carries a structure whose fields have other names.
func (a *App) structure(place string, rule rule, f metadata.Field) {
	made := metadata.Field{Name: rule.to[0].field}
	for _, part := range f.Fields {
		name, ok := rule.structure[part.Name]
		if !ok {
			a.find("unknown-element", finding.Warning, place+"."+part.Name, "is no element of a Connected App", "remove it")
			continue
		}
		if text := strings.TrimSpace(part.Text); text != "" {
			to := eca.Lookup(rule.to[0].typ).Field(made.Name)
			i := slices.IndexFunc(to.Fields, func(ft metadata.FieldType) bool { return ft.Name == name })
			text, ok := plain(&to.Fields[i], text)
			if !ok {
				a.wrong(place+"."+part.Name, text)
				continue
			}
			made.Fields = append(made.Fields, metadata.Field{Name: name, Text: text})
		}
	}
	made.Fields = metadata.InOrder(made.Fields)
	for _, to := range rule.to {
		a.Fields[to.typ][made.Name] = append(a.Fields[to.typ][made.Name], made)
	}
}

func (a *App) wrong(place, text string) {
	a.find("wrong-value", finding.Error, place, fmt.Sprintf("%q has no counterpart", words.Clip(text)), "correct it, or leave it out")
}

// find records a finding about the element at a path, or the app as a whole.
func (a *App) find(rule string, level finding.Level, place, problem, fix string) {
	line := 0
	if a.root != nil {
		line = a.root.At(place).Line()
	}
	a.Findings = append(a.Findings, finding.Finding{Rule: rule, Level: level, App: a.Name, File: a.file, Line: line, Field: strings.ReplaceAll(place, "[0]", ""), Problem: problem, Fix: fix})
}

// Wrong returns the first finding for which the result would not be what the source wants, nil
// if there is none: a value without a counterpart, or no OAuth at all.
func (a *App) Wrong() *finding.Finding {
	for i := range a.Findings {
		if f := &a.Findings[i]; f.Level == finding.Error && (f.Rule == "wrong-value" || f.Rule == "no-oauth") {
			return f
		}
	}
	return nil
}

// Label is the app's name for people.
func (a *App) Label() string { return a.Header("label") }

// Header returns a field of the header as text, or "".
func (a *App) Header(name string) string {
	if values := a.Fields[header][name]; len(values) > 0 {
		return values[0].Text
	}
	return ""
}
