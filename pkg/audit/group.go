package audit

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ecakit/ecakit/pkg/finding"
)

// OrgReport is the report of one of several orgs, or the reason that there is none.
type OrgReport struct {
	Org    string // its alias or username
	Report *Report
	Err    error

	Username string // of the session, "" if it is not known
}

// Item is a finding in one of several orgs.
type Item struct {
	Org string
	URL string // of the org
	Finding
}

// Page returns the URL of the page in Setup where the finding is fixed, "" if it is not known.
func (i Item) Page() string {
	if i.URL == "" || i.Setup == "" {
		return ""
	}
	return i.URL + i.Setup
}

// Group is what all orgs have of one rule, level and case.
type Group struct {
	finding.Rule
	Level finding.Level
	Case  string
	Items []Item // the most dangerous first
	Fixes []Fix  // by number of items
}

// Fix is what to do about some items of a group.
type Fix struct {
	Text     string
	Commands []string // one per org, or per app; none if there is no command
	Pages    []string // in Setup, of the items
	Items    []Item
}

// Action returns the fix in one line: its first command, or its text if it has none.
func (f Fix) Action() string {
	switch n := len(f.Commands); n {
	case 0:
		return f.Text
	case 1:
		return f.Commands[0]
	default:
		return fmt.Sprintf("%s (and %d more commands below)", f.Commands[0], n-1)
	}
}

// Command returns the command line that makes a fix of a finding in an org, for some apps with the
// same finding, or "". many reports that it can name several apps.
type Command func(f Finding, org string, apps []string) (line string, many bool)

// Groups returns the findings of orgs by rule, the most dangerous first. command may be nil.
func Groups(orgs []OrgReport, command Command) (groups []Group) {
	type key struct {
		rule  string
		level finding.Level
		which string
	}
	at := make(map[key]int)
	for _, o := range orgs {
		if o.Report == nil {
			continue
		}
		for _, f := range o.Report.Findings {
			k := key{f.Rule, f.Level, f.Case}
			i, exists := at[k]
			if !exists {
				i = len(groups)
				at[k] = i
				groups = append(groups, Group{Rule: rules()[rank(f.Rule)], Level: f.Level, Case: f.Case})
			}
			groups[i].Items = append(groups[i].Items, Item{o.Org, o.Report.URL, f})
		}
	}
	for i := range groups {
		g := &groups[i]
		slices.SortStableFunc(g.Items, func(a, b Item) int { return compareFindings(a.Finding, b.Finding) })
		g.addFixes(command)
	}
	slices.SortStableFunc(groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(levelRank(a.Level), levelRank(b.Level)), cmp.Compare(rank(a.ID), rank(b.ID)))
	})
	return groups
}

func (g *Group) addFixes(command Command) {
	for _, item := range g.Items {
		i := slices.IndexFunc(g.Fixes, func(f Fix) bool { return f.Text == item.Fix })
		if i < 0 {
			i = len(g.Fixes)
			g.Fixes = append(g.Fixes, Fix{Text: item.Fix})
		}
		fix := &g.Fixes[i]
		fix.Items = append(fix.Items, item)
		if page := item.Page(); page != "" && !slices.Contains(fix.Pages, page) {
			fix.Pages = append(fix.Pages, page)
		}
	}
	for i := range g.Fixes {
		g.Fixes[i].addCommands(command)
		g.Fixes[i].shortenPages()
	}
	slices.SortStableFunc(g.Fixes, func(a, b Fix) int { return cmp.Compare(len(b.Items), len(a.Items)) })
}

// mostPages is how many pages of single apps a fix names.
const mostPages = 3

// shortenPages replaces many pages of single apps by those that list the apps.
func (f *Fix) shortenPages() {
	if len(f.Pages) <= mostPages {
		return
	}
	f.Pages = nil
	for _, item := range f.Items {
		item.ID = ""
		if item.Setup != "" {
			item.Setup = item.page()
		}
		if page := item.Page(); page != "" && !slices.Contains(f.Pages, page) {
			f.Pages = append(f.Pages, page)
		}
	}
}

// addCommands adds one command per org if it can name several apps, else one per app.
func (f *Fix) addCommands(command Command) {
	if command == nil {
		return
	}
	byOrg := make(map[string][]string)
	for _, item := range f.Items {
		byOrg[item.Org] = append(byOrg[item.Org], item.App)
	}
	for _, item := range f.Items {
		apps := byOrg[item.Org]
		line, many := command(item.Finding, item.Org, distinct(apps))
		if !many {
			line, _ = command(item.Finding, item.Org, []string{item.App})
		}
		if line != "" && !slices.Contains(f.Commands, line) {
			f.Commands = append(f.Commands, line)
		}
	}
}

// Orgs returns the orgs of the group, in the order of its items.
func (g Group) Orgs() (orgs []string) {
	for _, item := range g.Items {
		if !slices.Contains(orgs, item.Org) {
			orgs = append(orgs, item.Org)
		}
	}
	return orgs
}

// MaxActions is how many groups are named as the actions to take first.
const MaxActions = 5
