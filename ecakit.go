// Package ecakit holds the files that eca carries along: the sample sfp project,
// which eca demo runs, and the script that sfp runs after a deployment.
//
// The library is below pkg: bootstrap does the whole job, metadata, mdapi,
// orgauth and sfp are its parts, and simorg is a simulated org to try them
// against. The command is in hook/eca.
package ecakit

import "embed"

// Sample is a small sfp project with an app's header, its settings, and its
// policies for some environments. The project file is at its top.
//
//go:embed sfdx-project.json testdata/eca-definition testdata/eca-policies scripts/bootstrap-eca-oauth.sh
var Sample embed.FS
