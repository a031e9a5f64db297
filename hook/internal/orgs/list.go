package orgs

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
)

// Orgs returns the orgs that a run is for, each once: at least one, unless the run is for a
// shard of them.
func (e *Env) Orgs(flags *Flags) ([]string, error) {
	if flags.Jobs < 1 {
		return nil, usage.Errorf("--jobs must be at least 1")
	}
	if flags.Alias != "" {
		return e.aliased(flags)
	}
	orgs := flags.TargetOrg
	if flags.Orgs != "" {
		more, err := readOrgs(flags.Orgs, e.Stdin)
		if err != nil {
			return nil, usage.Errorf("--orgs: %w", err)
		}
		orgs = append(orgs, more...)
	}
	if flags.AllScratch {
		more, err := e.Store().ScratchOrgs(time.Now())
		if err != nil {
			return nil, err
		}
		if len(more) == 0 && len(orgs) == 0 {
			return nil, errors.New("sf is logged in to no scratch org that has not expired")
		}
		orgs = append(orgs, more...)
	}
	if len(orgs) == 0 {
		here, _, _ := project.Find(".") // sf goes by where it runs, too
		org, err := orgauth.DefaultOrg(here, e.Home, e.Getenv)
		if err != nil {
			return nil, err
		}
		if org == "" {
			org, err = e.givenOrg()
		}
		if err != nil {
			return nil, err
		}
		orgs = []string{org}
	}
	if slices.Contains(orgs, "") { // which an unset variable of a pipeline leaves
		return nil, usage.Errorf("no org is named: give its alias or username with -o")
	}
	// A shard is one of the list as it is, because each job has a store of its own.
	orgs = once(orgs, func(org string) string { return org })
	whole := len(orgs)
	orgs = flags.Shard.part(orgs)
	usernames := e.Store().Usernames()
	orgs = once(orgs, func(org string) string { return cmp.Or(usernames[org], org) })
	if flags.Shard.of == 0 {
		whole = len(orgs)
	}
	if whole > 1 && e.Getenv("SF_ACCESS_TOKEN") != "" && e.Getenv("SF_ORG_INSTANCE_URL") != "" {
		return nil, usage.Errorf("SF_ACCESS_TOKEN is for one org, and several are named; unset it, and log in to them with sf")
	}
	return orgs, nil
}

// aliased returns the org of the session from the environment under the alias that the flags give it.
func (e *Env) aliased(flags *Flags) ([]string, error) {
	if len(flags.TargetOrg) > 0 || flags.Orgs != "" || flags.AllScratch || flags.Shard.of > 0 {
		return nil, usage.Errorf("--alias is for the org of SF_ACCESS_TOKEN and SF_ORG_INSTANCE_URL, and another one is named")
	}
	if strings.Contains(flags.Alias, "@") || isURL(flags.Alias) {
		return nil, usage.Errorf("--alias: %s is not an alias", flags.Alias)
	}
	given, err := e.givenOrg()
	if err == nil && given == "" {
		err = usage.Errorf("--alias is for the org of SF_ACCESS_TOKEN and SF_ORG_INSTANCE_URL, which are not set; name another one with -o")
	}
	return []string{flags.Alias}, err
}

// givenOrg returns the instance URL of the session from the environment, which stands for its org if no alias is
// named, "" if there is none. Half of a session is an error.
func (e *Env) givenOrg() (string, error) {
	token, instance := e.Getenv("SF_ACCESS_TOKEN") != "", e.Getenv("SF_ORG_INSTANCE_URL")
	switch {
	case token && instance != "" && !strings.Contains(instance, "://"):
		return "https://" + instance, nil
	case token && instance != "":
		return instance, nil
	case token:
		return "", usage.Errorf("no org is named: SF_ACCESS_TOKEN is set, and counts only with SF_ORG_INSTANCE_URL, the org's own address")
	case instance != "":
		return "", usage.Errorf("no org is named: SF_ORG_INSTANCE_URL is set, and counts only with SF_ACCESS_TOKEN")
	}
	return "", nil
}

// isURL reports whether an org is named by its instance URL, as givenOrg does.
func isURL(org string) bool { return strings.Contains(org, "://") }

// once returns orgs without those whose name, in any case, was there before.
func once(orgs []string, name func(string) string) []string {
	seen := make(map[string]bool)
	return slices.DeleteFunc(slices.Clone(orgs), func(org string) bool {
		key := strings.ToLower(name(org))
		twice := seen[key]
		seen[key] = true
		return twice
	})
}

// Bounds of a file with orgs.
const (
	maxOrgs  = 16 << 20 // bytes
	maxFleet = 20_000
)

// readOrgs reads a file with one org a line, or what sf org list --json prints.
func readOrgs(name string, stdin io.Reader) ([]string, error) {
	from := stdin
	if name != "-" {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s does not exist", name)
		}
		if err != nil || info.IsDir() {
			return nil, fmt.Errorf("%s cannot be read", name)
		}
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read", name)
		}
		defer file.Close()
		from = file
	}
	data, err := io.ReadAll(io.LimitReader(from, maxOrgs+1))
	if err != nil || len(data) > maxOrgs || bytes.IndexByte(data, 0) >= 0 {
		return nil, fmt.Errorf("%s cannot be read as UTF-8, or is larger than %d MiB", name, maxOrgs>>20)
	}
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")))
	var orgs []string
	if len(data) > 0 && (data[0] == '{' || data[0] == '[') {
		if orgs, err = parseOrgList(data); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	} else {
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			line, _, _ := strings.Cut(lines.Text(), "#")
			if line = strings.TrimSpace(line); line != "" {
				orgs = append(orgs, line)
			}
		}
		if lines.Err() != nil {
			return nil, fmt.Errorf("%s is not a list of orgs, one per line", name)
		}
	}
	if len(orgs) == 0 {
		return nil, fmt.Errorf("%s names no org", name)
	}
	if len(orgs) > maxFleet {
		return nil, fmt.Errorf("%s names %d orgs, and %d are the most for one run", name, len(orgs), maxFleet)
	}
	return orgs, nil
}

// parseOrgList reads what sf org list --json prints: lists of orgs under result,
// of which one org can be in several. Scratch orgs that have expired are left out.
// An array of aliases and usernames will do as well.
func parseOrgList(data []byte) ([]string, error) {
	var names []string
	if json.Unmarshal(data, &names) == nil {
		return names, nil
	}
	type org struct {
		Username  string `json:"username"`
		Alias     string `json:"alias"`
		IsExpired any    `json:"isExpired"` // true, false or "unknown"
	}
	var document struct {
		Result map[string]json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(data, &document); err != nil || document.Result == nil {
		return nil, errors.New("is not what sf org list --json prints")
	}
	var orgs []string
	for _, list := range []string{"scratchOrgs", "sandboxes", "nonScratchOrgs", "devHubs", "other"} {
		var members []org
		if raw, ok := document.Result[list]; !ok || json.Unmarshal(raw, &members) != nil {
			continue
		}
		for _, o := range members {
			if o.Username != "" && o.IsExpired != true {
				orgs = append(orgs, o.Username)
			}
		}
	}
	return orgs, nil
}
