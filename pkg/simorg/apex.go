package simorg

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// The Apex API, of which the org implements only executeAnonymous. Any code compiles and does
// nothing, but takes the org's latency once more for each callout (Http().send) in it. Tests
// use it to measure the time that clients spend on callouts.
const (
	apexPath      = "/services/Soap/s/"
	apexNamespace = "http://soap.sforce.com/2006/08/apex"
)

// maxCallouts is the platform's limit on callouts per transaction.
const maxCallouts = 100

func (o *Org) serveApex(w http.ResponseWriter, body []byte) {
	envelope, err := parseXML(body)
	if err != nil || envelope.child(soapNamespace, "Body").child(apexNamespace, "executeAnonymous") == nil {
		writeFault(w, "soapenv:Client", "No operation available for request")
		return
	}
	session := envelope.child(soapNamespace, "Header").child(apexNamespace, "SessionHeader")
	o.mu.Lock()
	accepted := o.accepts(strings.TrimSpace(session.child(apexNamespace, "sessionId").content()))
	o.mu.Unlock()
	if !accepted {
		writeFault(w, "sf:INVALID_SESSION_ID", "INVALID_SESSION_ID: Invalid Session ID found in SessionHeader: Illegal Session")
		return
	}
	callouts := strings.Count(envelope.child(soapNamespace, "Body").child(apexNamespace, "executeAnonymous").child(apexNamespace, "String").content(), "Http().send(")
	time.Sleep(time.Duration(min(callouts, maxCallouts)) * o.config.Latency)
	writeXML(w, http.StatusOK, fmt.Sprintf(`<executeAnonymousResponse xmlns="%s"><result><column>-1</column><compileProblem xsi:nil="true"/><compiled>true</compiled><exceptionMessage xsi:nil="true"/><exceptionStackTrace xsi:nil="true"/><line>-1</line><success>true</success></result></executeAnonymousResponse>`, apexNamespace))
}

func (n *node) content() string {
	if n == nil {
		return ""
	}
	return n.text
}
