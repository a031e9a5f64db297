//go:build unix

// Command bench measures eca against simulated orgs in its own process, each number
// beside what it is to be compared with, and prints tables in Markdown. It is run by
// scripts/bench.sh.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/simorg"
)

var (
	eca        = flag.String("eca", "", "the eca binary")
	sf         = flag.String("sf", "", "the sf command, empty to leave the comparison with it out")
	repeats    = flag.Int("repeats", 5, "how often each thing is measured; the median counts")
	only       = flag.String("only", "", "tables to print, by name: start, process, latencies, wire, apps, fleets, credentials, audit; empty for all")
	secretOrgs = flag.Int("secret-orgs", 500, "number of orgs whose credentials are read")
	sizes      = flag.String("fleets", "1,10,100,500", "numbers of orgs")
)

const latency = 100 * time.Millisecond

// must ends the program with an error.
func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// write writes a file, with the directories above it.
func write(name string, content []byte) {
	must(os.MkdirAll(filepath.Dir(name), 0o700))
	must(os.WriteFile(name, content, 0o600))
}

// cost is what one run of a process took.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // peak, in bytes
}

// run runs a command and measures it.
func run(cmd *exec.Cmd) cost {
	var output strings.Builder
	cmd.Stdout, cmd.Stderr = &output, &output
	started := time.Now()
	err := cmd.Run()
	wall := time.Since(started)
	if err != nil {
		log.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, &output)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return cost{wall, cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Maxrss << 10}
}

// median measures several times and returns the run with the median wall time.
func median(measure func() cost) cost {
	var all []cost
	for range *repeats {
		all = append(all, measure())
	}
	slices.SortFunc(all, func(a, b cost) int { return int(a.wall - b.wall) })
	return all[len(all)/2]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.0f ms", float64(d.Microseconds())/1000) }

func mb(bytes int64) string { return fmt.Sprintf("%.0f MB", float64(bytes)/1e6) }

const (
	username   = "admin@example.com.uat"
	alias      = "uat"
	definition = "testdata/eca-definition"
)

// org starts an org with the sample's header on it.
func org(config simorg.Config, project string) *simorg.Server {
	config.Username = username
	config.Users = []simorg.User{{Username: "integration@example.com.uat"}}
	o := simorg.Start(config)
	must(o.Deploy(os.DirFS(project), definition))
	o.ForgetRequests()
	return o
}

// environment is an environment with nothing in it but a home, and more.
func environment(home string, more ...string) []string {
	return append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "SF_USE_GENERIC_UNIX_KEYCHAIN=true"}, more...)
}

// session is an environment with nothing in it but an org's session.
func session(o *simorg.Server, home string) []string {
	return environment(home, "SF_ACCESS_TOKEN="+o.AccessToken(), "SF_ORG_INSTANCE_URL="+o.URL,
		"SF_DISABLE_TELEMETRY=true", "SF_DISABLE_LOG_FILE=true", "SF_DISABLE_AUTOUPDATE=true")
}

// hook is a run of the hook on an org that sf's store in home is logged in to, as sfp
// leaves it.
func hook(o *simorg.Server, project, home string) *exec.Cmd {
	logIn(home, username, o.Org, o.URL)
	cmd := exec.Command(*eca, "hook", "eca-definition", username, alias, ".", definition)
	cmd.Dir, cmd.Env = project, environment(home)
	return cmd
}

// logIn writes a session of an org into sf's store in home.
func logIn(home, username string, org *simorg.Org, url string) {
	login, err := json.Marshal(map[string]any{"username": username, "orgId": org.ID(), "instanceUrl": url, "accessToken": org.AccessToken(), "isSandbox": true, "isScratch": false, "instanceApiVersion": "65.0"})
	must(err)
	write(filepath.Join(home, ".sfdx", username+".json"), login)
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	dir, err := os.MkdirTemp("", "eca-bench-")
	must(err)
	defer os.RemoveAll(dir)
	project, home := filepath.Join(dir, "project"), filepath.Join(dir, "home")
	must(os.CopyFS(project, ecakit.Sample))
	must(os.Mkdir(home, 0o700))
	for _, table := range []struct {
		name  string
		print func()
	}{
		{"start", func() { start(home) }},
		{"process", func() { process(project, home) }},
		{"latencies", func() { latencies(project, home) }},
		{"wire", func() { wire(dir, project) }},
		{"apps", func() { apps(dir, home) }},
		{"fleets", func() { fleets(dir, project) }},
		{"credentials", func() { credentials(dir, project) }},
		{"audit", func() { audits(dir, project) }},
	} {
		if *only == "" || slices.Contains(strings.Split(*only, ","), table.name) {
			table.print()
		}
	}
}

