package cli

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/selftest"
	"github.com/ecakit/ecakit/pkg/simorg"
)

type simulateCmd struct {
	Kind            string            `enum:"sandbox,production,scratch" default:"sandbox" help:"Kind of org: sandbox, production or scratch."`
	APIVersion      string            `name:"api-version" placeholder:"NN.0" help:"Newest API version of the org. Default: the newest that eca knows."`
	Port            int               `default:"0" help:"Port to listen on, of this machine's loopback. 0 takes a free one."`
	Latency         time.Duration     `default:"0s" help:"How long every answer is held back."`
	Username        string            `help:"Username of the session that is printed. Default: the administrator in --state, or admin@example.com."`
	User            []string          `placeholder:"USERNAME" help:"Further users of the org, whom policies can refer to."`
	Admin           []string          `placeholder:"USERNAME" help:"Further users of the org with the profile System Administrator, who have Modify All Data."`
	InactiveUser    []string          `placeholder:"USERNAME" help:"Further users of the org who are inactive."`
	PermissionSet   []string          `placeholder:"NAME" help:"Permission sets of the org."`
	Without         []string          `name:"without-permission" placeholder:"PERMISSION" help:"User permissions that the administrator lacks, such as ViewClientSecret. eca help permissions lists those of each command."`
	Profile         []string          `placeholder:"NAME" help:"Profiles of the org."`
	SessionLifetime time.Duration     `default:"0s" help:"How long an access token is good for. 0 is as long as the org is served."`
	JWTClient       map[string]string `name:"jwt-client" placeholder:"KEY=FILE" help:"Connected app that can log in by JWT bearer: its consumer key, and a PEM file with its certificate or public key."`
	State           string            `placeholder:"FILE" help:"File that keeps the org between runs, with its users, permission sets and profiles. Those of these flags are added. It holds the org's sessions and secrets."`
	Requests        string            `placeholder:"FILE" help:"File to which a line is appended for each request, without headers and bodies. Those of a scratch org go to FILE.USERNAME."`
	Deploy          []string          `placeholder:"DIR" help:"Directory with source that is deployed before the org is served, such as the package with an app's header and permission sets."`
	Fill            []string          `placeholder:"DIR" help:"Directory with the initial content of the org: source of Connected Apps, and JSON files with records by object, like {\"OauthToken\": [{\"AppName\": \"Loader\"}]}."`
	DevHub          bool              `help:"Make the org a Dev Hub, of --kind production, which signs up scratch orgs on further ports."`
	MCPServer       []string          `name:"mcp-server" placeholder:"NAME" help:"Hosted MCP servers that are active in the org, such as platform/sobject-all. The org serves them under its own address."`
	Agent           []string          `placeholder:"ID" help:"Agents of the org (0Xx…), which the Agent API serves under the address of the org."`
	Fact            map[string]string `placeholder:"ID=ANSWER" help:"Answer to a question about Salesforce that differs between orgs, such as policies-with-consumer=created. pkg/platform/FACTS.md lists them. Can be repeated."`
	Facts           string            `placeholder:"FILE" help:"Answers that eca selftest --output FILE saw on a real org, or JSON of answers by ID. --fact overrides them."`
}

func (simulateCmd) Help() string {
	return `Prints how to call the org, and serves it until it is interrupted. The access token that it prints opens nothing but this simulated org.`
}

// simulateResult is what --json says of a simulated org.
type simulateResult struct {
	outcome
	InstanceURL string `json:"instanceUrl"`
	Username    string `json:"username"`
	AccessToken string `json:"accessToken"` // opens nothing but the simulated org
	OrgID       string `json:"orgId"`
	Kind        string `json:"kind"`
}

// loadState reads an org's state from a file. A file that does not exist yet is
// an empty org.
func loadState(org *simorg.Org, name string) error {
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return errors.New("cannot be read as a file")
	}
	file, err := os.Open(name)
	if err != nil {
		return errors.New("cannot be read")
	}
	defer file.Close()
	return org.Load(file)
}

// saveState writes an org's state to a file, whole or not at all.
func saveState(org *simorg.Org, name string) error {
	var state bytes.Buffer
	if err := org.Save(&state); err != nil {
		return err
	}
	return atomicfile.Write(name, state.Bytes(), atomicfile.Options{FollowLinks: true})
}

