// SPDX-License-Identifier: MIT

// Package inside shows the command apponly what package apponly knows and its API has
// no use for: what it makes of the environment, piece by piece, and of a credential
// before it is sent; and what package verify makes of a token without anybody's rules.
// Both fill in their functions when they are linked; nothing else may.
package inside

import (
	"context"
	"crypto/x509"
	"net/url"
	"time"

	"github.com/apponly/apponly/cloud"
)

// An About says what a fault of the environment concerns.
type About string

// What faults are about.
const (
	Variables   About = "variables"   // which are set, and how they fit together
	Identifiers About = "identifiers" // the form of tenant, client ID and the like
	Credential  About = "credential"  // what proves the app
)

// A Fault is one thing that FromEnv fails with.
type Fault struct {
	About About
	Err   error
}

// An Environment is what FromEnv makes of the variables.
type Environment struct {
	Credential string // a word of APPONLY_CREDENTIAL, "" for none
	Reason     string // which variable decided
	PassedOver []string
	Used       []string
	Files      []string // the variables that name a file of the credential
	Warning    string
	Faults     []Fault

	TenantID, ClientID string // as they are set
	Cloud              cloud.Cloud
	Server             Server
	// Network says that Read asks an endpoint.
	Network bool
	// Read reads the credential as for a token request, and asks Entra nothing. It is
	// nil for a managed identity, and where there are faults.
	Read func(context.Context) (Proof, error)
}

// A Server is where token requests are sent.
type Server struct {
	// Base is that of a cluster's token proxy, which is asked in place of the authority;
	// nil for none.
	Base       *url.URL
	ServerName string // for TLS, "" for the host's
	// RootsIn says where the roots are that are trusted, "" for the system's, and Roots
	// reads them.
	RootsIn string
	Roots   func(context.Context) ([]*x509.Certificate, error)
}

// A Proof is what a credential came to, without its secret.
type Proof struct {
	// Secret says that it is one, and Resemblance what it seems to be instead.
	Secret      bool
	GUID        bool
	Resemblance string
	// Fingerprint is the same for the same secret or certificate, within this process,
	// where it is worth nothing else.
	Fingerprint [32]byte
	// Certificates are those of the key, in the order in which they are sent.
	Certificates []Certificate
	Assertion    *Assertion
}

// A Certificate is one that proves the app.
type Certificate struct {
	*x509.Certificate
	SHA1, SHA256 string // in hexadecimal, as the portal shows the first
}

// An Assertion is what another issuer's word claims.
type Assertion struct {
	Issuer, Subject, Audience, Algorithm string
	Expires                              time.Time // zero if that cannot be read
	// WantAudience is what is usual for the cloud, and Misdirected says who would take
	// the audience that it has, "" if that is not known.
	WantAudience, Misdirected string
}

// A Token is what an access token claims, of which nothing is believed.
type Token struct {
	Audience, TenantID, ClientID string
	Roles                        []string
	// AppOnly says whether it is an app's own, and Because what says so.
	AppOnly bool
	Because string
	// ClientAuth is how the app proved itself: secret, certificate or unknown.
	ClientAuth                   string
	IssuedAt, NotBefore, Expires time.Time // zero where the token does not say
}

// ReadToken, which package verify fills in, reads a token as it does itself. The error is
// one of verify.Error.
var ReadToken func(token string) (Token, error)

// What package apponly fills in.
var (
	// Look reads the environment. Its only I/O is that of ExplainEnv.
	Look func() Environment
	// Cause returns the text of an error without for whom it is, and the name of its
	// kind, "" if it has none.
	Cause func(error) (text, kind string)
)
