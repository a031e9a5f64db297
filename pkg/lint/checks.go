package lint

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// rootElement matches the first element of a document.
var rootElement = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`<([A-Za-z_][\w.-]*)[\s/>]`) })

// privateKey matches a private key's first line with at least some of the key after it.
var privateKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\\n]*(?:[\w-]+:[^\n]*\n\s*)*[A-Za-z0-9+/=]{32,}`)
})

// checkContent checks any file of a package for private keys.
func (l *linter) checkContent(file string, data []byte) {
	typ, _ := eca.Types().OfFile(file)
	if at := privateKey().FindIndex(data); at != nil && typ == nil {
		l.note(finding.Finding{
			Rule: "secret-in-source", Level: finding.Error, File: file, Line: 1 + bytes.Count(data[:at[0]], []byte("\n")),
			Problem: "holds a private key", Fix: "remove it from the repository and its history, and replace the key pair",
		}, nil)
	}
}

// checkName checks that sf takes a file for what it is.
func (l *linter) checkName(file string, data []byte, isComponent bool) {
	typ, _ := eca.Types().OfFile(file)
	switch inSource := strings.HasSuffix(file, metadata.SourceEnding); {
	case typ == nil:
		l.checkSuffix(file, data)
	case !isComponent:
		l.add("wrong-suffix", finding.Warning, file, "", "sf deploys the file of the same name in source format instead", "remove one of them")
	case !inSource && l.project.File == sfp.ProjectFile:
		l.add("wrong-suffix", finding.Warning, file, "", "is in metadata format, which sf deploys with a warning", "rename it to "+path.Base(file)+metadata.SourceEnding)
	}
}

// sourceName matches what sf takes for the name of a file in source format: the component's name and its
// suffix, whatever follows. Source: sf 2.150.6 was observed.
var sourceName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^(.+)\.(.+)-meta\.xml(.*)$`) })

// checkSuffix checks that a file does not hold a component of an app although its name does not say so.
func (l *linter) checkSuffix(file string, data []byte) {
	if !bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), []byte("<")) {
		return
	}
	root := rootElement().FindSubmatch(data)
	if root == nil {
		return
	}
	t := eca.Types().Lookup(string(root[1]))
	if t == nil || t.Name == eca.RemoteSiteSetting || !bytes.Contains(data, []byte(metadata.Namespace)) {
		return
	}
	name, _, _ := strings.Cut(path.Base(file), ".")
	right := name + "." + t.Suffix + metadata.SourceEnding
	match := sourceName().FindStringSubmatch(path.Base(file))
	known := match != nil && slices.ContainsFunc(eca.Types(), func(t *metadata.Type) bool { return t.Suffix == match[2] })
	switch {
	case known:
		l.add("wrong-suffix", finding.Error, file, t.Name, fmt.Sprintf("ends in %s, but sf deploys it as the %s %s", match[3], t.Name, match[1]), "remove it")
	case match != nil:
		l.add("wrong-suffix", finding.Error, file, t.Name, fmt.Sprintf("holds %s, but sf does not know the suffix .%s-meta.xml and stops the whole deployment", t.Name, match[2]), "rename it to "+right)
	default:
		l.add("wrong-suffix", finding.Error, file, t.Name, fmt.Sprintf("holds %s, but its name does not end in .%s-meta.xml, so it is not deployed", t.Name, t.Suffix), "rename it to "+right)
	}
}

// checkReplaced checks that nobody counts on replacements in a file that sfp deploys as it stands.
func (l *linter) checkReplaced(p *sfp.Package, file string, data []byte, ignored bool) {
	if ignored || !p.AsItStands() {
		return
	}
	if i := l.project.ReplacedBy(file, data); i >= 0 {
		at := fmt.Sprintf("replacements[%d]", i)
		l.note(finding.Finding{
			Rule: "replacements", Level: finding.Error, File: sfp.ProjectFile, Line: l.line(sfp.ProjectFile, at, ""),
			Problem: fmt.Sprintf("%s is for %s, but sfp makes no replacements: it deploys the file as it stands", at, file),
			Fix:     "state the value in plugins.eca, or in a folder for each environment of an aliasfied package",
		}, p)
	}
}

