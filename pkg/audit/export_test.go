package audit

// Checks is for the test of RULES.md.
var Checks = checks
