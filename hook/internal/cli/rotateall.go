package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// days is an age such as 60d or 36h.
type days time.Duration

// UnmarshalText reads an age.
func (d *days) UnmarshalText(text []byte) error {
	number, isDays := strings.CutSuffix(string(text), "d")
	n, err := strconv.Atoi(number)
	age := time.Duration(n) * 24 * time.Hour
	if !isDays {
		age, err = time.ParseDuration(string(text))
	}
	if err != nil || age <= 0 {
		return fmt.Errorf("%q is not an age like 60d or 36h", text)
	}
	*d = days(age)
	return nil
}

// Why an app is skipped.
const (
	skippedYounger = "younger"
	skippedUnknown = "age unknown"

	skippedNoConsumer = "no consumer"
)

// rotateEach rotates the credentials of several apps or consumers, as far as they are old enough. A failure
// of one does not keep the others from it.
func (r *rotation) rotateEach(ctx context.Context) (*rotateReport, error) {
	due, err := r.due(ctx)
	if err != nil {
		return nil, err
	}
	var dates map[string]consumer.Dates
	if r.OlderThan > 0 {
		if dates, err = r.client.AllDates(ctx); err != nil {
			return nil, err
		}
	}
	all := &rotateReport{App: r.app, Apps: []*rotateReport{}}
	var errs []error
	for _, one := range due {
		report, err := one.rotateOld(ctx, dates)
		if report == nil {
			report = &rotateReport{App: one.app}
		}
		if _, none := errors.AsType[*apps.NoOAuthError](err); none && r.All {
			report.Skipped = skippedNoConsumer
			r.work.Line("%s has no consumer", one.app)
		} else if err != nil {
			report.Skipped = console.OneLine(explain(err))
			errs = append(errs, fmt.Errorf("%s: %w", one.app, err))
			r.work.Line("%s: %s", one.app, report.Skipped)
		}
		all.Apps = append(all.Apps, report)
		if ctx.Err() != nil {
			break
		}
	}
	r.work.Line("%s", summary(all.Apps))
	if len(errs) > 0 {
		return all, errors.Join(errs...)
	}
	for _, report := range all.Apps {
		if report.Skipped == skippedUnknown {
			return all, foundError{fmt.Errorf("the age of the credentials of %s is unknown, so they were not rotated", report.App)}
		}
	}
	return all, nil
}

// due returns a rotation for each app and consumer that is meant.
func (r *rotation) due(ctx context.Context) (all []*rotation, err error) {
	names := []string{r.app}
	if r.All {
		if names, err = localOrOrgApps(ctx, r.conn); err != nil {
			return nil, err
		}
	}
	for _, name := range names {
		one := *r
		one.app = name
		if r.Consumer == "" {
			all = append(all, &one)
			continue
		}
		consumers, err := r.client.Consumers(ctx, name)
		if err != nil {
			return nil, err
		}
		for _, c := range consumers {
			if r.Consumer == "all" || strings.HasPrefix(c.Key, r.Consumer) {
				chosen := one
				chosen.consumer = c
				all = append(all, &chosen)
			}
		}
		if len(all) == 0 || len(all) > 1 && r.Consumer != "all" {
			return nil, usage.Errorf("--consumer: %d consumers of %s have a key that begins with %s", len(all), name, r.Consumer)
		}
	}
	return all, nil
}

// localOrOrgApps returns the Local apps of the project here, or of the org.
func localOrOrgApps(ctx context.Context, conn *salesforce.Conn) (names []string, err error) {
	names, found, err := localApps()
	if found || err != nil {
		return names, err
	}
	all, _, err := apps.Apps(ctx, conn)
	for _, app := range all {
		if app.Namespace == "" && !app.Packaged() {
			names = append(names, app.Name)
		}
	}
	return names, err
}

