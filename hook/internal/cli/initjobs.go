package cli

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// jobFiles are the pipelines of a project that sf deploys.
//
//go:embed jobs/*.yml
var jobFiles embed.FS

// pipelines are the places of the jobs in a project.
var pipelines = []struct{ name, service, file string }{
	{"github", "GitHub Actions", ".github/workflows/salesforce.yml"},
	{"gitlab", "GitLab", ".gitlab-ci.yml"},
}

// job returns the pipeline for a service, with the orgs of the environments.
func job(name string, environments []scaffold.Environment) ([]byte, error) {
	content, err := jobFiles.ReadFile("jobs/" + name + ".yml")
	if len(environments) == 0 {
		return content, err
	}
	var aliases []string
	for _, e := range environments {
		aliases = append(aliases, e.Alias)
	}
	return bytes.Replace(content, []byte("[uat]"), []byte("["+strings.Join(aliases, ", ")+"]"), 1), err
}

// withJobs adds the pipelines of --pipeline to files of the project, before the project file.
func (c *initCmd) withJobs(project fs.FS, files []scaffold.File, environments []scaffold.Environment) ([]scaffold.File, error) {
	var added []scaffold.File
	for _, p := range pipelines {
		if !c.writesJob(p.name) {
			continue
		}
		content, err := job(p.name, environments)
		if err != nil {
			return nil, err
		}
		now, err := fs.ReadFile(project, p.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			added = append(added, scaffold.File{Path: p.file, Content: content, Mode: 0o644})
		case err != nil:
			return nil, fmt.Errorf("cannot read %s", p.file)
		case !bytes.Equal(now, content):
			return nil, usage.Errorf("--pipeline %s: %s already exists and is not overwritten; without --pipeline, eca prints the job", p.name, p.file)
		}
	}
	last := len(files)
	if last > 0 && files[last-1].Path == sfp.ProjectFile {
		last--
	}
	all := append(append([]scaffold.File{}, files[:last]...), added...)
	return append(all, files[last:]...), nil
}

func (c *initCmd) writesJob(name string) bool {
	for _, chosen := range c.Pipeline {
		if chosen == name {
			return true
		}
	}
	return false
}

// next prints how the new app gets to the orgs of a project that sf deploys, and the pipelines that do it.
func (c *initCmd) next(e *env, r *initResult, environments []scaffold.Environment, print bool) error {
	r.Next = nil
	for _, environment := range append([]scaffold.Environment{}, environments...) {
		r.Next = append(r.Next, "sf project deploy start -o "+environment.Alias, "eca bootstrap -o "+environment.Alias)
	}
	if len(r.Next) == 0 {
		r.Next = []string{"sf project deploy start -o ORG", "eca bootstrap -o ORG"}
	}
	for _, p := range pipelines {
		if !print || c.writesJob(p.name) || len(c.Pipeline) > 0 {
			continue
		}
		content, err := job(p.name, environments)
		if err != nil {
			return err
		}
		e.Line("A job for %s, which --pipeline %s writes to %s:", p.service, p.name, p.file)
		e.Line("")
		for line := range strings.Lines(string(content)) {
			e.Line("%s", strings.TrimRight("  "+line, " \n"))
		}
		e.Line("")
	}
	e.Line("eca: done. Commit, deploy the project with sf, and the OAuth of its apps with eca:")
	for _, command := range r.Next {
		e.Line("  %s", command)
	}
	return nil
}
