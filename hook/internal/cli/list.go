package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

type listCmd struct {
	Format    string `enum:"text,json,csv" default:"text" help:"text, json or csv."`
	Project   string `placeholder:"DIR" default:"." help:"Project whose apps are marked as declared. Default: the project of the working directory, if there is one."`
	orgFlags  `embed:""`
	callFlags `embed:""`
}

func (listCmd) Help() string {
	return `Lists the External Client Apps of an org, one per line: name, Local or Packaged, consumer key (shortened), flows, who may log in, the user that client credentials run as, last use, and in a project whether the project declares the app. eca reads no token and no secret, and writes nothing to the org.

  eca list -o prod --format csv`
}

// appList is what --json says of the apps of one org.
type appList struct {
	Org    string      `json:"org"`
	Apps   []listedApp `json:"apps"`             // by name
	Unseen []string    `json:"unseen,omitempty"` // what the org does not show
}

// listedApp is one app of an org.
type listedApp struct {
	Name        string    `json:"name"`
	Label       string    `json:"label"`
	State       string    `json:"state"`                 // Local or Packaged
	ConsumerKey string    `json:"consumerKey,omitempty"` // shortened
	Flows       []string  `json:"flows"`
	Who         string    `json:"who"` // who may log in
	RunAs       string    `json:"runAs,omitempty"`
	LastUsed    time.Time `json:"lastUsed,omitzero"`
	Declared    *bool     `json:"declared,omitempty"` // in the project; nil without one
}

func (c *listCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	declared, err := declaredApps(c.Project)
	if err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	e.JSON = e.JSON || c.Format == "json"
	e.Silent = c.Format == "csv"
	r, err := onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*appList]{
		Column: "APPS", Cell: func(l *appList) string { return console.Plural(len(l.Apps), "app") },
		Ended: func(l *appList) string { return ", " + console.Plural(len(l.Apps), "app") },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*appList, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*appList, error) {
				defer stillReading(work, recorded, org)()
				snapshot, err := audit.Read(ctx, conn)
				if err != nil {
					return nil, err
				}
				report, err := snapshot.Judge(audit.Options{Username: session.Username})
				if err != nil {
					return nil, err
				}
				return listApps(org, report, declared), nil
			})
		},
	})
	var lists []*appList
	switch all := r.(type) {
	case *oneResult[*appList]:
		lists = append(lists, all.Report)
	case *manyResult[*appList]:
		for _, one := range all.Orgs {
			lists = append(lists, one.Report)
		}
	}
	lists = slices.DeleteFunc(lists, func(l *appList) bool { return l == nil })
	if c.Format == "csv" && !e.JSON && len(lists) > 0 {
		return printed, cmp.Or(writeCSV(e.Stdout, listRows(lists)), err)
	}
	e.Together(func(u *console.Console) {
		for _, l := range lists {
			l.show(u, declared != nil)
		}
	})
	return r, err
}

// declaredApps returns the apps whose headers a project has, nil without a project. Only that of the working
// directory may be missing.
func declaredApps(dir string) ([]string, error) {
	root, _, err := findProject(dir)
	if err != nil {
		if dir == "." {
			return nil, nil
		}
		return nil, err
	}
	fsys, err := openDir(root)
	if err != nil {
		return nil, err
	}
	proj, err := sfp.ReadProject(fsys, sfp.ProjectFile)
	if err != nil {
		return nil, err
	}
	return headersOf(fsys, proj), nil
}

// headersOf returns the names of the apps whose headers a project has.
func headersOf(fsys fs.FS, proj *sfp.Project) []string {
	declared := []string{}
	var dirs []string
	for _, p := range proj.Packages {
		dirs = append(dirs, p.Path)
	}
	for _, file := range project.ReadSource(fsys, dirs...).Components(".", eca.Header) {
		declared = append(declared, file.Name)
	}
	return declared
}

