package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/fleet"
	"github.com/ecakit/ecakit/pkg/orgauth"
)

// orgs returns the orgs that a run is for, at least one, each once.
func (j *job) orgs(sys *system) ([]string, error) {
	orgs := j.TargetOrg
	if j.Orgs != "" {
		more, err := readOrgs(j.Orgs, sys.stdin)
		if err != nil {
			return nil, usageError{fmt.Errorf("--orgs: %w", err)}
		}
		orgs = append(orgs, more...)
	}
	if j.AllScratch {
		more, err := sys.store().ScratchOrgs(time.Now())
		if err != nil {
			return nil, err
		}
		if len(more) == 0 && len(orgs) == 0 {
			return nil, errors.New("sf is logged in to no scratch org that has not expired")
		}
		orgs = append(orgs, more...)
	}
	if len(orgs) == 0 {
		here, _, _ := findProject(".") // sf goes by where it runs, too
		org, err := orgauth.DefaultOrg(here, sys.home, sys.getenv)
		if err != nil {
			return nil, err
		}
		orgs = []string{org}
	}
	if slices.Contains(orgs, "") { // which an unset variable of a pipeline leaves
		return nil, usageError{errors.New("no org is named: give its alias or username with -o")}
	}
	seen, usernames := make(map[string]bool), sys.store().Usernames()
	orgs = slices.DeleteFunc(slices.Clone(orgs), func(org string) bool {
		name := strings.ToLower(cmp.Or(usernames[org], org))
		twice := seen[name]
		seen[name] = true
		return twice
	})
	if len(orgs) > 1 && sys.getenv("SF_ACCESS_TOKEN") != "" && sys.getenv("SF_ORG_INSTANCE_URL") != "" {
		return nil, usageError{errors.New("SF_ACCESS_TOKEN is for one org, and several are named; unset it, and log in to them with sf")}
	}
	return orgs, nil
}

// Bounds of a file with orgs.
const (
	maxOrgs  = 16 << 20 // bytes
	maxFleet = 20_000
)

// readOrgs reads a file with one org a line, or what sf org list --json prints.
func readOrgs(name string, stdin io.Reader) ([]string, error) {
	from := stdin
	if name != "-" {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s does not exist", name)
		}
		if err != nil || info.IsDir() {
			return nil, fmt.Errorf("%s cannot be read", name)
		}
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read", name)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxOrgs+1))
	if err != nil || len(data) > maxOrgs || bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s cannot be read as UTF-8, or is larger than %d MiB", name, maxOrgs>>20)
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	var orgs []string
	if len(data) > 0 && (data[0] == '{' || data[0] == '[') {
		if orgs, err = parseOrgList(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	} else {
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			line, _, _ := strings.Cut(lines.Text(), "#")
			if line = strings.TrimSpace(line); line != "" {
				orgs = append(orgs, line)
			}
		}
		if lines.Err() != nil {
			return nil, fmt.Errorf("%s is no list of orgs, one a line", name)
		}
	}
	if len(orgs) == 0 {
		return nil, fmt.Errorf("%s names no org", name)
	}
	if len(orgs) > maxFleet {
		return nil, fmt.Errorf("%s names %d orgs, and %d are the most for one run", name, len(orgs), maxFleet)
	}
	return orgs, nil
}