// checkFiles checks each component by itself.
func (l *linter) checkFiles() {
	for _, c := range l.components {
		l.checkFolder(c, eca.Types())
		l.checkSecrets(c)
		l.checkFields(c)
		if c.Type == eca.RemoteSiteSetting {
			continue
		}
		l.checkAPIName(c)
		l.checkReferences(c)
		if c.Type != eca.Header {
			l.checkApp(c)
		}
	}
}

// checkType checks the version of a type that only a deploy brings.
func (l *linter) checkType(file string) {
	typ, _ := eca.SourceTypes().OfFile(file)
	if version := l.project.SourceAPIVersion; typ != nil && version >= eca.MinVersion && typ.Since > version {
		l.add("newer-than-project", finding.Warning, file, "", fmt.Sprintf("%s needs API version %s or later, and this is %s", typ.Name, typ.Since, version), "raise sourceApiVersion, or remove the file")
	}
}

// checkAPIName checks that the platform accepts a component's name. One with a namespace belongs to a
// package, and the name of a template is filled in later.
func (l *linter) checkAPIName(c component) {
	name := c.FullName
	if err := eca.CheckName(name); err != nil && !eca.Namespaced(name) && eca.Placeholder(name) == "" {
		l.add("api-name", finding.Error, c.file, "", fmt.Sprintf("the API name %q is invalid: %v", name, err), "rename the file, and the component everywhere")
	}
}

// references are the fields that name something.
var references = []string{"externalClientApplication", "clientCredentialsFlowUser", "executeHandlerAs", "apexHandler", "orgScopedExternalApp", "oauthLink"}

// checkReferences checks names in a component for surrounding white space, and its texts for placeholders
// that nothing fills in.
func (l *linter) checkReferences(c component) {
	for _, field := range references {
		if text := c.Text(field); text != strings.TrimSpace(text) && strings.TrimSpace(text) != "" {
			l.add("white-space", finding.Error, c.file, field, fmt.Sprintf("%q has white space around it, which makes it another name", words.Clip(text)), "remove the white space")
		}
	}
	if data, _, err := l.content(c.file); err != nil || l.project.ReplacedBy(c.file, data) >= 0 {
		return // what replacements fill in is known when sf deploys
	}
	seen := make(map[string]bool)
	texts(c.Fields, "", func(at, text string) {
		if found := eca.Placeholder(text); found != "" && !seen[found] {
			seen[found] = true
			l.add("placeholder", finding.Warning, c.file, at, fmt.Sprintf("%s: the placeholder %s is not filled in by replacements of %s", at, found, sfp.ProjectFile), "state an entry of replacements, or fill it in before the deployment")
		}
	})
}

// texts calls f for each text in some fields, with its path.
func texts(fields []metadata.Field, prefix string, f func(at, text string)) {
	for _, field := range fields {
		f(prefix+field.Name, field.Text)
		texts(field.Fields, prefix+field.Name+".", f)
	}
}

// checkFolder checks that a component is not in the folder of another one of types.
func (l *linter) checkFolder(c component, types metadata.Schema) {
	typ, folder := types.Lookup(c.Type), path.Base(path.Dir(c.file))
	if folder != typ.Folder && types.IsFolder(folder) {
		l.add("wrong-folder", finding.Warning, c.file, "", fmt.Sprintf("%s is in the folder of another type, %s", c.Type, folder), "move it to "+typ.Folder)
	}
}

// checkIgnored checks files that are not deployed: everyone can read them, and eca may apply
// their policies.
func (l *linter) checkIgnored() {
	for _, c := range l.ignored {
		l.checkSecrets(c)
		if c.Type == eca.OAuthPolicies && l.applies(c) {
			l.checkFields(c)
		}
	}
	for _, b := range l.broken {
		if l.mayApply(b.environment()) {
			l.addMalformed(b.file, b.err)
		}
	}
}

