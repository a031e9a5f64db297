package selftest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// probe asks facts that share what they need on the org.
type probe struct {
	facts []string
	ask   func(ctx context.Context, r *run) error
}

// probes are in the order of a run: the consumer is made early, because the token endpoint needs
// minutes to know it.
func probes() []probe {
	return slices.Concat(queryProbes, mcpProbes, componentProbes, credentialProbes, consumerProbes, loginProbes, tokenProbes, rotationProbes)
}

// run is one run on one org.
type run struct {
	conn    *salesforce.Conn
	meta    *mdapi.Client
	rest    *restapi.Client
	options Options
	org     Org
	began   time.Time
	user    restapi.UserInfo
	private *strings.Replacer // what identifies the org and its user

	access bool   // the org setting that lets REST read secrets, as it was before the run
	name   string // with which the names of all that the run creates begin
	marked bool   // the main app may exist, so there is something to delete

	results []*Result
	stages  map[string]error // by name: what was set up, with its failure

	// What stages have set up.
	existing    map[string]string // fullNames of the main app's components that the org made, by type
	header      string            // the main app's ID
	certificate certificate
	credentials login.Credentials
	consumer    *consumer.Consumer
	session     *login.Session // of client credentials
}

func newRun(ctx context.Context, conn *salesforce.Conn, org Org, options Options) (*run, error) {
	r := &run{
		conn: conn, meta: &mdapi.Client{Conn: conn}, rest: &restapi.Client{Conn: conn}, options: options, org: org,
		began: time.Now(), stages: make(map[string]error), existing: make(map[string]string),
	}
	var err error
	if r.user, err = r.rest.UserInfo(ctx); err != nil {
		return nil, err
	}
	host, _ := platform.ParseInstance(conn.InstanceURL)
	r.private = strings.NewReplacer(
		conn.InstanceURL, "(org)", host.Host, "(org)", r.user.Username, "(user)",
		r.user.OrgID, "(org ID)", restapi.ShortID(r.user.OrgID), "(org ID)", r.user.UserID, "(user ID)", restapi.ShortID(r.user.UserID), "(user ID)",
	)
	if err := r.removeLeftovers(ctx); err != nil {
		return nil, err
	}
	if r.access, err = r.consumers().Access(ctx); err != nil {
		return nil, err
	}
	r.name = newName(r.access)
	return r, nil
}

func (r *run) consumers() *consumer.Client { return &consumer.Client{Conn: r.conn} }

// ask runs the probes.
func (r *run) ask(ctx context.Context) error {
	for _, p := range probes() {
		if !r.options.wanted(p.facts...) {
			continue
		}
		err := p.ask(ctx, r)
		if err != nil {
			for _, id := range p.facts {
				r.unknown(id, "%s", says(err))
			}
		}
		if endsRun(ctx, err) {
			return err
		}
	}
	return nil
}

// endsRun reports whether an error concerns all further calls.
func endsRun(ctx context.Context, err error) bool {
	return err != nil && (ctx.Err() != nil || salesforce.IsSessionExpired(err) || errors.As(err, new(*salesforce.NetworkError)) ||
		salesforce.Code(err) == "REQUEST_LIMIT_EXCEEDED")
}

// saw records an answer of the org. Evidence is in the platform's words. The first answer counts.
func (r *run) saw(id, answer, evidence string, args ...any) {
	fact := platform.Lookup(id)
	status := Different
	switch {
	case !slices.Contains(fact.Answers, answer):
		r.unknown(id, "the org answers with none of the known answers: %s", fmt.Sprintf(evidence, args...))
		return
	case answer == fact.Expected:
		status = Confirmed
	}
	r.record(&Result{ID: id, Seen: answer, Status: status, Evidence: fmt.Sprintf(evidence, args...)})
}

// unknown records why there is no answer.
func (r *run) unknown(id, why string, args ...any) {
	r.record(&Result{ID: id, Status: Unknown, Evidence: fmt.Sprintf(why, args...)})
}

