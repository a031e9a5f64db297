// Package ecakit manages Salesforce External Client Apps, org by org. It holds the files that the command eca carries
// along. The command is in hook/eca, and the library below pkg.
//
// # A program
//
// This program enables the OAuth of the apps of the project in the working directory on an org, and prints their keys.
// It takes the session of the org from the environment. A second run changes nothing.
//
//	package main
//
//	import (
//		"context"
//		"fmt"
//		"log"
//		"os"
//
//		"github.com/ecakit/ecakit/pkg/bootstrap"
//		"github.com/ecakit/ecakit/pkg/consumer"
//		"github.com/ecakit/ecakit/pkg/orgauth"
//		"github.com/ecakit/ecakit/pkg/salesforce"
//		"github.com/ecakit/ecakit/pkg/wanted"
//	)
//
//	func main() {
//		ctx := context.Background()
//		token := salesforce.NewSecret(os.Getenv("SF_ACCESS_TOKEN"))
//		session, err := orgauth.FromToken(token, os.Getenv("SF_ORG_INSTANCE_URL"))
//		if err != nil {
//			log.Fatal(err)
//		}
//		conn := session.Conn()
//
//		source, err := wanted.Load(wanted.Location{Project: os.DirFS("."), Dir: "."})
//		if err != nil {
//			log.Fatal(err)
//		}
//		report, err := bootstrap.Run(ctx, conn, source, bootstrap.Options{Alias: "uat", Headers: true, ApplyPolicies: true})
//		if err != nil {
//			log.Fatal(err)
//		}
//		fmt.Println(report.Changed, "changes")
//
//		client := &consumer.Client{Conn: conn}
//		for _, app := range report.Apps {
//			key, err := client.Key(ctx, app.Name)
//			if err != nil {
//				log.Fatal(err)
//			}
//			fmt.Println(app.Name, key)
//		}
//	}
//
// # Sessions and secrets
//
// A connection is a [github.com/ecakit/ecakit/pkg/salesforce.Conn]: an instance URL and any oauth2.TokenSource. Package
// [github.com/ecakit/ecakit/pkg/orgauth] makes one from a token (FromToken) or from the logins of sf (Store), whose key a
// Keychain returns: DefaultKeychain chooses among KeyFile, SecretTool and MacKeychain. Package
// [github.com/ecakit/ecakit/pkg/login] logs in with the credentials of an app.
//
// A token, consumer secret or private key is a [github.com/ecakit/ecakit/pkg/salesforce.Secret]. Printing, logging and
// encoding it show a placeholder. [github.com/ecakit/ecakit/pkg/salesforce.Secret.Reveal] returns the value.
//
// # Order to read
//
//   - pkg/salesforce and pkg/orgauth: one org, its session, errors and retries
//   - pkg/wanted and pkg/bootstrap: what a project wants of an org, and how it gets there
//   - pkg/consumer and pkg/login: keys, secrets, rotation, and logins with their refusals
//   - pkg/audit, pkg/respond and pkg/cutover: who can use the apps of an org, and how that ends
//   - pkg/credential: how one org calls another
//   - pkg/simorg: a simulated org, to try all of this without Salesforce
//
// pkg/README.md has a line about each package. Every package has an example that runs.
package ecakit

import "embed"

// Sample is a small sfp project with an app's header, its settings, its policies for some
// environments, and the script that sfp runs after a deployment, for Windows as well. The
// project file is at its top.
//
//go:embed sfdx-project.json testdata/eca-definition testdata/eca-policies scripts/bootstrap-eca-oauth.sh scripts/bootstrap-eca-oauth.cmd
var Sample embed.FS

// Documents are the longer texts about the command, which it prints itself.
//
//go:embed README.md hook/README.md hook/docs hook/skill pkg/platform/FACTS.md pkg/project/SETTINGS.md pkg/lint/RULES.md pkg/audit/RULES.md
var Documents embed.FS
