package simorg

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/eca"
)

// savedState is what Save writes.
type savedState struct {
	Org       string               `json:"org"`
	Kind      Kind                 `json:"kind"`
	Token     string               `json:"token"`
	Sessions  map[string]time.Time `json:"sessions"`
	Serial    int                  `json:"serial"`
	Records   []savedRecord        `json:"records"`
	Broken    []string             `json:"broken,omitempty"`
	Artifacts []row                `json:"artifacts,omitempty"`

	Grants map[string]grant `json:"grants,omitempty"`

	ObjectPermissions []row                        `json:"objectPermissions,omitempty"`
	Stored            map[string]*storedCredential `json:"stored,omitempty"`
	Principals        map[string]string            `json:"principals,omitempty"`
	Staged            map[string]*pair             `json:"staged,omitempty"`
	Made              map[string]time.Time         `json:"made,omitempty"`

	Filled map[string][]row `json:"filled,omitempty"`

	Access      []row `json:"access,omitempty"`
	Assignments []row `json:"assignments,omitempty"`
}

type savedRecord struct {
	Type     string       `json:"type"`
	FullName string       `json:"fullName"`
	ID       string       `json:"id"`
	Fields   []savedValue `json:"fields"`
	Secret   string       `json:"secret,omitempty"`
}

type savedValue struct {
	Name   string       `json:"name"`
	Text   string       `json:"text,omitempty"`
	Nested []savedValue `json:"nested,omitempty"`
}

// Save writes all that the org holds, its sessions and consumer secrets among it,
// for Load. Requests and faults are not part of it.
func (o *Org) Save(w io.Writer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := savedState{Org: o.id, Kind: o.config.Kind, Token: o.token, Sessions: o.sessions, Serial: o.serial, Artifacts: o.artifacts, Access: o.access, Assignments: o.assignments, Grants: o.grants, Staged: o.staged, Made: o.made, ObjectPermissions: o.objectPermissions, Stored: o.stored, Principals: o.principals, Filled: o.filled}
	for _, typ := range append(types(), eca.Lookup(eca.OrgSettings)) {
		for _, rec := range o.all(typ.Name) {
			s.Records = append(s.Records, savedRecord{rec.typ, rec.fullName, rec.id, saveValues(rec.fields), rec.secret})
		}
	}
	for app := range o.broken {
		s.Broken = append(s.Broken, app)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(s)
}

// Load replaces all that the org holds by what Save wrote for an org of the same
// kind.
func (o *Org) Load(r io.Reader) error {
	var s savedState
	d := json.NewDecoder(r)
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("this is not the state of a simulated org: %w", err)
	}
	if _, err := d.Token(); err != io.EOF || s.Org == "" || s.Token == "" || s.Sessions == nil || slices.ContainsFunc(slices.Concat(s.Artifacts, s.Access, s.Assignments), func(r row) bool { return r == nil }) {
		return errors.New("this is not the state of a simulated org")
	}
	if s.Kind != o.config.Kind {
		return fmt.Errorf("this is the state of a %s org, not of a %s one", s.Kind, o.config.Kind)
	}
	for _, saved := range s.Records {
		if lookup(saved.Type) == nil {
			return fmt.Errorf("this state holds %s, which no simulated org has", saved.Type)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.id, o.token, o.sessions, o.serial, o.artifacts = s.Org, s.Token, s.Sessions, s.Serial, s.Artifacts
	o.access, o.assignments = s.Access, s.Assignments
	o.objectPermissions = s.ObjectPermissions
	restore(o.grants, s.Grants)
	restore(o.stored, s.Stored)
	restore(o.principals, s.Principals)
	restore(o.staged, s.Staged)
	restore(o.made, s.Made)
	clear(o.filled)
	for name, rows := range s.Filled {
		for _, r := range rows {
			o.filled[name] = append(o.filled[name], lower(r)) // which knows parents again
		}
	}
	settings := o.find(eca.OrgSettings, eca.OrgSettingsName)
	clear(o.records)
	o.store(settings) // which a state of before may lack
	clear(o.broken)
	for _, saved := range s.Records {
		o.store(&record{typ: saved.Type, fullName: saved.FullName, id: saved.ID, fields: loadValues(saved.Fields), secret: saved.Secret})
	}
	for _, app := range s.Broken {
		o.broken[strings.ToLower(app)] = true
	}
	return nil
}

// restore makes the content of a map that of a saved one.
func restore[K comparable, V any](m, saved map[K]V) {
	clear(m)
	maps.Copy(m, saved)
}

func saveValues(values []value) []savedValue {
	var saved []savedValue
	for _, v := range values {
		saved = append(saved, savedValue{v.name, v.text, saveValues(v.nested)})
	}
	return saved
}

func loadValues(saved []savedValue) []value {
	var values []value
	for _, s := range saved {
		values = append(values, value{s.Name, s.Text, loadValues(s.Nested)})
	}
	return values
}
