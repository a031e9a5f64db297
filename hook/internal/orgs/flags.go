package orgs

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// CallFlags are the flags of commands that call an org.
type CallFlags struct {
	Verbose    bool          `short:"v" from:"ECA_VERBOSE" help:"Also print each request, and each field of what is created."`
	APIVersion string        `name:"api-version" placeholder:"NN.0" help:"API version of all calls. Default: SF_ORG_API_VERSION, then the newest that the org and eca know."`
	Timeout    time.Duration `default:"10m" from:"ECA_TIMEOUT" help:"Give up on an org after this long."`
	RetryFor   time.Duration `name:"retry-for" default:"1m" from:"ECA_RETRY_FOR" help:"Keep retrying transient failures (dropped connections, busy servers, locked records) for up to this long. 0 disables retries."`
}

// Check returns an error for values that no run can use.
func (f *CallFlags) Check() error {
	if f.Timeout <= 0 {
		return usage.Errorf("--timeout must be positive")
	}
	if f.RetryFor < 0 {
		return usage.Errorf("--retry-for must not be negative")
	}
	return nil
}

// attemptTimeout returns how long one attempt of a call may take: a fifth of the time of the
// run, so that an org that accepts a call and never answers is tried again, but no less than an
// org may well need.
func (f *CallFlags) attemptTimeout() time.Duration {
	return min(salesforce.DefaultTimeout, max(f.Timeout/5, 5*time.Second))
}

// Flags name the orgs that a command works on.
type Flags struct {
	TargetOrg  []string `short:"o" sep:"none" placeholder:"ORG" help:"Alias or username of the org. Can be repeated. Default: that of sf, SF_TARGET_ORG, then target-org of the project, then of the user, then the org of SF_ACCESS_TOKEN and SF_ORG_INSTANCE_URL."`
	Alias      string   `placeholder:"ALIAS" help:"Alias of the org of SF_ACCESS_TOKEN and SF_ORG_INSTANCE_URL, which selects its environment. Default: on sandboxes and scratch orgs, the environment default."`
	Orgs       string   `placeholder:"FILE" help:"File with further orgs, one per line, or the output of sf org list --json. - reads standard input."`
	AllScratch bool     `name:"all-scratch" help:"All scratch orgs that sf is logged in to and that have not expired."`
	Shard      Shard    `placeholder:"I/N" help:"Work on the I-th of N parts of the orgs, counted from 1, so that N jobs divide a list without overlap. The parts depend on the list alone: give each job the same one, with each org under one name."`
	Jobs       int      `default:"16" help:"How many orgs are worked on at once."`
	FailFast   bool     `name:"fail-fast" help:"After an org fails, begin no further one."`
}

// Several reports whether the command works on a fleet.
func (f *Flags) Several(orgs []string) bool {
	return len(orgs) > 1 || f.Orgs != "" || f.AllScratch || f.Shard.of > 0
}

// Shard is one of several parts of a list. The zero Shard is all of it.
type Shard struct{ index, of int }

// UnmarshalText reads a shard like 2/4.
func (s *Shard) UnmarshalText(text []byte) (err error) {
	index, of, _ := strings.Cut(string(text), "/")
	if s.of, err = strconv.Atoi(of); err == nil {
		s.index, err = strconv.Atoi(index)
	}
	switch {
	case err != nil || s.of < 1 || s.index > s.of || s.index < 0:
		return fmt.Errorf("%q is not a shard like 1/4, the first of four", text)
	case s.index == 0:
		return fmt.Errorf("%q: shards count from 1; where a job's index counts from 0, as Kubernetes' JOB_COMPLETION_INDEX, add 1", text)
	}
	return nil
}

// part returns the shard's elements of a list, every N-th: the parts differ by one at most.
func (s Shard) part(list []string) []string {
	if s.of == 0 {
		return list
	}
	part := []string{}
	for i := s.index - 1; i < len(list); i += s.of {
		part = append(part, list[i])
	}
	return part
}
