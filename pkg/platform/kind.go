package platform

import "strings"

// Kind is the kind of an org.
type Kind string

// The kinds of org. Scratch orgs are sandboxes to the platform (IsSandbox is true) and to sfp's
// alias rule.
const (
	Unknown    Kind = ""
	Production Kind = "production"
	Sandbox    Kind = "sandbox"
	Scratch    Kind = "scratch org"
)

// IsSandbox reports whether the platform calls an org of this kind a sandbox.
func (k Kind) IsSandbox() bool { return k == Sandbox || k == Scratch }

// KindOfHost returns the kind that a My Domain host shows by its partition, like
// acme--uat.sandbox.my.salesforce.com, or Unknown. Other hosts are inconclusive: Salesforce's
// documentation of enhanced domains lists more partitions, and custom hosts exist.
func KindOfHost(host string) Kind {
	switch {
	case strings.Contains(host, ".sandbox.my.salesforce."):
		return Sandbox
	case strings.Contains(host, ".scratch.my.salesforce."):
		return Scratch
	}
	return Unknown
}
