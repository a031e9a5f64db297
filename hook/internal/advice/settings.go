package advice

// settingsFindings are hints for findings of pkg/connectedapp, by rule.
var settingsFindings = map[string]string{
	"consumer-key":   "eca credentials",
	"no-run-as-user": "eca migrate --env ALIAS=USERNAME",
}
