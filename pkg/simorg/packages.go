package simorg

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
)

// badScope is the platform's refusal of an orgScopedExternalApp.
const badScope = "The Org Scoped External Client App must be in the format DeveloperOrganizationId:ExternalClientAppDeveloperName"

// scopeHeader checks a Packaged app's orgScopedExternalApp, or makes it, as the first deploy does.
// That an upsert makes it as well is assumed.
func (o *Org) scopeHeader(rec *record) error {
	scoped := rec.text("orgScopedExternalApp")
	if scoped == "" {
		if rec.text("distributionState") == "Packaged" {
			rec.set("orgScopedExternalApp", o.id[:15]+":"+rec.fullName)
		}
		return nil
	}
	if org, app, ok := strings.Cut(scoped, ":"); !ok || len(org) != 15 || !strings.HasPrefix(org, "00D") || !strings.EqualFold(app, rec.fullName) ||
		!sameID(org, o.id) && o.is("foreign-org-scope", "refused") {
		return refuse(invalid, badScope)
	}
	return nil
}

// Install installs an unlocked package with Packaged apps, whose source is below a directory, and
// whose consumers are on another org, from. All policies get their defaults, and the app's
// consumer stays where it is.
//
// An app that is on the org already under that name has to go before, says the guide.
func (o *Org) Install(from *Org, fsys fs.FS, dir string) error {
	files, failures, err := o.collect(fsys, dir, "-meta.xml", o.config.Version)
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	all := []error{joined(failures)}
	for _, f := range files {
		switch typ := f.rec.typ; {
		case typ != eca.Header && typ != eca.OAuthSettings:
			all = append(all, fmt.Errorf("%s: %s cannot be packaged", f.path, typ))
		case typ == eca.Header && f.rec.text("distributionState") != "Packaged":
			all = append(all, fmt.Errorf("%s: the app is not Packaged", f.path))
		case typ == eca.Header && o.find(typ, f.rec.fullName) != nil && o.find(typ, f.rec.fullName).text("distributionState") != "Packaged":
			all = append(all, fmt.Errorf("%s: %s is on the org already", f.path, f.rec.fullName))
		case typ == eca.OAuthSettings && !sameID(from.id, f.rec.text("oauthLink")):
			all = append(all, fmt.Errorf("%s: %s", f.path, foreignOAuthLink))
		}
	}
	if err := errors.Join(all...); err != nil {
		return err
	}
	for _, f := range files {
		setDefaults(f.rec)
		o.store(f.rec)
		if f.rec.typ == eca.OAuthSettings {
			o.makePolicies(f.rec.app(), f.rec.app()+"_defaultPolicy")
			o.sources[strings.ToLower(f.rec.app())] = from
		}
	}
	return nil
}

// Refresh does to a sandbox what a refresh does to it: Local apps are gone, Packaged ones stay,
// or lose their OAuth, depending on the answer to packaged-after-refresh.
func (o *Org) Refresh() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, header := range o.all(eca.Header) {
		if header.text("distributionState") != "Packaged" {
			o.delete(eca.Header, header.fullName)
			continue
		}
		if o.is("packaged-after-refresh", "lost") {
			if settings := o.of(eca.OAuthSettings, header.fullName); settings != nil {
				settings.drop("oauthLink")
				o.broken[strings.ToLower(header.fullName)] = true
			}
		}
	}
	clear(o.state.Stored)
}

// packagedClient finds an installed app by a consumer key of its source org.
func (o *Org) packagedClient(key string) (app, secret string) {
	for _, header := range o.all(eca.Header) {
		from := o.sources[strings.ToLower(header.fullName)]
		if from == nil || from == o || o.broken[strings.ToLower(header.fullName)] {
			continue
		}
		for _, pair := range from.Pairs(header.fullName) {
			if pair.Key == key {
				return header.fullName, pair.Secret
			}
		}
	}
	return "", ""
}

// globalOf returns the global OAuth settings of an app: its own, or those of an installed app on
// its source org.
func (o *Org) globalOf(app string) *record {
	if app == cliApp {
		return cliSettings
	}
	if from := o.sources[strings.ToLower(app)]; from != nil {
		from.mu.Lock()
		defer from.mu.Unlock()
		return from.of(eca.GlobalOAuthSettings, app)
	}
	return o.of(eca.GlobalOAuthSettings, app)
}
