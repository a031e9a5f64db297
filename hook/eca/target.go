package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// places says where a run looks for the policies of the environment.
type places struct {
	Policies  string `placeholder:"DIR" env:"ECA_POLICIES" help:"Directory with the policies of this environment, instead of looking for them."`
	Artifacts string `placeholder:"DIR" env:"ECA_ARTIFACTS" help:"Directory with sfp's artifacts, where the policies' package is looked for before the project. Otherwise artifacts, where there is such a directory."`

	ApplyPolicies bool `name:"apply-policies" env:"ECA_APPLY_POLICIES" help:"Bring the OAuth policies of the environment to the org as well, under the name that it has them. Otherwise applyPolicies of plugins.eca."`
}

// artifacts returns the directory with artifacts, "" where there is none. base is
// where the one that nobody names is looked for.
func (p places) artifacts(base string) (string, error) {
	dir := cmp.Or(p.Artifacts, filepath.Join(base, "artifacts"))
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return dir, nil
	case p.Artifacts == "":
		return "", nil
	}
	return "", usageError{fmt.Errorf("--artifacts: %s is no directory", dir)}
}

// openDir opens a directory as a file system that leads nowhere else, by no
// ".." and no link.
func openDir(dir string) (fs.FS, error) {
	fsys, err := sfp.OpenDir(dir)
	if err != nil {
		return nil, fmt.Errorf("the directory %s cannot be opened", dir)
	}
	return fsys, nil
}

// siblingProject returns the working directory where it holds a project, or nil.
func siblingProject() fs.FS {
	if _, err := os.Stat(sfp.ProjectFile); err != nil {
		return nil
	}
	fsys, err := openDir(".")
	if err != nil {
		return nil
	}
	return fsys
}

// openStore returns the store in which sf keeps its logins.
func openStore(home string, getenv func(string) string) *orgauth.Store {
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

// session returns the session for an org: that of SF_ACCESS_TOKEN and
// SF_ORG_INSTANCE_URL where both are set, else the one that sf has stored.
func (sys *system) session(ctx context.Context, org string) (*orgauth.Session, error) {
	token, instance := salesforce.NewSecret(sys.getenv("SF_ACCESS_TOKEN")), sys.getenv("SF_ORG_INSTANCE_URL")
	if !token.IsZero() && instance != "" {
		session, err := orgauth.FromToken(token, instance)
		if err != nil {
			return nil, fmt.Errorf("SF_ACCESS_TOKEN with SF_ORG_INSTANCE_URL: %w", err)
		}
		return session, nil
	}
	if sys.home == "" {
		return nil, errors.New("there is no home directory (HOME is not set), where sf keeps its logins")
	}
	session, err := sys.store().Session(ctx, org)
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
func (sys *system) identify(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn, org string) error {
	var known orgauth.Login
	if sys.home != "" {
		known, _ = sys.store().Known(org)
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
	if known.OrgID != "" && !sameID(known.OrgID, own.OrgID) {
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

// connect returns the session for an org and a connection that uses it, in the API version
// of the run.
func (sys *system) connect(ctx context.Context, traffic *traffic, all *cli, org string, source *bootstrap.Source) (*orgauth.Session, *salesforce.Conn, error) {
	session, err := sys.session(ctx, org)
	if err != nil {
		return nil, nil, err
	}
	traffic.open(session.InstanceURL)
	session.HTTPClient = traffic.client()
	conn := session.Conn()
	conn.HTTPClient = session.HTTPClient
	conn.Timeout = attemptTimeout(all.Timeout)
	conn.Retry = &salesforce.Retry{Budget: all.RetryFor, Notify: traffic.retrying}
	if session.TokenGiven {
		if err := sys.identify(ctx, session, conn, org); err != nil {
			return nil, nil, err
		}
	}
	conn.Version, err = sys.apiVersion(all.APIVersion, session, source)
	return session, conn, err
}

// attemptTimeout returns how long one attempt of a call may take in a run that may take so
// long: a fifth of it, so that an org that accepts a call and never answers is tried again,
// but no less than an org may well need.
func attemptTimeout(run time.Duration) time.Duration {
	return min(salesforce.DefaultTimeout, max(run/5, 5*time.Second))
}

// sameID compares record IDs, of which the first 15 characters count.
func sameID(a, b string) bool {
	return len(a) >= 15 && len(b) >= 15 && a[:15] == b[:15]
}

// statedVersion returns the API version that the flag or the environment states, 0
// where neither does.
func (sys *system) statedVersion(flag string) (apiversion.Version, error) {
	for _, stated := range []struct{ text, origin string }{{flag, "--api-version"}, {sys.getenv("SF_ORG_API_VERSION"), "SF_ORG_API_VERSION"}} {
		if stated.text == "" {
			continue
		}
		v, err := apiversion.Parse(stated.text)
		if err != nil {
			return 0, usageError{fmt.Errorf("%s: %w", stated.origin, err)}
		}
		return v, checkVersion(v, stated.origin)
	}
	return 0, nil
}

func checkVersion(v apiversion.Version, origin string) error {
	if v < eca.MinVersion {
		return usageError{fmt.Errorf("%s: External Client Apps can be bootstrapped from API version %s on, not with %s", origin, eca.MinVersion, v)}
	}
	return nil
}

// apiVersion chooses the API version of a run without asking the org.
func (sys *system) apiVersion(flag string, session *orgauth.Session, source *bootstrap.Source) (apiversion.Version, error) {
	version, err := sys.statedVersion(flag)
	switch {
	case err != nil || version != 0:
		return version, err
	case session.Version != 0:
		return session.Version, checkVersion(session.Version, "instanceApiVersion of sf's login of "+session.Username)
	case source.Version != 0:
		return source.Version, checkVersion(source.Version, source.File()+": sourceApiVersion")
	}
	return apiversion.Latest, nil
}
