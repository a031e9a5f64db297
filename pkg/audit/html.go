package audit

import (
	"bytes"
	"cmp"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"
)

//go:embed report.html
var page string

// Page is the reports of orgs as one self-contained HTML page: figures and the actions to take first,
// the orgs, the findings by rule with explanation and fix, and a matrix of apps and rules. It can be
// filtered and sorted, and the URL keeps the filters.
type Page struct {
	Orgs    []OrgReport
	Now     time.Time
	Version string  // of the program, "" for none
	Command Command // chooses the commands of fixes; nil for none
}

// WriteHTML writes the reports of orgs as a page without commands.
func WriteHTML(w io.Writer, orgs []OrgReport, now time.Time) error {
	return Page{Orgs: orgs, Now: now}.Write(w)
}

// Write writes the page.
func (p Page) Write(w io.Writer) error { return write(w, page, p.view()) }

// write executes a template. It replaces what a terminal or a reader could be misled by: control
// characters, and marks that change the direction of writing.
func write(w io.Writer, text string, data any) error {
	t, err := template.New("page").Parse(text)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, data); err != nil {
		return err
	}
	_, err = io.WriteString(w, strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, b.String()))
	return err
}

// view is the content of the page.
type view struct {
	Nonce, Date, Version, Sentence string
	Summary                        Summary
	Figures                        []figureView
	Actions                        []actionView
	Orgs                           []orgView
	Kinds                          []Kind
	Columns                        []string
	Found                          []finding.Rule // those with a finding
	Rules                          []finding.Rule // those of Found that are about apps
	Groups                         []groupView
	Rows                           []rowView
	Salesforce                     int
	Accepted, Unseen, Lacks        []string
	Several                        bool // several orgs
}

type figureView struct{ Number, What, Class string }

type actionView struct {
	Level, Rule, Summary, Apps, Do, Command string
	More                                    int // number of further commands
}

type orgView struct {
	Org, Sentence, Error, URL, Username string
	APIVersion                          string
	Kind                                platform.Kind
	Production                          bool
	Errors, Warnings, Accepted          int
}

// groupView is a group of findings, by problem.
type groupView struct {
	Group
	Text     []string // paragraphs
	Open     bool
	Problems []problemView
}

// problemView is one sentence with the apps that it holds for.
type problemView struct {
	Problem string
	Items   []itemView
	Folded  bool // there are many
}

type itemView struct {
	Org, Name, Page string
	Kind            Kind
}

// rowView is an app in the matrix.
type rowView struct {
	Org                                         string
	App                                         *App
	RuleIDs, Levels, Who, How, Scopes, UsedText string
	Used                                        int64
	Count                                       int
	Marks                                       []markView
}

// markView is a cell of the matrix: a rule's findings about an app, which all have one level.
type markView struct {
	Level, Sign, Rule string
	Sort              int
}

// accepted is the level of accepted findings in the page.
const accepted finding.Level = "accepted"

// marks are the marks of the levels.
var marks = map[finding.Level]markView{
	finding.Error:   {Level: "error", Sign: "✖", Sort: 3},
	finding.Warning: {Level: "warning", Sign: "▲", Sort: 2},
	accepted:        {Level: "accepted", Sign: "○", Sort: 1},
}

// all returns all findings of the report. Those that are accepted come first, with the level accepted.
func (r *Report) all() (all []Finding) {
	for _, f := range r.Accepted {
		f.Level = accepted
		all = append(all, f.Finding)
	}
	return append(all, r.Findings...)
}

func (p Page) view() *view {
	var nonce [16]byte
	rand.Read(nonce[:])
	v := &view{
		Nonce: hex.EncodeToString(nonce[:]), Date: p.Now.Format("2006-01-02 15:04"), Version: p.Version, Several: len(p.Orgs) > 1,
		Columns: []string{"App", "Who", "How", "Last used", "Users", "Findings"},
	}
	var reports []*Report
	broken := make(map[string]bool)
	for _, o := range p.Orgs {
		if o.Report == nil {
			continue
		}
		reports = append(reports, o.Report)
		for _, f := range o.Report.all() {
			broken[f.Rule] = true
		}
	}
	v.Summary = Summarize(reports...)
	v.Sentence, v.Salesforce = v.Summary.Sentence(), v.Summary.Salesforce
	v.Found = slices.DeleteFunc(Rules(), func(r finding.Rule) bool { return !broken[r.ID] })
	v.Rules = slices.DeleteFunc(slices.Clone(v.Found), func(r finding.Rule) bool { return checks[r.ID] == nil })
	v.figures()
	groups := Groups(p.Orgs, p.Command)
	v.actions(groups)
	for _, g := range groups {
		v.Groups = append(v.Groups, g.view())
	}
	for _, o := range p.Orgs {
		v.addOrg(o)
	}
	slices.SortStableFunc(v.Rows, func(a, b rowView) int { return cmp.Compare(b.worst(), a.worst()) })
	return v
}

// figures are the numbers of the first screen.
func (v *view) figures() {
	s := v.Summary
	class := func(n int, class string) string {
		if n == 0 {
			return "ok"
		}
		return class
	}
	open, known := s.Connected.Open+s.External.Open, s.Connected.Known+s.External.Known
	v.Figures = []figureView{
		{fmt.Sprint(s.Strangers), fmt.Sprintf("%s not installed, with tokens of %s", noun(s.Strangers, "app"), plural(s.StrangerUsers, "user")), class(s.Strangers, "error")},
		{fmt.Sprintf("%d of %d", open, known), "apps open to every user", class(open, "warning")},
		{fmt.Sprint(s.Errors), noun(s.Errors, "error"), class(s.Errors, "error")},
		{fmt.Sprint(s.Warnings), noun(s.Warnings, "warning"), class(s.Warnings, "warning")},
	}
}

