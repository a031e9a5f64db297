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

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
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

// Cache returns the directory in which eca keeps what it may need in a later run.
func (e *Env) Cache() string {
	if dir := e.Getenv("XDG_CACHE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "eca")
	}
	return filepath.Join(cmp.Or(e.Home, os.TempDir()), ".cache", "eca")
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

// identify makes sure that a token which was given outright is for the org that was named:
// one that was left over in the environment would bootstrap another. Where sf's store knows
// the org, its ID tells; otherwise the org is asked whose session it is, once, and before
// anything else is sent to it.
func (e *Env) identify(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn, org string) error {
	var known orgauth.Login
	if e.Home != "" {
		known, _ = e.Store().Known(org)
	}
	own := session.Login
	if known.OrgID == "" || own.OrgID == "" {
		info, err := (&restapi.Client{Conn: conn}).UserInfo(ctx)
		if err != nil {
			return fmt.Errorf("whose session SF_ACCESS_TOKEN is: %w", err)
		}
		own.OrgID, own.Username = info.OrgID, info.Username
		named := known.Username
		if named == "" && strings.Contains(org, "@") {
			named = org
		}
		if named != "" && !strings.EqualFold(named, own.Username) {
			return fmt.Errorf("SF_ACCESS_TOKEN is a session of %s at %s, and %s was named; unset SF_ACCESS_TOKEN, or give that user's", own.Username, session.InstanceURL, named)
		}
	}
	if known.OrgID != "" && !restapi.SameID(known.OrgID, own.OrgID) {
		return fmt.Errorf("SF_ACCESS_TOKEN is for the org %s, but %s is logged in to %s; unset SF_ACCESS_TOKEN or give the right one", own.OrgID, org, known.OrgID)
	}
	session.OrgID = own.OrgID
	session.Username, session.Alias = cmp.Or(own.Username, known.Username), known.Alias
	session.Version, session.Kind = known.Version, cmp.Or(known.Kind, session.Kind)
	if known.Username == "" && !strings.Contains(org, "@") {
		session.Alias = org
	}
	return nil
}

// Connect returns the session for an org and a connection that uses it, in the API version of
// the run: that of the flag or the environment, of the login, or of the project, whose file is
// named in messages.
func (e *Env) Connect(ctx context.Context, work *Work, flags *CallFlags, org string, project apiversion.Version, file string) (*orgauth.Session, *salesforce.Conn, error) {
	session, err := e.session(ctx, org)
	if err != nil {
		return nil, nil, err
	}
	work.Open(session.InstanceURL)
	session.HTTPClient = work.Client()
	conn := session.Conn()
	conn.HTTPClient = session.HTTPClient
	conn.Timeout = flags.attemptTimeout()
	conn.Retry = &salesforce.Retry{Budget: flags.RetryFor, Notify: work.retrying}
	if session.TokenGiven {
		if err := e.identify(ctx, session, conn, org); err != nil {
			return nil, nil, err
		}
	}
	conn.Version, err = e.apiVersion(flags.APIVersion, session, project, file)
	return session, conn, err
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

// apiVersion chooses the API version of a run without asking the org.
func (e *Env) apiVersion(flag string, session *orgauth.Session, project apiversion.Version, file string) (apiversion.Version, error) {
	version, err := e.StatedVersion(flag)
	switch {
	case err != nil || version != 0:
		return version, err
	case session.Version != 0:
		return session.Version, checkVersion(session.Version, "instanceApiVersion of sf's login of "+session.Username)
	case project != 0:
		return project, checkVersion(project, file+": sourceApiVersion")
	}
	return apiversion.Latest, nil
}

// On connects to an org and does something there, within the time that the flags give. An
// error names the org.
func On[T any](ctx context.Context, e *Env, work *Work, flags *CallFlags, org string, do func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (T, error)) (result T, err error) {
	timeout := fmt.Errorf("not done after %s (--timeout)", flags.Timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, flags.Timeout, timeout)
	defer cancel()
	defer work.Close()
	session, conn, err := e.Connect(ctx, work, flags, org, 0, "")
	if err == nil {
		result, err = do(ctx, session, conn)
		if by := session.Renewed(); by != "" {
			work.Line("the session had expired and was renewed %s", by)
		}
	}
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = &Error{org, Ended(ctx, timeout)}
	case errors.As(err, new(*orgauth.Error)):
		// It names the org itself.
	default:
		err = &Error{org, err}
	}
	return result, err
}
