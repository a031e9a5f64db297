package simorgtest_test

import (
	"net/http"
	"testing"

	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/simorg/simorgtest"
)

func TestStartServesUntilTheTestEnds(t *testing.T) {
	t.Parallel()
	var org *simorg.Server
	userInfo := func() int { // with the org's session, since another org may get its port
		req, err := http.NewRequest("GET", org.URL+"/services/oauth2/userinfo", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+org.AccessToken())
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	t.Run("test", func(t *testing.T) {
		org = simorgtest.Start(t, simorg.Config{})
		if status := userInfo(); status != http.StatusOK {
			t.Errorf("the org answers with HTTP %d", status)
		}
	})
	if userInfo() == http.StatusOK {
		t.Error("the org is still there after the test")
	}
}
