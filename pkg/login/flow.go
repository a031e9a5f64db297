package login

import (
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Flow is a way to log in.
type Flow string

// The flows.
const (
	ByClientCredentials Flow = "client credentials"
	ByJWT               Flow = "JWT bearer"
	ByCode              Flow = "authorization code"
)

// MadeFor returns the flow that an app is made for, as its settings and policies show. Public clients and apps
// for AI clients never use client credentials unless their settings enable it.
func (s *State) MadeFor() Flow {
	on := func(of *metadata.Component, field string) bool { return of != nil && eca.Bool(of, field) }
	const flow = "isClientCredentialsFlowEnabled"
	switch {
	case on(s.Global, flow):
		return ByClientCredentials
	case s.Global != nil && s.Global.Text("certificate") != "":
		return ByJWT
	case on(s.Global, "isConsumerSecretOptional"), on(s.Global, "isNamedUserJwtEnabled"):
		return ByCode
	case on(s.Policies, flow):
		return ByClientCredentials
	case on(s.Global, "isPkceRequired"):
		return ByCode
	}
	return ByClientCredentials
}
