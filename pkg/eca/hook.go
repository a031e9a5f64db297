package eca

import "regexp"

// hookCall is a call of eca, by name or by a variable with such a name, or of the
// script that calls it.
var hookCall = regexp.MustCompile(`(?im)^(?:[^#\n]|[^\s#;&|()]#)*(?:eca\w*(?:@[\w.-]+)?\}?["']?(?:[ \t]+-\S+)*[ \t]+(?:hook|bootstrap)\b|bootstrap-eca-oauth\b)`)

// CallsHook reports whether a script, named as postDeploymentScript, calls eca, as far
// as its text tells.
func CallsHook(script []byte) bool { return hookCall.Match(script) }
