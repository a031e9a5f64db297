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
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/salesforce"

	"github.com/ecakit/ecakit/pkg/internal/files"
)

// Store is the place where the Salesforce CLI keeps its logins: a directory with
// one JSON file a username and an alias file, and a key outside of them. It is
// only read. A Store may be used by several goroutines.
type Store struct {
	// Dir is the directory, .sfdx in the user's home directory.
	Dir string

	// SF is the Salesforce CLI's command, which is asked to renew a session that
	// cannot be renewed here, with this process's environment; "" asks nobody.
	SF string

	// AudienceURL takes the place of the audience in a JWT, as SF_AUDIENCE_URL does
	// for the CLI; "" stands for the CLI's own rules.
	AudienceURL string

	// Keychain gives the key that the CLI encrypted the tokens with. It is asked once,
	// when the first session needs it; a question that a context ended is asked again.
	Keychain Keychain

	mu    sync.Mutex
	asked bool
	key   salesforce.Secret
	err   error // why there is no key
}

// storeKey returns the key of the store.
func (s *Store) storeKey(ctx context.Context) (salesforce.Secret, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.asked {
		s.key, s.err = s.Keychain.Key(ctx)
		s.asked = ctx.Err() == nil
	}
	return s.key, s.err
}

// maxStored bounds the files of the store, which hold a few kilobytes.
const maxStored = 4 << 20

// login is the part of a login's file that matters here.
type login struct {
	Username           string            `json:"username"`
	OrgID              string            `json:"orgId"`
	InstanceURL        string            `json:"instanceUrl"`
	AccessToken        salesforce.Secret `json:"accessToken"`
	LoginURL           string            `json:"loginUrl"`
	ClientID           string            `json:"clientId"`
	PrivateKey         string            `json:"privateKey"` // the path of the key's file: a JWT login
	RefreshToken       salesforce.Secret `json:"refreshToken"`
	CreatedOrgInstance string            `json:"createdOrgInstance"`
	InstanceAPIVersion string            `json:"instanceApiVersion"`
	IsSandbox          *bool             `json:"isSandbox"`
	IsScratch          *bool             `json:"isScratch"`
	DevHubUsername     string            `json:"devHubUsername"`
	ExpirationDate     string            `json:"expirationDate"` // of a scratch org, like 2026-12-24
}

// kind reads what the CLI stored about the org. It stores isSandbox as false for
// scratch orgs, so false tells something only together with isScratch.
func (l login) kind() salesforce.Kind {
	switch {
	case l.DevHubUsername != "" || l.IsScratch != nil && *l.IsScratch:
		return salesforce.Scratch
	case l.IsSandbox != nil && *l.IsSandbox:
		return salesforce.Sandbox
	case l.IsSandbox != nil && l.IsScratch != nil:
		return salesforce.Production
	}
	return salesforce.Unknown
}

// Session returns the session of an org that the CLI is logged in to, by alias
// or username. An error is an *Error.
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
		alias := org
		if strings.Contains(org, "@") {
			alias = "ALIAS"
		}
		message := fmt.Sprintf("no org %q is logged in on this machine%s; log in first, for example with: sf org login web --alias %s", org, words.DidYouMean(org, aliases.names()), alias)
		if ok {
			message = fmt.Sprintf("the alias %q stands for %s, which is not logged in on this machine; log in first, for example with: sf org login web --alias %[1]s", org, username)
		}
		return nil, &Error{Reason: ErrUnknownOrg, Message: message}
	}
	if err != nil {
		return nil, err
	}
	if l.AccessToken.IsZero() {
		return nil, &Error{Reason: ErrNoToken, Message: fmt.Sprintf("the login of %s holds no access token; log in again", username)}
	}
	token := l.AccessToken
	if isEncrypted(token) {
		key, err := s.storeKey(ctx)
		if err != nil {
			return nil, &Error{Reason: ErrNoKey, Message: "the key to sf's logins cannot be had, so log in to the org again with sf", Err: err}
		}
		if token, err = decrypt(token, key); err != nil {
			return nil, &Error{Reason: ErrWrongKey, Message: fmt.Sprintf("the login of %s cannot be decrypted with the key of this machine; log in again", username), Err: err}
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

// known is what the file of a login tells of it.
func (l login) known(username, alias string) Login {
	version, _ := apiversion.Parse(l.InstanceAPIVersion) // what is not a version counts as none
	return Login{Username: username, Alias: alias, OrgID: l.OrgID, Kind: l.kind(), Version: version}
}

// Known returns what the store has of an org without its token, by alias or username,
// and whether it has the org: for a run whose token comes from elsewhere.
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

// Usernames returns the usernames that aliases stand for. An alias file that cannot
// be read counts as none.
func (s *Store) Usernames() map[string]string {
	aliases, _ := s.aliases()
	usernames := make(map[string]string, len(aliases))
	for _, pair := range aliases {
		usernames[pair.alias] = pair.username
	}
	return usernames
}

// ScratchOrgs returns the scratch orgs that the CLI is logged in to and that have
// not expired by then, by alias where they have one and by username otherwise, in
// the order of their usernames. Files of the store that cannot be read are passed
// over.
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
		if err != nil || l.kind() != salesforce.Scratch {
			continue
		}
		// A scratch org is there until the end of its last day.
		if expires, err := time.Parse(time.DateOnly, l.ExpirationDate); err == nil && then.After(expires.AddDate(0, 0, 1)) {
			continue
		}
		orgs = append(orgs, cmp.Or(aliases.alias(username), username))
	}
	return orgs, nil
}

// aliases are the pairs of an alias file, in the file's order, of which sf takes
// the first for a username.
type aliases []struct{ alias, username string }

// username returns what an alias stands for.
func (a aliases) username(alias string) (string, bool) {
	for _, pair := range a {
		if pair.alias == alias {
			return pair.username, true
		}
	}
	return "", false
}

// alias returns the first alias that stands for the username, or "".
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
	// The second pass is for the order, of what is known to be an object of strings.
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
	// A username is part of a file's name here and must not lead elsewhere.
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
	// The decoder's error could repeat what it read, so it is not passed on.
	if err := json.Unmarshal(data, &l); err != nil {
		return login{}, unreadable(name, errors.New("it is not the JSON that sf writes"))
	}
	return l, nil
}

func unreadable(name string, err error) error {
	return &Error{Reason: ErrStore, Message: fmt.Sprintf("sf's auth store cannot be read at %s", name), Err: plain(err)}
}

// plain takes the path off an error of the file system.
func plain(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
