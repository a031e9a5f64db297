package main

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// places says where a run looks for the policies of the environment.
type places struct {
	Policies  string `placeholder:"DIR" help:"Directory with the policies of this environment, instead of looking for them."`
	Artifacts string `placeholder:"DIR" default:"artifacts" help:"Directory with sfp's artifacts, where the policies' package is looked for before the project."`
}

// openDir opens a directory as a file system that leads nowhere else, by no
// ".." and no link.
func openDir(dir string) (fs.FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("the directory %s cannot be opened", dir)
	}
	return root.FS(), nil
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

func (sys *system) store() *orgauth.Store {
	dir := filepath.Join(sys.home, ".sfdx")
	return &orgauth.Store{Dir: dir, Keychain: orgauth.DefaultKeychain(dir, runtime.GOOS, sys.getenv)}
}

// session returns the session for an org: that of SF_ACCESS_TOKEN and
// SF_ORG_INSTANCE_URL where both are set, else the one that sf has stored.
func (sys *system) session(ctx context.Context, org string) (*orgauth.Session, error) {
	token, instance := sys.getenv("SF_ACCESS_TOKEN"), sys.getenv("SF_ORG_INSTANCE_URL")
	if token == "" || instance == "" {
		return sys.store().Session(ctx, org)
	}
	session, err := orgauth.FromToken(token, instance)
	if err != nil {
		return nil, fmt.Errorf("SF_ACCESS_TOKEN with SF_ORG_INSTANCE_URL: %w", err)
	}
	if strings.Contains(org, "@") {
		session.Username = org
		// A token that was left over in the environment from another org would
		// bootstrap that one.
		if stored := sys.store().OrgID(org); stored != "" && session.OrgID != "" && !sameID(stored, session.OrgID) {
			return nil, fmt.Errorf("SF_ACCESS_TOKEN is for the org %s, but %s is logged in to %s; unset SF_ACCESS_TOKEN or give the right one", session.OrgID, org, stored)
		}
	} else {
		session.Alias = org
	}
	return session, nil
}

// sameID compares record IDs, of which the first 15 characters count.
func sameID(a, b string) bool {
	return len(a) >= 15 && len(b) >= 15 && a[:15] == b[:15]
}

// apiVersion chooses the API version of a run without asking the org.
func (sys *system) apiVersion(flag string, session *orgauth.Session, project metadata.Version) (metadata.Version, error) {
	version, origin := cmp.Or(session.Version, project, metadata.LatestVersion), "the version that this org or project is set to"
	for _, given := range []struct{ text, origin string }{{flag, "--api-version"}, {sys.getenv("SF_ORG_API_VERSION"), "SF_ORG_API_VERSION"}} {
		if given.text == "" {
			continue
		}
		v, err := metadata.ParseVersion(given.text)
		if err != nil {
			return 0, usageError{fmt.Errorf("%s: %w", given.origin, err)}
		}
		version, origin = v, given.origin
		break
	}
	if version < metadata.MinVersion {
		err := fmt.Errorf("%s: External Client Apps can be bootstrapped from API version %s on, not with %s", origin, metadata.MinVersion, version)
		if origin == "--api-version" {
			return 0, usageError{err}
		}
		return 0, err
	}
	return version, nil
}
