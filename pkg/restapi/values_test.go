package restapi

import (
	"testing"
	"time"
)

func TestIDs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"005000000000001AAA", "005000000000001", true},
		{"005000000000001AAA", "005000000000002AAA", false},
		{"005", "005", false},
		{"", "", false},
	} {
		if SameID(c.a, c.b) != c.same {
			t.Errorf("%q and %q: %v", c.a, c.b, !c.same)
		}
	}
	if got := ShortID("005000000000001AAA"); got != "005000000000001" {
		t.Error(got)
	}
	if got := ShortID("005"); got != "005" {
		t.Error(got)
	}
}

func TestParseTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 11, 28, 10, 0, 0, 0, time.UTC)
	for _, text := range []string{"2026-11-28T10:00:00.000+0000", "2026-11-28T12:00:00.000+0200", "2026-11-28T10:00:00Z"} {
		if got := ParseTime(text); got != want {
			t.Errorf("%s is %v", text, got)
		}
	}
	if got := ParseTime("yesterday"); !got.IsZero() {
		t.Error(got)
	}
}
