package simorg

import (
	"net/http"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
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

func (o *Org) serveApex(w http.ResponseWriter, path string, body []byte) {
	request, _ := o.soapRequest(w, strings.TrimPrefix(path, apexPath), body, apexNamespace, "executeAnonymous")
	if request == nil {
		return
	}
	callouts := strings.Count(request.child(apexNamespace, "String").content(), "Http().send(")
	time.Sleep(time.Duration(min(callouts, maxCallouts)) * o.config.Latency)
	writeXML(w, http.StatusOK, `<executeAnonymousResponse xmlns="`+apexNamespace+`"><result><column>-1</column>`+
		`<compileProblem xsi:nil="true"/><compiled>true</compiled><exceptionMessage xsi:nil="true"/>`+
		`<exceptionStackTrace xsi:nil="true"/><line>-1</line><success>true</success></result></executeAnonymousResponse>`)
}

// soapRequest returns an operation's request and its session. If that is not one, or the session is
// not good, it answers with a fault and returns nil.
func (o *Org) soapRequest(w http.ResponseWriter, path string, body []byte, namespace, operation string) (request *node, session string) {
	envelope, _ := parseXML(body) // nil with an error
	session = strings.TrimSpace(envelope.child(soapNamespace, "Header").child(namespace, "SessionHeader").child(namespace, "sessionId").content())
	request = envelope.child(soapNamespace, "Body").child(namespace, operation)
	o.mu.Lock()
	defer o.mu.Unlock()
	if request == nil {
		writeFault(w, "soapenv:Client", "No operation available for request")
		return nil, ""
	}
	version, _ := apiversion.Parse(firstPart(path)) // 0 is older than all
	if refused := o.refuseSession(session, version); refused != nil {
		writeFault(w, refused.code, refused.message)
		return nil, ""
	}
	return request, session
}

func (n *node) content() string {
	if n == nil {
		return ""
	}
	return n.text
}

// firstPart returns the part of a path in front of the first slash.
func firstPart(path string) string {
	first, _, _ := strings.Cut(path, "/")
	return first
}
