package salesforce_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

const hidden = "s3cr3t-that-nobody-may-see"

// holder holds a Secret as other types do: exported, unexported, behind a pointer.
type holder struct {
	Open    salesforce.Secret
	closed  salesforce.Secret
	Pointer *salesforce.Secret
	List    []salesforce.Secret
}

func TestSecretShowsItselfNowhere(t *testing.T) {
	t.Parallel()
	s := salesforce.NewSecret(hidden)
	h := holder{s, s, &s, []salesforce.Secret{s}}
	ways := map[string]string{
		"an error that wraps":  fmt.Errorf("cannot use %w: %v", errors.New(s.String()), s).Error(),
		"joined errors":        errors.Join(fmt.Errorf("a %s", s), fmt.Errorf("b %+v", h)).Error(),
		"Sprint":               fmt.Sprint(s, h, &h),
		"Sprintln":             fmt.Sprintln(s, &s),
		"String":               s.String(),
		"GoString":             s.GoString(),
		"a map's key or value": fmt.Sprintf("%v %v", map[string]any{"a": s}, map[salesforce.Secret]int{s: 1}),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%20s", "%-20v", "%p", "%c"} {
		ways[verb] = fmt.Sprintf(verb, s)
		ways[verb+" of a pointer"] = fmt.Sprintf(verb, &s)
		ways[verb+" of what holds it"] = fmt.Sprintf(verb+" "+verb, h, &h)
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	ways["JSON"] = string(encoded)
	if encoded, err = json.Marshal(map[string]any{"s": s, "p": &s}); err != nil {
		t.Fatal(err)
	}
	ways["JSON of a map"] = string(encoded)
	if encoded, err = xml.Marshal(struct {
		XMLName   xml.Name `xml:"x"`
		Element   salesforce.Secret
		Attribute salesforce.Secret `xml:"attr,attr"`
	}{Element: s, Attribute: s}); err != nil {
		t.Fatal(err)
	}
	ways["XML"] = string(encoded)
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("text", "secret", s, "holder", h, slog.Group("g", "secret", &s))
	slog.New(slog.NewJSONHandler(&log, nil)).Info("json", "secret", s, "holder", h, slog.Group("g", "secret", &s))
	ways["slog"] = log.String()

	for way, text := range ways {
		for _, form := range []string{hidden, fmt.Sprintf("%x", hidden), fmt.Sprintf("%X", hidden), hidden[:8]} {
			if strings.Contains(text, form) {
				t.Errorf("%s shows the secret: %s", way, text)
			}
		}
	}
	for _, way := range []string{"%v", "%s", "%q", "%x", "String", "JSON", "XML", "slog", "Sprint"} {
		if !strings.Contains(ways[way], "‹secret›") {
			t.Errorf("%s does not say that there is a secret: %s", way, ways[way])
		}
	}
}

// TestSecretInAPanic looks at what a process prints that dies of a Secret.
func TestSecretInAPanic(t *testing.T) {
	if how := os.Getenv("SECRET_TEST_PANIC"); how != "" {
		s := salesforce.NewSecret(hidden)
		switch how {
		case "value":
			panic(s)
		case "pointer":
			panic(&s)
		case "error":
			panic(fmt.Errorf("of %v", s))
		case "holder":
			panic(holder{Open: s, closed: s})
		}
	}
	for _, how := range []string{"value", "pointer", "error", "holder"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSecretInAPanic$")
		cmd.Env = append(os.Environ(), "SECRET_TEST_PANIC="+how)
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panic")) {
			t.Fatalf("%s: the process did not panic: %v\n%s", how, err, out)
		}
		if bytes.Contains(out, []byte(hidden)) {
			t.Errorf("%s: the panic shows the secret:\n%s", how, out)
		}
	}
}

func TestSecretHoldsItsText(t *testing.T) {
	t.Parallel()
	s := salesforce.NewSecret(hidden)
	var decoded struct{ Token salesforce.Secret }
	if err := json.Unmarshal([]byte(`{"Token": "`+hidden+`"}`), &decoded); err != nil {
		t.Fatal(err)
	}
	if s.Reveal() != hidden || !decoded.Token.Equal(s) || s.IsZero() {
		t.Errorf("a secret holds %q, and a decoded one %q", s.Reveal(), decoded.Token.Reveal())
	}
	var zero salesforce.Secret
	if zero.Reveal() != "" || !zero.IsZero() || !zero.Equal(salesforce.NewSecret("")) || zero.Equal(s) {
		t.Error("the zero Secret does not hold the empty text")
	}
	if fmt.Sprint(zero) != fmt.Sprint(s) {
		t.Error("an empty secret looks different from another one")
	}
}
