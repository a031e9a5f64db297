// Package bootstrap enables OAuth on the External Client Apps of an sfp package, for one org.
// This is Pattern 2 of flxbl's External Client Apps guide, in which sfp deploys the header
// before the bootstrap and the policies after it, both as source.
//
//	source, err := wanted.Load(wanted.Location{Project: os.DirFS("."), Package: "eca-definition"})
//	report, err := bootstrap.Run(ctx, conn, source, bootstrap.Options{Alias: "uat"})
//
// Run selects the environment by the org's alias, reads what the org has, writes the differences
// in the order that the platform requires, and reads them back. It reports invalid input before
// it sends anything. Its steps are calls of their own, with the plan as a value between them:
//
//	resolved, err := bootstrap.Resolve(ctx, conn, source, options) // reads the input
//	plan, err := resolved.Plan(ctx)                               // reads the org
//	report, err := plan.Apply(ctx)                                // writes
//
// If the project asks for it, Run also writes the environment's OAuth policies and grants the
// app to permission sets. Otherwise sfp deploys the policies next, and the report's findings
// list what that deployment would fail on.
//
// A run against an up-to-date org writes nothing. The next run finishes an interrupted one. Two
// runs at once end in the state of one of them.
package bootstrap
