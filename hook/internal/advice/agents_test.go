package advice

import (
	"strings"
	"testing"

	"github.com/ecakit/ecakit/pkg/agent"
	"github.com/ecakit/ecakit/pkg/refusal"
)

// TestEveryAnswerHasWords: each cause in the table of answers has a sentence and a hint, and each of them once.
func TestEveryAnswerHasWords(t *testing.T) {
	t.Parallel()
	times := map[agent.Cause]int{}
	for _, c := range agentCauses {
		times[c.cause]++
	}
	check := func(cause agent.Cause) {
		says, hint := Agent(agent.Step{Cause: cause}, Way{Org: "sit", App: "Quick", Server: "platform/x", Agent: "0Xx1"})
		if says == "" || hint == "" || strings.HasSuffix(says, ".") || strings.HasSuffix(hint, ".") {
			t.Errorf("%s: %q, %q", cause, says, hint)
		}
		for _, left := range []string{"ORG", "APP", "SERVER", "AGENT"} {
			if strings.Contains(says+hint, left) {
				t.Errorf("%s: %s is not filled in: %q, %q", cause, left, says, hint)
			}
		}
	}
	for cause, n := range times {
		if check(cause); n != 1 {
			t.Errorf("%s has words %d times", cause, n)
		}
	}
	for _, row := range agent.Answers() {
		for _, cause := range row.Causes {
			if check(cause); times[cause] != 1 {
				t.Errorf("%s has words %d times", cause, times[cause])
			}
		}
	}
	check(agent.Cause(refusal.AppOff)) // one of those of refused logins
}