// readPublicKey reads the RSA public key of a certificate, or a bare one.
func readPublicKey(file string) (*rsa.PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	var key any
	if certificate, certErr := x509.ParseCertificate(block.Bytes); certErr == nil {
		key = certificate.PublicKey
	} else if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return nil, errors.New("holds neither a certificate nor a public key")
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("is not an RSA key")
	}
	return public, nil
}

// run serves the org.
func (c *simulateCmd) run(ctx context.Context, e *env) (result, error) {
	config, err := c.config()
	if err != nil {
		return nil, err
	}
	log := &requestLog{name: c.Requests}
	if config.Log, err = log.open(""); err != nil {
		return nil, usage.Errorf("--requests: %w", outputError(c.Requests, err))
	}
	defer log.close()
	config.SignUp = func(scratch *simorg.Config) {
		// If its file cannot be opened, the org is served without a record.
		scratch.Log, _ = log.open(scratch.Username)
	}
	org := simorg.New(config)
	if err := c.prepare(org); err != nil {
		return nil, err
	}
	server, err := simorg.Serve(net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port)), org)
	if err != nil {
		return nil, fmt.Errorf("cannot listen on port %d of the loopback: %w", c.Port, err)
	}
	defer server.Close()
	if e.JSON { // before the command ends, so that somebody can call the org
		r := &simulateResult{InstanceURL: server.URL, Username: org.Username(), AccessToken: org.AccessToken(), OrgID: org.ID(), Kind: c.Kind}
		r.ended(outcome{Command: "simulate", OK: true})
		encoder := json.NewEncoder(e.secrets)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(r); err != nil {
			return printed, err
		}
	}
	e.Line("eca: a simulated %s org; to call it, in another terminal:", c.Kind)
	e.Line("  export SF_ORG_INSTANCE_URL=%s", server.URL)
	if !e.JSON { // a token of the simulated org opens nothing else
		fmt.Fprintf(e.secrets, "  export SF_ACCESS_TOKEN='%s'\n", org.AccessToken())
	}
	e.Line("eca: serving until interrupted")
	<-ctx.Done()
	server.Close()
	if c.State != "" {
		if err := saveState(org, c.State); err != nil {
			return printed, fmt.Errorf("the org's state is lost: %w", outputError(c.State, err))
		}
	}
	e.Line("eca: stopped after %s", console.Plural(int(log.served.Load()), "request"))
	return printed, nil
}

// checkNames refuses names of servers, agents and permissions that an org cannot have.
func (c *simulateCmd) checkNames() error {
	for _, name := range c.MCPServer {
		if prefix, server, ok := strings.Cut(name, "/"); !ok || prefix == "" || server == "" {
			return usage.Errorf("--mcp-server: %s has no prefix, like %s", name, platform.DefaultMCPServer)
		}
	}
	for _, id := range c.Agent {
		if !platform.IsAgentID(id) {
			return usage.Errorf("--agent: %s is not the ID of an agent, which begins with 0Xx and has 15 or 18 characters", id)
		}
	}
	for _, permission := range c.Without {
		if !slices.Contains(simorg.Permissions(), permission) {
			return usage.Errorf("--without-permission: the simulated org does not check %s; it checks %s", permission, strings.Join(simorg.Permissions(), ", "))
		}
	}
	return nil
}

