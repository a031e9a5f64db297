package audit

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// Name returns the name of the app that the finding is about, "org" for the org itself.
func (f Finding) Name() string {
	if f.Kind == OrgItself {
		return string(OrgItself)
	}
	return f.App
}

// Keys identify a finding across audits of one org: by the app's ID, if the org shows it, and by its
// name.
func (f Finding) Keys() []string {
	keys := []string{strings.Join([]string{string(f.Kind), "name", strings.ToLower(f.App), f.Rule, f.Field}, "\x00")}
	if f.ID != "" {
		keys = append(keys, strings.Join([]string{string(f.Kind), "id", restapi.ShortID(f.ID), f.Rule, f.Field}, "\x00"))
	}
	return keys
}

// levelRank orders levels, errors first. Accepted findings are last.
func levelRank(level finding.Level) int {
	return slices.Index([]finding.Level{finding.Error, finding.Warning, accepted}, level)
}

// compareFindings orders findings by risk: the level, apps that are not installed, the risk of the
// app, and the rule.
func compareFindings(a, b Finding) int {
	return cmp.Or(cmp.Compare(levelRank(a.Level), levelRank(b.Level)),
		trueFirst(a.Rule == "not-installed", b.Rule == "not-installed"),
		compareApps(a.about, b.about), cmp.Compare(rank(a.Rule), rank(b.Rule)))
}

