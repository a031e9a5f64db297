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
)

// state is what an org holds besides its components.
type state struct {
	Token             string                       `json:"token"`    // the administrator's session
	Sessions          map[string]time.Time         `json:"sessions"` // when each access token ends, zero for never
	Serial            int                          `json:"serial"`
	Artifacts         []row                        `json:"artifacts,omitempty"`   // sfp's records of what it has installed
	Access            []row                        `json:"access,omitempty"`      // what permission sets grant
	Assignments       []row                        `json:"assignments,omitempty"` // users who have permission sets
	ObjectPermissions []row                        `json:"objectPermissions,omitempty"`
	Filled            map[string][]row             `json:"filled,omitempty"`     // by object: from Fill, and logins
	Stored            map[string]*storedCredential `json:"stored,omitempty"`     // by credentialKey
	Principals        map[string]string            `json:"principals,omitempty"` // IDs, by credentialKey
	Grants            map[string]grant             `json:"grants,omitempty"`     // by access token
	Staged            map[string]*pair             `json:"staged,omitempty"`     // by the consumer's ID
	Made              map[string]time.Time         `json:"made,omitempty"`       // consumers, by app in lower case
	Refresh           map[string]*refreshToken     `json:"refresh,omitempty"`    // by refresh token
	Servers           []row                        `json:"servers,omitempty"`    // MCP servers that were activated
}

func newState() state {
	return state{
		Sessions: make(map[string]time.Time), Filled: make(map[string][]row), Stored: make(map[string]*storedCredential),
		Principals: make(map[string]string), Grants: make(map[string]grant), Staged: make(map[string]*pair),
		Made: make(map[string]time.Time), Refresh: make(map[string]*refreshToken),
	}
}

// savedState is what Save writes.
type savedState struct {
	Org           string        `json:"org"`
	Kind          Kind          `json:"kind"`
	Users         []User        `json:"users,omitempty"` // the administrator first
	Profiles      []string      `json:"profiles,omitempty"`
	ModifyAllData []string      `json:"modifyAllData,omitempty"`
	Records       []savedRecord `json:"records"`
	Broken        []string      `json:"broken,omitempty"`
	state
}

type savedRecord struct {
	Type     string  `json:"type"`
	FullName string  `json:"fullName"`
	ID       string  `json:"id"`
	Fields   []value `json:"fields"`
	Secret   string  `json:"secret,omitempty"`
}

// Save writes all that the org holds, its sessions and consumer secrets among it,
// for Load. Requests and faults are not part of it.
func (o *Org) Save(w io.Writer) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := savedState{
		Org: o.id, Kind: o.config.Kind, Users: o.config.Users, Profiles: o.config.Profiles, ModifyAllData: o.config.ModifyAllData,
		Broken: slices.Collect(maps.Keys(o.broken)), state: o.state,
	}
	for _, typ := range slices.Concat(types(), settingsTypes) {
		for _, rec := range o.all(typ.Name) {
			s.Records = append(s.Records, savedRecord{rec.typ, rec.fullName, rec.id, rec.fields, rec.secret})
		}
	}
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(s)
}

// Load replaces all that the org holds by what Save wrote for an org of the same kind. The users,
// permission sets and profiles of Config come to those that were saved.
func (o *Org) Load(r io.Reader) error {
	s := savedState{state: newState()}
	s.Sessions = nil // every saved state has sessions
	d := json.NewDecoder(r)
	if err := d.Decode(&s); err != nil {
		return fmt.Errorf("this is not the state of a simulated org: %w", err)
	}
	_, err := d.Token()
	isNil := func(r row) bool { return r == nil }
	if err != io.EOF || s.Org == "" || s.Token == "" || s.Sessions == nil || s.Stored == nil || s.Principals == nil ||
		s.Grants == nil || s.Staged == nil || s.Made == nil ||
		s.Refresh == nil || slices.Contains(slices.Collect(maps.Values(s.Refresh)), nil) ||
		slices.ContainsFunc(slices.Concat(s.Artifacts, s.Access, s.Assignments, s.Servers), isNil) {
		return errors.New("this is not the state of a simulated org")
	}
	if s.Kind != o.config.Kind {
		return fmt.Errorf("this is the state of a %s org, not of a %s one", s.Kind, o.config.Kind)
	}
	for _, saved := range s.Records {
		if lookup(saved.Type) == nil || saved.FullName == "" {
			return fmt.Errorf("this state holds %s, which no simulated org has", saved.Type)
		}
	}
	defer o.shareKeys() // without the lock
	o.mu.Lock()
	defer o.mu.Unlock()
	o.id, o.state = s.Org, s.state
	o.state.Filled = make(map[string][]row)
	for name, rows := range s.Filled {
		for _, r := range rows {
			o.state.Filled[name] = append(o.state.Filled[name], lower(r)) // which finds parents again
		}
	}
	clear(o.records)
	o.addSettings() // states of older versions may lack these
	clear(o.broken)
	for _, saved := range s.Records {
		o.store(&record{typ: saved.Type, fullName: saved.FullName, id: saved.ID, fields: saved.Fields, secret: saved.Secret})
	}
	for _, app := range s.Broken {
		o.broken[strings.ToLower(app)] = true
	}
	o.addConfigured(s)
	return nil
}

// addConfigured adds the users, profiles and permission sets of Config to those that were saved. Users
// keep their IDs, which count them.
func (o *Org) addConfigured(s savedState) {
	configured := o.config.Users
	if len(s.Users) == 0 { // a state of an older version
		s.Users = configured[:1]
	}
	o.config.Users = s.Users
	if o.named && o.userIndex(o.config.Username) < 0 {
		o.config.Users[0].Username = o.config.Username
	}
	for _, user := range configured[1:] {
		switch at := o.userIndex(user.Username); {
		case at < 0:
			o.config.Users = append(o.config.Users, user)
		case at > 0:
			o.config.Users[at] = user
		}
	}
	o.config.Username = o.config.Users[0].Username
	for _, profile := range s.Profiles {
		if !slices.Contains(o.config.Profiles, profile) {
			o.config.Profiles = append(o.config.Profiles, profile)
		}
	}
	for _, name := range s.ModifyAllData {
		if !slices.Contains(o.config.ModifyAllData, name) {
			o.config.ModifyAllData = append(o.config.ModifyAllData, name)
		}
	}
	for _, name := range o.config.PermissionSets {
		o.addPermissionSet(name)
	}
	o.addServers()
}