func noun(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

func (v *view) actions(groups []Group) {
	for _, g := range groups[:min(MaxActions, len(groups))] {
		a := actionView{Level: string(g.Level), Rule: g.ID, Summary: plainText(g.Summary), Do: g.Fixes[0].Text}
		if commands := g.Fixes[0].Commands; len(commands) > 0 {
			a.Command, a.More = commands[0], len(commands)-1
		}
		var names []string
		for _, item := range g.Items {
			name := clip(item.Name())
			switch {
			case item.Kind == OrgItself:
				name = clip(item.Org)
			case v.Several:
				name += " (" + clip(item.Org) + ")"
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		const most = 4
		if more := len(names) - most; more > 0 {
			names = append(names[:most:most], fmt.Sprintf("%d more", more))
		}
		a.Apps = strings.Join(names, ", ")
		v.Actions = append(v.Actions, a)
	}
}

// clip shortens a name for a list of several.
func clip(name string) string {
	const most = 48
	if r := []rune(name); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return name
}

// plainText returns Markdown of RULES.md without its marks.
func plainText(markdown string) string {
	return strings.NewReplacer("`", "", "*", "").Replace(markdown)
}

// foldFrom is the number of apps from which a list is folded.
const foldFrom = 12

func (g Group) view() groupView {
	g.Summary = plainText(g.Summary)
	gv := groupView{Group: g, Text: strings.Split(plainText(g.Rule.Text), "\n\n"), Open: g.Level == finding.Error}
	at := make(map[string]int)
	for _, item := range g.Items {
		problem := item.Problem
		if item.Field != "" && item.Kind != OrgItself {
			problem = item.Field + ": " + problem
		}
		i, exists := at[problem]
		if !exists {
			i = len(gv.Problems)
			at[problem] = i
			gv.Problems = append(gv.Problems, problemView{Problem: problem})
		}
		p := &gv.Problems[i]
		p.Items = append(p.Items, itemView{item.Org, item.Name(), item.Page(), item.Kind})
		p.Folded = len(p.Items) > foldFrom
	}
	return gv
}

// addOrg adds an org with its apps.
func (v *view) addOrg(o OrgReport) {
	if o.Report == nil {
		v.Orgs = append(v.Orgs, orgView{Org: o.Org, Error: fmt.Sprint(cmp.Or(o.Err, errors.New("not started")))})
		return
	}
	r := o.Report
	v.Orgs = append(v.Orgs, orgView{
		Org: o.Org, Sentence: r.Sentence(), URL: r.URL, Username: o.Username, APIVersion: r.APIVersion, Kind: r.Kind, Production: r.Kind == platform.Production,
		Errors: r.Count(finding.Error), Warnings: r.Count(finding.Warning), Accepted: len(r.Accepted),
	})
	byApp := make(map[*App][]Finding)
	for _, f := range r.all() {
		byApp[f.about] = append(byApp[f.about], f)
	}
	for _, app := range r.Apps {
		if app.Salesforce {
			continue
		}
		if !slices.Contains(v.Kinds, app.Kind) {
			v.Kinds = append(v.Kinds, app.Kind)
		}
		v.Rows = append(v.Rows, v.row(o.Org, app, byApp[app]))
	}
	for _, f := range r.Accepted {
		until := ""
		if f.Until != "" {
			until = ", until " + f.Until
		}
		v.Accepted = append(v.Accepted, fmt.Sprintf("%s: %s: %s%s: %s", o.Org, f.Name(), f.Problem, until, f.Why))
	}
	for _, line := range slices.Concat(r.Unseen, r.Expired) {
		v.Unseen = append(v.Unseen, o.Org+": "+line)
	}
	for _, line := range r.Lacks {
		v.Lacks = append(v.Lacks, o.Org+": "+line)
	}
}

// row returns the row of an app, with a mark for each rule.
func (v *view) row(org string, app *App, found []Finding) rowView {
	row := rowView{
		Org: org, App: app, Who: app.Who(), How: app.How(), Scopes: strings.Join(app.Scopes, ", "), UsedText: "never",
	}
	if app.Admins > 0 {
		row.Who += fmt.Sprintf(" (%s)", plural(app.Admins, "administrator"))
	}
	if !app.LastUsed.IsZero() {
		row.Used, row.UsedText = app.LastUsed.Unix(), app.LastUsed.Format(time.DateOnly)
	}
	var ids, levels []string
	for _, f := range found {
		ids, levels = append(ids, f.Rule), append(levels, string(f.Level))
		if f.Level != accepted {
			row.Count++
		}
	}
	row.RuleIDs, row.Levels = strings.Join(distinct(ids), " "), strings.Join(distinct(levels), " ")
	for _, rule := range v.Rules {
		mark := markView{}
		if i := slices.IndexFunc(found, func(f Finding) bool { return f.Rule == rule.ID }); i >= 0 {
			mark = marks[found[i].Level]
			mark.Rule = rule.ID
		}
		row.Marks = append(row.Marks, mark)
	}
	return row
}

// worst orders rows of several orgs: by the level, then as in their reports.
func (r rowView) worst() (worst int) {
	for _, m := range r.Marks {
		worst = max(worst, m.Sort)
	}
	return worst
}
