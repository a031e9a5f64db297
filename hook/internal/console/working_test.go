package console

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestWorking: what takes long is reported, on a terminal in a line that goes away, elsewhere every ten seconds.
func TestWorking(t *testing.T) {
	t.Parallel()
	const waits = "the answer of acme to GET /x"
	for _, test := range []struct {
		name    string
		console Console
		doing   string
		want    string
	}{
		{"terminal", Console{ansi: true, status: new(status)}, waits, "\r\x1b[K  waiting for " + waits + ", 24.0 s so far\r\x1b[K  done\n"},
		{"pipe", Console{status: new(status)}, waits, "  waiting for " + waits + ", 10.0 s so far\n  waiting for " + waits + ", 20.0 s so far\n  done\n"},
		{"nothing is awaited", Console{ansi: true, status: new(status)}, "", "  done\n"},
		{"JSON", Console{JSON: true, status: new(status)}, waits, ""},
		{"data", Console{Silent: true, status: new(status)}, waits, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				c := test.console
				c.Stdout = &out
				stop := c.Working(func() string { return test.doing })
				time.Sleep(24*time.Second + time.Millisecond)
				c.Line("  done")
				stop()
				stop()
				if got := out.String(); !strings.HasSuffix(got, test.want) || test.console.status != nil && !c.ansi && got != test.want {
					t.Errorf("printed %q, want %q", got, test.want)
				}
			})
		})
	}
}

// TestWorkingOfSeveral: the progress of several orgs has a status of its own.
func TestWorkingOfSeveral(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		c := &Console{Stdout: &out, status: new(status)}
		p := c.Progress(2)
		stop := p.Log("uat").For("crm").Working(func() string { return "an answer" })
		time.Sleep(time.Minute)
		stop()
		p.End()
		if out.Len() > 0 {
			t.Errorf("printed %q", out.String())
		}
	})
}
