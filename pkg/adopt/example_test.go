package adopt_test

import (
	"context"
	"fmt"
	"log"
	"testing/fstest"

	"golang.org/x/oauth2"

	"github.com/ecakit/ecakit"
	"github.com/ecakit/ecakit/pkg/adopt"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/scaffold"
	"github.com/ecakit/ecakit/pkg/simorg"
	"github.com/ecakit/ecakit/pkg/wanted"
)

func Example() {
	ctx := context.Background()
	server := simorg.Start(simorg.Config{Users: []simorg.User{{Username: "integration@example.com.uat"}}})
	defer server.Close()
	conn := &salesforce.Conn{InstanceURL: server.URL, Tokens: oauth2.StaticTokenSource(&oauth2.Token{AccessToken: server.AccessToken()})}
	source, err := wanted.Load(wanted.Location{Project: ecakit.Sample})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := bootstrap.Run(ctx, conn, source, bootstrap.Options{Alias: "uat", Headers: true, ApplyPolicies: true}); err != nil {
		log.Fatal(err)
	}

	org, err := adopt.Read(ctx, conn, "uat")
	if err != nil {
		log.Fatal(err)
	}
	apps, err := org.Apps("ErpConnector")
	if err != nil {
		log.Fatal(err)
	}
	project := fstest.MapFS{"sfdx-project.json": {Data: []byte(`{"packageDirectories": [{"path": "force-app", "default": true}]}`), Mode: 0o644}}
	adopted, err := scaffold.Adopt(project, apps[0].Adoption)
	if err != nil {
		log.Fatal(err)
	}
	for _, file := range adopted.Files {
		fmt.Println(file.Path)
	}
	// Output:
	// force-app/externalClientApps/ErpConnector.eca-meta.xml
	// eca/policies/default/extlClntAppOauthPolicies/ErpConnector_oauthPlcy.ecaOauthPlcy-meta.xml
	// eca/policies/uat/extlClntAppOauthPolicies/ErpConnector_oauthPlcy.ecaOauthPlcy-meta.xml
	// sfdx-project.json
}
