package words

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("x", maxShown)
	if got := Clip(whole); got != whole {
		t.Errorf("a text of %d bytes is clipped to %d", len(whole), len(got))
	}
	if got, want := Clip(whole+"y"), whole+"…"; got != want {
		t.Errorf("a longer text is clipped to %d bytes, want %d", len(got), len(want))
	}
	if got := Clip("x" + strings.Repeat("ä", maxShown)); !utf8.ValidString(got) || !strings.HasSuffix(got, "ä…") {
		t.Errorf("a character is cut in two: %q", got[len(got)-10:])
	}
}

func TestShortKey(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"": "…", "3MVG9abcdefghij": "…", "3MVG9abcdefghijk": "3MVG9…ijk"} {
		if got := ShortKey(key); got != want {
			t.Errorf("%q is shortened to %q, want %q", key, got, want)
		}
	}
}

func TestSimilar(t *testing.T) {
	t.Parallel()
	known := []string{"callbackUrl", "certificate", "isDeviceFlowEnabled", "isPkceRequired", "Api", "RefreshToken"}
	for name, want := range map[string]string{
		"callbackURL":            "callbackUrl", // case alone
		"calbackUrl":             "callbackUrl",
		"refresh_token":          "RefreshToken",
		"isDevice":               "isDeviceFlowEnabled", // the only one that begins so
		"isD":                    "",                    // too short for that
		"is":                     "",
		"xyz":                    "",
		"App":                    "Api",
		"Qxy":                    "", // too different for its length
		strings.Repeat("a", 101): "",
	} {
		if got := Similar(name, known); got != want {
			t.Errorf("similar to %q is %q, want %q", name, got, want)
		}
	}
	if got := Similar("isDevice", append(known, "isDeviceTrusted")); got != "" {
		t.Errorf("similar to one of two names with that prefix is %q", got)
	}
	if got := Similar("ab", []string{"ax", "abc", "ay"}); got != "ax" && got != "abc" {
		t.Errorf("similar to ab is %q", got)
	}
	if got := Similar("cat", []string{"cut", "cats", "cat "}); got != "cut" {
		t.Errorf("of several names at the same distance, the first wins, got %q", got)
	}
	if got := Similar(strings.Repeat("a", 100), []string{strings.Repeat("a", 99)}); got == "" {
		t.Error("a name of 100 characters is not compared")
	}
	if got := Similar(strings.Repeat("a", 101), []string{strings.Repeat("a", 101)}); got != "" {
		t.Error("a name of 101 characters is compared, which takes long")
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	if got, want := DidYouMean("Aip", []string{"Api"}), "; did you mean Api?"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := DidYouMean("Foo", []string{"Api"}); got != "" {
		t.Errorf("got %q, want nothing", got)
	}
}

func TestForeign(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"two\r\n  lines\tand a tab":                "two lines and a tab",
		"session 00D000000000001AAA!AQ.x_y is old": "session (token) is old",
		strings.Repeat("x", 300):                   strings.Repeat("x", 300),
		strings.Repeat("x", 301):                   strings.Repeat("x", 300) + "…",
		"x" + strings.Repeat("ä", 150):             "x" + strings.Repeat("ä", 149) + "…",
	} {
		if got := Foreign(message); got != want {
			t.Errorf("%q is shown as %q, want %q", message, got, want)
		}
	}
}
