package respond

import (
	"cmp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/restapi"
)

// isCalled reports whether a label in a token or login is the app's. Tokens of External Client Apps
// were seen with either name.
func (a *App) isCalled(label string) bool {
	return slices.ContainsFunc(a.labels, func(known string) bool { return strings.EqualFold(known, label) })
}

// holder returns the holder with an ID.
func (a *App) holder(id string) *Holder {
	for i := range a.Holders {
		if restapi.SameID(a.Holders[i].ID, id) {
			return &a.Holders[i]
		}
	}
	a.Holders = append(a.Holders, Holder{ID: id})
	return &a.Holders[len(a.Holders)-1]
}

// installedApps returns the apps of the org. The name of a Connected App is its label.
func (r *reading) installedApps() (all []*App) {
	for _, e := range r.external {
		all = append(all, &App{Kind: External, Name: e.FullName(), Label: e.Label, ID: e.ID, labels: []string{e.Label, e.FullName()}})
	}
	for _, c := range r.connected {
		all = append(all, &App{Kind: Connected, Name: c.Name, Label: c.Name, ID: c.ID, labels: []string{c.Name}})
	}
	return all
}

// isOnly reports whether no other installed app has one of the app's labels.
func (r *reading) isOnly(app *App) bool {
	return !r.blind && !slices.ContainsFunc(r.installed, func(other *App) bool {
		return !restapi.SameID(other.ID, app.ID) && slices.ContainsFunc(other.labels, app.isCalled)
	})
}

// choose selects apps and counts their tokens.
//
// A token with an item of the app menu belongs to the item's app. A token without one belongs to the
// External Client App of its label, or to an app that is not installed, see platform-fact
// token-menu-item. It may belong to a Connected App of its label unless other tokens of that have an item.
func (r *reading) choose() error {
	chosen, err := r.selected()
	if err != nil {
		return err
	}
	if chosen != nil {
		r.Apps = append(r.Apps, chosen)
	}
	for _, t := range r.tokens {
		app, certain := r.owner(t)
		meant := chosen == nil && r.means(t.AppName)
		switch {
		case app == nil && meant && (r.blind || t.doubtful):
			r.absent(t.AppName).Unclear += t.N
		case app == nil && meant:
			r.absent(t.AppName).add(t)
		case app == nil:
		case app == chosen && !t.doubtful && (certain || r.isOnly(app)):
			app.add(t)
		case certain && !t.doubtful:
		case meant:
			r.absent(t.AppName).Unclear += t.N
		case chosen != nil && chosen.isCalled(t.AppName):
			chosen.Unclear += t.N
		}
	}
	r.chooseSessions(chosen == nil)
	slices.SortStableFunc(r.Apps, func(a, b *App) int { return cmp.Or(b.Tokens-a.Tokens, cmp.Compare(a.Label, b.Label)) })
	if len(r.Apps) == 0 && r.selection.App != "" {
		missing := &NotFoundError{App: r.selection.App, NotInstalled: r.selection.NotInstalled}
		for _, app := range r.installed {
			missing.Similar = append(missing.Similar, app.Name)
		}
		for _, t := range r.tokens {
			missing.Similar = append(missing.Similar, t.AppName)
		}
		return missing
	}
	return nil
}

// chooseSessions finds the sessions of the apps. Their login alone names the app, by its label. An app that
// is not installed can have sessions without tokens, for example after a run that was killed.
func (r *reading) chooseSessions(absent bool) {
	for _, s := range r.sessions {
		label := s.LoginHistory.Application
		if label == "" {
			continue
		}
		if absent && slices.Contains(oauthLogins, s.LoginType) && r.means(label) && !r.isInstalled(label) {
			r.absent(label)
		}
		for _, app := range r.Apps {
			if app.isCalled(label) && r.isOnly(app) {
				app.sessions = append(app.sessions, s.ID)
				app.Sessions++
				app.holder(s.UsersID)
			}
		}
	}
}

// oauthLogins are the values of LoginType for OAuth 2: its label and its name in the API. Which of them a
// query returns is not documented.
var oauthLogins = []string{"Remote Access 2.0", "Oauth2"}

// means reports whether the label of an app that is not installed is meant.
func (r *reading) means(label string) bool {
	return r.selection.App == "" || strings.EqualFold(label, r.selection.App)
}

func (r *reading) isInstalled(label string) bool {
	return slices.ContainsFunc(r.installed, func(app *App) bool { return app.isCalled(label) })
}

// absent returns the app with a label that is not installed.
func (r *reading) absent(label string) *App {
	for _, app := range r.Apps {
		if app.isCalled(label) {
			return app
		}
	}
	app := &App{Kind: NotInstalled, Name: label, Label: label, labels: []string{label}}
	r.Apps = append(r.Apps, app)
	return app
}

// selected returns the installed app that the selection names, or nil. An API name comes before a label.
func (r *reading) selected() (*App, error) {
	if r.selection.App == "" || r.selection.NotInstalled {
		return nil, nil
	}
	var named, labelled []*App
	for _, app := range r.installed {
		switch {
		case app.Kind == External && strings.EqualFold(app.Name, r.selection.App), r.label != "" && app.Kind == Connected && strings.EqualFold(app.Label, r.label):
			named = append(named, app)
		case strings.EqualFold(app.Label, r.selection.App):
			labelled = append(labelled, app)
		}
	}
	found := named
	if len(found) == 0 {
		found = labelled
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	several := &AmbiguousError{App: r.selection.App}
	for _, app := range found {
		several.Apps = append(several.Apps, string(app.Kind)+" "+app.Name)
	}
	return nil, several
}

// owner returns the installed app that tokens belong to, or nil. certain is false if they may as well
// belong to another app of the label, installed or not.
func (r *reading) owner(t tokenRow) (app *App, certain bool) {
	if id := r.menu[restapi.ShortID(t.AppMenuItemID)]; id != "" {
		for _, app := range r.installed {
			if restapi.SameID(app.ID, id) {
				return app, true
			}
		}
	}
	var candidates []*App
	for _, app := range r.installed {
		if app.isCalled(t.AppName) {
			candidates = append(candidates, app)
		}
	}
	switch {
	case len(candidates) == 0:
		return nil, true
	case len(candidates) > 1 || t.AppMenuItemID != "":
		return candidates[0], false
	}
	app = candidates[0]
	return app, !r.blind && (app.Kind == External || !r.hasItem(app))
}

// hasItem reports whether any token has the menu item of an app.
func (r *reading) hasItem(app *App) bool {
	return slices.ContainsFunc(r.tokens, func(t tokenRow) bool {
		id := r.menu[restapi.ShortID(t.AppMenuItemID)]
		return id != "" && restapi.SameID(app.ID, id)
	})
}

// add counts tokens of the app.
func (a *App) add(t tokenRow) {
	a.Tokens += t.N
	if t.AppMenuItemID == "" {
		a.bare = true
	} else if !slices.Contains(a.items, t.AppMenuItemID) {
		a.items = append(a.items, t.AppMenuItemID)
	}
	if !a.isCalled(t.AppName) {
		a.labels = append(a.labels, t.AppName)
	}
	if t.UserID != "" {
		h := a.holder(t.UserID)
		h.Tokens += t.N
		h.LastUsed = restapi.Later(h.LastUsed, t.Last)
	}
}
