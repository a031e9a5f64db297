package audit

// Document is for the test that writes RULES.md.
var Document = document
