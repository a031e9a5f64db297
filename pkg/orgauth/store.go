package orgauth

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/internal/files"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Store is the Salesforce CLI's store of logins: a directory with one JSON file per username
// and an alias file. The key to them is kept elsewhere, see Keychain. The store is never
// written. A Store is safe for concurrent use.
type Store struct {
	// Dir is the directory, .sfdx in the user's home directory.
	Dir string

	// SF is the path of the Salesforce CLI. It renews sessions that this package cannot renew,
	// and inherits this process's environment. "" disables it.
	SF string

	// AudienceURL replaces the audience of a JWT, like SF_AUDIENCE_URL of the CLI; "" follows
	// the CLI's own rules.
	AudienceURL string

	// Keychain returns the key that decrypts the tokens. It is called when the first session
	// needs it. The result is kept, unless the context ended.
	Keychain Keychain

	mu    sync.Mutex
	asked bool
	key   salesforce.Secret
	err   error // why there is no key
}

// storeKey returns the store's key.
func (s *Store) storeKey(ctx context.Context) (salesforce.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		s.key, s.err = s.Keychain.Key(ctx)
		s.asked = ctx.Err() == nil
	}
	return s.key, s.err
}

// maxStored bounds the files of the store. Real ones have a few kilobytes.
const maxStored = 4 << 20

// login is the part of a login's file that this package uses.
type login struct {
	Username           string            `json:"username"`
	OrgID              string            `json:"orgId"`
	InstanceURL        string            `json:"instanceUrl"`
	AccessToken        salesforce.Secret `json:"accessToken"`
	LoginURL           string            `json:"loginUrl"`
	ClientID           string            `json:"clientId"`
	PrivateKey         string            `json:"privateKey"` // path of the private key; set for a JWT login
	RefreshToken       salesforce.Secret `json:"refreshToken"`
	CreatedOrgInstance string            `json:"createdOrgInstance"`
	InstanceAPIVersion string            `json:"instanceApiVersion"`
	IsSandbox          *bool             `json:"isSandbox"`
	IsScratch          *bool             `json:"isScratch"`
	DevHubUsername     string            `json:"devHubUsername"`
	ExpirationDate     string            `json:"expirationDate"` // of a scratch org, like 2026-12-24
}

// kind returns the org's kind. For scratch orgs the CLI stores isSandbox as false, so false is
// conclusive only together with isScratch.
func (l login) kind() platform.Kind {
	switch {
	case l.DevHubUsername != "" || l.IsScratch != nil && *l.IsScratch:
		return platform.Scratch
	case l.IsSandbox != nil && *l.IsSandbox:
		return platform.Sandbox
	case l.IsSandbox != nil && l.IsScratch != nil:
		return platform.Production
	}
	return platform.Unknown
}

// Session returns the session for the alias or username of an org that the CLI is logged in to.
// An error is an *Error.
func (s *Store) Session(ctx context.Context, org string) (*Session, error) {
	aliases, err := s.aliases()
	if err != nil {
		return nil, err
	}
	username, ok := aliases.username(org)
	if !ok {
		username = org
	}
	l, err := s.login(username)
	if errors.Is(err, fs.ErrNotExist) {
		similar := words.Similar(org, aliases.names())
		message := fmt.Sprintf("no org %q is logged in on this machine", org)
		if ok {
			similar = ""
			message = fmt.Sprintf("the alias %q stands for %s, which is not logged in on this machine", org, username)
		}
		return nil, &Error{Reason: ErrUnknownOrg, Message: message, Login: org, Similar: similar}
	}
	if err != nil {
		return nil, err
	}
	if l.AccessToken.IsZero() {
		return nil, &Error{Reason: ErrNoToken, Message: fmt.Sprintf("the login of %s has no access token", username), Login: org}
	}
	token := l.AccessToken
	if isEncrypted(token) {
		key, err := s.storeKey(ctx)
		if err != nil {
			return nil, &Error{Reason: ErrNoKey, Message: "the key to sf's logins was not found", Login: org, Err: err}
		}
		if token, err = decrypt(token, key); err != nil {
			return nil, &Error{Reason: ErrWrongKey, Message: fmt.Sprintf("the login of %s cannot be decrypted with the key of this machine", username), Login: org, Err: err}
		}
	}
	session, err := FromToken(token, l.InstanceURL)
	if err != nil {
		return nil, &Error{Reason: err.(*Error).Reason, Message: "the login of " + username + " cannot be used", Err: err}
	}
	alias := aliases.alias(username)
	if ok {
		alias = org
	}
	kind := session.Kind
	session.Login, session.TokenGiven = l.known(username, alias), false
	session.Kind = cmp.Or(session.Kind, kind)
	session.renewal.how = s.renew(l, session)
	return session, nil
}

