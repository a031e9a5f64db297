package audit

import (
	"bytes"
	"cmp"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
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

// OrgReport is the report of one org of several, or why there is none.
type OrgReport struct {
	Org    string // its alias or username
	Report *Report
	Err    error
}

// WriteHTML writes the reports of orgs as one file that needs nothing else: figures, a matrix of
// apps and rules that can be filtered and sorted, and what to do.
func WriteHTML(w io.Writer, orgs []OrgReport, now time.Time) error {
	t, err := template.New("report").Parse(page)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, newView(orgs, now)); err != nil {
		return err
	}
	// What a terminal or a reader's eye would take for orders: control characters, and marks that
	// turn the direction of writing.
	_, err = io.WriteString(w, strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, b.String()))
	return err
}

// view is what the page shows.
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

type rowView struct {
	Org                                         string
	App                                         *App
	RuleIDs, Levels, Who, How, Scopes, UsedText string
	Used                                        int64
	Count                                       int
	Marks                                       []markView
}

type markView struct {
	Level, Sign, Title string
	Sort               int
}

type findingView struct {
	Org string
	Finding
}

// signs are how the matrix shows levels.
var signs = map[string]markView{
	string(finding.Error):   {Level: "error", Sign: "✖", Sort: 3},
	string(finding.Warning): {Level: "warning", Sign: "▲", Sort: 2},
	"accepted":              {Level: "accepted", Sign: "○", Sort: 1},
}

func newView(orgs []OrgReport, now time.Time) *view {
	var nonce [16]byte
	rand.Read(nonce[:])
	v := &view{
		Nonce: hex.EncodeToString(nonce[:]), Date: now.Format(time.DateOnly),
		Columns: []string{"Org", "App", "Kind", "Who", "How", "Scopes", "Last used", "Findings"}, FindingColumns: []string{"Level", "Org", "App", "Rule", "What", "What to do"},
	}
	used := make(map[string]bool)
	for _, o := range orgs {
		if o.Report != nil {
			for _, f := range o.Report.Findings {
				used[f.Rule] = true
			}
			for _, f := range o.Report.Accepted {
				used[f.Rule] = true
			}
		}
	}
	v.Rules = slices.DeleteFunc(Rules(), func(r finding.Rule) bool { return !used[r.ID] })
	for _, o := range orgs {
		if o.Report == nil {
			v.Orgs = append(v.Orgs, orgView{Org: o.Org, Error: fmt.Sprint(cmp.Or(o.Err, fmt.Errorf("not begun")))})
			continue
		}
		v.add(o)
	}
	return v
}

// add adds an org.
func (v *view) add(o OrgReport) {
	r := o.Report
	v.Orgs = append(v.Orgs, orgView{o.Org, r.Sentence(), "", r.Count(finding.Error), r.Count(finding.Warning), len(r.Accepted)})
	for _, app := range r.Apps {
		if !slices.Contains(v.Kinds, app.Kind) {
			v.Kinds = append(v.Kinds, app.Kind)
		}
		row := rowView{Org: o.Org, App: app, Who: app.Who(), How: app.How(), Scopes: strings.Join(app.Scopes, ", "), UsedText: day(app.LastUsed)}
		if !app.LastUsed.IsZero() {
			row.Used = app.LastUsed.Unix()
		}
		var ids, levels []string
		for _, rule := range v.Rules {
			mark := markView{}
			note := func(level string, f Finding) {
				if sign := signs[level]; sign.Sort > mark.Sort {
					mark = sign
				}
				mark.Title = f.Problem
				ids = append(ids, f.Rule)
				levels = append(levels, level)
			}
			for _, f := range r.Accepted {
				if f.Rule == rule.ID && f.Of(app) {
					note("accepted", f.Finding)
				}
			}
			for _, f := range r.Findings {
				if f.Rule == rule.ID && f.Of(app) {
					note(string(f.Level), f)
					row.Count++
				}
			}
			row.Marks = append(row.Marks, mark)
		}
		row.RuleIDs, row.Levels = strings.Join(ids, " "), strings.Join(levels, " ")
		v.Rows = append(v.Rows, row)
	}
	for _, f := range r.Findings {
		v.Findings = append(v.Findings, findingView{o.Org, f})
	}
	for _, f := range r.Accepted {
		v.Accepted = append(v.Accepted, fmt.Sprintf("%s: %s: %s, until %s: %s", o.Org, f.App, f.Problem, f.Until, f.Why))
	}
	for _, u := range r.Unseen {
		v.Unseen = append(v.Unseen, o.Org+": "+u)
	}
	for _, e := range r.Expired {
		v.Unseen = append(v.Unseen, o.Org+": "+e)
	}
}

// Who says who may use the app, for people.
func (a *App) Who() string {
	switch {
	case a.Access == Everybody:
		return "everybody"
	case a.Access == PreAuthorised && len(a.Granted) == 0:
		return "nobody"
	case a.Access == PreAuthorised:
		return strings.Join(a.Granted, ", ")
	}
	return "not known"
}

// How says how the app logs in, for people.
func (a *App) How() string {
	flows := slices.Clone(a.Flows)
	if a.RunAs != nil {
		for i, f := range flows {
			if f == "client credentials" {
				flows[i] += " as " + a.RunAs.Username
			}
		}
	}
	return strings.Join(flows, ", ")
}

func day(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.Format(time.DateOnly)
}
