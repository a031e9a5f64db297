package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/cutover"
)

// cutOverResult is what --json says of --status and --revoke-old-tokens.
type cutOverResult struct {
	outcome
	orgs.Calls
	Org     string       `json:"org"`
	Apps    []cutOverApp `json:"apps"`
	Unseen  []string     `json:"unseen,omitempty"`  // what the session may not see, or the org does not have
	Blind   bool         `json:"blind,omitempty"`   // tokens or apps are among it, so that nothing tells for sure who uses the old apps
	Revoked *int         `json:"revoked,omitempty"` // how many tokens of the old app were revoked
	Left    int          `json:"left,omitempty"`    // how many are of the old or the new app, which the org does not tell
}

// cutOverApp is how far one app is.
type cutOverApp struct {
	App      string          `json:"app"`
	New      bool            `json:"new"`      // whether the org has the External Client App
	Consumer bool            `json:"consumer"` // and its consumer
	OldUses  []cutover.Usage `json:"oldUses,omitempty"`
	NewUses  []cutover.Usage `json:"newUses,omitempty"`
	Either   []cutover.Usage `json:"eitherUses,omitempty"` // of which the org does not tell which app they are of
}

// cutOver shows who uses which app, or revokes the tokens of an old one.
func (c *migrateCmd) cutOver(ctx context.Context, e *env) (result, error) {
	if c.RevokeOld {
		return c.revoke(ctx, e)
	}
	org, work, found, err := onConnected(ctx, e, c, func(ctx context.Context, client *cutover.Client) (*cutover.Status, error) {
		return client.Status(ctx, c.App...)
	})
	if err != nil {
		return nil, err
	}
	r := &cutOverResult{Calls: work.Calls(), Org: org, Apps: []cutOverApp{}, Unseen: found.Unseen, Blind: found.Blind}
	waiting := 0
	rows := []console.Row{{Cells: []string{"APP", "CONNECTED APP", "EXTERNAL CLIENT APP"}}}
	for _, p := range found.Replacements {
		r.Apps = append(r.Apps, cutOverApp{p.Name, p.HasNew, p.HasConsumer, p.Old, p.New, p.Either})
		fresh := used(p.New)
		switch {
		case found.Blind && (!p.HasNew || !p.HasConsumer || len(p.New) == 0):
			fresh = "not known"
		case !p.HasNew:
			fresh = "is not there"
		case !p.HasConsumer:
			fresh = "has no consumer: eca bootstrap"
		case len(p.New) == 0:
			fresh = "nobody has used it yet: eca verify proves a login"
		}
		var below []string
		for _, u := range p.Old[:min(5, len(p.Old))] {
			verb := "uses"
			if u.Many() {
				verb = "use"
			}
			below = append(below, fmt.Sprintf("%s still %s the Connected App: %s", u.Username, verb, useOf(u)))
		}
		if more := len(p.Old) - 5; more > 0 {
			below = append(below, fmt.Sprintf("and %s more", console.Plural(more, "user")))
		}
		if len(p.Either) > 0 {
			below = append(below, fmt.Sprintf("%s: of which of the two is not known, because another app has the same label", used(p.Either)))
		}
		if len(p.Old)+len(p.Either) > 0 {
			waiting++
		}
		old := used(p.Old)
		switch {
		case len(p.Old) == 0 && len(p.Either) > 0:
			old = "perhaps in use"
		case found.Blind && len(p.Old) == 0:
			old = "not known"
		}
		rows = append(rows, console.Row{Cells: []string{p.Name, old, fresh}, Below: below})
	}
	switch {
	case found.Blind && len(found.Replacements) == 0:
		e.Line("eca: %s: which Connected Apps have an External Client App of the same name is not known", org)
	case len(found.Replacements) == 0:
		e.Line("eca: %s has no Connected App with an External Client App of the same name", org)
	case found.Blind:
		e.Line("eca: %s: who uses the old ones of %s is not known", org, console.Plural(len(found.Replacements), "app"))
	case waiting == 0 && len(found.Unseen) > 0:
		e.Line("eca: %s: nobody is known to use the old ones of %s, and not all could be read", org, console.Plural(len(found.Replacements), "app"))
	case waiting == 0:
		e.Line("eca: %s: nobody uses the old ones of %s any more", org, console.Plural(len(found.Replacements), "app"))
	default:
		e.Line("eca: %s: the Connected Apps of %d of %s are still in use, or may be", org, waiting, console.Plural(len(found.Replacements), "app"))
	}
	if len(rows) > 1 {
		e.Table(rows)
	}
	for _, why := range found.Unseen {
		e.Line("  %s not read: %s", console.Failure, console.OneLine(why))
	}
	return r, nil
}

// used sums uses up.
func used(uses []cutover.Usage) string {
	if len(uses) == 0 {
		return "not in use"
	}
	last := "last use unknown"
	if t := uses[0].Last(); !t.IsZero() {
		last = "last " + day(t)
	}
	if uses[0].Many() {
		return fmt.Sprintf("%s, %s", uses[0].Username, last)
	}
	return fmt.Sprintf("%s, %s", console.Plural(len(uses), "user"), last)
}

func useOf(u cutover.Usage) string {
	var parts []string
	if u.Tokens > 0 {
		parts = append(parts, fmt.Sprintf("%s, last used %s", console.Plural(u.Tokens, "token"), day(u.LastUsed)))
	}
	if !u.LastLogin.IsZero() {
		parts = append(parts, "last login "+day(u.LastLogin))
	}
	return strings.Join(parts, ", ")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateOnly)
}

// revoke ends the tokens of a Connected App, or counts them.
func (c *migrateCmd) revoke(ctx context.Context, e *env) (result, error) {
	org, work, done, err := onConnected(ctx, e, c, func(ctx context.Context, client *cutover.Client) (*cutover.Revocation, error) {
		return client.RevokeOld(ctx, c.App[0], c.Yes)
	})
	if done == nil {
		return nil, err
	}
	r := &cutOverResult{Calls: work.Calls(), Org: org, Apps: []cutOverApp{}, Revoked: &done.Revoked, Left: done.Unclear}
	if err != nil {
		return r, err
	}
	if c.Yes {
		e.Line("eca: %s: revoked %d of %s of the Connected App %s", org, done.Revoked, console.Plural(done.Tokens, "token"), done.App)
	} else {
		e.Line("eca: %s: the Connected App %s has %s; nothing was revoked, --yes revokes", org, done.App, console.Plural(done.Tokens, "token"))
	}
	if done.Unclear > 0 {
		e.Line("  %s %s may be of the Connected App: revoke them in Setup (Connected Apps OAuth Usage)", console.Failure, console.Plural(done.Unclear, "more token"))
	}
	return r, nil
}
