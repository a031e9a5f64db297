package orgs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/hook/internal/transport"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"

	"github.com/ecakit/ecakit/pkg/orgauth"
)

// OpenStore returns the store in which sf keeps its logins.
func OpenStore(home string, getenv func(string) string) *orgauth.Store {
	dir := filepath.Join(home, ".sfdx")
	sf, err := exec.LookPath("sf")
	if err != nil {
		sf = ""
	}
	return &orgauth.Store{
		Dir: dir, Keychain: orgauth.DefaultKeychain(dir, runtime.GOOS, getenv),
		SF: sf, AudienceURL: cmp.Or(getenv("SF_AUDIENCE_URL"), getenv("SFDX_AUDIENCE_URL")),
	}
}

// Cache returns the directory in which eca keeps what it may need in a later run, "" if the user has
// none. A directory for temporary files is no substitute: other users could put files there. Neither is one that
// another user owns or can write to, as where HOME is such a directory.
func (e *Env) Cache() string {
	above := e.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(above) {
		if !filepath.IsAbs(e.Home) {
			return ""
		}
		above = filepath.Join(e.Home, ".cache")
	}
	dir := filepath.Join(above, "eca")
	for _, one := range []string{dir, above} {
		if info, err := os.Stat(one); err == nil && !isOwn(info, one == above) {
			return ""
		}
	}
	return dir
}

// session returns the session for an org: that of SF_ACCESS_TOKEN and
// SF_ORG_INSTANCE_URL where both are set, else the one that sf has stored.
func (e *Env) session(ctx context.Context, org string) (*orgauth.Session, error) {
	token, instance := salesforce.NewSecret(e.Getenv("SF_ACCESS_TOKEN")), e.Getenv("SF_ORG_INSTANCE_URL")
	if !token.IsZero() && instance != "" {
		session, err := orgauth.FromToken(token, instance)
		if err != nil {
			return nil, fmt.Errorf("SF_ACCESS_TOKEN with SF_ORG_INSTANCE_URL: %w", err)
		}
		return session, nil
	}
	if e.Home == "" {
		return nil, errors.New("there is no home directory (HOME is not set), where sf keeps its logins")
	}
	session, err := e.Store().Session(ctx, org)
	if errors.Is(err, orgauth.ErrUnknownOrg) && (!token.IsZero() || instance != "") {
		set, missing := "SF_ACCESS_TOKEN", "SF_ORG_INSTANCE_URL"
		if token.IsZero() {
			set, missing = missing, set
		}
		return nil, fmt.Errorf("%w (%s is set, and counts only with %s)", err, set, missing)
	}
	return session, err
}

// Ahead is a session for an org and a connection that uses it. While the org is still asked for its API
// versions, Conn has the newest version that this program knows.
type Ahead struct {
	Session *orgauth.Session
	Conn    *salesforce.Conn

	asked chan versionAnswer // nil if nothing is asked
}

type versionAnswer struct {
	newest apiversion.Version
	err    error
}

// Pending reports whether the org is still asked for its API versions.
func (a *Ahead) Pending() bool { return a.asked != nil }

// Settle waits until the API version is known. If changed is true, the org lacks the version that Conn
// had, and what was read with it does not count.
func (a *Ahead) Settle() (changed bool, err error) {
	if a.asked != nil {
		answer := <-a.asked // which ends with the context of ConnectAhead
		a.asked = nil
		if answer.err != nil {
			return false, answer.err
		}
		changed = answer.newest < a.Conn.Version
		a.Conn.Version = min(a.Conn.Version, answer.newest)
	}
	if a.Conn.Version < eca.MinVersion {
		return changed, fmt.Errorf("the org has API version %s, and External Client Apps need %s or later", a.Conn.Version, eca.MinVersion)
	}
	return changed, nil
}

// learn asks the org, in one round, for what is not known of a session: whose it is, the org's kind and
// its API versions. A known version counts only if it is the newest that this program knows, because
// orgs are upgraded. If only the versions are missing, learn does not wait for them. If nothing is
// missing, it sends nothing.
func (e *Env) learn(ctx context.Context, a *Ahead, org string, stated apiversion.Version) error {
	session, conn := a.Session, a.Conn
	var known orgauth.Login
	if session.TokenGiven && e.Home != "" {
		known, _ = e.Store().Known(org)
		session.Version, session.Kind = known.Version, cmp.Or(known.Kind, session.Kind)
	}
	who := session.TokenGiven && (known.OrgID == "" || session.OrgID == "")
	versions := stated == 0 && session.Version < apiversion.Latest
	conn.Version = cmp.Or(stated, apiversion.Latest)
	asking := *conn
	asking.Version = cmp.Or(stated, eca.MinVersion) // which all orgs have
	client := &restapi.Client{Conn: &asking}
	if versions {
		a.asked = make(chan versionAnswer, 1)
		go func() {
			newest, err := client.NewestVersion(ctx)
			a.asked <- versionAnswer{newest, err}
		}()
	}
	if who || versions && session.Kind == platform.Unknown {
		// The requests use the session, so its fields change only when all have ended.
		var group sync.WaitGroup
		var noUser, noKind error
		info := restapi.UserInfo{OrgID: session.OrgID, Username: session.Username}
		kind := session.Kind
		if who {
			group.Go(func() {
				if info, noUser = client.UserInfo(ctx); noUser != nil {
					noUser = fmt.Errorf("reading the user of SF_ACCESS_TOKEN: %w", noUser)
				}
			})
		}
		if kind == platform.Unknown {
			group.Go(func() {
				var facts restapi.Organization
				facts, noKind = client.Organization(ctx)
				kind = facts.Kind()
			})
		}
		group.Wait()
		if err := cmp.Or(noUser, noKind); err != nil {
			if versions {
				<-a.asked // so that no request is left when the run ends
			}
			return err
		}
		if _, err := a.Settle(); err != nil { // in the same round
			return err
		}
		session.OrgID, session.Username, session.Kind = info.OrgID, info.Username, kind
	}
	if session.TokenGiven {
		return identify(session, known, org)
	}
	return nil
}