// checkFields checks the elements of a component and their values.
func (l *linter) checkFields(c component) {
	for _, f := range preflight.Fields(c.Component, c.deployedIn(l.project)) {
		if f.Rule == "missing-element" && f.Field == "externalClientApplication" || f.Rule == "secret-in-source" {
			continue // see checkApp, checkSecrets
		}
		if eca.Placeholder(c.Text(f.Field)) != "" && f.Rule != "unknown-element" {
			continue // the value is not known, see checkReferences
		}
		l.addFinding(c, f)
	}
	for _, name := range []string{"shouldRotateConsumerKey", "shouldRotateConsumerSecret"} {
		if eca.Bool(c.Component, name) {
			l.add("rotates-on-deploy", finding.Error, c.file, name, "replaces the consumer's credentials with each deployment, which ends all logins with the old ones", "remove it")
		}
		if c.Text(name) != "" {
			l.isPlatformMade(c, name)
		}
	}
	if c.Type != eca.OAuthPolicies {
		return
	}
	app := eca.App(c.Component)
	policies := &preflight.Policies{App: app, Component: c.Component, Applied: l.applies(c)}
	findings := policies.Alone()
	if len(l.project.Settings.For(app, c.environment(), true).PermissionSets) == 0 {
		findings = append(findings, policies.ProfilesOnly()...)
	}
	for _, f := range findings {
		l.addFinding(c, f)
	}
}

// checkSecrets checks a component for secrets, which must not be in a repository.
func (l *linter) checkSecrets(c component) {
	for _, p := range eca.Problems(c.Component, 0) {
		if p.Kind == metadata.SecretValue {
			l.addFinding(c, finding.Finding{Rule: "secret-in-source", Level: finding.Error, Field: p.Field, Problem: p.Err.Error(), Fix: p.Fix})
			if p.Field == "consumerSecret" {
				l.isPlatformMade(c, p.Field)
			}
		}
	}
	if c.Type == eca.GlobalOAuthSettings && strings.TrimSpace(c.Text("consumerKey")) != "" {
		l.add("secret-in-source", finding.Error, c.file, "consumerKey", "holds the consumer key of one org", "remove it; each org creates its own")
		l.isPlatformMade(c, "consumerKey")
	}
}

// checkApp checks the app that a component belongs to.
func (l *linter) checkApp(c component) {
	const field = "externalClientApplication"
	app := strings.TrimSpace(eca.App(c.Component))
	if app == "" {
		l.add("unknown-app", finding.Error, c.file, c.Type, field+" is missing, so the component belongs to no app", "name the app")
		return
	}
	header, ok := l.header(app)
	if l.malformed[strings.ToLower(app)] {
		return
	}
	if !ok {
		l.checkUnknownApp(c, app)
		return
	}
	if c.Type != eca.OAuthPolicies && c.Type != eca.PluginPolicies {
		return
	}
	settings, whole := l.whole(header.FullName)
	switch {
	case c.index < header.index:
		l.addPackage("package-order", finding.Error, c.pkg, fmt.Sprintf("the package %s with policies of %s comes before %s with its header", c.pkg.Name, header.FullName, header.pkg.Name), "put it after that package")
	case whole && c.index < settings.index && c.Type == eca.OAuthPolicies:
		l.addPackage("package-order", finding.Error, c.pkg, fmt.Sprintf("the package %s with OAuth policies of %s comes before %s with its OAuth settings", c.pkg.Name, header.FullName, settings.pkg.Name), "put it after that package")
	case whole, l.maybeWhole(header):
	case c.index == header.index && c.Type == eca.OAuthPolicies && isLocal(header):
		fix := "move them to an aliasfied package after " + header.pkg.Name
		if l.layout != project.LayoutSFP {
			fix = "move them to " + project.EnvironmentsDir + "/ENVIRONMENT, from which eca bootstrap deploys them"
		}
		l.add("package-order", finding.Error, c.file, c.Type, fmt.Sprintf("the OAuth policies of %s are deployed together with its header, before its OAuth is enabled, and the platform says The OAuth settings are missing for this external client app", header.FullName), fix)
	}
}

// checkUnknownApp checks the name of an app without a header in the project: a name with a namespace is that
// of a package's app, and nothing is known of a placeholder.
func (l *linter) checkUnknownApp(c component, app string) {
	const field = "externalClientApplication"
	labelled := func(h component) bool { return strings.TrimSpace(h.Text("label")) == app }
	switch i := slices.IndexFunc(l.of(eca.Header), labelled); {
	case eca.Namespaced(app), eca.Placeholder(app) != "":
	case i >= 0:
		l.add("unknown-app", finding.Error, c.file, field, fmt.Sprintf("%q is the label of an app, but the platform requires its API name", app), "write "+l.of(eca.Header)[i].FullName)
	case eca.CheckName(app) != nil:
		l.add("unknown-app", finding.Error, c.file, field, fmt.Sprintf("%q cannot be the API name of an app: %v", app, eca.CheckName(app)), "correct the name")
	default:
		l.add("unknown-app", finding.Warning, c.file, field, fmt.Sprintf("belongs to %s, but the project has no header of that app", app), "correct the name, or make sure that the app is on the org first")
	}
}

