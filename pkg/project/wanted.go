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

// Org is what is known of an org, as far as settings are chosen and filled in by it.
type Org struct {
	Alias     string // by which the environment is chosen, "" where the org has none
	Name      string // what {alias} stands for
	Sandbox   bool   // default serves it; scratch orgs are sandboxes
	DomainURL string // the org's own domain, what {orgDomainUrl} stands for
	Version   apiversion.Version
}

// Settled are the types that settings state, in the order in which the platform accepts them.
var settled = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies}

// Wanted returns what the settings want of an app's components on an org, by type: those of
// the app with those of the environment laid over them, placeholders filled in, and what the
// environment's OAuth policies need switched on. certificate returns the PEM text of a
// certificate's file.
//
// Settings that contradict one another or the policies, or that the API version does not know,
// are an error, a *SettingError.
func (s Settings) Wanted(app string, org Org, policies []SourceFile, certificate func(file string) (string, error)) (map[string]metadata.Fields, error) {
	effective := s.For(app, org.Alias, org.Sandbox)
	// at is an error about a field, at the place that states it.
	at := func(typ, field string, err error) error {
		path, settings := settingsPath+".apps."+app, s.Apps[app]
		name, _, _ := strings.Cut(field, ".")
		if environment := settings.Environments[effective.Environment]; environment.Of(typ).Has(name) {
			path, settings = path+".environments."+effective.Environment, environment
		}
		return &SettingError{Path: path + "." + settings.Key(typ) + "." + field, Err: err}
	}
	wanted := make(map[string]metadata.Fields)
	for _, typ := range settled {
		stated := effective.Of(typ).Over(nil)
		if file := certificateFile(stated); file != "" {
			text, err := certificate(file)
			if err != nil {
				return nil, at(typ, "certificate", err)
			}
			stated.Set("certificate", text)
		}
		if field, err := fill(stated, org); err != nil {
			return nil, at(typ, field, err)
		}
		wanted[typ] = stated
	}
	global, plugins := wanted[eca.GlobalOAuthSettings], wanted[eca.PluginPolicies]
	for _, file := range policies {
		for _, name := range []string{"isEnabled", "isOauthPluginEnabled"} {
			if plugins.IsFalse(name) {
				return nil, at(eca.PluginPolicies, name, fmt.Errorf("is false, so that the platform would refuse the OAuth policies in %s", file.File))
			}
		}
		for _, pair := range implied {
			if !eca.Bool(file.Component, pair.policy) {
				continue
			}
			if global.IsFalse(pair.global) {
				return nil, at(eca.GlobalOAuthSettings, pair.global, fmt.Errorf("is false, but %s turns %s on", file.File, pair.policy))
			}
			global.Set(pair.global, "true")
		}
	}
	for _, typ := range settled {
		if wrong, ok := errors.AsType[*metadata.FieldError](eca.Lookup(typ).CheckVersion(wanted[typ], org.Version)); ok {
			return nil, at(typ, wrong.Field, wrong.Err)
		}
	}
	return wanted, nil
}

// implied pairs a flow's switch in the OAuth policies with the one in the global settings that
// must be on as well. The platform's documentation says so for client credentials; the other
// two flows have the same pair of switches.
var implied = []struct{ policy, global string }{
	{"isClientCredentialsFlowEnabled", "isClientCredentialsFlowEnabled"},
	{"isTokenExchangeFlowEnabled", "isTokenExchangeEnabled"},
	{"isGuestCodeCredFlowEnabled", "isCodeCredFlowEnabled"},
}

var placeholder = regexp.MustCompile(`\{[A-Za-z]+\}`)

// fill replaces the placeholders in all texts of the statement. Beside an error it
// returns the field concerned.
func fill(stated metadata.Fields, org Org) (field string, err error) {
	known := map[string]string{"{orgDomainUrl}": org.DomainURL, "{alias}": org.Name}
	var replace func(fields []metadata.Field) []metadata.Field
	replace = func(fields []metadata.Field) []metadata.Field {
		fields = slices.Clone(fields)
		for i := range fields {
			fields[i].Text = placeholder.ReplaceAllStringFunc(fields[i].Text, func(name string) string {
				text, ok := known[name]
				if !ok && err == nil {
					err = fmt.Errorf("there is no placeholder %s, only %s", name, strings.Join(slices.Sorted(maps.Keys(known)), " and "))
				}
				return text
			})
			fields[i].Fields = replace(fields[i].Fields)
		}
		return fields
	}
	for _, name := range slices.Sorted(maps.Keys(stated)) {
		if stated[name] = replace(stated[name]); err != nil {
			return name, err
		}
	}
	return "", nil
}

// certificateFile returns the file that a statement gives as certificate, "" for none.
func certificateFile(stated metadata.Fields) string {
	if values := stated["certificate"]; len(values) > 0 && len(values[0].Fields) > 0 {
		return values[0].Fields[0].Text
	}
	return ""
}

// Certificates reads the files that the settings of an app give as certificates, below the
// directory of the app's package, and returns what Wanted asks for.
func (s Settings) Certificates(app string, fsys fs.FS, dir string) func(file string) (string, error) {
	type result struct {
		text string
		err  error
	}
	read := make(map[string]result)
	settings := s.Apps[app]
	for _, of := range append(slices.Collect(maps.Values(settings.Environments)), settings) {
		for _, typ := range settled {
			if file := certificateFile(of.Of(typ)); file != "" {
				text, err := readCertificate(fsys, dir, file)
				read[file] = result{text, err}
			}
		}
	}
	return func(file string) (string, error) { return read[file].text, read[file].err }
}

// maxCertificate is the most that a certificate's file can hold. The platform
// takes certificates of up to 4 KB.
const maxCertificate = 64 << 10

func readCertificate(fsys fs.FS, dir, given string) (string, error) {
	fail := func(what string) (string, error) { return "", fmt.Errorf("the file %s %s", given, what) }
	if !filepath.IsLocal(filepath.FromSlash(given)) {
		return fail("must be one of the package directory " + dir)
	}
	below, err := fs.Sub(fsys, dir)
	if err != nil {
		return fail("cannot be read")
	}
	name := filepath.ToSlash(filepath.Clean(filepath.FromSlash(given)))
	info, err := fs.Stat(below, name)
	if err != nil || !info.Mode().IsRegular() {
		return fail("is not to be found as a file of the package directory " + dir)
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
