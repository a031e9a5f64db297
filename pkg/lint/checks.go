package lint

import (
	"bytes"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/preflight"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// rootElement finds the first element of a document.
var rootElement = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`<([A-Za-z_][\w.-]*)[\s/>]`) })

// privateKey is a private key with something of the key behind its first line.
var privateKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\\n]*(?:[\w-]+:[^\n]*\n\s*)*[A-Za-z0-9+/=]{32,}`)
})

// checkContent looks at any file of a package: for keys, and for components that
// their name hides.
func (l *linter) checkContent(file string, data []byte) {
	typ, _ := eca.Types().OfFile(file)
	if at := privateKey().FindIndex(data); at != nil && typ == nil {
		l.note(finding.Finding{
			Rule: "secret-in-source", Level: finding.Error, File: file, Line: 1 + bytes.Count(data[:at[0]], []byte("\n")),
			Problem: "holds a private key", Fix: "remove it from the repository and its history, and replace the key pair",
		}, nil)
	}
	if typ != nil || !bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), []byte("<")) {
		return
	}
	match := rootElement().FindSubmatch(data)
	if match == nil {
		return
	}
	if t := eca.Lookup(string(match[1])); t != nil && t.Name != eca.RemoteSiteSetting && bytes.Contains(data, []byte(metadata.Namespace)) {
		name, _, _ := strings.Cut(path.Base(file), ".")
		l.add("wrong-suffix", finding.Error, file, t.Name, fmt.Sprintf("holds %s, but its name does not end in .%s-meta.xml, so that it is not deployed", t.Name, t.Suffix), fmt.Sprintf("rename it to %s.%s-meta.xml", name, t.Suffix))
	}
}

// checkFiles looks at each component by itself.
func (l *linter) checkFiles() {
	for _, c := range l.components {
		t := eca.Lookup(c.Type)
		if folder := path.Base(path.Dir(c.file)); folder != t.Folder && eca.Types().IsFolder(folder) {
			l.add("wrong-folder", finding.Warning, c.file, "", fmt.Sprintf("%s is in the folder of another type, %s", c.Type, folder), "move it to "+t.Folder)
		}
		l.checkSecrets(c)
		l.checkFields(c)
		if c.Type != eca.Header && c.Type != eca.RemoteSiteSetting {
			l.checkApp(c)
		}
	}
}

// checkIgnored looks at what is not deployed. Everybody can read it, and policies may
// be applied by eca.
func (l *linter) checkIgnored() {
	for _, c := range l.ignored {
		l.checkSecrets(c)
		if c.Type == eca.OAuthPolicies && l.applied(eca.App(c.Component), c.environment()) {
			l.checkFields(c)
		}
	}
	for _, b := range l.broken {
		if l.mayApply(b.environment()) {
			l.addMalformed(b.file, b.err)
		}
	}
}

// checkFields looks at the elements of a component and their values.
func (l *linter) checkFields(c component) {
	for _, f := range preflight.Fields(c.Component, l.project.SourceAPIVersion) {
		if f.Rule == "missing-element" && f.Field == "externalClientApplication" || f.Rule == "secret-in-source" {
			continue // see checkApp, checkSecrets
		}
		l.addFinding(c, f)
	}
	if c.Type != eca.OAuthPolicies {
		return
	}
	policies := &preflight.Policies{App: eca.App(c.Component), Component: c.Component, Applied: l.applied(eca.App(c.Component), c.environment())}
	for _, f := range policies.Alone() {
		l.addFinding(c, f)
	}
}

// checkSecrets looks for what a repository must not hold.
func (l *linter) checkSecrets(c component) {
	for _, p := range eca.Problems(c.Component, l.project.SourceAPIVersion) {
		if p.Kind == metadata.SecretValue {
			l.addFinding(c, finding.Finding{Rule: "secret-in-source", Level: finding.Error, Field: p.Field, Problem: p.Err.Error(), Fix: p.Fix})
		}
	}
	if c.Type == eca.GlobalOAuthSettings && strings.TrimSpace(c.Text("consumerKey")) != "" {
		l.add("secret-in-source", finding.Error, c.file, "consumerKey", "holds the consumer key of one org", "remove it; each org makes its own")
	}
}

// checkApp looks for the app that a component belongs to.
func (l *linter) checkApp(c component) {
	const field = "externalClientApplication"
	app := strings.TrimSpace(eca.App(c.Component))
	if app == "" {
		l.add("unknown-app", finding.Error, c.file, c.Type, field+" is missing, so that it belongs to no app", "name the app")
		return
	}
	header, ok := l.header(app)
	if l.malformed[strings.ToLower(app)] {
		return
	}
	if !ok {
		l.add("unknown-app", finding.Warning, c.file, field, fmt.Sprintf("belongs to %s, of which the project has no header", app), "correct the name, or make sure that the app is on the org before")
		return
	}
	if c.Type != eca.OAuthPolicies && c.Type != eca.PluginPolicies {
		return
	}
	settings, whole := l.whole(header.FullName)
	switch {
	case c.index < header.index:
		l.addPackage("package-order", finding.Error, c.pkg, fmt.Sprintf("the package %s with policies of %s comes before %s with its header", c.pkg.Name, header.FullName, header.pkg.Name), "put it behind that package")
	case whole && c.index < settings.index && c.Type == eca.OAuthPolicies:
		l.addPackage("package-order", finding.Error, c.pkg, fmt.Sprintf("the package %s with OAuth policies of %s comes before %s with its OAuth settings", c.pkg.Name, header.FullName, settings.pkg.Name), "put it behind that package")
	case whole:
	case c.index == header.index && c.Type == eca.OAuthPolicies && isLocal(header):
		l.add("package-order", finding.Error, c.file, c.Type, fmt.Sprintf("the OAuth policies of %s are deployed together with its header, before its OAuth is enabled, and the platform says The OAuth settings are missing for this external client app", header.FullName), "move them to an aliasfied package behind "+header.pkg.Name)
	}
}

// checkHeaders looks at the apps.
func (l *linter) checkHeaders() {
	seen := make(map[string]string)
	for _, h := range l.of(eca.Header) {
		key := strings.ToLower(h.FullName)
		if other, twice := seen[key]; twice && h.environ == "" {
			l.add("duplicate", finding.Error, h.file, h.Type, fmt.Sprintf("the app %s has a header in %s already", h.FullName, other), "remove one of them")
		}
		seen[key] = h.file
		wired := l.checkScript(h)
		_, stated := l.project.Settings.Apps[h.FullName]
		if !isLocal(h) && (wired || stated) && !l.linked(h.FullName) {
			l.add("header-not-local", finding.Error, h.file, "distributionState", fmt.Sprintf("the app is %s, and the hook enables OAuth on Local apps only", h.Text("distributionState")), "set distributionState to Local, or deploy OAuth settings with an oauthLink")
		}
		if scoped := strings.TrimSpace(h.Text("orgScopedExternalApp")); scoped != "" {
			l.checkScope(h, scoped)
		}
	}
}

// checkScript looks for the script that enables OAuth after a Local app's header
// is deployed. It reports whether the package calls eca.
func (l *linter) checkScript(h component) bool {
	problem, fix, level := "", `name scripts/bootstrap-eca-oauth.sh as its "postDeploymentScript"`, finding.Error
	switch data, err := fs.ReadFile(l.fsys, path.Clean(h.pkg.Script)); {
	case h.pkg.Script == "":
		problem = "has no postDeploymentScript"
	case err != nil:
		problem = fmt.Sprintf("has the postDeploymentScript %s, which does not exist", h.pkg.Script)
		fix = "copy scripts/bootstrap-eca-oauth.sh there from ecakit"
	case !eca.CallsHook(data):
		problem = fmt.Sprintf("has the postDeploymentScript %s, which does not seem to call eca", h.pkg.Script)
		level = finding.Warning // it may by a detour
	default:
		return true
	}
	if _, whole := l.whole(h.FullName); isLocal(h) && !whole && !l.linked(h.FullName) {
		l.addPackage("script-not-wired", level, h.pkg, fmt.Sprintf("the package %s with the Local app %s %s, so that nothing enables its OAuth", h.pkg.Name, h.FullName, problem), fix)
	}
	return false
}

// linked reports whether the source holds the link to the app's consumer.
func (l *linter) linked(app string) bool {
	return slices.ContainsFunc(l.of(eca.OAuthSettings), func(c component) bool {
		return strings.EqualFold(eca.App(c.Component), app) && strings.TrimSpace(c.Text("oauthLink")) != ""
	})
}

// oauthLink is what the platform's link to a consumer looks like: the org's ID and
// that of the consumer's record.
var oauthLink = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(00D[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?):888[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)
})

// orgOf returns the org's ID in a link, without the characters that only carry
// case.
func orgOf(link string) string {
	if match := oauthLink().FindStringSubmatch(strings.TrimSpace(link)); match != nil {
		return match[1][:15]
	}
	return ""
}

// checkScope looks at orgScopedExternalApp, which is an org's ID and the app's
// name.
func (l *linter) checkScope(h component, scoped string) {
	const field = "orgScopedExternalApp"
	org, name, _ := strings.Cut(scoped, ":")
	if name != "" && !strings.EqualFold(name, h.FullName) {
		l.add("org-scoped", finding.Error, h.file, field, fmt.Sprintf("names the app %s, and the file makes it %s", name, h.FullName), "remove it")
		return
	}
	if isLocal(h) {
		l.add("org-scoped", finding.Error, h.file, field, fmt.Sprintf("belongs to the org %s, and the header is deployed to every org", org), "remove it; each org fills it in")
		return
	}
	for _, c := range l.of(eca.OAuthSettings) {
		if other := orgOf(c.Text("oauthLink")); strings.EqualFold(eca.App(c.Component), h.FullName) && other != "" && !strings.HasPrefix(org, other) {
			l.add("org-scoped", finding.Error, h.file, field, fmt.Sprintf("belongs to the org %s, but the oauthLink in %s to %s", org, c.file, other), "retrieve both from the same org")
		}
	}
}

// checkLinks looks at OAuth settings and global settings, and at the apps that
// need a link.
func (l *linter) checkLinks() {
	for _, c := range l.of(eca.OAuthSettings) {
		link := strings.TrimSpace(c.Text("oauthLink"))
		switch _, whole := l.beside(c, eca.GlobalOAuthSettings); {
		case link == "" && whole && !l.packaged(eca.App(c.Component)):
			// The platform makes the link in each org.
		case link == "":
			l.add("settings-without-link", finding.Error, c.file, c.Type, "OAuth settings without an oauthLink, and without global OAuth settings in the same package, break the app's OAuth for good where they are deployed", "remove the file and state oauthSettings in plugins.eca, or add the app's global OAuth settings; of a Packaged app, retrieve it with its oauthLink")
		case orgOf(link) == "":
			l.add("bad-link", finding.Error, c.file, "oauthLink", "is not a link that the platform makes: an org's ID, a colon, and a record's ID that begins with 888", "retrieve it from the org that has the consumer")
		default:
			if h, ok := l.header(eca.App(c.Component)); ok && isLocal(h) {
				fix := "remove the file and state oauthSettings in plugins.eca"
				if whole {
					fix = "remove the element; each org fills it in"
				}
				l.add("settings-without-link", finding.Warning, c.file, "oauthLink", fmt.Sprintf("the app %s is Local, and a link leads to the consumer of one org only", h.FullName), fix)
			}
		}
	}
	for _, c := range l.of(eca.GlobalOAuthSettings) {
		_, whole := l.beside(c, eca.OAuthSettings)
		switch {
		case l.packaged(eca.App(c.Component)):
			l.add("global-settings-in-source", finding.Error, c.file, c.Type, "global OAuth settings cannot be in a package; deployed as source, those of a Packaged app are refused on scratch orgs", "remove the file: the app gets its consumer by the oauthLink of its OAuth settings")
		case !whole:
			l.add("global-settings-in-source", finding.Error, c.file, c.Type, "global OAuth settings without the app's OAuth settings in the same package are refused, and the platform says The external client app configured in your global OAuth Settings doesn't have a valid OAuth settings configuration.", "remove the file and state globalOauthSettings in plugins.eca, or add the app's OAuth settings")
		default:
			l.checkWhole(eca.App(c.Component))
		}
	}
	links := make(map[string]map[string]bool) // orgs by package
	for _, h := range l.of(eca.Header) {
		if h.Text("distributionState") == "Packaged" && !l.linked(h.FullName) {
			l.add("packaged-without-link", finding.Error, h.file, "distributionState", "the app is Packaged, and the source has no OAuth settings with an oauthLink for it, so that it has no OAuth where it is installed", "retrieve its OAuth settings from the org that has the consumer, or make the app Local")
		}
	}
	for _, c := range l.of(eca.OAuthSettings) {
		if org := orgOf(c.Text("oauthLink")); org != "" {
			key := c.pkg.Path + "\x00" + c.environ
			if links[key] == nil {
				links[key] = make(map[string]bool)
			}
			if links[key][org] = true; len(links[key]) == 2 {
				l.add("mixed-stages", finding.Warning, c.file, "oauthLink", "the apps of one package link to consumers of several orgs, which mixes those for production and for other environments", "split them into a package each")
			}
		}
	}
	l.checkStages()
}

// beside returns the component of another type that the same deployment brings for a
// component's app: in its package, and its environment's folder.
func (l *linter) beside(c component, typ string) (component, bool) {
	for _, other := range l.of(typ) {
		if other.pkg == c.pkg && other.environ == c.environ && strings.EqualFold(strings.TrimSpace(eca.App(other.Component)), strings.TrimSpace(eca.App(c.Component))) {
			return other, true
		}
	}
	return component{}, false
}

// whole returns the OAuth settings of an app that is deployed as source with all that makes
// its consumer, OAuth settings and global settings in one package. Salesforce documents
// that way for Local apps: the platform makes link, key and secret.
func (l *linter) whole(app string) (component, bool) {
	for _, c := range l.of(eca.OAuthSettings) {
		if _, ok := l.beside(c, eca.GlobalOAuthSettings); ok && strings.EqualFold(strings.TrimSpace(eca.App(c.Component)), app) {
			return c, !l.packaged(app)
		}
	}
	return component{}, false
}

// packaged reports whether the project has the header of a Packaged app of that name.
func (l *linter) packaged(app string) bool {
	h, ok := l.header(strings.TrimSpace(app))
	return ok && !isLocal(h)
}

// resets are the fields whose defaults are weaker than what somebody may have set in Setup.
var resets = map[string][]string{
	eca.GlobalOAuthSettings: {"isRefreshTokenRotationEnabled"},
	eca.OAuthPolicies:       {"ipRelaxationPolicyType", "permittedUsersPolicyType", "refreshTokenPolicyType", "requiredSessionLevel"},
}

// checkWhole looks at an app that is deployed as source as a whole, once for each of its
// files: what each deployment resets, and who its policies run as in every org.
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
			l.add("resets-on-deploy", finding.Warning, c.file, c.Type, fmt.Sprintf("leaves out %s, so each deployment sets that back to the default, whatever is set in Setup", strings.Join(missing, ", ")), "state it")
		}
		user := strings.TrimSpace(c.Text("clientCredentialsFlowUser"))
		placeholder := user == eca.UsernamePlaceholder || l.project.Replaces && !strings.Contains(user, "@")
		if c.Type == eca.OAuthPolicies && eca.Bool(c.Component, "isClientCredentialsFlowEnabled") && user != "" && c.environ == "" && !placeholder {
			l.add("user-of-one-org", finding.Warning, c.file, "clientCredentialsFlowUser", fmt.Sprintf("%s is to run the app in every org that the package is deployed to, and usernames differ by org", user), `move the policies to an aliasfied package, or let "replacements" of sfdx-project.json fill in the user`)
		}
	}
}

// stage tells whether a name is that of an app for production, or for the rest.
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

// checkStages looks for packages that hold the Packaged apps of both stages.
func (l *linter) checkStages() {
	first := make(map[string]string)
	for _, h := range l.of(eca.Header) {
		s := stage(h.FullName)
		if s == "" || isLocal(h) || h.environ != "" {
			continue
		}
		if other := first[h.pkg.Path]; other == "" {
			first[h.pkg.Path] = s
		} else if other != s {
			l.add("mixed-stages", finding.Warning, h.file, h.Type, fmt.Sprintf("the package %s holds Packaged apps for production and for other environments", h.pkg.Name), "split them into a package each, so that neither gets to the other's orgs")
		}
	}
}

// checkPolicies looks at the OAuth policies.
func (l *linter) checkPolicies() {
	// Packages that are not aliasfied go to all orgs, and folders to those with their
	// alias.
	seen := make(map[string]component)
	for _, c := range l.of(eca.OAuthPolicies) {
		key := c.environment() + "\x00" + strings.ToLower(eca.App(c.Component))
		merged, inDefault := seen[sfp.DefaultFolder+"\x00"+strings.ToLower(eca.App(c.Component))]
		switch other, twice := seen[key]; {
		case twice && (other.pkg == c.pkg && other.environ == c.environ || other.pkg != c.pkg && other.FullName != c.FullName):
			l.add("duplicate", finding.Error, c.file, "externalClientApplication", fmt.Sprintf("%s has OAuth policies in %s already, and the platform allows one record for an app", eca.App(c.Component), other.file), "remove one of them")
		case c.pkg.MergeMode && inDefault && merged.pkg == c.pkg && merged.FullName != c.FullName:
			l.add("duplicate", finding.Error, c.file, "externalClientApplication", fmt.Sprintf("in merge mode sfp puts %s into this folder as well, and the platform allows one record of OAuth policies for %s", merged.file, eca.App(c.Component)), "give both files the same name")
		}
		seen[key] = c
		if eca.Bool(c.Component, "isClientCredentialsFlowEnabled") && c.environment() == sfp.DefaultFolder && strings.TrimSpace(c.Text("clientCredentialsFlowUser")) != eca.UsernamePlaceholder {
			l.add("default-client-credentials", finding.Warning, c.file, "isClientCredentialsFlowEnabled", "client credentials are on in default, which serves every sandbox without a folder of its own, and few of them have the user", "switch the flow off in default")
		}
	}
}

// applied reports whether eca brings the app's policies to the orgs that a folder
// serves.
func (l *linter) applied(app, environment string) bool {
	return l.project.Settings.For(app, environment, true).ApplyPolicies
}

// mayApply reports whether eca brings the policies of any of the project's apps to the
// orgs that a folder serves.
func (l *linter) mayApply(environment string) bool {
	return slices.ContainsFunc(l.of(eca.Header), func(h component) bool { return isLocal(h) && l.applied(h.FullName, environment) })
}

// checkFolders looks at the folders of aliasfied packages with components of apps.
func (l *linter) checkFolders() {
	for i := range l.project.Packages {
		p := &l.project.Packages[i]
		var folders []string
		policies := false
		for _, c := range l.components {
			if c.pkg != p || !p.Aliasfy {
				continue
			}
			policies = policies || c.Type == eca.OAuthPolicies || c.Type == eca.PluginPolicies
			if c.environ == "" {
				l.add("folder-unreachable", finding.Error, c.file, "", "is in no environment's folder of an aliasfied package, so that sfp never deploys it", "move it to a folder that is named like an org's alias, or to default")
			} else if !slices.Contains(folders, c.environ) {
				folders = append(folders, c.environ)
			}
		}
		for _, folder := range folders {
			alias := path.Base(folder)
			used, err := l.source.ResolveAlias(*p, alias, true)
			if err == nil && used != folder {
				l.add("folder-shadowed", finding.Error, folder, "", fmt.Sprintf("sfp takes %s for the alias %s, and never this folder", used, alias), "give the folder another name, or remove one of them")
			}
			for _, other := range folders {
				if other < folder && strings.EqualFold(path.Base(other), alias) && path.Base(other) != alias {
					l.add("folder-shadowed", finding.Warning, folder, "", fmt.Sprintf("differs from %s by case alone, and case counts to sfp", other), "give it another name")
				}
			}
		}
		for _, c := range l.ignored {
			if c.pkg == p && c.environ != "" {
				folders = append(folders, c.environ) // which is there, although there is little in it
			}
		}
		if slices.ContainsFunc(folders, func(f string) bool { return path.Base(f) == sfp.DefaultFolder }) || !policies {
			continue
		}
		used, err := l.source.ResolveAlias(*p, sfp.DefaultFolder, true)
		switch {
		case err == nil && slices.ContainsFunc(folders, func(f string) bool { return strings.HasPrefix(used, f+"/") || strings.HasPrefix(f, used+"/") }):
			l.add("no-default", finding.Error, used, "", "sfp takes this directory, which is part of other environments or holds them, for default, and deploys it to every sandbox and scratch org without a folder of its own", "add default to the package, with client credentials off, in a place that comes before")
		case err != nil:
			l.addPackage("no-default", finding.Warning, p, fmt.Sprintf("the aliasfied package %s has no folder default, so that its deployment fails on every sandbox and scratch org without a folder of its own", p.Name), "add default, with client credentials off")
		}
	}
}

// checkApps looks for settings of apps that the project does not have.
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
			level = finding.Error // which the hook refuses
		}
		if !slices.Contains(names, app) {
			l.add("unknown-app", level, sfp.ProjectFile, "plugins.eca.apps."+app, fmt.Sprintf("plugins.eca.apps.%s is for an app of which the project has no header%s", app, words.DidYouMean(app, names)), "correct the name, case and all, or remove the entry")
		}
	}
}
