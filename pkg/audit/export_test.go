package audit

// Exists and Checks are for the test of RULES.md.
var (
	Exists = exists
	Checks = len(checks) + len(orgChecks)
)