// parseOrgList reads what sf org list --json prints: lists of orgs under result,
// of which one org can be in several. Scratch orgs that have expired are left out.
// An array of aliases and usernames will do as well.
func parseOrgList(data []byte) ([]string, error) {
	var names []string
	if json.Unmarshal(data, &names) == nil {
		return names, nil
	}
	type org struct {
		Username  string `json:"username"`
		Alias     string `json:"alias"`
		IsExpired any    `json:"isExpired"` // true, false or "unknown"
	}
	var document struct {
		Result map[string]json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(data, &document); err != nil || document.Result == nil {
		return nil, errors.New("is not what sf org list --json prints")
	}
	var orgs []string
	for _, list := range []string{"scratchOrgs", "sandboxes", "nonScratchOrgs", "devHubs", "other"} {
		var members []org
		if raw, ok := document.Result[list]; !ok || json.Unmarshal(raw, &members) != nil {
			continue
		}
		for _, o := range members {
			if o.Username != "" && o.IsExpired != true {
				orgs = append(orgs, o.Username)
			}
		}
	}
	return orgs, nil
}

// orgDocument is what --json says of one org of several.
type orgDocument struct {
	Org      string            `json:"org"`
	State    fleet.State       `json:"state"`
	OK       bool              `json:"ok"`
	Report   *bootstrap.Report `json:"report,omitempty"`
	Requests int               `json:"requests"`
	Seconds  float64           `json:"seconds"`
	Error    string            `json:"error,omitempty"`
}

// executeAll runs a bootstrap, or only its plan, on several orgs.
func executeAll(ctx context.Context, sys *system, out *output, all *cli, orgs []string, source *bootstrap.Source, options bootstrap.Options, jobs int, failFast bool) error {
	if _, err := sys.statedVersion(all.APIVersion); err != nil {
		return err
	}
	outliveReader()
	progress := newProgress(out, len(orgs))
	traffics := make(map[string]*traffic, len(orgs))
	for _, org := range orgs {
		traffics[org] = newTraffic(out, func(line string) { progress.line(org + ": " + line) })
	}
	out.printf("eca: %s, %d at once\n", plural(len(orgs), "org"), min(jobs, len(orgs)))
	fleetOptions := fleet.Options[*bootstrap.Report]{Jobs: jobs, FailFast: failFast, Changed: progress.changed}
	outcomes := fleet.Run(ctx, fleetOptions, orgs, func(ctx context.Context, org string) (*bootstrap.Report, error) {
		session, report, err := runOn(ctx, sys, traffics[org], all, org, source, options, nil)
		if session != nil && session.Renewed() != "" {
			progress.line(fmt.Sprintf("%s: the session had expired and was renewed %s", org, session.Renewed()))
		}
		return report, err
	})
	progress.end()

	requests, states := 0, make(map[fleet.State]int)
	var table strings.Builder
	rows := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	fmt.Fprintln(rows, "  ORG\tOUTCOME\tCHANGES\tREQUESTS\tTIME")
	var first *fleet.Outcome[*bootstrap.Report]
	for i, o := range outcomes {
		states[o.State]++
		n := traffics[o.Org].count()
		requests += n
		document := orgDocument{Org: o.Org, State: o.State, OK: o.State == fleet.Finished, Report: o.Result, Requests: n, Seconds: seconds(o.Took)}
		changes, sent, took := "-", "-", "-"
		if o.State != fleet.Waiting {
			sent, took = fmt.Sprint(n), duration(o.Took)
		}
		if o.Result != nil {
			changes = fmt.Sprint(changesOf(o.Result))
		}
		fmt.Fprintf(rows, "  %s\t%s\t%s\t%s\t%s\n", oneLine(o.Org), o.State, changes, sent, took)
		if o.Err != nil {
			document.Error = oneLine(about(o))
			if o.State == fleet.Failed && first == nil {
				first = &outcomes[i]
			}
		}
		out.document.Orgs = append(out.document.Orgs, document)
	}
	rows.Flush()
	out.document.Requests = requests
	out.printf("%s", &table)
	out.remarks(outcomes)
	failed, cut, waiting := states[fleet.Failed], states[fleet.Interrupted], states[fleet.Waiting]
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %s done, %d failed, %d cut off in the middle, %d not begun; what is done so far stays, and the next run does the rest", plural(states[fleet.Finished], "org"), failed, cut, waiting)
	case failed > 0:
		message := fmt.Sprintf("%d of %s failed", failed, plural(len(orgs), "org"))
		if waiting > 0 {
			message += fmt.Sprintf(", %d were not begun (--fail-fast)", waiting)
		}
		return fmt.Errorf("%s; the first: %s", message, about(*first))
	}
	out.printf("eca: %s done in %s, %s.\n", plural(len(orgs), "org"), duration(time.Since(out.started)), plural(requests, "request"))
	return nil
}

// about tells what became of an org that failed, with its name as it was given.
func about(o fleet.Outcome[*bootstrap.Report]) string {
	err := o.Err
	if named := new(orgError); errors.As(err, &named) {
		err = named.err
	}
	return o.Org + ": " + explain(err)
}

// changesOf returns how many changes a run has made, or how many a plan found.
func changesOf(r *bootstrap.Report) int {
	if r.PlanOnly {
		return r.Pending
	}
	return r.Changed
}

