package simorgtest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/ecakit/ecakit/pkg/simorg"
)

// Transit is how long a request to an org in process is under way, because one that follows another must come later.
const Transit = time.Millisecond

// InProcess calls an org without a network. In a bubble of testing/synctest, an org with some latency then
// answers in the same rounds of requests however slow the machine is.
func InProcess(org *simorg.Org) http.RoundTripper { return inProcess{org} }

type inProcess struct{ *simorg.Org }

func (o inProcess) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() == http.ErrAbortHandler {
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	time.Sleep(Transit)
	recorder := httptest.NewRecorder()
	o.ServeHTTP(recorder, r)
	return recorder.Result(), nil
}