// checkHeaders checks the headers of all apps.
func (l *linter) checkHeaders() {
	seen := make(map[string]string)
	for _, h := range l.of(eca.Header) {
		key := strings.ToLower(h.FullName)
		if other, twice := seen[key]; twice && h.environ == "" {
			l.add("duplicate", finding.Error, h.file, h.Type, fmt.Sprintf("the app %s already has a header in %s", h.FullName, other), "remove one of them")
		}
		seen[key] = h.file
		wired := l.checkScript(h)
		_, stated := l.project.Settings.Apps[h.FullName]
		if !isLocal(h) && (wired || stated) && !l.linked(h.FullName) {
			l.add("header-not-local", finding.Error, h.file, "distributionState", fmt.Sprintf("the app is %s, but the hook enables OAuth on Local apps only", h.Text("distributionState")), "set distributionState to Local, or deploy OAuth settings with an oauthLink")
		}
		if scoped := strings.TrimSpace(h.Text("orgScopedExternalApp")); scoped != "" {
			l.checkScope(h, scoped)
		}
	}
}

// checkScript checks that the header's package runs eca after its deployment, and reports
// whether it does.
func (l *linter) checkScript(h component) bool {
	problem, fix, level := "", `name scripts/bootstrap-eca-oauth.sh as its "postDeploymentScript"`, finding.Error
	switch calls, err := project.CallsHook(l.fsys, path.Clean(h.pkg.Script)); {
	case h.pkg.Script == "":
		problem = "has no postDeploymentScript"
	case err != nil:
		problem = fmt.Sprintf("has the postDeploymentScript %s, which does not exist", h.pkg.Script)
		fix = "copy scripts/bootstrap-eca-oauth.sh there from ecakit"
	case slices.Contains([]string{".cmd", ".bat"}, strings.ToLower(path.Ext(h.pkg.Script))):
		problem = fmt.Sprintf("has the postDeploymentScript %s, which sfp runs by sh; on Windows it runs a copy without the extension, and cmd.exe runs no file without an extension", h.pkg.Script)
		fix = "name scripts/bootstrap-eca-oauth.sh; the one for cmd.exe is for pools"
	case !calls:
		problem = fmt.Sprintf("has the postDeploymentScript %s, which does not seem to call eca", h.pkg.Script)
		level = finding.Warning // it may do so indirectly
	default:
		return true
	}
	// sf runs no scripts.
	if _, whole := l.whole(h.FullName); h.pkg.Name != "" && l.layout == project.LayoutSFP && isLocal(h) && !whole && !l.maybeWhole(h) && !l.linked(h.FullName) {
		l.addPackage("script-not-wired", level, h.pkg, fmt.Sprintf("the package %s with the Local app %s %s, so nothing enables its OAuth", h.pkg.Name, h.FullName, problem), fix)
	}
	return false
}

// linked reports whether the source has the link to the app's consumer.
func (l *linter) linked(app string) bool {
	return slices.ContainsFunc(l.of(eca.OAuthSettings), func(c component) bool {
		return strings.EqualFold(eca.App(c.Component), app) && strings.TrimSpace(c.Text("oauthLink")) != ""
	})
}

// oauthLink matches the platform's link to a consumer: the org's ID, a colon and the ID of the
// consumer's record.
var oauthLink = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?):888[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)
})

// orgOf returns the org's 15-character ID in a link, "" if the link is invalid.
func orgOf(link string) string {
	if match := oauthLink().FindStringSubmatch(strings.TrimSpace(link)); match != nil {
		return match[1][:15]
	}
	return ""
}