func (r *run) record(result *Result) {
	if !r.options.wanted(result.ID) || r.result(result.ID) != nil {
		return
	}
	fact := platform.Lookup(result.ID)
	result.Question, result.Expected = fact.Question, fact.Expected
	result.Evidence = r.safe(result.Evidence)
	r.results = append(r.results, result)
	r.notify(Event{Step: Answered, Result: result})
}

func (r *run) result(id string) *Result {
	for _, result := range r.results {
		if result.ID == id {
			return result
		}
	}
	return nil
}

// safe removes secrets and what identifies the org from a text, and makes it one line.
func (r *run) safe(text string) string {
	return words.Clip(strings.Join(strings.Fields(r.private.Replace(salesforce.Mask(text))), " "))
}

func (r *run) notify(e Event) {
	if r.options.Progress == nil {
		return
	}
	e.Done = len(r.results)
	for _, fact := range platform.Facts() {
		if r.options.wanted(fact.ID) {
			e.Of++
		}
	}
	r.options.Progress(e)
}

// report returns the results in the order of the table.
func (r *run) report() *Report {
	report := &Report{Org: r.org, Date: r.began.UTC().Truncate(time.Second), Facts: []Result{}}
	for _, fact := range platform.Facts() {
		if !r.options.wanted(fact.ID) {
			continue
		}
		if r.result(fact.ID) == nil {
			r.unknown(fact.ID, "%s", cmp.Or(fact.Limit, "the run ended before it was asked"))
		}
		report.Facts = append(report.Facts, *r.result(fact.ID))
	}
	return report
}

// once sets something up for several probes. A failure is remembered.
func (r *run) once(stage string, setUp func() error) error {
	err, done := r.stages[stage]
	if !done {
		err = setUp()
		r.stages[stage] = err
	}
	return err
}

// says returns the org's words.
func says(err error) string {
	if refused, ok := errors.AsType[*mdapi.ComponentError](err); ok {
		return strings.TrimPrefix(refused.Code+": "+refused.Message, ": ")
	}
	if refused, ok := errors.AsType[*salesforce.TokenRefusal](err); ok {
		return refused.Code + ": " + refused.Description
	}
	if refused, ok := errors.AsType[*salesforce.Error](err); ok {
		return fmt.Sprintf("HTTP %d %s: %s", refused.Status, refused.Code, refused.Message)
	}
	return err.Error()
}

// isRefusal reports whether an error is the org's own answer, from which to draw conclusions.
func isRefusal(err error) bool {
	if refused, ok := errors.AsType[*mdapi.ComponentError](err); ok {
		return !refused.Transient()
	}
	return errors.As(err, new(*salesforce.TokenRefusal)) || restapi.Refused(err)
}

// accepts records one of two answers, depending on whether the org accepted something. Other failures are
// returned.
func (r *run) accepts(id string, err error, accepted, refused string) error {
	switch {
	case err == nil:
		r.saw(id, accepted, "accepted")
	case isRefusal(err):
		r.saw(id, refused, "%s", says(err))
	default:
		return err
	}
	return nil
}

// at returns a client for another API version.
func (r *run) at(version apiversion.Version) *mdapi.Client {
	conn := *r.conn
	conn.Version = version
	return &mdapi.Client{Conn: &conn}
}

// upsert writes one component. If the org has it under another name, that name is taken.
func upsert(ctx context.Context, client *mdapi.Client, c *metadata.Component) error {
	err := upsertOnce(ctx, client, c)
	refused, ok := errors.AsType[*mdapi.ComponentError](err)
	if !ok || refused.DuplicateOf() == "" {
		return err
	}
	c.FullName = refused.DuplicateOf()
	return upsertOnce(ctx, client, c)
}

func upsertOnce(ctx context.Context, client *mdapi.Client, c *metadata.Component) error {
	// Throw-away components can be written twice, so a write with a lost answer is repeated.
	return client.Conn.Retry.Do(ctx, func() error {
		results, err := client.Upsert(ctx, []*metadata.Component{c})
		if err != nil {
			return err
		}
		if !results[0].Success {
			return results[0].Errors[0]
		}
		return nil
	})
}

func random(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return hex.EncodeToString(b)
}
