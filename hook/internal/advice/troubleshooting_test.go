package advice

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/refusal"
)

var update = flag.Bool("update", false, "write the generated sections of the troubleshooting page")

const page = "../../docs/troubleshooting.md"

// sections are the sections of the page that the table of refusals gives.
var sections = []struct {
	heading, about string
	where          refusal.Where
}{
	{"Refused logins", "The token endpoint says these.", refusal.Token},
	{"Refused approvals", "The authorize page says these, in the address that the browser opens next.", refusal.Authorize},
	{"Refused sessions", "REST and SOAP say these of the session that `eca` uses.", refusal.API},
	{"Found before a login", "`eca` says these without a login, as the settings of the app show them.", before},
}

// before stands for the causes that are found before a login.
const before refusal.Where = "before"

// commandInText matches a command of eca or sf within a sentence.
var commandInText = regexp.MustCompile(`\b(?:eca [a-z]+|sf(?: [a-z]+)+)(?: -{1,2}[\w-]+(?: (?:[A-Z][\w/:.]*|https://\S+))?)+`)

// section returns a section of the page.
func section(heading, about string, where refusal.Where) string {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n%s\n", heading, about)
	if where == before {
		b.WriteString("\n")
		for _, cause := range refusal.Foretold {
			b.WriteString(causeLine(cause))
		}
		return b.String()
	}
	for _, r := range refusal.Refusals() {
		if r.Where != where {
			continue
		}
		var words []string
		for _, word := range []string{r.Code, r.Description} {
			if word != "" {
				words = append(words, "`"+word+"`")
			}
		}
		fmt.Fprintf(&b, "\n### %s\n\n", strings.Join(words, ": "))
		for _, cause := range r.Causes {
			b.WriteString(causeLine(cause))
		}
	}
	return b.String()
}

// causeLine describes a cause and its fix.
func causeLine(cause refusal.Cause) string {
	state := &login.State{
		Attempt: login.Attempt{App: "APP", Username: "USER", Created: time.Now().Add(time.Second - 5*time.Minute)},
		Host:    "HOST", MyDomain: "https://MYDOMAIN.my.salesforce.com", Granting: []string{"SET"},
	}
	says, hint := Cause(&login.Diagnosis{State: state, Cause: cause}, "ORG")
	says = strings.NewReplacer("expired on ", "has expired", "valid until ,", "", ", ,", "").Replace(says)
	says = strings.Replace(says, "of APP,  belongs", "of APP belongs", 1)
	return fmt.Sprintf("- `%s`: %s. Fix: %s.\n", cause, says, commandInText.ReplaceAllString(hint, "`$0`"))
}

// TestTroubleshooting: the page has the table of refusals, with the words of the commands, and the texts that people
// search for.
func TestTroubleshooting(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, s := range sections {
		want := section(s.heading, s.about, s.where)
		_, after, found := strings.Cut(text, "\n## "+s.heading+"\n")
		body, _, _ := strings.Cut(after, "\n## ")
		got := "## " + s.heading + "\n" + strings.TrimRight(body, "\n") + "\n"
		if !found {
			t.Fatalf("the page has no section %s", s.heading)
		}
		if got != want {
			if *update {
				text = strings.Replace(text, strings.TrimRight(got, "\n"), strings.TrimRight(want, "\n"), 1)
				continue
			}
			t.Errorf("the section %s is\n%s\nand the table gives\n%s\nIf that is meant, write it with: go test ./hook/internal/advice -run Troubleshooting -update", s.heading, got, want)
		}
	}
	if *update {
		if err := os.WriteFile(page, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, searched := range []string{
		"user hasn't approved this consumer", "External client app is not installed in this org", "OAUTH_EC_APP_NOT_FOUND",
		"OAUTH_APPROVAL_ERROR_GENERIC", "Cross-org OAuth flows are not supported", "invalid_scope", "audience is invalid",
		"This session is not valid for use with the API", "expired access/refresh token",
	} {
		if !strings.Contains(text, searched) {
			t.Errorf("the page lacks %q", searched)
		}
	}
	for _, leftover := range []string{"EXPIRY", " , ", "  ", ".."} {
		for _, s := range sections {
			if strings.Contains(section(s.heading, s.about, s.where), leftover) {
				t.Errorf("the section %s holds %q", s.heading, leftover)
			}
		}
	}
}
