package main

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// manual returns the manual page, in man's own macros, from what the commands say of themselves.
func manual(app *kong.Application) string {
	var b strings.Builder
	line := func(macro, text string) { fmt.Fprintf(&b, ".%s %s\n", macro, roff(text)) }
	paragraphs := func(text string) { fmt.Fprintln(&b, strings.ReplaceAll(roff(text), "\n\n", "\n.PP\n")) }
	item := func(term, text string) { fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(term), roff(text)) }

	fmt.Fprintf(&b, ".TH ECA 1 \"\" %q\n", "eca "+version())
	line("SH", "NAME")
	fmt.Fprintf(&b, "eca \\- %s\n", roff("enables OAuth on Salesforce External Client Apps, org by org"))
	line("SH", "SYNOPSIS")
	fmt.Fprintf(&b, ".B eca\n%s\n", roff("COMMAND [flags]"))
	line("SH", "DESCRIPTION")
	paragraphs(app.Help)
	line("SH", "COMMANDS")
	for _, command := range app.Leaves(true) {
		line("SS", strings.TrimSuffix("eca "+command.Summary(), " [flags]"))
		paragraphs(strings.TrimSpace(command.Help + "\n\n" + command.Detail))
		for _, argument := range command.Positional {
			item(argument.Summary(), argument.Help)
		}
		for _, flag := range command.Flags {
			if !flag.Hidden {
				item(flag.String(), withVariable(flag.Value))
			}
		}
	}
	line("SH", "FLAGS OF ALL COMMANDS")
	for _, flag := range app.Flags {
		item(flag.String(), flag.Help)
	}
	line("SH", "EXIT STATUS")
	for _, code := range []struct {
		code  int
		means string
	}{{exitDone, "Done."}, {exitFailed, "Failed; standard error says why, and what to do."}, {exitUsage, "The command line is wrong."}, {exitPending, "eca plan --exit-code: something would change."}} {
		item(fmt.Sprint(code.code), code.means)
	}
	line("SH", "SEE ALSO")
	for _, t := range topics {
		item("eca help "+t.name, strings.ToUpper(t.about[:1])+t.about[1:]+".")
	}
	return b.String()
}

// roff writes a text so that nothing of it is taken for a macro or an escape sequence.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.", "\n'", "\n\\&'").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
