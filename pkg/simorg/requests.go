package simorg

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"io"
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
	byEnd := slices.SortedFunc(slices.Values(requests), func(a, b Request) int { return cmp.Compare(a.Ended.UnixNano(), b.Ended.UnixNano()) })
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
	recorder := newRecorder()
	writeFault(recorder, "sf:"+code, code+": "+message)
	return Fault{Status: recorder.status, Header: recorder.header, Body: recorder.body.String()}
}

// Inject adds a fault.
func (o *Org) Inject(f Fault) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults, &f)
}

func (o *Org) takeFault(r Request) *Fault {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, f := range o.faults {
		if f.Fits == nil || f.Fits(r) {
			o.faults = slices.Delete(o.faults, i, i+1)
			return f
		}
	}
	return nil
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
	fault := o.takeFault(entry)
	delay := o.config.Latency
	if fault != nil {
		delay += fault.Delay
	}

	answer := newRecorder()
	if fault == nil || fault.After || fault.Status == 0 && !fault.Drop {
		refuse := ""
		if fault != nil {
			if refuse = fault.Refuse; refuse != "" && fault.RefuseWith != "" {
				refuse += ": " + fault.RefuseWith
			}
		}
		serve(answer, body, refuse)
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
		}
	}
	if fault != nil && fault.Status != 0 {
		answer = newRecorder()
		for name, values := range fault.Header {
			answer.Header()[name] = values
		}
		answer.WriteHeader(fault.Status)
		answer.body.WriteString(fault.Body)
	}
	dropped := fault != nil && fault.Drop
	entry.Ended = time.Now()
	if !dropped {
		entry.Status = answer.status
	}
	o.mu.Lock()
	if !o.config.Unrecorded {
		o.requests = append(o.requests, entry)
	}
	if o.config.Log != nil {
		o.config.Log(entry)
	}
	o.mu.Unlock()
	if dropped {
		panic(http.ErrAbortHandler)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.status)
	content := answer.body.Bytes()
	if fault != nil && fault.Truncate > 0 && fault.Truncate < len(content) {
		w.Write(content[:fault.Truncate])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(content)
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
