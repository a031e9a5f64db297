// Package selftest asks a real org for the facts of pkg/platform.
//
//	report, err := selftest.Run(ctx, conn, selftest.Options{})
//
// A run works with throw-away apps, a permission set and an external credential under a random name with
// the prefix EcaSelftest, on scratch orgs, sandboxes and Developer Editions only. It deletes them at the
// end. If a run is killed, the next one finds them by their names, deletes them, and restores the org
// setting that the run had switched. Two runs on one org at once disturb each other.
package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Options change a run. The zero value asks everything.
type Options struct {
	// Only are the IDs of the facts to ask; none asks all.
	Only []string

	// Wait is how long to wait for the token endpoint to know the new consumer. Salesforce says two to ten
	// minutes. The facts about logins stay unknown if it takes longer.
	Wait time.Duration

	// Progress, if not nil, is called for each event, from one goroutine.
	Progress func(Event)
}

// Event is something that has happened in a run.
type Event struct {
	Step   Step
	Name   string        // of the deleted or left component; of LeftoverDeleted and NotDeleted
	Result *Result       // of Answered
	Done   int           // number of facts with a result so far, of Answered
	Of     int           // number of facts of the run
	Wait   time.Duration // the time to the next attempt; of Waiting
}

// Step is the kind of an Event.
type Step string

// The steps of a run.
const (
	LeftoverDeleted Step = "leftover deleted" // something of a killed run
	Begun           Step = "begun"            // the throw-away app exists
	Answered        Step = "answered"         // a fact has a result
	Waiting         Step = "waiting"          // the token endpoint does not know the new consumer yet
	CleaningUp      Step = "cleaning up"
)

// Status is how an org's answer compares with the expected one.
type Status string

// The statuses.
const (
	Confirmed Status = "confirmed"
	Different Status = "different"
	Unknown   Status = "unknown" // Result.Evidence says why
)

// Report is the result of a run. It contains no secret, and neither the org's name nor its users'.
type Report struct {
	Org   Org       `json:"org"`
	Date  time.Time `json:"date"`
	Facts []Result  `json:"facts"`
}

// Org describes the org without naming it.
type Org struct {
	Kind       string `json:"kind"` // sandbox, scratch org, or Developer Edition
	APIVersion string `json:"apiVersion"`
	Edition    string `json:"edition,omitempty"`  // OrganizationType
	Instance   string `json:"instance,omitempty"` // InstanceName, which many orgs share
}

// Result is what a run found out about a fact.
type Result struct {
	ID       string `json:"id"`
	Question string `json:"question"`
	Expected string `json:"expected"`
	Seen     string `json:"seen"` // "" if unknown
	Status   Status `json:"status"`
	Evidence string `json:"evidence"` // what the org said, or why the answer is unknown
}

// Answers returns what the run saw, for a simulated org.
func (r *Report) Answers() platform.Answers {
	answers := make(platform.Answers)
	for _, fact := range r.Facts {
		if fact.Status != Unknown {
			answers[fact.ID] = fact.Seen
		}
	}
	return answers
}

// DifferentError reports answers other than the expected ones.
type DifferentError struct{ IDs []string }

func (e *DifferentError) Error() string {
	if len(e.IDs) == 1 {
		return "1 fact differs from what is expected: " + e.IDs[0]
	}
	return fmt.Sprintf("%d facts differ from what is expected: %s", len(e.IDs), strings.Join(e.IDs, ", "))
}

// Differences returns a *DifferentError if an answer differs, else nil.
func (r *Report) Differences() error {
	var different []string
	for _, fact := range r.Facts {
		if fact.Status == Different {
			different = append(different, fact.ID)
		}
	}
	if len(different) == 0 {
		return nil
	}
	return &DifferentError{different}
}

// ReadAnswers reads the answers in a report, or in plain JSON of answers by ID. The error says which ID or
// answer the table lacks.
func ReadAnswers(data []byte) (platform.Answers, error) {
	var report struct{ Facts []Result }
	answers := make(platform.Answers)
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil {
		return nil, fmt.Errorf("not the JSON of a selftest, or of answers by ID: %w", err)
	}
	if _, isReport := members["facts"]; isReport {
		if err := json.Unmarshal(data, &report); err != nil {
			return nil, fmt.Errorf("not the report of a selftest: %w", err)
		}
		for _, fact := range report.Facts {
			if err := CheckIDs([]string{fact.ID}); err != nil {
				return nil, err
			}
		}
		answers = (&Report{Facts: report.Facts}).Answers()
	} else if err := json.Unmarshal(data, &answers); err != nil {
		return nil, fmt.Errorf("neither the report of a selftest, nor answers by ID: %w", err)
	}
	return answers, answers.Check()
}

