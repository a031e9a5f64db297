package cli

import (
	"context"
	"slices"

	"github.com/alecthomas/kong"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// describeCmd is where programs that offer eca's commands, such as the sf plugin, get them from.
type describeCmd struct {
	Name string `arg:"" optional:"" name:"command" help:"Only this command."`
}

// describeResult is what --json says of the command line.
type describeResult struct {
	outcome
	Version  string          `json:"version"`
	Commands []commandResult `json:"commands"`
}

type commandResult struct {
	Name        string        `json:"name"`
	Aliases     []string      `json:"aliases,omitempty"`
	Hidden      bool          `json:"hidden,omitempty"`
	Summary     string        `json:"summary"`
	Description string        `json:"description,omitempty"`
	Args        []valueResult `json:"args,omitempty"` // in their order
	Flags       []valueResult `json:"flags"`          // --help and --version aside
}

// valueResult is a flag or an argument.
type valueResult struct {
	Name        string   `json:"name"`
	Short       string   `json:"short,omitempty"`
	Aliases     []string `json:"aliases,omitempty"`
	Hidden      bool     `json:"hidden,omitempty"`
	Help        string   `json:"help"`
	Boolean     bool     `json:"boolean,omitempty"` // a flag that takes no value
	Placeholder string   `json:"placeholder,omitempty"`
	Options     []string `json:"options,omitempty"`
	Default     string   `json:"default,omitempty"`
	Variable    string   `json:"variable,omitempty"` // of the environment
	Required    bool     `json:"required,omitempty"`
	Multiple    bool     `json:"multiple,omitempty"`
}

func (c *describeCmd) run(_ context.Context, e *env) (result, error) {
	r := &describeResult{Version: salesforce.Version()}
	for _, node := range kong.Must(new(cli), kong.Vars{"version": ""}).Model.Leaves(false) {
		if c.Name == "" || c.Name == node.Name {
			r.Commands = append(r.Commands, described(node))
		}
	}
	if len(r.Commands) == 0 {
		return nil, usage.Errorf("there is no command %s", c.Name)
	}
	for _, command := range r.Commands {
		e.Line("%s: %s", command.Name, command.Summary)
	}
	return r, nil
}

func described(node *kong.Node) commandResult {
	r := commandResult{Name: node.Name, Aliases: node.Aliases, Hidden: node.Hidden, Summary: node.Help, Description: node.Detail, Flags: []valueResult{}}
	for _, arg := range node.Positional {
		r.Args = append(r.Args, describedValue(arg))
	}
	for _, group := range node.AllFlags(false) {
		for _, flag := range group {
			if flag.Name == "help" || flag.Name == "version" {
				continue
			}
			v := describedValue(flag.Value)
			v.Aliases, v.Hidden, v.Boolean, v.Placeholder = flag.Aliases, flag.Hidden, flag.IsBool(), flag.PlaceHolder
			if flag.Short != 0 {
				v.Short = string(flag.Short)
			}
			r.Flags = append(r.Flags, v)
		}
	}
	return r
}

func describedValue(value *kong.Value) valueResult {
	v := valueResult{Name: value.Name, Help: value.Help, Default: value.Default, Variable: value.Tag.Get("from"), Required: value.Required, Multiple: value.IsCumulative()}
	if value.Enum != "" {
		v.Options = slices.DeleteFunc(value.EnumSlice(), func(option string) bool { return option == "" })
	}
	return v
}
