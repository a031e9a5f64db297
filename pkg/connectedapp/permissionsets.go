package connectedapp

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/words"
	"github.com/ecakit/ecakit/pkg/internal/xmltree"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// PermissionSet is a permission set of a project or an org.
type PermissionSet struct {
	Name  string // the API name, with a namespace
	Label string
}

// statedSet is a permissionSetName of the source.
type statedSet struct{ place, text string }

// PermissionSetLabels returns the labels of the permission sets that grant the app.
func (a *App) PermissionSetLabels() (labels []string) {
	for _, set := range a.sets {
		labels = append(labels, set.text)
	}
	return labels
}

// NamePermissionSets looks up the permission sets of the app among those of the project or the org. A
// Connected App has their labels, and an External Client App their API names. Source: public files, whose
// repositories have the values as labels. If no permission set or several have a label, the name is
// derived from the label, with a finding.
func (a *App) NamePermissionSets(known []PermissionSet) {
	const field = "commaSeparatedPermissionSet"
	a.PermissionSets = nil
	a.Findings = slices.DeleteFunc(a.Findings, func(f finding.Finding) bool { return f.Rule == "permission-set" })
	policies := a.Fields[eca.OAuthPolicies]
	delete(policies, field)
	for _, set := range a.sets {
		name, problem := nameOf(set.text, known)
		if problem != "" {
			a.find("permission-set", finding.Warning, set.place, problem,
				"compare the name with that of the permission set; correct it in permissionSets of plugins.eca and in the OAuth policies")
		}
		if !slices.ContainsFunc(a.PermissionSets, func(other string) bool { return strings.EqualFold(other, name) }) {
			a.PermissionSets = append(a.PermissionSets, name)
		}
	}
	if len(a.PermissionSets) > 0 {
		policies.Set(field, strings.Join(a.PermissionSets, ", "))
	}
	a.Findings = finding.Sort(a.Findings)
}

// nameOf returns the API name of the permission set with a label, and what is not certain about it.
func nameOf(label string, known []PermissionSet) (name, problem string) {
	var names []string
	named := ""
	for _, set := range known {
		if strings.EqualFold(strings.TrimSpace(set.Label), label) && !slices.Contains(names, set.Name) {
			names = append(names, set.Name)
		}
		if strings.EqualFold(set.Name, label) {
			named = set.Name
		}
	}
	quoted, name := words.Clip(label), deriveName(label)
	switch {
	case len(names) == 1:
		return names[0], ""
	case len(names) > 1:
		slices.Sort(names)
		return name, fmt.Sprintf("several permission sets have the label %q: %s; %s is used", quoted, strings.Join(names, ", "), name)
	case named != "":
		return named, fmt.Sprintf("no permission set has the label %q; the one with this API name is used", quoted)
	case name == label:
		return name, fmt.Sprintf("is the label of a permission set, and none with the label %q is known; %s is taken as its API name", quoted, name)
	}
	return name, fmt.Sprintf("is the label of a permission set, and none with the label %q is known; the API name %s is derived from it", quoted, name)
}

// notInNames matches what API names cannot have.
var notInNames = regexp.MustCompile(`[^A-Za-z0-9]+`)

// deriveName returns the API name that Setup proposes for a label.
func deriveName(label string) string {
	if eca.CheckFullName(label) == nil {
		return label
	}
	name := strings.Trim(notInNames.ReplaceAllString(label, "_"), "_")
	if name == "" || name[0] <= '9' {
		name = strings.TrimSuffix("X"+name, "_")
	}
	return strings.TrimRight(name[:min(len(name), 80)], "_")
}

// permissionSetSuffixes end the names of files in source and in metadata format.
var permissionSetSuffixes = []string{".permissionset-meta.xml", ".permissionset"}

// ReadPermissionSets returns the permission sets whose files are in a directory or below it. It skips
// files that cannot be read.
func ReadPermissionSets(fsys fs.FS, dir string) (sets []PermissionSet) {
	fs.WalkDir(fsys, dir, func(file string, entry fs.DirEntry, err error) error {
		switch name := path.Base(file); {
		case err != nil:
			return nil
		case entry.IsDir() && file != dir && (strings.HasPrefix(name, ".") || name == "node_modules"):
			return fs.SkipDir
		}
		for _, suffix := range permissionSetSuffixes {
			if name, ok := strings.CutSuffix(path.Base(file), suffix); ok && entry.Type().IsRegular() {
				if label, err := labelOf(fsys, file); err == nil {
					sets = append(sets, PermissionSet{name, cmp.Or(label, name)})
				}
			}
		}
		return nil
	})
	return sets
}

// labelOf returns the label in a file.
func labelOf(fsys fs.FS, file string) (string, error) {
	data, err := fs.ReadFile(fsys, file)
	if err != nil {
		return "", err
	}
	root, err := xmltree.Parse(data)
	if err != nil {
		return "", err
	}
	c, err := metadata.FromNode(root)
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(c.Text("label")), nil
}
