package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// markdown escapes text from orgs for Markdown.
var markdown = strings.NewReplacer(`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", "&lt;", ">", "&gt;", "#", `\#`, "|", `\|`, "!", `\!`)

func escape(text string) string { return markdown.Replace(console.OneLine(text)) }

// plan returns the fixes as a checklist in Markdown.
func (a *auditOutput) plan() string {
	var b strings.Builder
	total := a.summary()
	fmt.Fprintf(&b, "# OAuth apps: what to fix\n\n%s, %s: %s.\n", time.Now().Format(time.DateOnly), counts(total.Errors, total.Warnings), escape(total.Sentence()))
	for _, org := range a.targets {
		if a.failures[org] != "" {
			fmt.Fprintf(&b, "\n**Not audited: %s**: %s\n", escape(org), escape(a.failures[org]))
		}
	}
	for i, g := range audit.Groups(a.orgReports(), a.command) {
		fmt.Fprintf(&b, "\n## %d. %s\n\n%s, %s.\n", i+1, g.Summary, g.Level, g.ID)
		for _, f := range g.Fixes {
			fmt.Fprintf(&b, "\n%s:\n\n", escape(f.Text))
			for _, item := range f.Items {
				fmt.Fprintf(&b, "- [ ] %s in %s: %s\n", escape(item.Name()), escape(item.Org), escape(item.Problem))
			}
			if len(f.Commands) > 0 {
				b.WriteString("\n```sh\n")
				for _, line := range f.Commands {
					b.WriteString(console.Clean(line) + "\n")
				}
				b.WriteString("```\n")
			}
			for _, page := range f.Pages {
				fmt.Fprintf(&b, "\n<%s>\n", page)
			}
		}
	}
	return b.String()
}

// notifier posts a summary somewhere.
type notifier struct {
	name string
	post func(ctx context.Context, a *auditOutput) error
}

// notifiers returns those of --notify.
func (c *auditCmd) notifiers(e *env) (all []notifier, err error) {
	for _, name := range c.Notify {
		switch name {
		case "slack", "teams":
			variable := "ECA_" + strings.ToUpper(name) + "_WEBHOOK"
			hook := e.Getenv(variable)
			target, err := url.Parse(hook)
			switch {
			case hook == "":
				return nil, usage.Errorf("--notify %s posts to the URL in %s, which is not set", name, variable)
			case err != nil || target.Host == "" || target.Scheme != "https" && !isLoopback(target.Hostname()):
				return nil, usage.Errorf("--notify %s: %s is not an https URL", name, variable)
			}
			salesforce.NewSecret(hook) // whoever has the URL can post, so that it is masked from here on
			salesforce.NewSecret(strings.TrimPrefix(target.Path, "/"))
			message := slackMessage
			if name == "teams" {
				message = teamsMessage
			}
			all = append(all, notifier{name, func(ctx context.Context, a *auditOutput) error { return post(ctx, hook, message(a)) }})
		case "github":
			file := e.Getenv("GITHUB_STEP_SUMMARY")
			if file == "" {
				return nil, usage.Errorf("--notify github adds to the file in GITHUB_STEP_SUMMARY, which is not set")
			}
			all = append(all, notifier{name, func(_ context.Context, a *auditOutput) error { return appendTo(file, a.brief(markdownBrief)) }})
		default:
			return nil, usage.Errorf("--notify %s: use slack, teams or github", name)
		}
	}
	return all, nil
}

func isLoopback(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }

// send posts the summary everywhere.
func (a *auditOutput) send(ctx context.Context, e *env) error {
	all, err := a.notifiers(e)
	if err != nil {
		return err
	}
	for _, n := range all {
		if err := n.post(ctx, a); err != nil {
			return fmt.Errorf("--notify %s: %w", n.name, err)
		}
		e.Line("eca: posted a summary: %s", n.name)
	}
	return nil
}

// brief are the words of a summary in one markup.
type brief struct {
	escape       func(string) string
	bold         string
	lineBreak    string
	heading, end string
}

var (
	markdownBrief = brief{escape, "**", "\n", "## ", "\n"}
	slackBrief    = brief{func(text string) string {
		return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(console.OneLine(text))
	}, "*", "\n", "", ""}
	teamsBrief = brief{escape, "**", "\n\n", "", ""}
)

// brief returns the summary, and the actions to take first.
func (a *auditOutput) brief(in brief) string {
	total := a.summary()
	lines := []string{
		fmt.Sprintf("%seca audit of %s", in.heading, console.Plural(len(a.targets), "org")) + in.end,
		fmt.Sprintf("%s%s%s: %s", in.bold, counts(total.Errors, total.Warnings), in.bold, in.escape(total.Sentence())) + in.end,
	}
	groups := audit.Groups(a.orgReports(), a.command)
	for i, g := range groups[:min(audit.MaxActions, len(groups))] {
		lines = append(lines, fmt.Sprintf("%d. %s: %s %s", i+1, g.Level, g.Summary, in.escape(a.names(g.Items, 3))))
	}
	for _, org := range a.targets {
		if a.failures[org] != "" {
			lines = append(lines, fmt.Sprintf("%s%s was not audited%s: %s", in.bold, in.escape(org), in.bold, in.escape(a.failures[org])))
		}
	}
	return salesforce.Mask(strings.Join(lines, in.lineBreak)) + in.end
}

func slackMessage(a *auditOutput) any { return map[string]string{"text": a.brief(slackBrief)} }

// teamsMessage is an adaptive card, which workflows of Teams accept.
func teamsMessage(a *auditOutput) any {
	block := map[string]any{"type": "TextBlock", "text": a.brief(teamsBrief), "wrap": true}
	card := map[string]any{"$schema": "http://adaptivecards.io/schemas/adaptive-card.json", "type": "AdaptiveCard", "version": "1.4", "body": []any{block}}
	return map[string]any{"type": "message", "attachments": []any{map[string]any{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}}}
}

// postTimeout bounds a call of a webhook.
const postTimeout = 30 * time.Second

// post sends a message to a webhook. Its URL is a secret, so errors do not contain it, and redirects
// are not followed.
func post(ctx context.Context, hook string, message any) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook, bytes.NewReader(body))
	if err != nil {
		return errors.New("the URL of the webhook is not valid")
	}
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := client.Do(request)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return fmt.Errorf("the webhook cannot be reached: %w", failed.Err)
	}
	if err != nil {
		return err
	}
	answer.Body.Close()
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("the webhook answered HTTP %d", answer.StatusCode)
	}
	return nil
}

