package simorgtest_test

import (
	"net/http"
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func TestStartServesUntilTheTestEnds(t *testing.T) {
	t.Parallel()
	var url string
	t.Run("test", func(t *testing.T) {
		url = simorgtest.Start(t, simorg.Config{}).URL
		resp, err := http.Get(url + "/services/data")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	})
	if resp, err := http.Get(url + "/services/data"); err == nil {
		resp.Body.Close()
		t.Error("the org is still there after the test")
	}
}
