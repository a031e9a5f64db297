package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/fleet"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// plain returns a console that prints to a buffer, with colour if that is set.
func plain(colour bool) (*Console, *bytes.Buffer) {
	var out bytes.Buffer
	return &Console{Stdout: &out, Stderr: &out, colour: colour, colourErrors: colour}, &out
}

func TestLineCleansArguments(t *testing.T) {
	t.Parallel()
	c, out := plain(true)
	c.Line("  %s %s: %s %d %s", Warning, "a\nb\x1b[31mc", errors.New("##vso[task.x]y"), 3, Styled{"own", Red})
	want := "  \x1b[33mwarning:\x1b[0m a b\uFFFDc: ## vso[task.x]y 3 \x1b[31mown\x1b[0m\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out, want)
	}
}

// TestForeignWordsHaveNoColour: a text of an org that reads like a level stays as it is.
func TestForeignWordsHaveNoColour(t *testing.T) {
	t.Parallel()
	c, out := plain(true)
	c.Line("  %s", "error: failed")
	c.Table([]Row{{Cells: []string{"warning", "error"}}})
	if strings.Contains(out.String(), "\x1b") {
		t.Errorf("printed %q", out)
	}
}

// TestSigns: of a row with a sign, the sign alone has its colour, whatever the width of the first column.
func TestSigns(t *testing.T) {
	t.Parallel()
	c, out := plain(true)
	c.Table([]Row{{Cells: []string{"Ümlaut", "+ a", "x"}, Sign: Green}, {Cells: []string{"", "! b", "y"}, Style: Red, Sign: Green}})
	want := "  Ümlaut  \x1b[32m+\x1b[0m a  x\n  \x1b[31m        ! b  y\x1b[0m\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out, want)
	}
}

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\r\nb":              "a b",
		"::set-output x":      ": :set-output x",
		" \t::error::x":       ": :error::x",
		"a ::not a command":   "a ::not a command",
		"##teamcity[x]":       "## teamcity[x]",
		"##[error]x":          "## [error]x",
		"a ##VSO[task.x]y":    "a ## VSO[task.x]y",
		"##vso[a]##vso[b]":    "## vso[a]## vso[b]",
		"section_start:1:a":   "section_start :1:a",
		"x section_end:1:a":   "x section_end :1:a",
		"travis_fold:start:a": "travis_fold :start:a",
		"a\u2028::error::x":   "a ::error::x",
		"\x1b[31mred\x1b[0m":  "\uFFFDred\uFFFD",
		"\u009b2Jx":           "\uFFFDx",
		"\x1b]8;;u\alink":     "\uFFFDlink",
		"\x1b]0;title\x1b\\x": "\uFFFDx",
		"\x1bPq\x1b\\x":       "\uFFFDx",
		"\x1bc":               "\uFFFDc",
		"a # heading":         "a # heading",
		"bell\a zero\u200bw":  "bell\uFFFD zero\uFFFDw",
		"tab\tstays":          "tab\tstays",
		"right-to-left\u202e": "right-to-left\uFFFD",
	} {
		if got := Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
	}
	// Of several texts in one line.
	var out bytes.Buffer
	new(Console).To(&out, &out).Line("%s%s %s%s", "", "::x", "#", "#vso[y]")
	if got := out.String(); got != ": :x ## vso[y]\n" {
		t.Errorf("printed %q", got)
	}
	if got := OneLine(strings.Repeat("é", MaxLine)); len(got) > MaxLine+len("…") || !strings.HasSuffix(got, "…") {
		t.Errorf("OneLine keeps %d bytes", len(got))
	}
}

