package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/pkg/consumer"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// TestTwoReadersAtOnce: of two runs that read secrets at once, none switches the setting off under the other, and
// the last one switches it off.
func TestTwoReadersAtOnce(t *testing.T) {
	t.Parallel()
	org, home := bootstrapped(t, "")
	client := &consumer.Client{Conn: &salesforce.Conn{InstanceURL: org.URL, Tokens: tokens(org)}}
	if err := client.SetAccess(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	flags := &accessFlags{EnableAccess: true}
	during := func(home string, do func(*access) error) string {
		t.Helper()
		var out bytes.Buffer
		e := world(home, &out)
		if _, err := flags.during(t.Context(), e, client, orgs.NewWork(e.Log(), false), sampleApp, do); err != nil {
			t.Errorf("%v\n%s", err, &out)
		}
		return out.String()
	}
	is := func(want bool, when string) {
		t.Helper()
		if on, err := client.Access(t.Context()); err != nil || on != want {
			t.Errorf("%s the setting is %t, %v; want %t", when, on, err, want)
		}
	}
	read := func() error {
		found, err := client.Find(t.Context(), sampleApp)
		if err == nil {
			_, err = client.Credentials(t.Context(), found)
		}
		return err
	}
	nothing := func(*access) error { return nil }

	during(home, func(*access) error {
		if out := during(home, nothing); !strings.Contains(out, "stays on for another run on this machine") {
			t.Errorf("the second run says %q", out)
		}
		is(true, "after the second run on this machine,")
		return read()
	})
	is(false, "after both runs,")

	// The first to end is the one that has switched it on.
	begun, ended := make(chan bool), make(chan bool)
	go func() {
		during(home, func(*access) error { begun <- true; <-ended; return nil })
		ended <- true
	}()
	<-begun
	during(home, func(*access) error {
		ended <- true
		<-ended
		is(true, "after the first run,")
		return read()
	})
	is(false, "after both runs,")

	// On another machine, the first run switches it off under the second, which reads again.
	go func() {
		during(home, func(*access) error { begun <- true; <-ended; return nil })
		ended <- true
	}()
	<-begun
	tries := 0
	out := during(t.TempDir(), func(*access) error {
		if tries++; tries == 1 {
			ended <- true
			<-ended
		}
		return read()
	})
	if tries != 2 || !strings.Contains(out, "is on already; it stays on") || !strings.Contains(out, "switched on") {
		t.Errorf("the second run tried %d times and says %q", tries, out)
	}
	is(false, "after both runs,")
}