// config returns what the flags say of the org.
func (c *simulateCmd) config() (simorg.Config, error) {
	config := simorg.Config{
		Kind: simorg.Kind(c.Kind), Username: c.Username, Latency: c.Latency, Facts: platform.Answers(c.Fact), DevHub: c.DevHub,
		PermissionSets: c.PermissionSet, Profiles: c.Profile, Withdrawn: c.Without, SessionLifetime: c.SessionLifetime,
		JWTClients: make(map[string]*rsa.PublicKey), Unrecorded: true, MCPServers: c.MCPServer,
	}
	if err := c.checkNames(); err != nil {
		return config, err
	}
	for _, id := range c.Agent {
		config.Agents = append(config.Agents, simorg.Agent{ID: id})
	}
	if c.Port < 0 || c.Port > 65535 {
		return config, usage.Errorf("--port must be between 0 and 65535, not %d", c.Port)
	}
	if c.APIVersion != "" {
		version, err := apiversion.Parse(c.APIVersion)
		if err == nil && (version < eca.MinVersion || version > apiversion.Latest) {
			err = fmt.Errorf("a simulated org has API %s to %s", eca.MinVersion, apiversion.Latest)
		}
		if err != nil {
			return config, usage.Errorf("--api-version: %w", err)
		}
		config.Version = version
	}
	if err := config.Facts.Check(); err != nil {
		return config, usage.Errorf("--fact: %w", err)
	}
	if c.Facts != "" {
		answers, err := readFacts(c.Facts)
		if err != nil {
			return config, usage.Errorf("--facts: %s: %w", c.Facts, err)
		}
		maps.Copy(answers, config.Facts)
		config.Facts = answers
	}
	if c.DevHub && c.Kind != string(simorg.Production) {
		return config, usage.Errorf("--dev-hub goes with --kind production")
	}
	for _, username := range c.User {
		config.Users = append(config.Users, simorg.User{Username: username})
	}
	for _, username := range c.Admin {
		config.Users = append(config.Users, simorg.User{Username: username, Profile: "System Administrator"})
	}
	for _, username := range c.InactiveUser {
		config.Users = append(config.Users, simorg.User{Username: username, Inactive: true})
	}
	for id, file := range c.JWTClient {
		key, err := readPublicKey(file)
		if err != nil {
			return config, usage.Errorf("--jwt-client: %s: %w", file, err)
		}
		config.JWTClients[id] = key
	}
	return config, nil
}

// maxFacts bounds a file with facts in bytes.
const maxFacts = 1 << 20

func readFacts(name string) (platform.Answers, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFacts+1))
	if err != nil || len(data) > maxFacts {
		return nil, errors.New("cannot be read, or is too large")
	}
	return selftest.ReadAnswers(data)
}

// prepare fills the org before it is served: with its state of an earlier run, records and
// source.
func (c *simulateCmd) prepare(org *simorg.Org) error {
	if c.State != "" {
		if err := loadState(org, c.State); err != nil {
			return usage.Errorf("--state: %s: %w", c.State, err)
		}
		// Before anything is done on the org that would be lost.
		if err := atomicfile.Check(c.State, atomicfile.Options{FollowLinks: true}); err != nil {
			return usage.Errorf("--state: %w", outputError(c.State, err))
		}
	}
	for _, dir := range c.Fill {
		source, err := openDir(dir)
		if err == nil {
			err = org.Fill(source, ".")
		}
		if err != nil {
			return usage.Errorf("--fill: %s: %w", dir, err)
		}
	}
	for _, dir := range c.Deploy {
		source, err := openDir(dir)
		if err == nil {
			err = org.Deploy(source, ".")
		}
		if refused, ok := errors.AsType[simorg.DeployFailure](err); ok {
			err = fmt.Errorf("the org refuses %w; deploy the package with the app's header alone", refused)
		}
		if err != nil {
			return usage.Errorf("--deploy: %s: %w", dir, err)
		}
	}
	return nil
}

// requestLog counts the requests of a simulated org and its scratch orgs, and appends them to files.
type requestLog struct {
	name   string // "" writes no files
	served atomic.Int64

	mu    sync.Mutex
	files []*os.File
}

// open returns the log of an org. That of a scratch org has a file of its own, named after its user.
func (l *requestLog) open(user string) (func(simorg.Request), error) {
	if l.name == "" {
		return func(simorg.Request) { l.served.Add(1) }, nil
	}
	name := l.name
	if user != "" {
		name += "." + strings.NewReplacer("/", "_", `\`, "_").Replace(user)
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return func(simorg.Request) { l.served.Add(1) }, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = append(l.files, file)
	return func(r simorg.Request) {
		l.served.Add(1)
		fmt.Fprintf(file, "%s %s %d %s %s %s\n", r.Method, r.Path, r.Status, r.Operation, r.Type, strings.Join(r.FullNames, ","))
	}, nil
}

func (l *requestLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, file := range l.files {
		file.Close()
	}
}
