package audit

import (
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/cutover"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// owners finds the apps that tokens and logins belong to. Both name an app by its label. A token with
// an item of the app menu belongs to that item's app, whatever its label.
type owners struct {
	byID    map[string]*App   // by the ID's first 15 characters
	byLabel map[string][]*App // by label and, for External Client Apps, also by name; Connected Apps first
	others  []*App            // apps that the org does not show
}

func newOwners(all []*App) *owners {
	o := &owners{byID: make(map[string]*App), byLabel: make(map[string][]*App)}
	for _, kind := range []Kind{Connected, External} {
		for _, a := range all {
			if a.Kind != kind {
				continue
			}
			if a.ID != "" {
				o.byID[restapi.ShortID(a.ID)] = a
			}
			names := []string{strings.ToLower(a.Label)}
			if kind == External {
				names = distinct(append(names, strings.ToLower(a.Name)))
			}
			for _, name := range names {
				o.byLabel[name] = append(o.byLabel[name], a)
			}
		}
	}
	return o
}

// named returns the apps with a label.
func (o *owners) named(label string) []*App { return o.byLabel[strings.ToLower(label)] }

// other returns the app of a label that the org does not show.
func (o *owners) other(label string, kind Kind) *App {
	if i := slices.IndexFunc(o.others, func(a *App) bool { return a.Kind == kind && a.Label == label }); i >= 0 {
		return o.others[i]
	}
	a := &App{Kind: kind, Name: label, Label: label, opaque: true}
	o.others = append(o.others, a)
	return a
}

// ofToken returns the apps that tokens may belong to, at least one. appID is the app of their menu
// item, "" if that is not known.
func (o *owners) ofToken(t tokenRow, appID string) []*App {
	if a := o.byID[appID]; a != nil {
		return []*App{a}
	}
	named := o.named(t.AppName)
	// The item's app has the label of an app with another ID, so the org does not show the item's app.
	namesake := appID != "" && slices.ContainsFunc(named, func(a *App) bool { return a.ID != "" })
	switch {
	case len(named) > 0 && !namesake:
		return named
	case t.AppMenuItemID != "":
		return []*App{o.other(t.AppName, NotShown)}
	}
	return []*App{o.other(t.AppName, NotInstalled)}
}

// addUsage adds tokens and logins to apps, and returns the apps among their owners that the org does
// not show. If both a Connected App and an External Client App have the label, tokens count for the
// Connected App.
func (s *Snapshot) addUsage(all []*App) []*App {
	menu := make(map[string]string) // app IDs by menu item
	for _, m := range s.menu {
		menu[restapi.ShortID(m.ID)] = restapi.ShortID(m.ApplicationID)
	}
	o := newOwners(all)
	for _, t := range s.tokens {
		apps := o.ofToken(t, menu[restapi.ShortID(t.AppMenuItemID)])
		apps[0].Tokens += t.N
		apps[0].Users = max(apps[0].Users, t.Users)
		for _, a := range apps {
			a.LastUsed = restapi.Later(a.LastUsed, t.Last)
		}
	}
	for _, l := range s.logins {
		o.addLogin(l)
	}
	return o.others
}

// addLogin adds logins to the apps of their label. Logins of anything else, like a browser, are
// ignored, except those with the username-password flow.
func (o *owners) addLogin(l loginRow) {
	apps := o.named(l.Application)
	if l.LoginSubType != cutover.PasswordFlow {
		for _, a := range apps {
			a.LastUsed = restapi.Later(a.LastUsed, l.Last)
		}
		return
	}
	if len(apps) == 0 {
		apps = []*App{o.other(l.Application, NotInstalled)}
	}
	for _, a := range apps {
		if a.Kind != External {
			a.LastUsed = restapi.Later(a.LastUsed, l.Last)
			a.LastPasswordLogin = restapi.Later(a.LastPasswordLogin, l.Last)
		}
	}
}