// rotateOld rotates the credentials if they are old enough.
func (r *rotation) rotateOld(ctx context.Context, dates map[string]consumer.Dates) (*rotateReport, error) {
	r.work.Line("%s:", r.app)
	if r.OlderThan == 0 {
		return r.rotate(ctx)
	}
	s, err := r.client.Keys(ctx, r.app)
	if err != nil {
		return nil, err
	}
	if s.Hidden != nil {
		return nil, s.Hidden
	}
	report := &rotateReport{App: s.Consumer.App, ConsumerKey: s.Main.ShortKey()}
	if s.Beside != nil && s.Beside.State == consumer.Active {
		return r.rotate(ctx) // which completes what another run has begun
	}
	earliest, latest := s.Since(dates[restapi.ShortID(s.Consumer.AppID)])
	if noted := r.ledger.last(r.conn.InstanceURL, report.App, report.ConsumerKey); !noted.IsZero() {
		earliest, latest = noted, noted
	}
	limit := time.Now().Add(-time.Duration(r.OlderThan))
	switch {
	case !earliest.IsZero() && earliest.After(limit):
		report.Skipped = skippedYounger
		r.work.Line("the credentials exist since %s at the earliest, so they stay", earliest.Format(time.DateOnly))
	case !latest.IsZero():
		return r.rotate(ctx)
	default:
		report.Skipped = skippedUnknown
		r.work.Warn("the age of the credentials is unknown: a rotation without --older-than notes it in --ledger")
	}
	return report, nil
}

// summary counts what became of apps.
func summary(all []*rotateReport) string {
	rotated, younger, unknown, without, failed := 0, 0, 0, 0, 0
	for _, r := range all {
		switch {
		case r.Rotated:
			rotated++
		case r.Skipped == skippedYounger:
			younger++
		case r.Skipped == skippedUnknown:
			unknown++
		case r.Skipped == skippedNoConsumer:
			without++
		case r.Skipped != "":
			failed++
		}
	}
	text := fmt.Sprintf("%d of %s rotated", rotated, console.Plural(len(all), "app"))
	for _, more := range []struct {
		n    int
		what string
	}{{younger, "young enough"}, {unknown, "of unknown age"}, {without, "without a consumer"}, {failed, "failed"}} {
		if more.n > 0 {
			text += fmt.Sprintf(", %d %s", more.n, more.what)
		}
	}
	return text
}

// ledger is the file of --ledger: a line per rotation. A nil ledger notes nothing.
type ledger struct {
	name string

	mu      sync.Mutex
	entries []ledgerEntry
}

// ledgerEntry is one rotation. It holds no secret.
type ledgerEntry struct {
	Time     time.Time `json:"time"`
	Org      string    `json:"org"`
	Instance string    `json:"instance"`
	App      string    `json:"app"`
	Key      string    `json:"consumerKey"` // shortened; of the credentials that are the main ones since
}

// openLedger reads the ledger. Without a name it returns nil.
func openLedger(name string) (*ledger, error) {
	if name == "" {
		return nil, nil
	}
	l := &ledger{name: name}
	data, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("--ledger: %w", outputError(name, err))
	}
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		var entry ledgerEntry
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time.IsZero() {
			return nil, usage.Errorf("--ledger: line %d of %s is not a rotation", n, name)
		}
		l.entries = append(l.entries, entry)
	}
	return l, nil
}

// readLedger reads a ledger that has to exist. Without a name it returns nil.
func readLedger(name string) (*ledger, error) {
	if name != "" {
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
			return nil, usage.Errorf("--ledger: %s is not a file that can be read", name)
		}
	}
	return openLedger(name)
}

// last returns when credentials became the main ones, zero if the ledger does not say so. An empty key is
// any of the app's.
func (l *ledger) last(instance, app, key string) (last time.Time) {
	if l == nil {
		return last
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		if e.Instance == instance && strings.EqualFold(e.App, app) && (key == "" || e.Key == key) && e.Time.After(last) {
			last = e.Time
		}
	}
	return last
}

// add appends a rotation to the file.
func (l *ledger) add(instance, org, app, key string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	data, err := json.Marshal(ledgerEntry{time.Now().UTC(), org, instance, app, key})
	if err != nil {
		return err
	}
	file, err := os.OpenFile(l.name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return outputError(l.name, err)
	}
	_, err = file.Write(append(data, '\n'))
	return cmp.Or(err, file.Close())
}
