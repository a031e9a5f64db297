package lint

import (
	"fmt"
	"path"
	"strings"

	"github.com/ecakit/ecakit/pkg/connectedapp"
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/literal"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// readCredential reads a file that by its name holds an external or a named credential, in source or
// metadata format.
func (l *linter) readCredential(file string, p *sfp.Package, ignored bool) (isCredential bool) {
	name := connection.SourceName(file)
	typ, _ := connection.Types().OfFile(name)
	if typ == nil {
		return false
	}
	var c *metadata.Component
	content, err := l.fsys.Open(file)
	if err == nil {
		c, err = connection.Types().ParseFile(name, content)
		content.Close()
	}
	found := component{Component: c, file: file, pkg: p, ignored: ignored}
	switch {
	case err != nil && !ignored:
		l.addMalformed(file, err)
	case err == nil:
		for _, f := range append(preflight.FieldsOf(typ, c, found.deployedIn(l.project)), connection.Check(c)...) {
			isSecret := f.Rule == "secret-in-source"
			if ft := typ.Field(f.Field); isSecret && ft != nil && ft.Secret {
				f = judge(f, c.Text(f.Field))
			}
			if f.Level != "" && (isSecret || !ignored) {
				l.addCredential(found, f)
			}
		}
	}
	if err == nil && !ignored {
		l.credentials = append(l.credentials, found)
	}
	return true
}

// judge returns a finding about the text of an element that holds nothing but a secret, without a level if
// the text stands for one: files of legacy credentials hold a dummy if a deployment needs a password.
func judge(f finding.Finding, text string) finding.Finding {
	f.Problem, f.Fix = "holds a secret", "remove it, and replace the secret, because the repository's history contains it"
	switch literal.Secret(text) {
	case literal.No:
		f.Level = ""
	case literal.Maybe:
		f.Level, f.Problem = finding.Warning, "holds a word that may be a secret"
	}
	return f
}

// readConnectedApp reads a Connected App, of which only a secret matters here.
func (l *linter) readConnectedApp(file string) {
	app, err := connectedapp.Read(l.fsys, file)
	if err != nil {
		return // a migration reports it
	}
	for _, f := range app.Findings {
		if f.Rule == "secret-in-source" && f.Field == "oauthConfig.consumerSecret" {
			l.note(f, nil)
		}
	}
}

// addCredential adds a finding about a credential. It is only a warning if replacements may change
// the value.
func (l *linter) addCredential(c component, f finding.Finding) {
	if l.project.Replaces(c.file) && f.Rule != "secret-in-source" {
		f.Level = finding.Warning
	}
	l.addFinding(c, f)
}

// checkCredentials checks external and named credentials.
func (l *linter) checkCredentials() {
	for _, c := range l.credentials {
		l.checkFolder(c, connection.Types())
		if name := connection.External(c.Component); c.Type == connection.NamedCredential && name != "" {
			l.checkPair(c, name)
		}
	}
}

// checkPair checks a named credential together with its external credential.
func (l *linter) checkPair(c component, name string) {
	known := false
	for _, external := range l.credentials {
		if external.Type != connection.ExternalCredential || !strings.EqualFold(external.FullName, name) {
			continue
		}
		known = true
		// The credentials of one environment belong to one org.
		if external.pkg != c.pkg || path.Dir(path.Dir(external.file)) != path.Dir(path.Dir(c.file)) {
			continue
		}
		for _, f := range connection.CheckPair(c.Component, external.Component) {
			l.addCredential(c, f)
		}
	}
	if !known {
		l.addCredential(c, finding.Finding{
			Rule: "no-external-credential", Level: finding.Warning, Field: "namedCredentialParameters",
			Problem: fmt.Sprintf("names the external credential %s, which the project does not have", name),
			Fix:     "add it, or make sure that the org has it first",
		})
	}
}