// checkScope checks orgScopedExternalApp, which holds an org's ID and the app's name.
func (l *linter) checkScope(h component, scoped string) {
	const field = "orgScopedExternalApp"
	org, name, _ := strings.Cut(scoped, ":")
	if isLocal(h) {
		l.isPlatformMade(h, field)
	}
	if name != "" && !strings.EqualFold(name, h.FullName) {
		l.add("org-scoped", finding.Error, h.file, field, fmt.Sprintf("names the app %s, but the file's name says %s", name, h.FullName), "remove it")
		return
	}
	if isLocal(h) {
		l.add("org-scoped", finding.Error, h.file, field, fmt.Sprintf("belongs to the org %s, but the header is deployed to every org", org), "remove it; each org fills it in")
		return
	}
	for _, c := range l.of(eca.OAuthSettings) {
		if other := orgOf(c.Text("oauthLink")); strings.EqualFold(eca.App(c.Component), h.FullName) && other != "" && !strings.HasPrefix(org, other) {
			l.add("org-scoped", finding.Error, h.file, field, fmt.Sprintf("belongs to the org %s, but the oauthLink in %s belongs to %s", org, c.file, other), "retrieve both from the same org")
		}
	}
}

// checkLinks checks OAuth settings, global OAuth settings, and apps that need a link.
func (l *linter) checkLinks() {
	namesApp := func(c component) bool { return strings.TrimSpace(eca.App(c.Component)) != "" }
	for _, c := range l.of(eca.OAuthSettings) {
		if namesApp(c) {
			l.checkOAuthSettings(c)
		}
	}
	for _, c := range l.of(eca.GlobalOAuthSettings) {
		if namesApp(c) {
			l.checkGlobalSettings(c)
		}
	}
	for _, h := range l.of(eca.Header) {
		if h.Text("distributionState") == "Packaged" && !l.linked(h.FullName) && !l.unread[unread{h.pkg, eca.OAuthSettings}] {
			l.add("packaged-without-link", finding.Error, h.file, "distributionState",
				"the app is Packaged, but the source has no OAuth settings with an oauthLink for it, so it is installed without OAuth",
				"retrieve its OAuth settings from the org that has the consumer, or make the app Local")
		}
	}
	l.checkTwice()
	l.checkMixed("oauthLink", "the apps of this package link to consumers of several orgs, so production and other environments are mixed",
		l.of(eca.OAuthSettings), func(c component) string { return orgOf(c.Text("oauthLink")) })
	l.checkMixed(eca.Header, "this package has Packaged apps for production and for other environments",
		slices.DeleteFunc(l.of(eca.Header), func(c component) bool { return isLocal(c) || c.environ != "" }),
		func(c component) string { return stage(c.FullName) })
}

// checkTwice checks for a second component of a type of an app in a package, which the platform refuses as a duplicate.
func (l *linter) checkTwice() {
	type key struct {
		typ, app, environ string
		pkg               *sfp.Package
	}
	first := make(map[key]component)
	for _, typ := range eca.Satellites() {
		for _, c := range l.of(typ) {
			app := strings.ToLower(strings.TrimSpace(eca.App(c.Component)))
			k := key{typ, app, c.environ, c.pkg}
			other, twice := first[k]
			switch {
			case !twice:
				first[k] = c
			case app != "" && !strings.EqualFold(other.FullName, c.FullName):
				l.add("duplicate", finding.Error, c.file, "externalClientApplication", fmt.Sprintf("%s already has %s in %s, and the platform allows one", eca.App(c.Component), typ, other.file), "remove one of them")
			}
		}
	}
}

// checkOAuthSettings checks the link of OAuth settings.
func (l *linter) checkOAuthSettings(c component) {
	_, whole := l.beside(c, eca.GlobalOAuthSettings)
	link := strings.TrimSpace(c.Text("oauthLink"))
	if h, ok := l.header(eca.App(c.Component)); ok && isLocal(h) && whole && link != "" {
		l.isPlatformMade(c, "oauthLink")
	}
	switch {
	case link == "" && whole && !l.packaged(eca.App(c.Component)):
		// The platform creates the link in each org.
	case link == "" && l.unread[unread{c.pkg, eca.GlobalOAuthSettings}]:
	case link == "":
		l.add("settings-without-link", finding.Error, c.file, c.Type,
			"without an oauthLink, and without global OAuth settings in the same package, the deployment breaks the app's OAuth permanently",
			"remove the file and state oauthSettings in plugins.eca, or add the app's global OAuth settings; "+
				"for a Packaged app, retrieve the file with its oauthLink")
	case orgOf(link) == "":
		l.add("bad-link", finding.Error, c.file, "oauthLink",
			"is not a link that the platform creates: an org's ID, a colon, and a record's ID that begins with 888",
			"retrieve it from the org that has the consumer")
	default:
		h, ok := l.header(eca.App(c.Component))
		if !ok || !isLocal(h) {
			return
		}
		fix := "remove the file and state oauthSettings in plugins.eca"
		if whole {
			fix = "remove the element; each org fills it in"
		}
		problem := fmt.Sprintf("the app %s is Local, but a link leads to the consumer of one org only", h.FullName)
		l.add("settings-without-link", finding.Warning, c.file, "oauthLink", problem, fix)
	}
}

