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
)

//go:embed report.html
var page string

// OrgReport is the report of one of several orgs, or the reason that there is none.
type OrgReport struct {
	Org    string // its alias or username
	Report *Report
	Err    error
}

// WriteHTML writes the reports of orgs as one self-contained page: totals, a matrix of apps and rules
// that can be filtered and sorted, and the fixes.
func WriteHTML(w io.Writer, orgs []OrgReport, now time.Time) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newView(orgs, now)); err != nil {
		return err
	}
	// Replace what a terminal or a reader could be misled by: control characters, and marks that
	// change the direction of writing.
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
	Nonce, Date    string
	Orgs           []orgView
	Kinds          []Kind
	Columns        []string
	Rules          []finding.Rule // those with a finding
	Rows           []rowView
	FindingColumns []string
	Findings       []findingView
	Accepted       []string
	Unseen         []string
}

type orgView struct {
	Org, Sentence, Error       string
	Errors, Warnings, Accepted int
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
	Level, Sign, Title string
	Sort               int
}

type findingView struct {
	Org string
	Finding
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

func newView(orgs []OrgReport, now time.Time) *view {
	var nonce [16]byte
	rand.Read(nonce[:])
	v := &view{
		Nonce: hex.EncodeToString(nonce[:]), Date: now.Format(time.DateOnly),
		Columns:        []string{"Org", "App", "Kind", "Who", "How", "Scopes", "Last used", "Findings"},
		FindingColumns: []string{"Level", "Org", "App", "Rule", "Finding", "Fix"},
	}
	broken := make(map[string]bool)
	for _, o := range orgs {
		if o.Report != nil {
			for _, f := range o.Report.all() {
				broken[f.Rule] = true
			}
		}
	}
	v.Rules = slices.DeleteFunc(Rules(), func(r finding.Rule) bool { return !broken[r.ID] })
	for _, o := range orgs {
		if o.Report == nil {
			v.Orgs = append(v.Orgs, orgView{Org: o.Org, Error: fmt.Sprint(cmp.Or(o.Err, errors.New("not started")))})
			continue
		}
		v.add(o.Org, o.Report)
	}
	return v
}

// add adds the report of an org.
func (v *view) add(org string, r *Report) {
	v.Orgs = append(v.Orgs, orgView{
		Org: org, Sentence: r.Sentence(),
		Errors: r.Count(finding.Error), Warnings: r.Count(finding.Warning), Accepted: len(r.Accepted),
	})
	all := r.all()
	for _, app := range r.Apps {
		if !slices.Contains(v.Kinds, app.Kind) {
			v.Kinds = append(v.Kinds, app.Kind)
		}
		v.Rows = append(v.Rows, v.row(org, app, all))
	}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, findingView{org, f})
	}
	for _, f := range r.Accepted {
		v.Accepted = append(v.Accepted, fmt.Sprintf("%s: %s: %s, until %s: %s", org, f.App, f.Problem, f.Until, f.Why))
	}
	for _, line := range slices.Concat(r.Unseen, r.Expired) {
		v.Unseen = append(v.Unseen, org+": "+line)
	}
}

// row returns the row of an app, with a mark for each rule. all are the findings about all apps.
func (v *view) row(org string, app *App, all []Finding) rowView {
	row := rowView{
		Org: org, App: app, Who: app.Who(), How: app.How(), Scopes: strings.Join(app.Scopes, ", "), UsedText: "never",
	}
	if !app.LastUsed.IsZero() {
		row.Used, row.UsedText = app.LastUsed.Unix(), app.LastUsed.Format(time.DateOnly)
	}
	var found []Finding
	var ids, levels []string
	for _, f := range all {
		if !f.IsAbout(app) {
			continue
		}
		found = append(found, f)
		ids, levels = append(ids, f.Rule), append(levels, string(f.Level))
		if f.Level != accepted {
			row.Count++
		}
	}
	row.RuleIDs, row.Levels = strings.Join(ids, " "), strings.Join(levels, " ")
	for _, rule := range v.Rules {
		mark := markView{}
		if i := slices.IndexFunc(found, func(f Finding) bool { return f.Rule == rule.ID }); i >= 0 {
			mark = marks[found[i].Level]
			mark.Title = found[i].Problem
		}
		row.Marks = append(row.Marks, mark)
	}
	return row
}