// TestWholeLines: sfp prints each piece that it reads as an entry of its own, so a long text is
// written in pieces that end with a line.
func TestWholeLines(t *testing.T) {
	t.Parallel()
	var pieces []string
	c := &Console{Stdout: writer(func(p []byte) (int, error) { pieces = append(pieces, string(p)); return len(p), nil })}
	c.Together(func(c *Console) {
		for range 500 {
			c.Line("%s", "a line of some length")
		}
	})
	for _, piece := range pieces {
		if !strings.HasSuffix(piece, "\n") || len(piece) > maxWrite {
			t.Errorf("a piece has %d bytes and ends with %q", len(piece), piece[len(piece)-1:])
		}
	}
	if len(pieces) < 2 {
		t.Errorf("the text was written in %d pieces", len(pieces))
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func TestSilence(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*Console){"JSON": func(c *Console) { c.JSON = true }, "Silent": func(c *Console) { c.Silent = true }} {
		c, out := plain(false)
		set(c)
		c.Line("%s", "progress")
		if out.Len() > 0 {
			t.Errorf("%s: printed %q", name, out)
		}
	}
}

func TestRawJSONEscapesControlCharacters(t *testing.T) {
	t.Parallel()
	c, out := plain(false)
	if err := c.Document(map[string]string{"a": "b\u009bc<"}); err != nil || out.String() != "{\n  \"a\": \"b\\u009bc<\"\n}\n" {
		t.Errorf("%v, %q", err, out)
	}
}

func TestLost(t *testing.T) {
	t.Parallel()
	c := new(Console).To(writer(func([]byte) (int, error) { return 0, io.ErrShortWrite }), io.Discard)
	if c.Line("%s", "x"); !errors.Is(c.Lost(), io.ErrShortWrite) {
		t.Errorf("lost output is noted as %v", c.Lost())
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	c, out := plain(true)
	c.Started = time.Now()
	p := c.Progress(2)
	log := p.Log("uat")
	p.Changed("uat", fleet.Running, "")
	log.Line("%d of %s", 1, "x\ny")
	log.For("crm").Warn("%s", "careful")
	p.Changed("uat", fleet.Failed, "uat: failed: no")
	p.End()
	want := "  uat: 1 of x y\n  \x1b[33mwarning:\x1b[0m uat: crm: careful\n  \x1b[31muat: failed: no\x1b[0m\n"
	if out.String() != want {
		t.Errorf("printed %q, want %q", out, want)
	}
}

// TestPrintingMatrix: each kind of secret, in each form, on each way out.
func TestPrintingMatrix(t *testing.T) {
	t.Parallel()
	for kind, secret := range simorgtest.Secrets {
		salesforce.NewSecret(secret)
		for name, form := range simorgtest.SecretForms {
			text := form(secret)
			for way, print := range map[string]func(c *Console){
				"a line":   func(c *Console) { c.Line("  %s: %s", "uat", text) },
				"an error": func(c *Console) { c.Line("%s", errors.New(text)) },
				"styled":   func(c *Console) { c.Line("%s x", Styled{text, Red}) },
				"a page":   func(c *Console) { c.Page("a\n" + text + "\nb\n") },
				"a table": func(c *Console) {
					c.Table([]Row{{Cells: []string{text, "b"}}, {Cells: []string{"a", text}, Below: []string{text}}})
				},
				"together":       func(c *Console) { c.Together(func(c *Console) { c.Line("%s", text) }) },
				"a document":     func(c *Console) { c.Document(map[string]any{text: []string{text}, "a": map[string]string{"b": text}}) },
				"a raw document": func(c *Console) { document, _ := json.Marshal([]string{text}); c.RawJSON(string(document)) },
				"a failure":      func(c *Console) { c.Fail(text) },
				"a hint":         func(c *Console) { c.Hint(text) },
				"one line, cut":  func(c *Console) { c.Fail(OneLine(strings.Repeat("x", MaxLine-20) + " " + text)) },
				"shortened":      func(c *Console) { c.Print(Shorten("orgs: "+text, 30)) },
				"the log":        func(c *Console) { c.Log().For("uat").Warn("%s", text) },
				"progress": func(c *Console) {
					p := c.Progress(1)
					p.Log("uat").Line("%s", text)
					p.Changed("uat", fleet.Finished, text)
					p.End()
				},
				"a program": func(c *Console) {
					w := Masked(c.Stdout)
					for part := range slices.Chunk([]byte("+ curl "+text+"\nnext\n"), 11) {
						w.Write(part)
					}
					w.Close()
				},
			} {
				c, out := plain(true)
				if print(c); simorgtest.Leaks(out.String(), secret) {
					t.Errorf("%s, %s, %s prints %.300q", kind, name, way, out)
				}
			}
		}
	}
}

// TestMaskedParts: a secret is masked also if a command prints it in pieces.
func TestMaskedParts(t *testing.T) {
	t.Parallel()
	const plain = "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
	salesforce.NewSecret(plain)
	const begin = "-----BEGIN PRIVATE KEY-----\n"
	for name, test := range map[string]struct {
		writes []string
		want   string
	}{
		"whole":              {[]string{"a " + plain + " b\n"}, "a (secret) b\n"},
		"in two writes":      {[]string{"a\nb " + plain[:20] + "\n", plain[20:] + " c\n"}, "a\nb (secret) c\n"},
		"in lines":           {[]string{plain[:20] + "\n", plain[20:40] + "\n", plain[40:] + "\n"}, "(secret)\n"},
		"not after all":      {[]string{"see " + plain[:20] + "\n", "and so on\n"}, "see " + plain[:20] + "\nand so on\n"},
		"behind a long text": {[]string{strings.Repeat("x", 65530) + plain[:20], plain[20:] + "\n"}, strings.Repeat("x", 65530) + "(secret)\n"},
		"a key in pieces":    {[]string{"a\n" + begin, "MIIEow\n", "-----END PRIVATE KEY-----\nb\n"}, "a\n(private key)\nb\n"},
		"a key without end":  {[]string{begin, "MIIEow\n"}, "(private key)"},
	} {
		var out strings.Builder
		w := Masked(&out)
		for _, text := range test.writes {
			if _, err := w.Write([]byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil || out.String() != test.want {
			t.Errorf("%s: %.80q, %v; want %.80q", name, out.String(), err, test.want)
		}
	}
	// A line that holds no secret is not held back.
	var out strings.Builder
	w := Masked(&out)
	if w.Write([]byte("progress\n")); out.String() != "progress\n" {
		t.Errorf("%q is not passed on at once", out.String())
	}
}
