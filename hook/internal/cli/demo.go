package cli

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/simorg"
)

type demoCmd struct{}

func (demoCmd) Help() string {
	return `Installs the sample project to a simulated sandbox, step by step as sfp install does, with the hook in its place. Nothing leaves this machine.`
}

// demoResult is what --json says of the story.
type demoResult struct {
	outcome
	Steps    []demoStep        `json:"steps"`
	Requests int               `json:"requests"`         // of the hook
	Report   *bootstrap.Report `json:"report,omitempty"` // of its last run
}

type demoStep struct {
	Step    string `json:"step"`
	Outcome string `json:"outcome"`
}

// demo is a run of the story.
type demo struct {
	*console.Console
	demoResult
	org       *simorg.Server
	source    string // the sample project, unpacked as sfp does with an artifact
	artifacts string // a directory with the artifact of the policies
}

// The sample project's packages, and the environment that the demo is for.
const (
	demoDefinition = "eca-definition"
	demoPolicies   = "eca-policies"
	demoAlias      = "uat"
)

func (c *demoCmd) run(ctx context.Context, e *env) (result, error) {
	console.OutliveReader()
	org := simorg.Start(simorg.Config{
		Kind: simorg.Sandbox, Username: "admin@example.com.uat",
		Users: []simorg.User{{Username: "integration@example.com.uat"}},
	})
	defer org.Close()
	dir, err := os.MkdirTemp("", "eca-demo-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	d := &demo{Console: e.Console, org: org, source: filepath.Join(dir, "source"), artifacts: filepath.Join(dir, "artifacts")}
	if err := errors.Join(os.CopyFS(d.source, ecakit.Sample), buildArtifact(d.artifacts, demoPolicies)); err != nil {
		return nil, err
	}
	err = d.tell(ctx, e)
	return &d.demoResult, err
}

// tell tells the story.
func (d *demo) tell(ctx context.Context, e *env) error {
	d.say("a simulated sandbox, %s", d.org.URL)

	policies := path.Join("testdata", demoPolicies, demoAlias)
	if err := d.deploy(demoDefinition, path.Join("testdata", demoDefinition)); err != nil {
		return err
	}
	// What happens without the hook: this is why it exists.
	if err := d.refused(demoPolicies, policies); err != nil {
		return err
	}
	if err := d.hook(ctx, e); err != nil {
		return err
	}
	if err := d.deploy(demoPolicies, policies); err != nil {
		return err
	}
	d.say("the next night, sfp installs the same packages again")
	if err := d.deploy(demoDefinition, path.Join("testdata", demoDefinition)); err != nil {
		return err
	}
	if err := d.hook(ctx, e); err != nil {
		return err
	}
	return d.deploy(demoPolicies, policies)
}

// buildArtifact writes the artifact of one of the sample's packages, as sfp build
// lays it out.
func buildArtifact(dir, name string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, name+"_sfpowerscripts_artifact_1.0.0-1.zip"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := zip.NewWriter(file)
	err = fs.WalkDir(ecakit.Sample, path.Join("testdata", name), func(source string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(ecakit.Sample, source)
		if err != nil {
			return err
		}
		target, err := w.Create(path.Join(name+"_sfpowerscripts_artifact", "source", source))
		if err != nil {
			return err
		}
		_, err = target.Write(content)
		return err
	})
	return errors.Join(err, w.Close())
}

func (d *demo) say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.Steps = append(d.Steps, demoStep{Step: text, Outcome: "ok"})
	d.Line("")
	d.Line("# %s", text)
}

func (d *demo) became(text string) {
	d.Steps[len(d.Steps)-1].Outcome = text
	d.Line("  %s", text)
}

// deploy deploys a package's directory as sfp would, which has to succeed.
func (d *demo) deploy(name, dir string) error {
	d.say("sfp install deploys %s", name)
	if err := d.org.Deploy(ecakit.Sample, dir); err != nil {
		return fmt.Errorf("the simulated org refused %s: %w", name, err)
	}
	return eachSource(dir, func(file string) { d.Line("  deployed %s", file) })
}

// refused deploys what has to fail at this point.
func (d *demo) refused(name, dir string) error {
	d.say("the org's answer to sfp install of %s without the hook", name)
	err := d.org.Deploy(ecakit.Sample, dir)
	var failure simorg.DeployFailure
	if !errors.As(err, &failure) {
		return fmt.Errorf("the simulated org did not refuse %s", name)
	}
	d.Line("  %s", path.Base(failure.File))
	d.became("refused: " + failure.Problem)
	return nil
}

func eachSource(dir string, do func(file string)) error {
	return fs.WalkDir(ecakit.Sample, dir, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.HasSuffix(file, "-meta.xml") {
			do(path.Base(file))
		}
		return err
	})
}

// hook calls the hook with the arguments that sfp composes.
func (d *demo) hook(ctx context.Context, e *env) error {
	args := []string{demoDefinition, d.org.Username(), demoAlias, d.source, path.Join("testdata", demoDefinition)}
	d.say("sfp install calls the postDeploymentScript")
	shown := append([]string{}, args...)
	shown[3] = ".sfpowerscripts/…/source"
	d.Line("  $ sh -e %s/scripts/postDeployment %s", shown[3], strings.Join(shown, " "))
	// The session comes from the environment here, so that a demo needs no login.
	world, own, ui := *e, *e.Env, *d.Console
	ui.Started = time.Now()
	own.Console = &ui
	own.Home = "" // logins of sf do not matter here
	own.Getenv = func(name string) string {
		switch name {
		case "SF_ACCESS_TOKEN":
			return d.org.AccessToken()
		case "SF_ORG_INSTANCE_URL":
			return d.org.URL
		}
		return ""
	}
	world.Env = &own
	r := new(bootstrapResult)
	flags := callFlags{Timeout: time.Minute, RetryFor: 10 * time.Second}
	hook := hookCmd{Args: args, policyFlags: policyFlags{Artifacts: d.artifacts}, callFlags: flags}
	err := hook.into(ctx, &world, r)
	d.Report = r.Report
	d.Requests += r.Requests
	if err != nil {
		return err
	}
	d.Steps[len(d.Steps)-1].Outcome = fmt.Sprintf("%s made, none pending", console.Plural(r.Report.Changed, "change"))
	return nil
}