// appendTo adds text to a file.
func appendTo(file, text string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return outputError(file, err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}

// writePages writes a page per app for a security review.
func (a *auditOutput) writePages(e *env) error {
	if err := os.MkdirAll(a.Output, 0o755); err != nil {
		return outputError(a.Output, err)
	}
	written := make(map[string]bool)
	for _, o := range a.orgReports() {
		if o.Report == nil {
			continue
		}
		for _, app := range o.Report.Apps {
			if !audit.Reviewable(app) {
				continue
			}
			var b bytes.Buffer
			if err := audit.WriteReview(&b, o, app, time.Now(), salesforce.Version()); err != nil {
				return err
			}
			base := fileName(o.Org) + "-" + fileName(app.Name)
			for n := 2; written[strings.ToLower(base)]; n++ {
				base = fmt.Sprintf("%s-%s-%d", fileName(o.Org), fileName(app.Name), n)
			}
			written[strings.ToLower(base)] = true
			name := filepath.Join(a.Output, base+".html")
			if err := atomicfile.Write(name, []byte(salesforce.Mask(b.String())), atomicfile.Options{Mode: 0o644}); err != nil {
				return outputError(name, err)
			}
		}
	}
	if len(written) == 0 {
		return foundError{errors.New("no page is written: the orgs show the settings of no app that can be a partner's")}
	}
	e.Line("eca: wrote %s to %s", console.Plural(len(written), "page"), a.Output)
	return nil
}

// fileName returns a name without anything that a file system treats specially.
func fileName(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || slices.Contains([]rune("-_."), r) {
			return r
		}
		return '_'
	}, name)
}
