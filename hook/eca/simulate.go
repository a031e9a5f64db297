package main

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/ecakit/ecakit/pkg/simorg"
)

type simulateCmd struct {
	Kind            string            `enum:"sandbox,production,scratch" default:"sandbox" help:"Kind of org: sandbox, production or scratch."`
	Port            int               `default:"0" help:"Port to listen on, of this machine's loopback. 0 takes a free one."`
	Latency         time.Duration     `default:"0s" help:"How long every answer is held back."`
	Username        string            `default:"admin@example.com" help:"Username of the session that is printed."`
	User            []string          `placeholder:"USERNAME" help:"Further users of the org, whom policies can refer to."`
	SessionLifetime time.Duration     `default:"0s" help:"How long an access token is good for. 0 is as long as the org is served."`
	JWTClient       map[string]string `name:"jwt-client" placeholder:"KEY=FILE" help:"Connected app that can log in by JWT bearer: its consumer key, and a PEM file with its certificate or public key."`
	AutoPolicies    bool              `help:"Make both policy records of an app with its consumer, as many orgs do."`
}

func (simulateCmd) Help() string {
	return `Prints how to call the org, and serves it until it is interrupted. The access token that it prints opens nothing but this simulated org.`
}

// serverDocument is what --json says of a simulated org.
type serverDocument struct {
	InstanceURL string `json:"instanceUrl"`
	Username    string `json:"username"`
	AccessToken string `json:"accessToken"` // opens nothing but the simulated org
	OrgID       string `json:"orgId"`
	Kind        string `json:"kind"`
}

// readPublicKey reads the RSA public key of a certificate, or a bare one.
func readPublicKey(file string) (*rsa.PublicKey, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("is not PEM")
	}
	var key any
	if certificate, certErr := x509.ParseCertificate(block.Bytes); certErr == nil {
		key = certificate.PublicKey
	} else if key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
		return nil, errors.New("holds neither a certificate nor a public key")
	}
	public, ok := key.(*rsa.PublicKey)
	if !ok {
		return nil, errors.New("is not an RSA key")
	}
	return public, nil
}

// Run serves the org.
func (c *simulateCmd) Run(ctx context.Context, out *output) error {
	if c.Port < 0 || c.Port > 65535 {
		return usageError{fmt.Errorf("--port: %d is no port", c.Port)}
	}
	var users []simorg.User
	for _, username := range c.User {
		users = append(users, simorg.User{Username: username})
	}
	clients := make(map[string]*rsa.PublicKey)
	for id, file := range c.JWTClient {
		key, err := readPublicKey(file)
		if err != nil {
			return usageError{fmt.Errorf("--jwt-client: %s: %w", file, err)}
		}
		clients[id] = key
	}
	org, err := simorg.Listen(net.JoinHostPort("127.0.0.1", strconv.Itoa(c.Port)), simorg.Config{
		Kind: simorg.Kind(c.Kind), Username: c.Username, Latency: c.Latency, AutoPolicies: c.AutoPolicies, Users: users,
		SessionLifetime: c.SessionLifetime, JWTClients: clients,
	})
	if err != nil {
		return fmt.Errorf("cannot listen on port %d of the loopback: %w", c.Port, err)
	}
	defer org.Close()
	if out.json {
		out.document.Server = &serverDocument{org.URL, c.Username, org.AccessToken(), org.ID(), c.Kind}
		out.finish(nil)
		out.printed = true
	}
	out.printf("eca: a simulated %s org; to call it, in another terminal:\n", c.Kind)
	out.printf("  export SF_ORG_INSTANCE_URL=%s\n  export SF_ACCESS_TOKEN='%s'\n", org.URL, org.AccessToken())
	out.printf("eca: serving until interrupted\n")
	<-ctx.Done()
	out.printf("eca: stopped after %s\n", plural(len(org.Requests()), "request"))
	return nil
}