// identify makes sure that a token from the environment is for the org that was named: one left over
// from another run would change another org. known is sf's login of that name.
func identify(session *orgauth.Session, known orgauth.Login, org string) error {
	named := known.Username
	if named == "" && strings.Contains(org, "@") {
		named = org
	}
	if named != "" && session.Username != "" && !strings.EqualFold(named, session.Username) {
		return fmt.Errorf("SF_ACCESS_TOKEN is a session of %s at %s, and %s was named; unset SF_ACCESS_TOKEN, or give that user's", session.Username, session.InstanceURL, named)
	}
	if known.OrgID != "" && !restapi.SameID(known.OrgID, session.OrgID) {
		return fmt.Errorf("SF_ACCESS_TOKEN is for the org %s, but %s is logged in to %s; unset SF_ACCESS_TOKEN or give the right one", session.OrgID, org, known.OrgID)
	}
	session.Username, session.Alias = cmp.Or(session.Username, known.Username), known.Alias
	if known.Username == "" && !strings.Contains(org, "@") && !isURL(org) {
		session.Alias = org
	}
	return nil
}

// warnOnce warns of the settings of connections once, not for each org.
var warnOnce sync.Once

// Connect returns the session for an org and a connection that uses it. Its API version is the one
// that the flag or the environment states, or else the newest that both the org and this program
// know.
func (e *Env) Connect(ctx context.Context, work *Work, flags *CallFlags, org string) (*orgauth.Session, *salesforce.Conn, error) {
	a, err := e.ConnectAhead(ctx, work, flags, org)
	if err != nil {
		return nil, nil, err
	}
	if _, err := a.Settle(); err != nil {
		return nil, nil, err
	}
	return a.Session, a.Conn, nil
}

// ConnectAhead is Connect that does not wait for the org's API versions if everything else is known.
// The caller calls Settle before anything is written.
func (e *Env) ConnectAhead(ctx context.Context, work *Work, flags *CallFlags, org string) (*Ahead, error) {
	stated, err := e.StatedVersion(flags.APIVersion)
	if err != nil {
		return nil, err
	}
	work.Await("sf's login of " + org)
	session, err := e.session(ctx, org)
	if err != nil {
		return nil, err
	}
	settings, err := transport.Environment()
	if err != nil {
		return nil, usage.Error{Err: err}
	}
	if settings.Warning != "" {
		warnOnce.Do(func() { work.Note("%s", "warning: "+settings.Warning) })
	}
	work.Open(session.InstanceURL)
	session.HTTPClient = work.Client()
	conn := session.Conn()
	conn.HTTPClient = session.HTTPClient
	conn.Timeout = flags.attemptTimeout()
	conn.Retry = &salesforce.Retry{Budget: flags.RetryFor, Notify: work.retrying}
	a := &Ahead{Session: session, Conn: conn}
	return a, e.learn(ctx, a, org, stated)
}

// StatedVersion returns the API version that the flag or the environment states, 0
// where neither does.
func (e *Env) StatedVersion(flag string) (apiversion.Version, error) {
	for _, stated := range []struct{ text, origin string }{{flag, "--api-version"}, {e.Getenv("SF_ORG_API_VERSION"), "SF_ORG_API_VERSION"}} {
		if stated.text == "" {
			continue
		}
		v, err := apiversion.Parse(stated.text)
		if err != nil {
			return 0, usage.Errorf("%s: %w", stated.origin, err)
		}
		return v, checkVersion(v, stated.origin)
	}
	return 0, nil
}

func checkVersion(v apiversion.Version, origin string) error {
	if v < eca.MinVersion {
		return usage.Errorf("%s: External Client Apps can be bootstrapped from API version %s on, not with %s", origin, eca.MinVersion, v)
	}
	return nil
}

// On connects to an org and does something there, within the time that the flags give. An
// error names the org.
func On[T any](ctx context.Context, e *Env, work *Work, flags *CallFlags, org string, do func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (T, error)) (result T, err error) {
	timeout := fmt.Errorf("not done after %s (--timeout)", flags.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, flags.Timeout, timeout)
	defer cancel()
	defer work.Close()
	defer work.Working(work.Waiting)()
	session, conn, err := e.Connect(ctx, work, flags, org)
	if err == nil {
		result, err = do(ctx, session, conn)
		if by := session.Renewed(); by != "" {
			work.Line("the session had expired and was renewed %s", by)
		}
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = &Error{org, Ended(ctx, timeout, work)}
	case errors.As(err, new(*orgauth.Error)):
		// It names the org itself.
	default:
		err = &Error{org, err}
	}
	return result, err
}
