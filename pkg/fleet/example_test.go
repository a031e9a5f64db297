package fleet_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/ecakit/ecakit/pkg/fleet"
)

// ExampleRun works on three orgs, two at a time. The failure on one does not affect the others.
func ExampleRun() {
	count := func(_ context.Context, org string) (int, error) {
		if org == "sit" {
			return 0, errors.New("no session")
		}
		return len(org), nil
	}
	for _, outcome := range fleet.Run(context.Background(), fleet.Options[int]{Jobs: 2}, []string{"uat", "sit", "prod"}, count) {
		fmt.Println(outcome.Org, outcome.State, outcome.Result, outcome.Err)
	}
	// Output:
	// uat done 3 <nil>
	// sit failed 0 no session
	// prod done 4 <nil>
}