// checkGlobalSettings checks where global OAuth settings are.
func (l *linter) checkGlobalSettings(c component) {
	_, whole := l.beside(c, eca.OAuthSettings)
	switch {
	case l.packaged(eca.App(c.Component)):
		l.add("global-settings-in-source", finding.Error, c.file, c.Type,
			"global OAuth settings cannot be in a package, and scratch orgs refuse those of a Packaged app",
			"remove the file; the oauthLink of the app's OAuth settings leads to its consumer")
	case !whole && l.unread[unread{c.pkg, eca.OAuthSettings}]:
	case !whole:
		l.add("global-settings-in-source", finding.Error, c.file, c.Type,
			"without the app's OAuth settings in the same package, the platform refuses global OAuth settings: "+
				"The external client app configured in your global OAuth Settings doesn't have a valid OAuth settings configuration.",
			"remove the file and state globalOauthSettings in plugins.eca, or add the app's OAuth settings")
	default:
		l.checkWhole(eca.App(c.Component))
	}
}

// checkMixed reports once per package, or environment's folder, that kind returns different values
// for its components. It ignores components for which kind returns "".
func (l *linter) checkMixed(at, problem string, components []component, kind func(component) string) {
	const mixed = "mixed"
	kinds := make(map[string]string) // by place
	for _, c := range components {
		place := c.pkg.Path + "\x00" + c.environ
		switch found, first := kind(c), kinds[place]; {
		case found == "" || found == first || first == mixed:
		case first == "":
			kinds[place] = found
		default:
			l.add("mixed-stages", finding.Warning, c.file, at, problem, "split the package")
			kinds[place] = mixed
		}
	}
}

// beside returns the component of another type for the same app and deployment: in the same
// package and environment folder.
func (l *linter) beside(c component, typ string) (component, bool) {
	for _, other := range l.of(typ) {
		if other.pkg == c.pkg && other.environ == c.environ && strings.EqualFold(strings.TrimSpace(eca.App(other.Component)), strings.TrimSpace(eca.App(c.Component))) {
			return other, true
		}
	}
	return component{}, false
}

// whole returns the OAuth settings of an app that is deployed as source as a whole: OAuth
// settings and global settings in one package. Salesforce documents that way for Local apps:
// the platform makes link, key and secret.
func (l *linter) whole(app string) (component, bool) {
	for _, c := range l.of(eca.OAuthSettings) {
		if _, ok := l.beside(c, eca.GlobalOAuthSettings); ok && strings.EqualFold(strings.TrimSpace(eca.App(c.Component)), app) {
			return c, !l.packaged(app)
		}
	}
	return component{}, false
}

// maybeWhole reports whether an app may be deployed as source as a whole, with a component that cannot be read.
func (l *linter) maybeWhole(h component) bool {
	return l.unread[unread{h.pkg, eca.OAuthSettings}] || l.unread[unread{h.pkg, eca.GlobalOAuthSettings}]
}

// packaged reports whether the project has the header of a Packaged app of that name.
func (l *linter) packaged(app string) bool {
	h, ok := l.header(strings.TrimSpace(app))
	return ok && !isLocal(h)
}

// resets are the fields whose defaults are weaker than what Setup may have.
var resets = map[string][]string{
	eca.GlobalOAuthSettings: {"isRefreshTokenRotationEnabled"},
	eca.OAuthPolicies:       {"ipRelaxationPolicyType", "permittedUsersPolicyType", "refreshTokenPolicyType", "requiredSessionLevel"},
}

