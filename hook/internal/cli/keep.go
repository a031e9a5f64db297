package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// keptConsumers are the keys and secrets of --consumers-from, as eca credentials writes them.
type keptConsumers []keptConsumer

type keptConsumer struct {
	Org          string            `json:"org"`
	App          string            `json:"app"`
	BaseURL      string            `json:"base_url"`
	ClientID     string            `json:"client_id"`
	ClientSecret salesforce.Secret `json:"client_secret"`
	AppID        string            `json:"app_id"`
	ConsumerID   string            `json:"consumer_id"`
}

// maxKept bounds the file of --consumers-from.
const maxKept = 4 << 20

// readKept reads the documents of eca credentials, one after another.
func readKept(name string, stdin io.Reader) (all keptConsumers, err error) {
	from := stdin
	if name != "-" {
		file, err := openRegular(name)
		if err != nil {
			return nil, usage.Errorf("--consumers-from: %w", err)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxKept))
	if err != nil {
		return nil, usage.Errorf("--consumers-from: %s cannot be read", name)
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		var one keptConsumer
		switch err := decoder.Decode(&one); {
		case err == io.EOF && n == 1:
			return nil, usage.Errorf("--consumers-from: %s is empty", name)
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, usage.Errorf("--consumers-from: document %d of %s is not what eca credentials writes", n, name)
		case one.App == "" || one.ClientID == "" || one.ClientSecret.IsZero():
			return nil, usage.Errorf("--consumers-from: document %d of %s lacks app, client_id or client_secret; eca credentials --all writes them", n, name)
		}
		all = append(all, one)
	}
}

// of returns the keys and secrets for the apps of an org. A document that names an org is for that one; any
// other is for the org with its address, or for the only one.
func (all keptConsumers) of(org, alias, instance string, several bool) map[string]login.Credentials {
	kept := make(map[string]login.Credentials)
	for _, one := range all {
		meant := one.Org == org || one.Org == alias
		if one.Org == "" {
			meant = !several || strings.TrimSuffix(one.BaseURL, "/") == instance
		}
		if meant {
			kept[one.App] = login.Credentials{Key: one.ClientID, Secret: one.ClientSecret}
		}
	}
	return kept
}

// proveKept finds out whether the apps whose consumers were to get their former key and secret have them,
// and says so.
func (j *bootstrapJob) proveKept(ctx context.Context, work *orgs.Work, org string, conn *salesforce.Conn, report *bootstrap.Report, kept map[string]login.Credentials) {
	for i := range report.Apps {
		app := &report.Apps[i]
		credentials := kept[app.Name]
		why := ""
		if app.Off && app.Kept == bootstrap.KeptKey {
			work.Warn("%s has its former key; whether the former secret logs in shows once the app is on", app.Name)
			continue
		}
		switch app.Kept {
		case "":
			continue
		case bootstrap.KeptTaken:
			why = "the org refused the kept key, because another app or org has it"
		case bootstrap.KeptIgnored:
			why = "the org chose another key and secret"
		case bootstrap.KeptExists:
			why = "its consumer exists and has another key"
		case bootstrap.KeptKey:
			client := &consumer.Client{Conn: conn}
			session, err := client.Prove(ctx, &consumer.Consumer{App: app.Name, Created: time.Now()}, credentials, login.Patience{Limit: min(keptPatience, j.flags.Timeout/2), Waiting: waitingLine(work)})
			session.Revoke(ctx)
			if err == nil {
				app.Kept = bootstrap.KeptBoth
				work.Line("%s has its former key and secret, %s, and they log in", app.Name, credentials.ShortKey())
				continue
			}
			err = lookAtRefusal(ctx, conn, login.Attempt{App: app.Name}, err, org)
			why = fmt.Sprintf("it has its former key, but that and the former secret do not log in: %s", explain(err))
		}
		app.Warnings = append(app.Warnings, why)
		work.Warn("%s: %s; its clients need the new credentials: eca credentials -o %s --app %s", app.Name, why, org, app.Name)
	}
}

// keptPatience is how long to wait until the token endpoint knows a new consumer.
const keptPatience = 5 * time.Minute