// listApps returns the External Client Apps of a report.
func listApps(org string, report *audit.Report, declared []string) *appList {
	l := &appList{Org: org, Apps: []listedApp{}, Unseen: report.Unseen}
	for _, app := range report.Apps {
		if app.Kind != audit.External {
			continue
		}
		one := listedApp{Name: app.Name, Label: app.Label, State: "Local", ConsumerKey: app.ConsumerKey, Who: app.Who(), LastUsed: app.LastUsed}
		if app.Packaged {
			one.State = "Packaged"
		}
		one.Flows = append([]string{}, app.Flows...)
		if app.ConsumerKey != "" {
			one.Flows = append([]string{"authorization code"}, one.Flows...)
		}
		if app.RunAs != nil {
			one.RunAs = app.RunAs.Username
		}
		if declared != nil {
			is := slices.ContainsFunc(declared, func(name string) bool { return strings.EqualFold(name, app.Name) })
			one.Declared = &is
		}
		l.Apps = append(l.Apps, one)
	}
	slices.SortFunc(l.Apps, func(a, b listedApp) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return l
}

// cells returns what is shown of an app.
func (a listedApp) cells() []string {
	declared := ""
	if a.Declared != nil {
		declared = map[bool]string{true: "yes", false: "no"}[*a.Declared]
	}
	return []string{a.Name, a.State, a.ConsumerKey, strings.Join(a.Flows, ", "), a.Who, a.RunAs, day(a.LastUsed), declared}
}

// show prints the apps of an org as a table.
func (l *appList) show(u *console.Console, inProject bool) {
	header := []string{"APP", "STATE", "CONSUMER KEY", "FLOWS", "WHO", "RUNS AS", "LAST USED", "DECLARED"}
	rows := []console.Row{{Cells: header}}
	for _, a := range l.Apps {
		row := console.Row{Cells: a.cells()}
		for i, cell := range row.Cells {
			row.Cells[i] = clip(cmp.Or(cell, "-"), 50)
		}
		rows = append(rows, row)
	}
	if !inProject {
		for i := range rows {
			rows[i].Cells = rows[i].Cells[:len(header)-1]
		}
	}
	if len(l.Apps) > 0 {
		u.Table(rows)
	}
	for _, unseen := range l.Unseen {
		u.Line("not shown by %s: %s", l.Org, unseen)
	}
	summary := console.Plural(len(l.Apps), "External Client App")
	if missing := l.undeclared(); len(missing) > 0 {
		it := "it"
		if len(missing) > 1 {
			it = "them"
		}
		summary += fmt.Sprintf(", %d of them not declared in the project; add %s with: %s", len(missing), it, advice.Adopt(l.Org, missing))
	}
	u.Line("eca: %s: %s", l.Org, summary)
}

// undeclared returns the apps that the project does not declare.
func (l *appList) undeclared() (names []string) {
	for _, a := range l.Apps {
		if a.Declared != nil && !*a.Declared {
			names = append(names, a.Name)
		}
	}
	return names
}

// listRows returns the apps of orgs as rows of a CSV document.
func listRows(lists []*appList) [][]string {
	rows := [][]string{{"org", "app", "state", "consumer key", "flows", "who", "runs as", "last used", "declared"}}
	for _, l := range lists {
		for _, a := range l.Apps {
			rows = append(rows, append([]string{l.Org}, a.cells()...))
		}
	}
	return rows
}

// writeCSV writes rows of text from files and orgs.
func writeCSV(to io.Writer, rows [][]string) error {
	var document bytes.Buffer
	w := csv.NewWriter(&document)
	for _, row := range rows {
		for i := range row {
			row[i] = console.OneLine(row[i])
			if strings.ContainsAny(row[i][:min(1, len(row[i]))], "=+-@") {
				row[i] = "'" + row[i] // a spreadsheet would run a formula
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return err
	}
	_, err := io.WriteString(to, salesforce.Mask(document.String()))
	return err
}
