package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/selftest"
)

type selftestCmd struct {
	TargetOrg string        `short:"o" placeholder:"ORG" help:"Alias or username of a scratch org, sandbox or Developer Edition. Default: sf's default org."`
	Only      []string      `placeholder:"ID" help:"Ask this fact only. Can be repeated. Default: all facts."`
	Output    string        `placeholder:"FILE" help:"Write the report as JSON to this file, for eca simulate --facts."`
	Markdown  string        `placeholder:"FILE" help:"Write the report as Markdown to this file, for an issue."`
	Wait      time.Duration `default:"10m" help:"How long to wait until the org accepts the new consumer, in addition to --timeout."`
	DryRun    bool          `name:"dry-run" help:"List the facts with what is expected. Calls no org."`
	callFlags `embed:""`
}

func (selftestCmd) Help() string {
	return `Asks an org what eca believes about Salesforce (pkg/platform/FACTS.md), and prints for each fact the expected answer, the org's answer and the org's words. Exits with 3 if one differs. The report contains no secret, and neither the org's name nor its users'.

eca creates apps, a permission set and an external credential whose names begin with EcaSelftest, lets REST read consumer secrets for a while, logs in as the user of the session, and deletes and restores everything at the end. After a run that was killed, the next one does. Production is refused. Run one selftest per org at a time.

  eca selftest -o uat --markdown report.md`
}

// selftestResult is what --json says of a selftest.
type selftestResult struct {
	outcome
	orgs.Calls
	*selftest.Report
}

func (c *selftestCmd) run(ctx context.Context, e *env) (result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.DryRun {
		report := selftest.Unasked(c.Only)
		for _, fact := range report.Facts {
			e.Line("  %s: %s expected %s%s", fact.ID, fact.Question, fact.Expected, map[bool]string{true: " (" + fact.Evidence + ")"}[fact.Evidence != ""])
		}
		return &selftestResult{Report: report}, nil
	}
	org, err := e.org(c.TargetOrg)
	if err != nil {
		return nil, err
	}
	e.Verbose = c.Verbose
	console.OutliveReader()
	work := orgs.NewWork(e.Log(), c.Verbose)
	call := c.callFlags
	call.Timeout += c.Wait
	r := new(selftestResult)
	r.Report, err = orgs.On(ctx, e.Env, work, &call, org, func(ctx context.Context, _ *orgauth.Session, conn *salesforce.Conn) (*selftest.Report, error) {
		e.Line("eca: a selftest of %s, API %s", org, conn.APIVersion())
		return selftest.Run(ctx, conn, selftest.Options{Only: c.Only, Wait: c.Wait, Progress: func(event selftest.Event) { c.show(e, work, event) }})
	})
	r.Calls = work.Calls()
	if r.Report == nil {
		return r, err
	}
	e.Line("eca: %d confirmed, %d different, %d unknown (%s).", r.Count(selftest.Confirmed), r.Count(selftest.Different), r.Count(selftest.Unknown), e.Took(r.Requests))
	if writeErr := c.write(e, r.Report); err == nil {
		err = writeErr
	}
	if err == nil && r.Differences() != nil {
		err = foundError{r.Differences()}
	}
	return r, err
}

func (c *selftestCmd) check() error {
	if err := c.callFlags.Check(); err != nil {
		return err
	}
	if c.Wait < 0 {
		return usage.Errorf("--wait must not be negative")
	}
	if err := selftest.CheckIDs(c.Only); err != nil {
		return usage.Errorf("--only: %w", err)
	}
	for _, to := range []struct{ flag, file string }{{"--output", c.Output}, {"--markdown", c.Markdown}} {
		if to.file == "" {
			continue
		}
		if err := atomicfile.Check(to.file, atomicfile.Options{}); err != nil {
			return usage.Errorf("%s: %w", to.flag, outputError(to.file, err))
		}
	}
	return nil
}

// show prints an event of the run.
func (c *selftestCmd) show(e *env, work *orgs.Work, event selftest.Event) {
	switch event.Step {
	case selftest.LeftoverDeleted:
		work.Line("deleted %s, which a killed selftest had left", event.Name)
	case selftest.Begun:
		work.Line("created %s and will delete it at the end", event.Name)
	case selftest.Waiting:
		work.Line("the org does not know the new consumer yet; next attempt in %s", event.Wait.Round(time.Second))
	case selftest.CleaningUp:
		work.Line("deleting what was created")
	case selftest.Answered:
		of := fmt.Sprintf("%d/%d", event.Done, event.Of)
		switch fact := event.Result; fact.Status {
		case selftest.Different:
			e.Line("  %s %s %s: %s, expected %s: %s", of, console.Warning, fact.ID, fact.Seen, fact.Expected, console.OneLine(fact.Evidence))
		case selftest.Confirmed:
			e.Line("  %s %s: %s (%s)", of, fact.ID, fact.Seen, console.OneLine(fact.Evidence))
		default:
			e.Line("  %s %s: unknown: %s", of, fact.ID, console.OneLine(fact.Evidence))
		}
	}
}

// write writes the files that are asked for.
func (c *selftestCmd) write(e *env, report *selftest.Report) error {
	document, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	var markdown bytes.Buffer
	writeMarkdown(&markdown, report)
	for _, to := range []struct {
		file string
		data []byte
	}{{c.Output, append(document, '\n')}, {c.Markdown, markdown.Bytes()}} {
		if to.file == "" {
			continue
		}
		if err := atomicfile.Write(to.file, to.data, atomicfile.Options{Mode: 0o644}); err != nil {
			return outputError(to.file, err)
		}
		e.Line("eca: wrote %s", to.file)
	}
	return nil
}

// writeMarkdown writes a report for an issue: what differs first.
func writeMarkdown(w io.Writer, report *selftest.Report) {
	fmt.Fprintf(w, "# Selftest of a %s\n\nAPI %s", report.Org.Kind, report.Org.APIVersion)
	for _, more := range []struct{ name, text string }{{"edition", report.Org.Edition}, {"instance", report.Org.Instance}} {
		if more.text != "" {
			fmt.Fprintf(w, ", %s %s", more.name, cell(more.text))
		}
	}
	fmt.Fprintf(w, ", %s, eca %s\n", report.Date.Format(time.RFC3339), salesforce.Version())
	for _, status := range []selftest.Status{selftest.Different, selftest.Confirmed, selftest.Unknown} {
		if report.Count(status) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n## %s\n\n| fact | expected | seen | what the org said |\n|---|---|---|---|\n", strings.ToUpper(string(status[:1]))+string(status[1:]))
		for _, fact := range report.Facts {
			if fact.Status == status {
				fmt.Fprintf(w, "| %s | %s | %s | %s |\n", fact.ID, cell(fact.Expected), cell(fact.Seen), cell(fact.Evidence))
			}
		}
	}
}

// cell makes a text safe in a table of Markdown.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "`", "'", "@", "@\u200b").Replace(console.OneLine(text))
}
