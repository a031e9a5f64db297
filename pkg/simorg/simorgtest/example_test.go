package simorgtest_test

import (
	"fmt"
	"os"

	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

// ExampleLogIn logs in to a simulated org as sf does, so that a program under test finds the session in sf's store. A
// test starts the org with Start instead.
func ExampleLogIn() {
	org := simorg.Start(simorg.Config{Username: "admin@example.com.uat"})
	defer org.Close()
	home, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(home)

	err = simorgtest.LogIn(home, org, "uat")
	store := &orgauth.Store{Dir: home + "/.sfdx"}
	fmt.Println(store.Usernames(), err)
	// Output:
	// map[uat:admin@example.com.uat] <nil>
}