// remarks prints what a person should know of the orgs, each remark once, with the
// orgs that it is about.
func (o *output) remarks(outcomes []fleet.Outcome[*bootstrap.Report]) {
	var order []string
	orgs := make(map[string][]string)
	note := func(org, remark string) {
		if orgs[remark] == nil {
			order = append(order, remark)
		}
		orgs[remark] = append(orgs[remark], org)
	}
	for _, outcome := range outcomes {
		r := outcome.Result
		if r == nil {
			continue
		}
		for _, f := range r.Findings {
			note(outcome.Org, f.Place()+": "+f.Message())
		}
		for _, warning := range r.Warnings {
			note(outcome.Org, warning)
		}
		for _, app := range r.Apps {
			for _, warning := range app.Warnings {
				note(outcome.Org, app.Name+": "+warning)
			}
			for _, c := range app.Components {
				switch {
				case c.Error != "":
					o.printf("  ! %s: %s: %s %s: %s\n", outcome.Org, app.Name, c.Type, oneLine(c.FullName), oneLine(c.Error))
				case c.Uncertain:
					o.printf("  ? %s: %s: %s %s was sent, and not answered\n", outcome.Org, app.Name, c.Type, oneLine(c.FullName))
				}
			}
		}
	}
	for _, remark := range order {
		on := orgs[remark]
		more := ""
		if len(on) > 3 {
			more = fmt.Sprintf(" and %d more", len(on)-3)
			on = on[:3]
		}
		o.printf("  warning: %s%s: %s\n", strings.Join(on, ", "), more, oneLine(remark))
	}
}

// progress shows how far a fleet is: each org that ended on a line of its own, and
// on a terminal what is under way below them.
type progress struct {
	out   *output
	total int
	width int // of the terminal, 0 where there is none

	lines   chan string
	stopped chan bool

	running []string
	ended   int
	failed  int
}

func newProgress(out *output, total int) *progress {
	p := &progress{out: out, total: total, lines: make(chan string), stopped: make(chan bool)}
	if file, ok := out.stdout.(*os.File); ok && !out.json && term.IsTerminal(int(file.Fd())) {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			p.width = width
		}
	}
	go p.print()
	return p
}

// print writes what the others send it, so that lines do not cross: whole lines,
// and what is under way, which stays below them.
func (p *progress) print() {
	defer close(p.stopped)
	clear := func() {
		if p.width > 0 {
			fmt.Fprint(p.out.stdout, "\r\x1b[K")
		}
	}
	status := ""
	for text := range p.lines {
		clear()
		if line, isLine := strings.CutSuffix(text, "\n"); isLine {
			p.out.printf("%s\n", line)
		} else {
			status = text
		}
		if p.width > 0 {
			p.out.printf("%s", status)
		}
	}
	clear()
}

func (p *progress) line(text string) { p.lines <- "  " + oneLine(text) + "\n" }

// end waits until everything is written.
func (p *progress) end() {
	close(p.lines)
	<-p.stopped
}

func (p *progress) changed(o fleet.Outcome[*bootstrap.Report]) {
	if o.State == fleet.Running {
		p.running = append(p.running, o.Org)
	} else {
		p.running = slices.DeleteFunc(p.running, func(org string) bool { return org == o.Org })
		p.ended++
		text := fmt.Sprintf("%s: %s in %s", o.Org, o.State, duration(o.Took))
		switch {
		case o.Err != nil:
			p.failed++
			cause := strings.TrimPrefix(about(o), o.Org+": ")
			text = fmt.Sprintf("%s: %s: %s", o.Org, o.State, strings.TrimPrefix(cause, string(o.State)+"; "))
		case changesOf(o.Result) == 0:
			text += ", nothing to change"
		case o.Result.PlanOnly:
			text += ", " + plural(changesOf(o.Result), "change") + " pending"
		default:
			text += ", " + plural(changesOf(o.Result), "change")
		}
		p.line(text)
	}
	if p.width > 0 {
		status := fmt.Sprintf("%d of %d ended, %d failed; at work: %s", p.ended, p.total, p.failed, strings.Join(p.running, ", "))
		p.lines <- shorten(status, p.width-1)
	}
}

// shorten cuts a text to a number of columns. Characters beyond ASCII may take two.
func shorten(text string, columns int) string {
	used := 0
	for i, r := range text {
		used++
		if r > unicode.MaxASCII {
			used++
		}
		if used >= columns {
			return text[:i]
		}
	}
	return text
}
