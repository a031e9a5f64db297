package audit

import (
	"cmp"
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

// ofToken returns the apps that tokens with the label of an app may belong to, at least one. item is
// their menu item, and appID its app, "" if that is not known.
func (o *owners) ofToken(label, item, appID string) []*App {
	if a := o.byID[appID]; a != nil {
		return []*App{a}
	}
	named := o.named(label)
	// The item's app has the label of an app with another ID, so the org does not show the item's app.
	namesake := appID != "" && slices.ContainsFunc(named, func(a *App) bool { return a.ID != "" })
	switch {
	case len(named) > 0 && !namesake:
		return named
	case item != "":
		return []*App{o.other(label, NotShown)}
	}
	return []*App{o.other(label, NotInstalled)}
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
		apps := o.ofToken(t.AppName, t.AppMenuItemID, menu[restapi.ShortID(t.AppMenuItemID)])
		apps[0].Tokens += t.N
		apps[0].Users = max(apps[0].Users, t.Users)
		for _, a := range apps {
			a.LastUsed = restapi.Later(a.LastUsed, t.Last)
		}
	}
	s.addHolders(o, menu)
	for _, l := range s.logins {
		o.addLogin(l)
	}
	return o.others
}

// addHolders adds who holds the tokens.
func (s *Snapshot) addHolders(o *owners, menu map[string]string) {
	byApp := make(map[*App]map[string]*Holder)
	for _, h := range s.holders {
		a := o.ofToken(h.AppName, h.AppMenuItemID, menu[restapi.ShortID(h.AppMenuItemID)])[0]
		if byApp[a] == nil {
			byApp[a] = make(map[string]*Holder)
		}
		key := userKey(h.UserID)
		if byApp[a][key] == nil {
			byApp[a][key] = &Holder{Username: cmp.Or(h.Username, h.UserID), Admin: s.admins[key]}
		}
		byApp[a][key].LastUsed = restapi.Later(byApp[a][key].LastUsed, h.Last)
	}
	for a, holders := range byApp {
		for _, h := range holders {
			a.Holders = append(a.Holders, *h)
			if h.Admin {
				a.Admins++
			}
		}
		slices.SortFunc(a.Holders, func(x, y Holder) int {
			return cmp.Or(trueFirst(x.Admin, y.Admin), y.LastUsed.Compare(x.LastUsed), cmp.Compare(x.Username, y.Username))
		})
		a.Users = max(a.Users, len(a.Holders))
		a.allHolders = a.Holders
		a.Holders = a.Holders[:min(MaxHolders, len(a.Holders))]
	}
}

// trueFirst orders true before false.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// codeLogins are the values of LoginSubType of flows with an authorization code or a refresh token, so
// that their users log in in a browser. Source: the documentation of LoginSubType.
var codeLogins = []string{
	"OauthWebServer", "OauthRefreshToken", "OauthUserAgent", "OauthUserAgentIdToken",
	"OauthHybridWebServer", "OauthHybridRefreshToken", "OauthHybridUserAgent",
}

// succeeded reports whether a login succeeded. An org that does not show the status counts as yes.
func (l loginRow) succeeded() bool { return l.Status == "" || strings.EqualFold(l.Status, "Success") }

// addLogin adds logins to the apps of their label. Logins of anything else, like a browser, are
// ignored, except those with the username-password flow.
func (o *owners) addLogin(l loginRow) {
	apps := o.named(l.Application)
	password := l.LoginSubType == cutover.PasswordFlow
	if password && len(apps) == 0 && l.succeeded() {
		apps = []*App{o.other(l.Application, NotInstalled)}
	}
	for _, a := range apps {
		if password && a.Kind == External {
			continue // which cannot have the flow
		}
		if !l.succeeded() {
			if last := restapi.Later(a.LastRefused, l.Last); last.After(a.LastRefused) {
				a.LastRefused, a.Refusal = last, l.Status
			}
			continue
		}
		a.LastUsed = restapi.Later(a.LastUsed, l.Last)
		a.codeLogins = a.codeLogins || slices.Contains(codeLogins, l.LoginSubType)
		if password {
			a.LastPasswordLogin = restapi.Later(a.LastPasswordLogin, l.Last)
		}
	}
}