// start measures what a process costs that does nothing.
func start(home string) {
	fmt.Print("\n| starting | wall | CPU | peak memory |\n|---|---|---|---|\n")
	row := func(name string, cmd func() *exec.Cmd) {
		c := median(func() cost { return run(cmd()) })
		fmt.Printf("| %s | %.1f ms | %.1f ms | %s |\n", name, float64(c.wall.Microseconds())/1000, float64(c.cpu.Microseconds())/1000, mb(c.memory))
	}
	row("`eca --version`", func() *exec.Cmd { return exec.Command(*eca, "--version") })
	row("`true`", func() *exec.Cmd { return exec.Command("true") })
}

// process measures the hook from start to exit on an org that answers at once,
// beside the guide's way: a shell that lets sf run Apex, whose callouts, one for
// each of four components, are made by the org.
func process(project, home string) {
	fmt.Print("\n| on an org without latency | wall | CPU | peak memory |\n|---|---|---|---|\n")
	row := func(name string, c cost) {
		fmt.Printf("| %s | %s | %s | %s |\n", name, ms(c.wall), ms(c.cpu), mb(c.memory))
	}
	row("`eca hook`, first run", median(func() cost {
		o := org(simorg.Config{}, project)
		defer o.Close()
		return run(hook(o, project, home))
	}))
	o := org(simorg.Config{}, project)
	defer o.Close()
	run(hook(o, project, home))
	row("`eca hook`, nothing to change", median(func() cost { return run(hook(o, project, home)) }))
	if *sf == "" {
		return
	}
	row("`sf apex run` of an empty script", median(func() cost { return run(apex(o, home, "")) }))
	row("the guide's way: `sh`, then `sf apex run` with four callouts", median(func() cost { return run(apex(o, home, fourCallouts)) }))
}

// fourCallouts stands for the guide's Apex. The simulated org runs no Apex: it
// holds its answer back for one round trip for each callout that it finds.
const fourCallouts = "new Http().send(upsertOauthSettings());\nnew Http().send(upsertGlobalOauthSettings());\nnew Http().send(upsertPolicies());\nnew Http().send(upsertOauthPolicies());\n"

func apex(o *simorg.Server, home, code string) *exec.Cmd {
	home = filepath.Join(home, "sf") // one with logins, which the hook's has not
	file := filepath.Join(home, "script.apex")
	write(file, []byte(code+"\n"))
	// The login is for whichever org was last logged in to.
	data, err := os.ReadFile(filepath.Join(home, ".sfdx", username+".json"))
	if err != nil || !strings.Contains(string(data), o.URL) {
		run(withEnv(exec.Command(*sf, "org", "login", "access-token", "--instance-url", o.URL, "--no-prompt", "--alias", alias), session(o, home)))
	}
	env := slices.DeleteFunc(session(o, home), func(v string) bool { return strings.HasPrefix(v, "SF_ACCESS") || strings.HasPrefix(v, "SF_ORG_I") })
	return withEnv(exec.Command("sh", "-c", `"$0" apex run --file "$1" -o "$2"`, *sf, file, alias), env)
}

func withEnv(cmd *exec.Cmd, env []string) *exec.Cmd {
	cmd.Env = env
	return cmd
}

// latencies measures the hook on an org that takes its time, over what the round
// trips take that cannot be parallel.
func latencies(project, home string) {
	fmt.Printf("\n| on an org with %s of latency | requests | one after another | wall | over the round trips |\n|---|---|---|---|---|\n", latency)
	row := func(name string, requests []simorg.Request, callouts int, c cost) {
		rounds := simorg.Sequential(requests) + callouts
		fmt.Printf("| %s | %d | %d | %s | %.2f |\n", name, len(requests), rounds, ms(c.wall), float64(c.wall)/float64(time.Duration(rounds)*latency))
	}
	var requests []simorg.Request
	first := median(func() cost {
		o := org(simorg.Config{Latency: latency}, project)
		defer o.Close()
		c := run(hook(o, project, home))
		requests = o.Requests()
		return c
	})
	row("`eca hook`, first run", requests, 0, first)
	o := org(simorg.Config{Latency: latency}, project)
	defer o.Close()
	run(hook(o, project, home))
	second := median(func() cost {
		o.ForgetRequests()
		c := run(hook(o, project, home))
		requests = o.Requests()
		return c
	})
	row("`eca hook`, nothing to change", requests, 0, second)
	if *sf == "" {
		return
	}
	guide := median(func() cost {
		cmd := apex(o, home, fourCallouts)
		o.ForgetRequests()
		c := run(cmd)
		requests = o.Requests()
		return c
	})
	row("the guide's way, callouts among the round trips", requests, 4, guide)
}

