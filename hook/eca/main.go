// Command eca manages Salesforce External Client Apps, org by org.
//
// sfp runs it after it has deployed an app's header, through scripts/bootstrap-eca-oauth.sh; people
// run it at a terminal and in pipelines. eca --help lists the commands, and eca demo shows the main
// one on a simulated org.
package main

import (
	"os"

	"github.com/ecakit/ecakit/hook/internal/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:])) }
