package project

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Org describes an org, as far as it determines the choice and the values of settings.
type Org struct {
	Alias     string // selects the environment, "" if the org has none
	Name      string // replaces {alias}
	Sandbox   bool   // includes scratch orgs; selects the environment default
	DomainURL string // the org's own domain, replaces {orgDomainUrl}
	Version   apiversion.Version
}

// Wanted returns the wanted fields of an app's components on an org, by type: the settings of the
// app overlaid with those of the environment, with placeholders replaced, and the switches that
// the environment's OAuth policies need. certificate returns the PEM text of a certificate's file.
//
// Settings that contradict one another or the policies, or that the API version does not have, are
// an error: SettingErrors with all of them. The other fields are returned with it.
func (s Settings) Wanted(app string, org Org, policies []SourceFile, certificate func(file string) (string, error)) (map[string]metadata.Fields, error) {
	effective := s.For(app, org.Alias, org.Sandbox)
	wanted := make(map[string]metadata.Fields)
	var wrong SettingErrors
	add := func(typ string, errs ...*metadata.FieldError) {
		for _, err := range errs {
			wrong = append(wrong, s.located(err, app, effective.Environment, typ))
		}
	}
	for _, typ := range eca.Satellites() {
		filled, errs := fill(effective.Of(typ), org, certificate)
		wanted[typ] = filled
		add(typ, errs...)
	}
	if effective.Off() {
		for _, name := range eca.Switches() {
			if plugins := wanted[eca.PluginPolicies]; plugins.Has(name) && !plugins.IsFalse(name) {
				add(eca.PluginPolicies, &metadata.FieldError{Path: name, Err: errors.New(`is true, but "disabled" switches the app off`)})
			}
			wanted[eca.PluginPolicies].Set(name, "false")
		}
		policies = nil // which are left as they are
	}
	for _, file := range policies {
		add(eca.PluginPolicies, checkPlugins(wanted[eca.PluginPolicies], file.File)...)
		add(eca.GlobalOAuthSettings, imply(wanted[eca.GlobalOAuthSettings], file)...)
	}
	for _, typ := range eca.Satellites() {
		add(typ, eca.Lookup(typ).CheckVersion(wanted[typ], org.Version)...)
	}
	if len(wrong) > 0 {
		return wanted, wrong
	}
	return wanted, nil
}

// SettingErrors are settings that are wrong together, at least one.
type SettingErrors []*SettingError