// apps measures packages of many apps.
func apps(dir, home string) {
	fmt.Printf("\n| apps in the package, %s of latency | requests | wall | nothing to change | requests | peak memory |\n|---|---|---|---|---|---|\n", latency)
	for _, n := range []int{1, 10, 50, 200} {
		project := filepath.Join(dir, fmt.Sprint("apps", n))
		headers := filepath.Join(project, filepath.FromSlash(definition), "externalClientApps")
		write(filepath.Join(project, "sfdx-project.json"), []byte(`{"packageDirectories": [{"path": "`+definition+`", "package": "eca-definition", "type": "source"}], "sourceApiVersion": "65.0"}`))
		for i := range n {
			write(filepath.Join(headers, fmt.Sprintf("App%03d.eca-meta.xml", i)), []byte(`<ExternalClientApplication xmlns="http://soap.sforce.com/2006/04/metadata"><distributionState>Local</distributionState></ExternalClientApplication>`))
		}
		o := org(simorg.Config{Latency: latency}, project)
		first := run(hook(o, project, home))
		made := len(o.Requests())
		o.ForgetRequests()
		second := run(hook(o, project, home))
		fmt.Printf("| %d | %d | %s | %s | %d | %s |\n", n, made, ms(first.wall), ms(second.wall), len(o.Requests()), mb(max(first.memory, second.memory)))
		o.Close()
	}
}

// fleets measures many orgs at a time: a first run on each, with the sample project, and the
// largest fleet again with a project of many files.
func fleets(dir, project string) {
	fmt.Printf("\n| files of the project | orgs, %d at a time, %s of latency | wall | orgs a second | over the ideal | CPU | peak memory | per org |\n|---|---|---|---|---|---|---|---|\n", fleetJobs, latency)
	row := func(files, n int, c cost, share float64, perOrg string) {
		fmt.Printf("| %d | %d | %.1f s | %.1f | %.2f | %.2f s | %s | %s |\n", files, n, c.wall.Seconds(), float64(n)/c.wall.Seconds(), share, c.cpu.Seconds(), mb(c.memory), perOrg)
	}
	var alone int64
	n := 0
	for _, size := range strings.Split(*sizes, ",") {
		_, err := fmt.Sscan(size, &n)
		must(err)
		c, share := fleet(filepath.Join(dir, "fleet"+size), project, n)
		if alone == 0 {
			alone = c.memory
		}
		perOrg := "-"
		if n > 1 {
			perOrg = fmt.Sprintf("%.0f kB", float64(c.memory-alone)/float64(n-1)/1e3)
		}
		row(count(project), n, c, share, perOrg)
	}
	large := filepath.Join(dir, "large")
	must(os.CopyFS(large, ecakit.Sample))
	for i := range 40_000 {
		name := fmt.Sprintf("eca-%s/main/default/classes/part%03d/Class%05d.cls", [2]string{"definition", "policies"}[i%2], i/100, i)
		write(filepath.Join(large, "testdata", name), []byte("public class A {}\n"))
	}
	c, share := fleet(filepath.Join(dir, "fleet-large"), large, n)
	row(count(large), n, c, share, "-")
}

// credentials measures reading and proving the credentials of many orgs.
func credentials(dir, project string) {
	home := filepath.Join(dir, "credentials")
	orgs, list := fleetOf(home, project, *secretOrgs, simorg.Config{Latency: latency, SecretsInREST: true})
	env := environment(home)
	run(withEnv(exec.Command(*eca, "bootstrap", "--apply-policies", "--policies", filepath.Join(project, "testdata/eca-policies/uat"), "--orgs", list, project), env))
	tokens := fstest.MapFS{"records.json": {Data: []byte(`{"OauthToken": [{"AppName": "ERP Connector", "UserId": "005000000000001AAA", "DeleteToken": "d1"}, {"AppName": "ERP Connector", "UserId": "005000000000001AAA", "DeleteToken": "d2"}]}`)}}
	for _, o := range orgs {
		must(o.Fill(tokens, "."))
	}
	onAll(orgs, list, env, [][]string{
		{"revoke", "--app", "ErpConnector", "--yes"},
		{"credentials", "--app", "ErpConnector", "--output", filepath.Join(home, "all.json")}, {"verify", "--app", "ErpConnector"}, {"rotate", "--app", "ErpConnector", "--", "true"},
	})
	for _, o := range orgs {
		o.Close()
	}
}