// compareApps orders apps by risk: privileged users, scopes, last use and number of users, then by
// name. Findings about the org itself, without an app, come after those about apps.
func compareApps(a, b *App) int {
	if a == nil || b == nil {
		return trueFirst(a != nil, b != nil)
	}
	return cmp.Or(trueFirst(a.privileged(), b.privileged()), cmp.Compare(b.reach(), a.reach()),
		b.LastUsed.Compare(a.LastUsed), cmp.Compare(b.Users, a.Users), compareNames(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
}

// privileged reports whether a user who may modify all data uses the app, or is its run-as user.
func (a *App) privileged() bool { return a.Admins > 0 || a.RunAs != nil && a.RunAs.Admin }

// reach returns how much the app's scopes reach. The scopes of an app that is not installed are not
// known, so they count as the broadest.
func (a *App) reach() int {
	has := func(scope string) bool { return slices.Contains(a.Scopes, scope) }
	switch {
	case has("Full") || a.Kind == NotInstalled:
		return 3
	case has("Api") || has("Web"):
		return 2
	case len(a.Scopes) > 0:
		return 1
	}
	return 0
}

// compareNames compares names as people order them: without case, and numbers by their value.
func compareNames(a, b string) int {
	x, y := parts(a), parts(b)
	for i := range min(len(x), len(y)) {
		c := strings.Compare(x[i], y[i])
		if digits(x[i]) && digits(y[i]) {
			m, n := strings.TrimLeft(x[i], "0"), strings.TrimLeft(y[i], "0")
			c = cmp.Or(cmp.Compare(len(m), len(n)), strings.Compare(m, n))
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(a, b))
}

func digits(part string) bool { return part != "" && unicode.IsDigit(rune(part[0])) }

// parts splits a name into runs of digits and of other characters.
func parts(name string) (all []string) {
	for _, r := range strings.ToLower(name) {
		last := len(all) - 1
		if digit := r >= '0' && r <= '9'; last < 0 || digit != digits(all[last]) {
			all = append(all, string(r))
		} else {
			all[last] += string(r)
		}
	}
	return all
}

// sortApps orders the apps by their worst findings.
func (r *Report) sortApps() {
	worst := make(map[*App]Finding)
	for _, f := range r.Findings {
		if _, seen := worst[f.about]; !seen && f.about != nil {
			worst[f.about] = f
		}
	}
	slices.SortStableFunc(r.Apps, func(a, b *App) int {
		f, found := worst[a]
		g, also := worst[b]
		if found && also {
			return compareFindings(f, g)
		}
		return cmp.Or(trueFirst(found, also), compareApps(a, b))
	})
}

// Summary counts what matters of one report, or of several.
type Summary struct {
	Orgs int `json:"orgs"`

	Strangers      int `json:"notInstalled"`      // apps that are not installed and have tokens
	StrangerUsers  int `json:"notInstalledUsers"` // users with these tokens, counted once per org
	StrangerAdmins int `json:"notInstalledAdmins"`

	Connected Openness `json:"connectedApps"`
	External  Openness `json:"externalClientApps"`

	Salesforce int `json:"salesforce"` // apps of Salesforce, which are not among the others
	Errors     int `json:"errors"`
	Warnings   int `json:"warnings"`
}

// Openness counts apps with OAuth by who can use them.
type Openness struct {
	Open  int `json:"open"`  // to every user
	Known int `json:"known"` // apps of which the org shows who can use them
	All   int `json:"all"`
}

// Summarize counts what matters of reports.
func Summarize(reports ...*Report) (s Summary) {
	for _, r := range reports {
		s.Orgs++
		s.Errors += r.Count(finding.Error)
		s.Warnings += r.Count(finding.Warning)
		users, admins := make(map[string]bool), make(map[string]bool)
		for _, a := range r.Apps {
			s.add(a)
			if a.Kind != NotInstalled || a.Tokens == 0 {
				continue
			}
			for _, h := range a.allHolders {
				users[h.Username] = true
				if h.Admin {
					admins[h.Username] = true
				}
			}
			s.StrangerUsers += a.Users - len(a.allHolders) // whose names the org does not show
		}
		s.StrangerUsers += len(users)
		s.StrangerAdmins += len(admins)
	}
	return s
}

func (s *Summary) add(a *App) {
	kind := &s.Connected
	switch {
	case a.Kind == NotInstalled && a.Tokens > 0:
		s.Strangers++
		return
	case a.Kind == NotInstalled || a.Kind == NotShown || a.NoOAuth:
		return
	case a.Salesforce:
		s.Salesforce++
		return
	case a.Kind == External:
		kind = &s.External
	}
	kind.All++
	if a.Access != "" {
		kind.Known++
	}
	if a.Access == Everybody {
		kind.Open++
	}
}

// Sentence sums a report up.
func (r *Report) Sentence() string { return Summarize(r).Sentence() }

// Sentence returns the summary as one sentence: apps that are not installed, then apps that are open
// to all users.
func (s Summary) Sentence() string {
	var clauses []string
	if s.Strangers > 0 {
		clause := fmt.Sprintf("%s not installed: %s with tokens", plural(s.Strangers, "app"), plural(s.StrangerUsers, "user"))
		if s.StrangerAdmins > 0 {
			clause += ", " + plural(s.StrangerAdmins, "administrator")
		}
		clauses = append(clauses, clause)
	}
	clauses = append(clauses, s.openness())
	return strings.Join(clauses, "; ")
}

func (s Summary) openness() string {
	open, known, all := s.Connected.Open+s.External.Open, s.Connected.Known+s.External.Known, s.Connected.All+s.External.All
	unknown := ""
	if all > known {
		unknown = fmt.Sprintf(" (not known for %d more)", all-known)
	}
	orgs, show, does := "the org", "shows", "does"
	if s.Orgs > 1 {
		orgs, show, does = "the orgs", "show", "do"
	}
	switch {
	case all == 0:
		return fmt.Sprintf("%s %s no app of %s own", orgs, show, map[bool]string{true: "their", false: "its"}[s.Orgs > 1])
	case known == 0:
		return fmt.Sprintf("%s %s not show who can use any of %s", orgs, does, plural(all, "app"))
	case open == 0:
		return fmt.Sprintf("0 of %s let any user in%s", plural(known, "app"), unknown)
	case s.External.Open == 0:
		return s.Connected.sentence(string(Connected)) + unknown
	case s.Connected.Open == 0:
		return s.External.sentence(string(External)) + unknown
	}
	return fmt.Sprintf("%d of %s let any user in: %d of %s, %d of %s%s", open, plural(known, "app"),
		s.Connected.Open, plural(s.Connected.Known, string(Connected)), s.External.Open, plural(s.External.Known, string(External)), unknown)
}

// sentence says how many apps of a kind let any user in.
func (o Openness) sentence(kind string) string {
	verb := "let"
	if o.Open == 1 {
		verb = "lets"
	}
	return fmt.Sprintf("%d of %s %s any user in", o.Open, plural(o.Known, kind), verb)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
