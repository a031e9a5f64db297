// Package ecakit takes care of Salesforce External Client Apps, org by org. The library is
// below pkg; its front door is wanted and bootstrap:
//
//	source, err := wanted.Load(wanted.Location{Project: os.DirFS("."), Package: "eca-definition"})
//	conn := &salesforce.Conn{InstanceURL: "https://acme.my.salesforce.com", Tokens: tokens}
//	report, err := bootstrap.Run(ctx, conn, source, bootstrap.Options{Alias: "prod"})
//
// pkg/README.md lists the packages. The command eca is in hook/eca. This package holds the
// files that the command carries along.
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
//go:embed README.md hook/README.md hook/docs pkg/platform/FACTS.md pkg/project/SETTINGS.md pkg/lint/RULES.md pkg/audit/RULES.md
var Documents embed.FS