// onAll runs commands on all orgs of a fleet.
func onAll(orgs []*simorg.Server, list string, env []string, commands [][]string) {
	fmt.Printf("\n| on %d orgs, %d at a time, %s of latency | rounds | wall | orgs a second | over the ideal | CPU | peak memory |\n|---|---|---|---|---|---|---|\n", len(orgs), fleetJobs, latency)
	for _, args := range commands {
		for _, o := range orgs {
			o.ForgetRequests()
		}
		args = append([]string{args[0], "--orgs", list, "--jobs", fmt.Sprint(fleetJobs)}, args[1:]...)
		c := run(withEnv(exec.Command(*eca, args...), env))
		rounds, share := ideal(orgs, c)
		fmt.Printf("| `eca %s` | %d | %.1f s | %.1f | %.2f | %.2f s | %s |\n", args[0], rounds, c.wall.Seconds(), float64(len(orgs))/c.wall.Seconds(), share, c.cpu.Seconds(), mb(c.memory))
	}
}

// audits measures the audit of an org with 500 apps and 2,500 tokens, and of 200 orgs.
func audits(dir, project string) {
	home := filepath.Join(dir, "audit")
	env := environment(home)
	orgs, list := fleetOf(home, project, 200, simorg.Config{Latency: latency})
	onAll(orgs, list, env, [][]string{{"audit", "--fail-on", "never"}})
	for _, o := range orgs[1:] {
		o.Close()
	}
	files, tokens := make(fstest.MapFS), []string{}
	for i := range 499 {
		label := fmt.Sprintf("App %03d", i)
		files[fmt.Sprintf("A%03d.connectedApp-meta.xml", i)] = &fstest.MapFile{Data: fmt.Appendf(nil, "<ConnectedApp xmlns=\"http://soap.sforce.com/2006/04/metadata\"><contactEmail>a@example.com</contactEmail><label>%s</label><oauthConfig><callbackUrl>https://a.example.com</callbackUrl><isAdminApproved>false</isAdminApproved><scopes>Api</scopes></oauthConfig></ConnectedApp>", label)}
		for u := range 5 {
			tokens = append(tokens, fmt.Sprintf(`{"AppName": %q, "UserId": "005%012dAAA"}`, label, u))
		}
	}
	files["records.json"] = &fstest.MapFile{Data: []byte(`{"OauthToken": [` + strings.Join(tokens, ",") + `]}`)}
	must(orgs[0].Fill(files, "."))
	write(list+".one", []byte("user000@example.com"))
	fmt.Printf("\nOf an org with 500 apps and %d tokens:\n", len(tokens))
	onAll(orgs[:1], list+".one", env, [][]string{{"audit", "--fail-on", "never"}})
	orgs[0].Close()
}

// count returns how many files a project has.
func count(project string) (n int) {
	filepath.WalkDir(project, func(_ string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			n++
		}
		return nil
	})
	return n
}

// fleetJobs is how many orgs of a fleet are worked on at once.
const fleetJobs = 16

// fleetOf starts n orgs with the app's header, logs sf's store in home in to them, and returns the
// file that lists them.
func fleetOf(home, project string, n int, config simorg.Config) (orgs []*simorg.Server, list string) {
	var names []string
	for i := range n {
		o := org(config, project)
		name := fmt.Sprintf("user%03d@example.com", i)
		logIn(home, name, o.Org, o.URL)
		orgs, names = append(orgs, o), append(names, name)
	}
	list = filepath.Join(home, "orgs")
	write(list, []byte(strings.Join(names, "\n")))
	return orgs, list
}

// fleet bootstraps n new orgs. share is what the ideal would take of the time that it took.
func fleet(home, project string, n int) (c cost, share float64) {
	orgs, list := fleetOf(home, project, n, simorg.Config{Latency: latency})
	c = run(withEnv(exec.Command(*eca, "bootstrap", "--orgs", list, "--jobs", fmt.Sprint(fleetJobs), project), environment(home)))
	_, share = ideal(orgs, c)
	for _, o := range orgs {
		o.Close()
	}
	return c, share
}

// ideal returns the rounds of requests that no org can do without, and what they would take of the
// time that a run on all orgs took.
func ideal(orgs []*simorg.Server, c cost) (rounds int, share float64) {
	rounds = simorg.Sequential(orgs[0].Requests())
	for _, o := range orgs {
		rounds = min(rounds, simorg.Sequential(o.Requests())) // what a slow moment of this machine pulled apart does not count
	}
	least := time.Duration((len(orgs)+fleetJobs-1)/fleetJobs*rounds) * latency
	return rounds, float64(least) / float64(c.wall)
}