func (all SettingErrors) Error() string {
	texts := make([]string, len(all))
	for i, e := range all {
		texts[i] = e.Error()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the first.
func (all SettingErrors) Unwrap() error { return all[0] }

// located returns the error of a field at the place that states the field.
func (s Settings) located(wrong *metadata.FieldError, app, environment, typ string) *SettingError {
	path, settings := settingsPath+".apps."+app, s.Apps[app]
	name, _, _ := strings.Cut(wrong.Path, ".")
	if own := settings.Environments[environment]; own.Of(typ).Has(name) {
		path, settings = path+".environments."+environment, own
	}
	return &SettingError{path + "." + settings.Key(typ) + "." + wrong.Path, wrong.Err}
}

// checkPlugins returns an error for each stated plugin policy that switches off what OAuth policies need.
func checkPlugins(plugins metadata.Fields, file string) (wrong []*metadata.FieldError) {
	for _, name := range eca.Switches() {
		if plugins.IsFalse(name) {
			wrong = append(wrong, &metadata.FieldError{Path: name, Err: fmt.Errorf("is false, so the platform would refuse the OAuth policies in %s", file)})
		}
	}
	return wrong
}

// imply switches on the flows of the global settings that OAuth policies need. Those that the settings state as
// off are errors.
func imply(global metadata.Fields, policies SourceFile) (wrong []*metadata.FieldError) {
	for _, need := range eca.Needs(policies.Component) {
		off := global.IsFalse(need.Switch)
		if global.Set(need.Switch, "true"); !off {
			continue
		}
		err := fmt.Errorf("is false, but %s states %s", policies.File, need.By)
		if eca.Lookup(eca.OAuthPolicies).Field(need.By).Kind == metadata.Boolean {
			err = fmt.Errorf("is false, but %s turns %s on", policies.File, need.By)
		}
		wrong = append(wrong, &metadata.FieldError{Path: need.Switch, Err: err})
	}
	return wrong
}

var placeholder = regexp.MustCompile(`\{[A-Za-z]+\}`)

// fill returns the stated fields with the text of certificates and without placeholders, and an error for each
// field for which that cannot be done.
func fill(stated metadata.Fields, org Org, certificate func(file string) (string, error)) (metadata.Fields, []*metadata.FieldError) {
	filled := stated.Over(nil)
	var wrong []*metadata.FieldError
	if file := certificateFile(filled); file != "" {
		text, err := certificate(file)
		if err != nil {
			wrong = append(wrong, &metadata.FieldError{Path: "certificate", Err: err})
		}
		filled.Set("certificate", text)
	}
	for _, name := range slices.Sorted(maps.Keys(filled)) {
		fields, err := replace(filled[name], map[string]string{"{orgDomainUrl}": org.DomainURL, "{alias}": org.Name})
		if err != nil {
			wrong = append(wrong, &metadata.FieldError{Path: name, Err: err})
		}
		filled[name] = fields
	}
	return filled, wrong
}

// replace returns the fields with the placeholders in all texts replaced.
func replace(fields []metadata.Field, texts map[string]string) (_ []metadata.Field, err error) {
	fields = slices.Clone(fields)
	for i := range fields {
		fields[i].Text = placeholder.ReplaceAllStringFunc(fields[i].Text, func(name string) string {
			text, ok := texts[name]
			if !ok {
				err = fmt.Errorf("there is no placeholder %s, only %s", name, strings.Join(slices.Sorted(maps.Keys(texts)), " and "))
			}
			return text
		})
		if err != nil {
			return nil, err
		}
		if fields[i].Fields, err = replace(fields[i].Fields, texts); err != nil {
			return nil, err
		}
	}
	return fields, nil
}

// certificateFile returns the certificate's file in stated fields, "" if none.
func certificateFile(stated metadata.Fields) string {
	if values := stated["certificate"]; len(values) > 0 && len(values[0].Fields) > 0 {
		return values[0].Fields[0].Text
	}
	return ""
}

// Certificates reads the certificate files of an app's settings, below the directory of the app's
// package, and returns the function that Wanted calls.
func (s Settings) Certificates(app string, fsys fs.FS, dir string) func(file string) (string, error) {
	texts, errs := make(map[string]string), make(map[string]error)
	settings := s.Apps[app]
	for _, of := range append(slices.Collect(maps.Values(settings.Environments)), settings) {
		for _, typ := range eca.Satellites() {
			if file := certificateFile(of.Of(typ)); file != "" {
				texts[file], errs[file] = readCertificate(fsys, dir, file)
			}
		}
	}
	return func(file string) (string, error) { return texts[file], errs[file] }
}

// maxCertificate is the maximum size of a certificate's file in bytes. The platform accepts
// certificates of up to 4 KB.
const maxCertificate = 64 << 10

func readCertificate(fsys fs.FS, dir, given string) (string, error) {
	fail := func(what string) (string, error) { return "", fmt.Errorf("the file %s %s", given, what) }
	if !filepath.IsLocal(filepath.FromSlash(given)) {
		return fail("must be in the package directory " + dir)
	}
	below, err := fs.Sub(fsys, dir)
	if err != nil {
		return fail("cannot be read")
	}
	name := filepath.ToSlash(filepath.Clean(filepath.FromSlash(given)))
	info, err := fs.Stat(below, name)
	if err != nil || !info.Mode().IsRegular() {
		return fail("does not exist in the package directory " + dir)
	}
	if info.Size() > maxCertificate {
		return fail("is too large for a certificate")
	}
	data, err := fs.ReadFile(below, name)
	if err != nil {
		return fail("cannot be read")
	}
	text, err := metadata.CertificatePEM(data)
	if err != nil {
		return fail(err.Error())
	}
	return text, nil
}