// known returns what a login's file says about the org.
func (l login) known(username, alias string) Login {
	version, _ := apiversion.Parse(l.InstanceAPIVersion) // an invalid version counts as unknown
	return Login{Username: username, Alias: alias, OrgID: l.OrgID, Kind: l.kind(), ClientID: l.ClientID, Version: version}
}

// Known returns the store's login of an org, by alias or username, without its token, and
// whether there is one. It is for runs that get their token elsewhere.
func (s *Store) Known(org string) (Login, bool) {
	aliases, _ := s.aliases()
	username, alias := org, ""
	if name, ok := aliases.username(org); ok {
		username, alias = name, org
	}
	l, err := s.login(username)
	if err != nil {
		return Login{}, false
	}
	return l.known(username, cmp.Or(alias, aliases.alias(username))), true
}

// Usernames returns the usernames by alias. An unreadable alias file counts as empty.
func (s *Store) Usernames() map[string]string {
	aliases, _ := s.aliases()
	usernames := make(map[string]string, len(aliases))
	for _, pair := range aliases {
		usernames[pair.alias] = pair.username
	}
	return usernames
}

// ScratchOrgs returns the scratch orgs in the store that have not expired by then, in the order
// of their usernames. Each is given by its alias, or by its username if it has none. Unreadable
// logins are skipped.
func (s *Store) ScratchOrgs(then time.Time) ([]string, error) {
	aliases, err := s.aliases()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, unreadable(s.Dir, err)
	}
	var orgs []string
	for _, file := range entries {
		username, ok := strings.CutSuffix(file.Name(), ".json")
		if !ok || !strings.Contains(username, "@") {
			continue
		}
		l, err := s.login(username)
		if err != nil || l.kind() != platform.Scratch {
			continue
		}
		// A scratch org exists until the end of its last day.
		if expires, err := time.Parse(time.DateOnly, l.ExpirationDate); err == nil && then.After(expires.AddDate(0, 0, 1)) {
			continue
		}
		orgs = append(orgs, cmp.Or(aliases.alias(username), username))
	}
	return orgs, nil
}

// aliases are the pairs of the alias file, in its order. For a username, sf uses the first.
type aliases []struct{ alias, username string }

// username returns the username for an alias, and whether there is one.
func (a aliases) username(alias string) (string, bool) {
	for _, pair := range a {
		if pair.alias == alias {
			return pair.username, true
		}
	}
	return "", false
}

// alias returns the first alias for a username, or "".
func (a aliases) alias(username string) string {
	for _, pair := range a {
		if pair.username == username {
			return pair.alias
		}
	}
	return ""
}

func (a aliases) names() []string {
	var names []string
	for _, pair := range a {
		names = append(names, pair.alias)
	}
	return names
}

func (s *Store) aliases() (aliases, error) {
	name := filepath.Join(s.Dir, "alias.json")
	data, err := files.Read(name, maxStored)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, unreadable(name, err)
	}
	return parseAliases(name, data)
}

func parseAliases(name string, data []byte) (aliases, error) {
	var file struct {
		Orgs json.RawMessage `json:"orgs"`
	}
	var byAlias map[string]string
	err := json.Unmarshal(data, &file)
	if err == nil && len(file.Orgs) > 0 {
		err = json.Unmarshal(file.Orgs, &byAlias)
	}
	if err != nil {
		return nil, unreadable(name, errors.New("it is not the JSON that sf writes"))
	}
	// Decode again for the order, now that it is known to be an object of strings.
	var all aliases
	d := json.NewDecoder(bytes.NewReader(file.Orgs))
	for {
		token, err := d.Token()
		if err != nil {
			return all, nil
		}
		if alias, ok := token.(string); ok {
			d.Token()
			all = append(all, struct{ alias, username string }{alias, byAlias[alias]})
		}
	}
}

func (s *Store) login(username string) (login, error) {
	// The username becomes part of a file name, so it must not contain a path.
	if username == "" || !filepath.IsLocal(username) || strings.ContainsAny(username, `/\`) {
		return login{}, fs.ErrNotExist
	}
	name := filepath.Join(s.Dir, username+".json")
	data, err := files.Read(name, maxStored)
	if errors.Is(err, fs.ErrNotExist) {
		return login{}, err
	}
	if err != nil {
		return login{}, unreadable(name, err)
	}
	return parseLogin(name, data)
}

func parseLogin(name string, data []byte) (login, error) {
	var l login
	// The decoder's error could contain parts of the file, so drop it.
	if err := json.Unmarshal(data, &l); err != nil {
		return login{}, unreadable(name, errors.New("it is not the JSON that sf writes"))
	}
	return l, nil
}

func unreadable(name string, err error) error {
	return &Error{Reason: ErrStore, Message: "cannot read sf's auth store at " + name, Err: files.Plain(err)}
}