// Count returns the number of facts with a status.
func (r *Report) Count(status Status) (n int) {
	for _, fact := range r.Facts {
		if fact.Status == status {
			n++
		}
	}
	return n
}

// KindError reports that a run is not for an org of this kind. Nothing was written.
type KindError struct {
	Kind string // "" if the org does not show its kind
	Err  error  // why it is not known, or nil
}

func (e *KindError) Error() string {
	switch {
	case e.Kind != "":
		return fmt.Sprintf("this is a %s org; a selftest works on scratch orgs, sandboxes and Developer Editions only", e.Kind)
	case e.Err != nil:
		return fmt.Sprintf("the kind of the org cannot be found, and a selftest does not run on production: %v", e.Err)
	}
	return "the org does not show its kind, and a selftest does not run on production"
}

// Unwrap returns e.Err.
func (e *KindError) Unwrap() error { return e.Err }

// LeftoverError reports that a run could not delete everything that it created. The next run does.
type LeftoverError struct {
	App string // the name with which the names of all leftovers begin
	Err error
}

func (e *LeftoverError) Error() string {
	return fmt.Sprintf("what the selftest created could not be deleted (names that begin with %s): %v", e.App, e.Err)
}

// Unwrap returns e.Err.
func (e *LeftoverError) Unwrap() error { return e.Err }

// CheckIDs returns a *platform.UnknownFactError for the first ID that the table lacks.
func CheckIDs(ids []string) error {
	for _, id := range ids {
		if platform.Lookup(id) == nil {
			return &platform.UnknownFactError{ID: id}
		}
	}
	return nil
}

// Unasked returns the report of a run that asks nothing: the evidence says only what a run could not ask.
func Unasked(only []string) *Report {
	report := &Report{Facts: []Result{}}
	for _, fact := range platform.Facts() {
		if (Options{Only: only}).wanted(fact.ID) {
			report.Facts = append(report.Facts, Result{ID: fact.ID, Question: fact.Question, Expected: fact.Expected, Status: Unknown, Evidence: fact.Limit})
		}
	}
	return report
}

// Run asks an org for facts. If it fails after it has begun, the report has what it found out until then.
// It always deletes what it created. If that fails, the error is a *LeftoverError.
func Run(ctx context.Context, conn *salesforce.Conn, options Options) (*Report, error) {
	if err := CheckIDs(options.Only); err != nil {
		return nil, err
	}
	org, err := identify(ctx, conn)
	if err != nil {
		return nil, err
	}
	r, err := newRun(ctx, conn, org, options)
	if err != nil {
		return nil, err
	}
	err = r.ask(ctx)
	if cleanErr := r.cleanUp(ctx); cleanErr != nil {
		err = errors.Join(err, cleanErr)
	}
	return r.report(), err
}

// developerEdition is the OrganizationType of a Developer Edition.
const developerEdition = "Developer Edition"

// identify returns which org this is. Of an org that may be production the error is a *KindError.
func identify(ctx context.Context, conn *salesforce.Conn) (Org, error) {
	type organization struct {
		IsSandbox                                           *bool
		TrialExpirationDate, OrganizationType, InstanceName string
	}
	columns := []string{"Id", "IsSandbox", "TrialExpirationDate", "OrganizationType", "InstanceName"}
	found, _, err := restapi.QueryColumns[organization](ctx, &restapi.Client{Conn: conn}, columns, "Organization")
	if restapi.Refused(err) {
		return Org{}, &KindError{Err: err}
	}
	if err != nil {
		return Org{}, err
	}
	if len(found) != 1 || found[0].IsSandbox == nil {
		return Org{}, &KindError{}
	}
	org := Org{APIVersion: conn.APIVersion().String(), Edition: found[0].OrganizationType, Instance: found[0].InstanceName}
	switch kind := (restapi.Organization{IsSandbox: *found[0].IsSandbox, TrialExpirationDate: found[0].TrialExpirationDate}).Kind(); {
	case kind.IsSandbox():
		org.Kind = string(kind)
	case org.Edition == developerEdition:
		org.Kind = developerEdition
	default:
		return Org{}, &KindError{Kind: string(kind)}
	}
	return org, nil
}

// wanted reports whether one of some facts is to be asked.
func (o Options) wanted(ids ...string) bool {
	return len(o.Only) == 0 || slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(o.Only, id) })
}
