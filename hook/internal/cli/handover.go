package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// prepareHandOver checks, before the first write, that the commands of handOver exist, of which a plan
// only warns. Without a check, it notes on this machine that a consumer is about to be created, so that a
// later run exports its credentials if this one does not.
func (e *env) prepareHandOver(planned *bootstrap.Report, planOnly bool) error {
	for i := range planned.Apps {
		app := &planned.Apps[i]
		h := app.HandOverSettings
		if h == nil {
			continue
		}
		note := e.handOverNote(planned.Org, app.Name)
		if h.Check == nil && note.read() == created {
			app.HandOver = h.Command
		}
		var commands []string
		if h.Check != nil {
			commands = append(commands, h.Check[0])
		}
		if app.HandOver != nil {
			commands = append(commands, h.Command[0])
		}
		for _, command := range commands {
			switch err := isCommand(command); {
			case err != nil && planOnly:
				app.Warnings = append(app.Warnings, err.Error())
			case err != nil:
				return fmt.Errorf("%s: %w", app.Name, err)
			}
		}
		if !planOnly && app.HandOver != nil && h.Check == nil && !h.Always {
			note.write(created)
		}
	}
	return nil
}

// isCommand returns an error if a command of handOver does not exist.
func isCommand(name string) error {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Errorf("handOver of plugins.eca names the command %s, which does not exist", name)
	}
	return nil
}

// handOver exports the credentials of apps to the commands of their settings, after everything else is
// done. Of a plan, it warns if they could not be read.
func (e *env) handOver(ctx context.Context, work *orgs.Work, org string, conn *salesforce.Conn, report *bootstrap.Report) error {
	client := &consumer.Client{Conn: conn}
	for i := range report.Apps {
		app := &report.Apps[i]
		switch {
		case app.HandOverSettings == nil:
			continue
		case report.PlanOnly:
			if app.HandOver == nil {
				continue
			}
			if on, err := client.Access(ctx); err == nil && !on {
				app.Warnings = append(app.Warnings, "handOver of plugins.eca needs the org setting enableClientSecretInRestApiAccess of ExternalClientAppSettings, which is off")
			}
			continue
		}
		err := e.handOverOne(ctx, work, client, org, report.Org, app)
		if err != nil {
			return &notHandedOverError{app.Name, org, app.HandOverSettings.Command, err}
		}
	}
	return nil
}

// handOverOne exports the credentials of one app if its receiver lacks them: by the check of its settings,
// or, without one, by what this run has created and what this machine remembers.
func (e *env) handOverOne(ctx context.Context, work *orgs.Work, client *consumer.Client, org string, of bootstrap.OrgReport, app *bootstrap.AppReport) error {
	h := app.HandOverSettings
	out := e.output()
	out.Workflow = false // sfp shows standard error of a failed hook only
	credentials := &secrets.Credentials{Org: org, App: app.Name, BaseURL: client.Conn.InstanceURL}
	note := e.handOverNote(of, app.Name)
	has := note.read()
	switch {
	case app.ClientID == "" && app.HandOver == nil:
		return nil // the app has no consumer
	case h.Check != nil:
		received, err := credentials.Received(ctx, out, h.Check)
		if err != nil {
			return fmt.Errorf("the check of handOver failed, so whether the receiver has the credentials is not known: %w", err)
		}
		app.HandOver = nil
		if received == app.ClientID && received != "" {
			return nil
		}
	case app.HandOver != nil || has == created:
	case has == app.ClientID:
		return nil // exported by this machine
	default:
		app.Warnings = append(app.Warnings, fmt.Sprintf("the hand-over is unverified: no run on this machine has exported these credentials; "+
			"add check to handOver of plugins.eca, or run: %s", handOverLine(org, app.Name, h.Command)))
		return nil
	}
	if err := isCommand(h.Command[0]); err != nil {
		return err
	}
	sink, err := (&secretFlags{Command: h.Command}).Sink(out, []string{org}, true, false)
	if err != nil {
		return err
	}
	found, err := client.Find(ctx, app.Name)
	if err != nil {
		return err
	}
	credentials.AppID, credentials.ConsumerID = found.AppID, found.ID
	if credentials.Pair, err = client.Credentials(ctx, found); err != nil {
		return err
	}
	work.Await("the command " + h.Command[0])
	if err := sink.Take(ctx, credentials); err != nil {
		return err
	}
	app.HandOver = h.Command
	if h.Check == nil && !h.Always {
		note.write(credentials.Pair.Key)
	}
	work.Line("exported the credentials of %s to %s", app.Name, h.Command[0])
	return nil
}

// created is what a note holds until the credentials of a new consumer are exported.
const created = "created"

// handOverNote is what this machine remembers about the hand-over of an app on an org: created, then the
// client ID that was exported. It is "" if there is no directory for it.
type handOverNote string

func (e *env) handOverNote(org bootstrap.OrgReport, app string) handOverNote {
	cache := e.Cache()
	if cache == "" || org.ID == "" {
		return ""
	}
	return handOverNote(filepath.Join(cache, "handover", org.ID+"-"+strings.ToLower(app)+".json"))
}

// handOverJSON is the content of a note.
type handOverJSON struct {
	ClientID string `json:"clientId"`
}

// read returns what is remembered, "" for nothing.
func (n handOverNote) read() string {
	var content handOverJSON
	data, err := os.ReadFile(string(n))
	if n == "" || err != nil || json.Unmarshal(data, &content) != nil {
		return ""
	}
	return content.ClientID
}

// write remembers. If that fails, a later run says that it does not know.
func (n handOverNote) write(what string) {
	data, err := json.Marshal(handOverJSON{what})
	if n != "" && err == nil {
		_ = atomicfile.Write(string(n), data, atomicfile.Options{Parents: 0o700})
	}
}

// notHandedOverError says that everything is done but the hand-over.
type notHandedOverError struct {
	app, org string
	command  []string
	err      error
}

func (e *notHandedOverError) Error() string {
	return fmt.Sprintf("%s has its consumer, and its credentials were not exported: %v", e.app, e.err)
}

// Unwrap returns the cause.
func (e *notHandedOverError) Unwrap() error { return e.err }

// byHand returns the command line that exports the credentials.
func (e *notHandedOverError) byHand() string { return handOverLine(e.org, e.app, e.command) }

// handOverLine returns the command line that exports credentials to a command.
func handOverLine(org, app string, command []string) string {
	line := fmt.Sprintf("eca credentials -o %s --app %s --", org, app)
	for _, word := range command {
		line += " " + secrets.QuoteEnv(word)
	}
	return line
}
