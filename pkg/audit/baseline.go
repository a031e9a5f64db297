package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/finding"
)

// Baseline is the findings of an earlier audit of one or several orgs. The nil value has none.
type Baseline struct {
	known map[string]finding.Level // by org and key
}

// baselineReport is what a baseline needs of a report.
type baselineReport struct {
	Org, OrgID      string
	Findings, Known []struct {
		Rule, App, Field, ID string
		Level                finding.Level
		Kind                 Kind
	}
}

// formerRules are the IDs of rules that had another one in earlier versions.
var formerRules = map[string]string{"full-scope": "scope-full"}

// ErrNoBaseline reports that a document has no report of an audit.
var ErrNoBaseline = errors.New("the document has no report of an audit")

// ReadBaseline reads the document of an earlier audit: an object with a member report, or with members
// orgs that have one. Findings are known again after their app or org was renamed.
func ReadBaseline(data []byte) (*Baseline, error) {
	var document struct {
		Report *baselineReport
		Orgs   []struct{ Report *baselineReport }
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoBaseline, err)
	}
	reports := []*baselineReport{document.Report}
	for _, one := range document.Orgs {
		reports = append(reports, one.Report)
	}
	b, seen := &Baseline{make(map[string]finding.Level)}, false
	for _, r := range reports {
		if r == nil || r.Org == "" {
			continue
		}
		seen = true
		for _, old := range slices.Concat(r.Findings, r.Known) {
			f := Finding{Finding: finding.Finding{Rule: old.Rule, App: old.App, Field: old.Field}, Kind: old.Kind, ID: old.ID}
			if rule := formerRules[f.Rule]; rule != "" {
				f.Rule = rule
			}
			for _, key := range baselineKeys(r.Org, r.OrgID, f) {
				b.known[key] = old.Level
			}
		}
	}
	if !seen {
		return nil, ErrNoBaseline
	}
	return b, nil
}

// Has reports whether the baseline has a finding of an org, which has not become worse since.
func (b *Baseline) Has(org, orgID string, f Finding) bool {
	if b == nil {
		return false
	}
	return slices.ContainsFunc(baselineKeys(org, orgID, f), func(key string) bool {
		was := b.known[key]
		return was == finding.Error || was == f.Level
	})
}

// baselineKeys identify a finding by the org's name and by its ID.
func baselineKeys(org, orgID string, f Finding) (keys []string) {
	for _, key := range f.Keys() {
		keys = append(keys, strings.ToLower(org)+"\x00"+key)
		if orgID != "" {
			keys = append(keys, orgID+"\x00"+key)
		}
	}
	return keys
}
