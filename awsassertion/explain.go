// SPDX-License-Identifier: MIT

package awsassertion

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"unicode"

	"github.com/apponly/apponly"
	"github.com/aws/smithy-go"
)

var errNoToken = errors.New("the answer has no token")

// A failure is why there is no assertion. It wraps
// [apponly.ErrCredentialUnavailable] and what is fit to be seen of the cause:
// never the SDK's own error, in which a request and its signature may be.
type failure struct {
	text   string
	causes []error
}

func (e *failure) Error() string   { return e.text }
func (e *failure) Unwrap() []error { return e.causes }

// explain says where it failed, why, and what a person does next, in the order
// of what must not be cut off.
func (s *source) explain(ctx context.Context, err error) error {
	text, cause := reason(ctx, err)
	where := "AWS STS GetWebIdentityToken"
	if s.region != "" {
		where += " in " + s.region
	}
	f := &failure{text: oneLine(where+": "+text, 1000), causes: []error{apponly.ErrCredentialUnavailable}}
	if cause != nil {
		f.causes = append(f.causes, cause)
	}
	return f
}

func reason(ctx context.Context, err error) (text string, cause error) {
	credentials, isCredentials := errors.AsType[*credentialsError](err)
	api, isAPI := errors.AsType[smithy.APIError](err)
	_, isSDK := errors.AsType[*smithy.OperationError](err)
	switch {
	case !isSDK:
		return err.Error(), nil // our own
	case ctx.Err() != nil && isCredentials:
		cause = context.Cause(ctx)
		return "no AWS credentials in time: " + cause.Error(), cause
	case ctx.Err() != nil:
		cause = context.Cause(ctx)
		return "no answer: " + cause.Error(), cause
	case isCredentials:
		return "no AWS credentials: " + credentialsReason(credentials) + `; "aws sts get-caller-identity" shows more`, nil
	case isAPI:
		return refusal(api)
	}
	if text, cause = network(err); cause != nil {
		return "STS cannot be reached: " + text, cause
	}
	if _, unread := errors.AsType[*smithy.DeserializationError](err); unread {
		return "the answer cannot be read", nil
	}
	return "the request could not be made: look at the endpoint in the aws.Config", nil
}

// credentialsReason names the call that a provider has failed in, if it was one.
func credentialsReason(err error) string {
	op, isOp := errors.AsType[*smithy.OperationError](err)
	if !isOp {
		return "their provider failed"
	}
	text := op.ServiceID + " " + op.OperationName
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return text + ": " + api.ErrorCode()
	}
	if why, cause := network(err); cause != nil {
		return text + ": " + why
	}
	return text + " failed"
}

// remedies are what to do about an error of STS, by its code without
// "Exception", which some have on the wire and some have not.
var remedies = map[string]string{
	"OutboundWebIdentityFederationDisabled": "switch it on for the AWS account, once: " +
		`"aws iam enable-outbound-web-identity-federation" (iam:EnableOutboundWebIdentityFederation)`,
	"AccessDenied":              "allow the identity sts:GetWebIdentityToken in its IAM policy, for this audience and duration",
	"SessionDurationEscalation": "the assertion would outlive the AWS session: shorten Options.Duration, or lengthen the session",
	"JWTPayloadSizeExceeded":    "too much goes into the token: have fewer tags at the role or its session",
	"ExpiredToken":              "the AWS credentials have expired: use a provider that renews them",
	"InvalidClientTokenId":      "AWS does not know the access key, or it is another partition's",
	"UnrecognizedClient":        "AWS does not know the access key, or it is another partition's",
	"SignatureDoesNotMatch":     "the secret access key is wrong, or this machine's clock is",
	"RequestExpired":            "this machine's clock is wrong",
	"RegionDisabled":            "activate STS in this region for the AWS account, or use another region",
	"InvalidAction":             "the endpoint does not have this call: is it STS, and a regional endpoint?",
	"UnknownError":              "the answer is not one of STS: does a proxy answer in its place?",
	"Throttling":                "STS has too many requests of the AWS account: share one source",
}

// telling are the codes whose message is shown: it names the principal, the
// policy or the parameter. That of SignatureDoesNotMatch holds the request.
var telling = map[string]bool{"AccessDenied": true, "ValidationError": true}

// refusal explains an error that STS has answered with.
func refusal(err smithy.APIError) (text string, cause error) {
	code := oneLine(err.ErrorCode(), 80)
	safe := &smithy.GenericAPIError{Code: code, Fault: err.ErrorFault()}
	short := strings.TrimSuffix(code, "Exception")
	text = code
	if remedy := remedies[short]; remedy != "" {
		text += ": " + remedy
	}
	if telling[short] {
		safe.Message = oneLine(err.ErrorMessage(), 600)
		text += ": " + safe.Message
	}
	return text, safe
}

// network describes a connection that failed, without the ports of this end, so
// that the text stays the same. No cause: it was not the network.
func network(err error) (text string, cause error) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fmt.Sprintf("%s: %s", dns.Name, dns.Err), dns
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Op + ": " + op.Err.Error(), op
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err.Error(), u.Err
	}
	return "", nil
}

// oneLine makes what others wrote fit for one line of a log.
func oneLine(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, s)
	if len(s) > limit {
		s = strings.ToValidUTF8(s[:limit-len("…")], "") + "…"
	}
	return s
}
