// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"io"
	"net/http"
	"time"
)

// A material is a credential as it was read at one moment: what may change
// between two token requests.
type material struct {
	// fingerprint tells material apart and is worthless outside the process.
	fingerprint [sha256.Size]byte
	// reusable: worth trying after it was replaced. An assertion is not.
	reusable bool
	// timeDependent: proofs are made by the clock, so that after a correction
	// they may be right.
	timeDependent bool
	// perRequest: the fingerprint is another each time, as that of an assertion
	// made to order, and tells nothing.
	perRequest bool
	// prove makes the proof for one request: signs, if it is a key.
	prove func(ctx context.Context, req AssertionRequest) (proof, error)
	// elsewhere: the key is not in this process, and to ask it may take a token.
	elsewhere bool
	// next is what to send if Entra refuses the certificate: another one of the same
	// key; nil if there is none.
	next *material
	// leaf is the certificate, nil if it is none. It is public.
	leaf *x509.Certificate
	// leftOut are the certificates that were given and are not in the chain.
	leftOut []string
	// refused, if set, is told that a proof was refused.
	refused func(req AssertionRequest)
}

// A proof is what one token request is sent with.
type proof struct {
	value     func() string // the secret or the assertion
	assertion bool
	expires   time.Time // when the material ends, zero if unknown
	// refusedAs is what "invalid_client" without a number that is known means for
	// this proof.
	refusedAs Kind
	sent      sentProof
	// resemblance says what a secret that was refused seems to be.
	resemblance string
}

// A sentProof is what a refusal has to name to be understood, none of it secret.
type sentProof struct {
	thumbprint, thumbprintSHA256 string // of the certificate
	issuer, subject, audience    string // of the assertion of another issuer
	algorithm                    string // likewise
}

// fixedMaterial makes m the material of a proof that is sent as it is.
func fixedMaterial(p proof, m material) *material {
	m.fingerprint = macOf(p.value())
	m.prove = func(context.Context, AssertionRequest) (proof, error) { return p, nil }
	return &m
}

// An AssertionRequest says what an assertion is for.
type AssertionRequest struct {
	TenantID, ClientID string
	// TokenEndpoint is the URL the assertion will be sent to.
	TokenEndpoint string
	// Audience is what a federated assertion is expected to be made out to in
	// this cloud.
	Audience string
	// HTTPClient is [Options.HTTPClient], nil if none was set: what a source that
	// comes with this package asks by.
	HTTPClient *http.Client

	skew       time.Duration // Entra's clock less ours
	clockKnown bool
}

// tolerableSkew is what a Date header in whole seconds and the way of an answer
// can amount to; less is none.
const tolerableSkew = 5 * time.Second

// now returns the time by Entra's clock, as far as it is known.
func (r AssertionRequest) now() time.Time { return time.Now().Add(r.skew) }

// processKey makes the identity of a secret worthless outside the process.
var processKey = func() (key [32]byte) {
	rand.Read(key[:])
	return key
}()

func macOf(s string) (sum [sha256.Size]byte) {
	h := hmac.New(sha256.New, processKey[:])
	io.WriteString(h, s)
	return [sha256.Size]byte(h.Sum(nil))
}
