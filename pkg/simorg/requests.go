package simorg

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// maxRequest bounds a request's body in bytes. The platform's limit for deploys is 39 MB of
// zip, plus a third for base64.
const maxRequest = 64 << 20

// Request is one request to the org.
type Request struct {
	Method    string
	Path      string   // including the query
	Operation string   // the SOAP call, like upsertMetadata; "" for REST
	Type      string   // the metadata type, if the call has a single one
	FullNames []string // the named components
	Body      []byte
	Status    int // the HTTP status of the answer, 0 if the connection was cut

	Started, Ended time.Time
}

// Writes reports whether the request can change the org.
func (r Request) Writes() bool {
	switch r.Operation {
	case "":
		return r.Method != http.MethodGet
	case "readMetadata", "listMetadata", "describeMetadata", "checkDeployStatus", "retrieve", "checkRetrieveStatus":
		return false
	}
	return true
}

// Requests returns the answered requests, in the order of their answers.
func (o *Org) Requests() []Request {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.requests)
}

// ForgetRequests clears the recorded requests.
func (o *Org) ForgetRequests() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.requests = nil
}

// Sequential returns the length of the longest chain of requests in which each began after the
// one before it ended. Concurrent requests count once. The result is meaningful only if the org
// has some latency.
func Sequential(requests []Request) int {
	byEnd := slices.SortedFunc(slices.Values(requests), func(a, b Request) int { return a.Ended.Compare(b.Ended) })
	n := 0
	var last time.Time
	for _, r := range byEnd {
		if n == 0 || r.Started.After(last) {
			n++
			last = r.Ended
		}
	}
	return n
}

// Fault is a fault for one request. The first injected fault that fits a request is applied to
// it and removed.
type Fault struct {
	// Fits selects the request; nil selects the next one. It must not call the org.
	Fits func(Request) bool

	// After lets the org act first, so only the answer is lost.
	After bool

	// Delay delays the answer beyond the org's latency, or until the client gives up.
	Delay time.Duration

	// Drop closes the connection without an answer.
	Drop bool

	// Truncate closes the connection after this many bytes of the answer; 0 sends it all.
	Truncate int

	// Refuse is a code like UNABLE_TO_LOCK_ROW. The org refuses the first component of a
	// writing SOAP call with it, and accepts the others. "" refuses none. RefuseWith is the
	// message that goes with it, "" for one that says it was injected.
	Refuse, RefuseWith string

	// Status, Header and Body replace the answer if Status is not 0.
	Status int
	Header http.Header
	Body   string
}

// SOAPFault returns a Fault that answers with a SOAP fault of this code, like
// SERVER_UNAVAILABLE.
func SOAPFault(code, message string) Fault {
	answer := newRecorder()
	writeFault(answer, "sf:"+code, code+": "+message)
	return Fault{Status: answer.status, Header: answer.header, Body: answer.body.String()}
}

// Inject adds a fault.
func (o *Org) Inject(f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, &f)
}

// nextFault removes and returns the fault for a request, or a Fault that changes nothing.
func (o *Org) nextFault(r Request) Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, f := range o.faults {
		if f.Fits == nil || f.Fits(r) {
			o.faults = slices.Delete(o.faults, i, i+1)
			return *f
		}
	}
	return Fault{}
}

// refusal returns the code and message with which the first component is refused, "" for none.
func (f Fault) refusal() string {
	if f.Refuse == "" || f.RefuseWith == "" {
		return f.Refuse
	}
	return f.Refuse + ": " + f.RefuseWith
}

// record answers a request with serve, applies faults and records the request.
func (o *Org) record(w http.ResponseWriter, r *http.Request, serve func(w http.ResponseWriter, body []byte, refuse string)) {
	entry := Request{Method: r.Method, Path: r.URL.RequestURI(), Started: time.Now()}
	body, err := readBody(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	entry.Body = body
	entry.Operation, entry.Type, entry.FullNames = describe(r.URL.Path, body)
	fault := o.nextFault(entry)
	answer := newRecorder()
	if fault.After || fault.Status == 0 && !fault.Drop {
		serve(answer, body, fault.refusal())
		o.shareKeys()
	}
	if delay := o.config.Latency + fault.Delay; delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
	}
	if fault.Status != 0 {
		answer = &recorder{status: fault.Status, header: fault.Header}
		answer.body.WriteString(fault.Body)
	}
	entry.Ended = time.Now()
	if !fault.Drop {
		entry.Status = answer.status
	}
	o.remember(entry)
	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	answer.send(w, fault.Truncate)
}

func (o *Org) remember(entry Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.config.Unrecorded {
		o.requests = append(o.requests, entry)
	}
	if o.config.Log != nil {
		o.config.Log(entry)
	}
}

// recorder buffers an answer.
type recorder struct {
	status int
	header http.Header
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{status: http.StatusOK, header: make(http.Header)} }

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) { r.status = status }

func (r *recorder) Write(data []byte) (int, error) { return r.body.Write(data) }

// send sends the answer, and cuts the connection after some bytes of it unless cut is 0.
func (r *recorder) send(w http.ResponseWriter, cut int) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(r.status)
	content := r.body.Bytes()
	if cut == 0 || cut >= len(content) {
		w.Write(content)
		return
	}
	w.Write(content[:cut])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func readBody(r *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(nil, r.Body, maxRequest)
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = io.LimitReader(z, maxRequest)
	}
	return io.ReadAll(body)
}
