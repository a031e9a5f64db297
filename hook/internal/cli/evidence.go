package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/respond"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// evidenceBook keeps the evidence of eca revoke: PREFIX.json with all runs, and PREFIX.md for people. Both
// are written before an org is changed and again after it, so that a killed run leaves what it found. A
// nil book keeps nothing.
type evidenceBook struct {
	prefix string

	mu   sync.Mutex
	file evidenceFile
	run  *evidenceRun
	last time.Time // of the last writing
}

// evidenceFile is PREFIX.json.
type evidenceFile struct {
	Runs []*evidenceRun `json:"runs"`
}

// evidenceRun is one run of eca revoke.
type evidenceRun struct {
	Started      time.Time      `json:"started"`
	Finished     time.Time      `json:"finished,omitzero"` // zero if the run was killed
	App          string         `json:"app,omitempty"`
	NotInstalled bool           `json:"notInstalled,omitempty"`
	User         string         `json:"user,omitempty"`
	Sessions     bool           `json:"sessions,omitempty"`
	Orgs         []*evidenceOrg `json:"orgs"`
}

// evidenceOrg is what was found and done on one org.
type evidenceOrg struct {
	Org   string `json:"org"`
	State string `json:"state"` // one of the states below
	Error string `json:"error,omitempty"`
	revokeReport
}

// The states of an org in the evidence.
const (
	evidenceCounted  = "counted"  // nothing was changed
	evidenceRevoking = "revoking" // the run was killed meanwhile, unless it still runs
	evidenceRevoked  = "revoked"
	evidenceFailed   = "failed" // see the error; what was revoked stays revoked
)

// openEvidence reads the evidence of earlier runs and begins another. Without a prefix it returns nil.
func openEvidence(prefix string, selection respond.Selection) (*evidenceBook, error) {
	if prefix == "" {
		return nil, nil
	}
	b := &evidenceBook{prefix: prefix, run: &evidenceRun{
		Started: time.Now().UTC(), App: selection.App, NotInstalled: selection.NotInstalled, User: selection.User, Sessions: selection.Sessions, Orgs: []*evidenceOrg{},
	}}
	for _, name := range []string{b.json(), b.markdown()} {
		if err := atomicfile.Check(name, atomicfile.Options{}); err != nil {
			return nil, usage.Errorf("--evidence: %s cannot be written: %w", name, err)
		}
	}
	data, err := os.ReadFile(b.json())
	if err == nil {
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(&b.file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("--evidence: %s was not written by eca revoke; choose another prefix", b.json())
	}
	b.file.Runs = append(b.file.Runs, b.run)
	return b, nil
}

func (b *evidenceBook) json() string     { return b.prefix + ".json" }
func (b *evidenceBook) markdown() string { return b.prefix + ".md" }

// begins notes that the tokens of an org are about to be revoked, and writes it.
func (b *evidenceBook) begins(org string, report *revokeReport) error {
	return b.note(evidenceOf(org, evidenceRevoking, report), true)
}

// ended notes how the work on an org has ended.
func (b *evidenceBook) ended(org string, report *revokeReport, really bool, err error) error {
	of := evidenceOf(org, evidenceCounted, report)
	switch {
	case err != nil:
		of.State, of.Error = evidenceFailed, console.OneLine(explain(err))
	case really && of.Revocation != nil && of.After != nil:
		of.State = evidenceRevoked
	}
	return b.note(of, false)
}

// evidenceOf returns what the evidence says of an org. report may be nil.
func evidenceOf(org, state string, report *revokeReport) *evidenceOrg {
	of := &evidenceOrg{Org: org, State: state}
	if report != nil {
		of.revokeReport = *report
	}
	return of
}

// evidencePause is the least time between two writings that can wait, because each writes all orgs.
const evidencePause = time.Second

// note replaces what the run says of an org, and writes the files at once or when it is time.
func (b *evidenceBook) note(of *evidenceOrg, now bool) error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	known := false
	for i, other := range b.run.Orgs {
		if other.Org == of.Org {
			b.run.Orgs[i], known = of, true
		}
	}
	if !known {
		b.run.Orgs = append(b.run.Orgs, of)
	}
	if !now && time.Since(b.last) < evidencePause {
		return nil
	}
	return b.write()
}

// close writes how the run has ended.
func (b *evidenceBook) close() error {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run.Finished = time.Now().UTC()
	return b.write()
}

func (b *evidenceBook) write() error {
	b.last = time.Now()
	data, err := json.MarshalIndent(b.file, "", "  ")
	if err != nil {
		return err
	}
	return cmp.Or(
		atomicfile.Write(b.json(), []byte(salesforce.MaskJSON(string(data))+"\n"), atomicfile.Options{}),
		atomicfile.Write(b.markdown(), []byte(salesforce.Mask(b.file.markdown())), atomicfile.Options{}),
	)
}

// markdown returns the evidence for people.
func (f *evidenceFile) markdown() string {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	line("# Revoked access")
	for _, run := range f.Runs {
		ended := "killed before its end"
		if !run.Finished.IsZero() {
			ended = "to " + run.Finished.Format(time.RFC3339)
		}
		line("\n## %s, %s %s\n", run.subject(), run.Started.Format(time.RFC3339), ended)
		line("| org | state | tokens before | tokens after | users | sessions ended |\n|---|---|---|---|---|---|")
		for _, o := range run.Orgs {
			line("| %s |", strings.Join(o.cells(), " | "))
		}
		for _, o := range run.Orgs {
			if o.Revocation != nil && len(o.Before.Apps) > 0 {
				line("\n### %s (%s), counted at %s\n", markdownText(o.Org), o.Before.OrgID, o.Before.Time.Format(time.RFC3339))
				out.WriteString(exposureMarkdown(o.Before))
			}
		}
	}
	return out.String()
}

// subject describes the apps that a run was about.
func (r *evidenceRun) subject() string {
	what := "apps that are not installed"
	if r.App != "" {
		what = "the app " + markdownText(r.App)
	}
	if r.User != "" {
		what += ", of the user " + markdownText(r.User)
	}
	return what
}

// cells returns the org's row of the table.
func (o *evidenceOrg) cells() []string {
	state := o.State
	if o.Error != "" {
		state += ": " + o.Error
	}
	before, after, users, sessions := "-", "-", "-", "-"
	if o.Revocation != nil {
		before, users = fmt.Sprint(o.Before.Tokens()), fmt.Sprint(o.Before.Users())
		if o.After != nil {
			after, sessions = fmt.Sprint(o.After.Tokens()), fmt.Sprint(o.Revocation.Sessions)
		}
	}
	return []string{markdownText(o.Org), markdownText(state), before, after, users, sessions}
}

// exposureMarkdown lists who has access through which app.
func exposureMarkdown(e *respond.Exposure) string {
	var out strings.Builder
	for _, app := range e.Apps {
		fmt.Fprintf(&out, "- %s (%s): %s\n", markdownText(app.Name), app.Kind, console.Plural(app.Tokens, "token"))
		for _, h := range app.Holders {
			fmt.Fprintf(&out, "  - %s\n", markdownText(describeHolder(h)))
		}
	}
	for _, unseen := range e.Unseen {
		fmt.Fprintf(&out, "- not shown: %s\n", markdownText(unseen))
	}
	return out.String()
}

// markdownText returns text that cannot become markup of a Markdown table.
func markdownText(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "\n", " ", "\r", " ", "`", "'", "[", `\[`).Replace(console.Clean(s))
}
