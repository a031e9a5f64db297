package console

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/fleet"
	"github.com/ecakit/ecakit/pkg/salesforce"
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
	want := "  \x1b[33mwarning:\x1b[0m a b\uFFFD[31mc: ## vso[task.x]y 3 \x1b[31mown\x1b[0m\n"
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

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"a\r\nb":              "a b",
		"::set-output x":      ": :set-output x",
		" \t::error::x":       ": :error::x",
		"a ::not a command":   "a ::not a command",
		"##teamcity[x]":       "## teamcity[x]",
		"##[error]x":          "## [error]x",
		"bell\a zero\u200bw":  "bell\uFFFD zero\uFFFDw",
		"tab\tstays":          "tab\tstays",
		"right-to-left\u202e": "right-to-left\uFFFD",
	} {
		if got := Clean(text); got != want {
			t.Errorf("Clean(%q) = %q, want %q", text, got, want)
		}
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