// checkWhole checks an app that is deployed as source as a whole: what each deployment resets,
// and who its policies run as in every org.
func (l *linter) checkWhole(app string) {
	for _, c := range l.components {
		if !strings.EqualFold(strings.TrimSpace(eca.App(c.Component)), strings.TrimSpace(app)) {
			continue
		}
		var missing []string
		for _, field := range resets[c.Type] {
			if strings.TrimSpace(c.Text(field)) == "" {
				missing = append(missing, field)
			}
		}
		if len(missing) > 0 {
			l.add("resets-on-deploy", finding.Warning, c.file, c.Type, fmt.Sprintf("leaves out %s, so each deployment resets that to the default and overwrites changes made in Setup", strings.Join(missing, ", ")), "state it")
		}
		user := strings.TrimSpace(c.Text("clientCredentialsFlowUser"))
		placeholder := user == eca.UsernamePlaceholder || l.project.Replaces(c.file) && !strings.Contains(user, "@")
		if c.Type == eca.OAuthPolicies && eca.Bool(c.Component, "isClientCredentialsFlowEnabled") && user != "" && c.environ == "" && !placeholder {
			l.add("user-of-one-org", finding.Warning, c.file, "clientCredentialsFlowUser", fmt.Sprintf("%s runs the app in every org that the package is deployed to, but usernames differ by org", user), `move the policies to an aliasfied package, or let "replacements" of sfdx-project.json fill in the user`)
		}
	}
}

// stage returns "prod" or "nonprod" if the app's name says so, or "".
func stage(name string) string {
	word := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(name))
	switch {
	case strings.HasSuffix(word, "nonprod") || strings.HasSuffix(word, "nonproduction") || strings.HasSuffix(word, "preprod"):
		return "nonprod"
	case strings.HasSuffix(word, "prod") || strings.HasSuffix(word, "production"):
		return "prod"
	}
	return ""
}

// checkPolicies checks the OAuth policies.
func (l *linter) checkPolicies() {
	// Packages that are not aliasfied go to all orgs, and each folder to the orgs with its
	// alias.
	seen := make(map[string]component)
	for _, c := range l.of(eca.OAuthPolicies) {
		key := c.environment() + "\x00" + strings.ToLower(eca.App(c.Component))
		merged, inDefault := seen[sfp.DefaultFolder+"\x00"+strings.ToLower(eca.App(c.Component))]
		switch other, twice := seen[key]; {
		case l.inPackages[c.file]:
		case twice && (other.pkg == c.pkg && other.environ == c.environ || other.pkg != c.pkg && other.FullName != c.FullName):
			l.add("duplicate", finding.Error, c.file, "externalClientApplication", fmt.Sprintf("%s already has OAuth policies in %s, and the platform allows one record per app", eca.App(c.Component), other.file), "remove one of them")
		case c.pkg.MergeMode && inDefault && merged.pkg == c.pkg && merged.FullName != c.FullName:
			l.add("duplicate", finding.Error, c.file, "externalClientApplication", fmt.Sprintf("in merge mode sfp also copies %s into this folder, and the platform allows one record of OAuth policies for %s", merged.file, eca.App(c.Component)), "give both files the same name")
		}
		seen[key] = c
		if eca.Bool(c.Component, "isClientCredentialsFlowEnabled") && c.environment() == sfp.DefaultFolder && strings.TrimSpace(c.Text("clientCredentialsFlowUser")) != eca.UsernamePlaceholder {
			l.add("default-client-credentials", finding.Warning, c.file, "isClientCredentialsFlowEnabled", "client credentials are on in default, which serves every sandbox without its own folder, but few of these have the user", "switch the flow off in default")
		}
	}
}

// applied reports whether eca applies the app's policies in a package to the orgs of a folder.
func (l *linter) applied(app, environment string) bool {
	return l.project.Settings.For(app, environment, true).AppliesPolicies(false)
}

// applies reports whether eca applies a component's policies.
func (l *linter) applies(c component) bool {
	return l.project.Settings.For(eca.App(c.Component), c.environment(), true).AppliesPolicies(project.IsEnvironments(*c.pkg))
}

// mayApply reports whether eca applies the policies of any of the project's apps to the orgs of
// a folder.
func (l *linter) mayApply(environment string) bool {
	return slices.ContainsFunc(l.of(eca.Header), func(h component) bool { return isLocal(h) && l.applied(h.FullName, environment) })
}

// checkFolders checks the folders of aliasfied packages with components of apps.
func (l *linter) checkFolders() {
	for i := range l.project.Packages {
		p := &l.project.Packages[i]
		if !p.Aliasfy {
			continue
		}
		folders, policies := l.checkReachable(p)
		for _, folder := range folders {
			l.checkShadowed(p, folder, folders)
		}
		if policies {
			l.checkDefault(p, folders)
		}
	}
}

