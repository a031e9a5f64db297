package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// repository is the repository of these tests.
const repository = "../../.."

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(repository, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// TestWorkflowsArePinned: workflows and the action use other actions by commit, and keep no credentials where code
// of the repository runs.
func TestWorkflowsArePinned(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(repository, ".github/workflows/*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("the workflows are %v, %v", files, err)
	}
	uses := regexp.MustCompile(`(?m)^\s*-?\s*uses: (.*)$`)
	pinned := regexp.MustCompile(`^[\w-]+(?:/[\w-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)
	for _, file := range append(files, filepath.Join(repository, "hook/action/action.yml")) {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range uses.FindAllStringSubmatch(string(data), -1) {
			if !pinned.MatchString(match[1]) {
				t.Errorf("%s uses %s, which is not pinned by commit, with its version", file, match[1])
			}
		}
		if n, kept := strings.Count(string(data), "actions/checkout@"), strings.Count(string(data), "persist-credentials: false"); n != kept {
			t.Errorf("%s checks out %d times, and %d times without credentials", file, n, kept)
		}
	}
}

// jobs returns the jobs of a workflow as text, by name.
func jobs(workflow string) map[string]string {
	all := make(map[string]string)
	_, text, _ := strings.Cut(workflow, "\njobs:\n")
	names := regexp.MustCompile(`(?m)^  ([\w-]+):$`).FindAllStringSubmatchIndex(text, -1)
	for i, at := range names {
		end := len(text)
		if i+1 < len(names) {
			end = names[i+1][0]
		}
		all[text[at[2]:at[3]]] = text[at[0]:end]
	}
	return all
}

// TestReleasePermissions: what runs code of the repository cannot publish, and what publishes runs none.
func TestReleasePermissions(t *testing.T) {
	t.Parallel()
	workflow := readFile(t, ".github/workflows/release.yml")
	if !strings.Contains(workflow, "\npermissions: {}\n") {
		t.Error("the release workflow has permissions for all jobs")
	}
	all := jobs(workflow)
	permission := regexp.MustCompile(`(?m)^      ([\w-]+): (\w+)`)
	for name, want := range map[string][]string{
		"test": {"contents: read"}, "build": {"contents: read"}, "attest": {"attestations: write", "id-token: write"},
		"github": {"contents: write"}, "npm": {"id-token: write"}, "image": {"packages: write"},
	} {
		job, found := all[name]
		if !found {
			t.Errorf("there is no job %s", name)
			continue
		}
		delete(all, name)
		_, section, _ := strings.Cut(job, "    permissions:\n")
		section, _, _ = strings.Cut(section, "    steps:")
		section, _, _ = strings.Cut(section, "    env:")
		var got []string
		for _, match := range permission.FindAllStringSubmatch(section, -1) {
			got = append(got, match[1]+": "+match[2])
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("the job %s has the permissions %v, want %v", name, got, want)
		}
		publishes := strings.Contains(job, ": write")
		if runs := strings.Contains(job, "actions/checkout@") || strings.Contains(job, "scripts/"); runs == publishes {
			t.Errorf("the job %s runs code of the repository: %t, and publishes: %t", name, runs, publishes)
		}
		if publishes != strings.Contains(job, "needs:") {
			t.Errorf("the job %s publishes: %t, and waits for the tests: %t", name, publishes, !publishes)
		}
	}
	if len(all) > 0 {
		t.Errorf("the release workflow has other jobs: %v", all)
	}
}

// TestPinnedVersions: base images and the action's default have a version, and the update bot pins them.
func TestPinnedVersions(t *testing.T) {
	t.Parallel()
	version := regexp.MustCompile(`(?m)^  version:\n    description: .*\n    default: \d+\.\d+\.\d+\n`)
	if action := readFile(t, "hook/action/action.yml"); !version.MatchString(action) {
		t.Error("the action's default version is no version")
	}
	for _, line := range strings.Split(readFile(t, "hook/pipelines/Dockerfile"), "\n") {
		if image, from := strings.CutPrefix(line, "FROM "); from && image != "scratch" && !regexp.MustCompile(`^\w+:\d+\.\d+(?:@sha256:[0-9a-f]{64})?(?: AS \w+)?$`).MatchString(image) {
			t.Errorf("the base image %s has no version", image)
		}
	}
	if !strings.Contains(readFile(t, "hook/pipelines/gitlab.yml"), "npm ci --ignore-scripts\n") {
		t.Error("the GitLab template runs scripts of packages")
	}
	bot := readFile(t, ".github/renovate.json")
	for _, preset := range []string{"docker:pinDigests", "helpers:pinGitHubActionDigests"} {
		if !strings.Contains(bot, preset) {
			t.Errorf("the update bot lacks %s", preset)
		}
	}
}

// TestActionRunsNothingOfTheCheckout unless it is asked to.
func TestActionRunsNothingOfTheCheckout(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the action is for Linux and macOS")
	}
	script, err := filepath.Abs(filepath.Join(repository, "hook/action/run.sh"))
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		project, version, path string // path is a directory of the checkout on the PATH
		machine                bool   // has an eca
		want                   string // the eca that runs, "" for none
	}{
		"installed":                {version: "1.2.3", want: "npm"},
		"of the machine":           {version: "1.2.3", machine: true, want: "machine"},
		"the project's":            {project: "true", version: "1.2.3", want: "checkout"},
		"the project's, elsewhere": {project: "yes", version: "1.2.3", want: "npm"},
		"the checkout on the PATH": {version: "1.2.3", path: "node_modules/.bin", want: "npm"},
		"a version that is none":   {version: "1.2.3 --scripts", want: ""},
		"a version that leads out": {version: "../x", want: ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			workspace, temp, tools := filepath.Join(dir, "workspace"), filepath.Join(dir, "temp"), filepath.Join(dir, "tools")
			program := func(file, text string) {
				t.Helper()
				if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text+"\n"), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			program(filepath.Join(workspace, "node_modules/.bin/eca"), "echo checkout >>"+dir+"/ran")
			if test.machine {
				program(filepath.Join(tools, "eca"), "echo machine >>"+dir+"/ran")
			}
			program(filepath.Join(tools, "npm"), `echo "$@" >`+dir+`/npm; pwd >>`+dir+`/npm
mkdir -p "$RUNNER_TEMP/eca-1.2.3/node_modules/.bin"
printf '#!/bin/sh\necho npm >>`+dir+`/ran\n' >"$RUNNER_TEMP/eca-1.2.3/node_modules/.bin/eca"
chmod 700 "$RUNNER_TEMP/eca-1.2.3/node_modules/.bin/eca"`)
			if err := os.MkdirAll(temp, 0o700); err != nil {
				t.Fatal(err)
			}
			path := tools + ":/usr/bin:/bin"
			if test.path != "" {
				path = filepath.Join(workspace, test.path) + ":" + path
			}
			cmd := exec.Command("sh", script)
			cmd.Dir = workspace
			cmd.Env = []string{
				"PATH=" + path, "INPUT_COMMAND=plan", "INPUT_ORGS=uat", "INPUT_ARGS=", "INPUT_VERSION=" + test.version, "INPUT_DIRECTORY=.",
				"INPUT_USE_PROJECT_ECA=" + test.project, "GITHUB_WORKSPACE=" + workspace, "GITHUB_OUTPUT=" + filepath.Join(dir, "output"), "RUNNER_TEMP=" + temp,
			}
			out, err := cmd.CombinedOutput()
			ran, _ := os.ReadFile(filepath.Join(dir, "ran"))
			if test.want == "" {
				if err == nil || len(ran) > 0 {
					t.Errorf("%v, ran %q: %s", err, ran, out)
				}
				return
			}
			if err != nil || string(ran) != test.want+"\n"+test.want+"\n" {
				t.Errorf("%v, ran %q, want %s: %s", err, ran, test.want, out)
			}
			npm, _ := os.ReadFile(filepath.Join(dir, "npm"))
			if test.want == "npm" && (!strings.Contains(string(npm), "--ignore-scripts") || !strings.HasSuffix(string(npm), "@ecakit/eca@1.2.3\n"+temp+"\n")) {
				t.Errorf("npm was called as %q", npm)
			}
		})
	}
}

// TestJobsAreDocumented: the page on projects that sf deploys shows the jobs that init writes.
func TestJobsAreDocumented(t *testing.T) {
	t.Parallel()
	page := readFile(t, "hook/docs/plain-sf.md")
	for _, p := range pipelines {
		content, err := job(p.name, nil)
		if err != nil || !strings.Contains(page, "```yaml\n"+string(content)+"```\n") || !strings.Contains(page, "`"+p.file+"`") {
			t.Errorf("plain-sf.md does not show the job for %s (%v)", p.service, err)
		}
	}
}
