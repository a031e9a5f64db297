package main

import (
	"reflect"
	"strings"
	"testing"
)

// TestLean: a command line is parsed with its command alone, and with all where it names none.
func TestLean(t *testing.T) {
	commands := func(c any) (names []string) {
		typ := reflect.TypeOf(c).Elem()
		for i := range typ.NumField() {
			if _, ok := typ.Field(i).Tag.Lookup("cmd"); ok {
				names = append(names, typ.Field(i).Name)
			}
		}
		return names
	}
	all := commands(new(cli))
	for line, want := range map[string]string{
		"plan -o uat": "Plan", "--json plan": "Plan", "version": "Ver", "--version": "", "plan version": "Plan",
		"": strings.Join(all, " "), "--help": strings.Join(all, " "), "--json": strings.Join(all, " "), "nonsense plan": strings.Join(all, " "),
	} {
		if got := strings.Join(commands(lean(strings.Fields(line))), " "); got != want {
			t.Errorf("%q has the commands %q, not %q", line, got, want)
		}
	}
}