// checkReachable checks that the components of a package are in an environment's folder. It
// returns these folders, and whether the package has policies.
func (l *linter) checkReachable(p *sfp.Package) (folders []string, policies bool) {
	for _, c := range l.components {
		if c.pkg != p {
			continue
		}
		policies = policies || c.Type == eca.OAuthPolicies || c.Type == eca.PluginPolicies
		if c.environ == "" {
			problem := "is in an aliasfied package but in no environment's folder, so sfp never deploys it"
			if project.IsEnvironments(*p) {
				problem = "is in " + project.EnvironmentsDir + " but in no environment's folder, so eca never deploys it"
			}
			l.add("folder-unreachable", finding.Error, c.file, "", problem, "move it to a folder named after an org's alias, or to default")
		} else if !slices.Contains(folders, c.environ) {
			folders = append(folders, c.environ)
		}
	}
	return folders, policies
}

// deployer returns who deploys the folders of an aliasfied package.
func deployer(p *sfp.Package) string {
	if project.IsEnvironments(*p) {
		return "eca"
	}
	return "sfp"
}

// checkShadowed checks that sfp uses a folder for the alias of its name.
func (l *linter) checkShadowed(p *sfp.Package, folder string, folders []string) {
	alias := path.Base(folder)
	used, err := l.source.ResolveAlias(*p, alias, true)
	if err == nil && used != folder {
		l.add("folder-shadowed", finding.Error, folder, "",
			fmt.Sprintf("%s always deploys %s for the alias %s instead of this folder", deployer(p), used, alias),
			"give the folder another name, or remove one of them")
	}
	for _, other := range folders {
		if name := path.Base(other); other < folder && strings.EqualFold(name, alias) && name != alias {
			l.add("folder-shadowed", finding.Warning, folder, "",
				fmt.Sprintf("differs from %s by case alone, and %s is case-sensitive", other, deployer(p)), "give it another name")
		}
	}
}

// checkDefault checks that a package has a folder for orgs without their own.
func (l *linter) checkDefault(p *sfp.Package, folders []string) {
	for _, c := range l.ignored {
		if c.pkg == p && c.environ != "" {
			folders = append(folders, c.environ) // the folder exists, although its components are ignored
		}
	}
	if slices.ContainsFunc(folders, func(f string) bool { return path.Base(f) == sfp.DefaultFolder }) {
		return
	}
	used, err := l.source.ResolveAlias(*p, sfp.DefaultFolder, true)
	if err != nil {
		problem := fmt.Sprintf("the aliasfied package %s has no folder default, so its deployment fails on every sandbox and scratch org without its own folder", p.Name)
		if project.IsEnvironments(*p) {
			problem = "has no folder default, so eca bootstrap fails on every sandbox and scratch org without its own folder"
			l.add("no-default", finding.Warning, p.Path, "", problem, "add default, with client credentials off")
			return
		}
		l.addPackage("no-default", finding.Warning, p, problem, "add default, with client credentials off")
		return
	}
	overlaps := func(f string) bool { return strings.HasPrefix(used, f+"/") || strings.HasPrefix(f, used+"/") }
	if slices.ContainsFunc(folders, overlaps) {
		l.add("no-default", finding.Error, used, "",
			deployer(p)+" uses this directory as default for every sandbox and scratch org without its own folder, "+
				"but it contains other environments or is part of one",
			"add a folder default that comes earlier in the package, with client credentials off")
	}
}

// checkApps checks for settings of apps that the project does not have.
func (l *linter) checkApps() {
	var names []string
	for _, h := range l.of(eca.Header) {
		names = append(names, h.FullName)
	}
	for app := range l.project.Settings.Apps {
		if l.malformed[strings.ToLower(app)] {
			continue
		}
		level := finding.Warning
		if slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, app) }) {
			level = finding.Error // the hook refuses this
		}
		if !slices.Contains(names, app) {
			l.add("unknown-app", level, sfp.ProjectFile, "plugins.eca.apps."+app, fmt.Sprintf("plugins.eca.apps.%s is for an app without a header in the project%s", app, words.DidYouMean(app, names)), "correct the name, including case, or remove the entry")
		}
	}
}
