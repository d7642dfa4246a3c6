// SPDX-License-Identifier: MIT

package awsassertion_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/awsassertion"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// Each refusal of STS says what a person does next, in the text that a client's
// error has room for.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		status                    int
		code, message, want, also string
	}{
		{403, "OutboundWebIdentityFederationDisabledException", "not enabled", "OutboundWebIdentityFederationDisabledException: switch it on for the AWS account, once", "iam:EnableOutboundWebIdentityFederation"},
		{403, "OutboundWebIdentityFederationDisabled", "not enabled", "switch it on for the AWS account, once", "aws iam enable-outbound-web-identity-federation"},
		{403, "AccessDenied", "User: " + roleARN + "\nis not authorized", "AccessDenied: allow the identity sts:GetWebIdentityToken", "User: " + roleARN + " is not authorized"},
		{400, "SessionDurationEscalationException", "too long", "the assertion would outlive the AWS session: shorten Options.Duration", ""},
		{400, "JWTPayloadSizeExceededException", "too large", "have fewer tags at the role or its session", ""},
		{403, "ExpiredToken", "expired", "ExpiredToken: the AWS credentials have expired", ""},
		{403, "ExpiredTokenException", "expired", "the AWS credentials have expired", ""},
		{403, "InvalidClientTokenId", "invalid", "AWS does not know the access key", ""},
		{403, "RegionDisabledException", "disabled", "activate STS in this region", ""},
		{400, "InvalidAction", "unknown", "the endpoint does not have this call", ""},
		{400, "ValidationError", "Value at 'audience' is too long", "ValidationError: Value at 'audience' is too long", ""},
		{400, "Throttling", "Rate exceeded", "Throttling: STS has too many requests", ""},
		{418, "Teapot", "canary-message", "in eu-west-1: Teapot; tenant", ""},
		{500, "InternalFailure", "canary-message", "in eu-west-1: InternalFailure; tenant", ""},
	} {
		t.Run(tc.code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				entra, sts := newChain(t)
				sts.respond = func(w http.ResponseWriter, _ url.Values) { fault(w, tc.status, tc.code, tc.message) }
				_, err := newClient(t, entra, awsassertion.New(sts.config(), nil)).Token(t.Context(), entra.API().Scope())
				text := fmt.Sprint(err)
				if !errors.Is(err, apponly.ErrCredentialUnavailable) || !strings.Contains(text, tc.want) || !strings.Contains(text, tc.also) {
					t.Errorf("Token: %v\nwant %s … %s", err, tc.want, tc.also)
				}
				if api, ok := errors.AsType[smithy.APIError](err); !ok || api.ErrorCode() != tc.code {
					t.Errorf("the code is not to be had by errors.As: %v", api)
				}
				checkClean(t, err, "canary-message")
				if entra.TokenRequests() != 0 {
					t.Error("Entra was asked")
				}
			})
		})
	}
}

// A wrong key, and a request that was changed on its way, are refused by the
// signature; nothing of what STS then quotes of the request is shown.
func TestSignature(t *testing.T) {
	for name, change := range map[string]func(*fakeSTS, *aws.Config){
		"another key": func(_ *fakeSTS, cfg *aws.Config) {
			cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey + "x", SessionToken: sessionToken}, nil
			})
		},
		"another body": func(sts *fakeSTS, cfg *aws.Config) {
			cfg.HTTPClient = doer(func(req *http.Request) (*http.Response, error) {
				req.Body = io.NopCloser(strings.NewReader("Action=GetWebIdentityToken&Version=2011-06-15"))
				return sts.Do(req)
			})
		},
		"another region": func(_ *fakeSTS, cfg *aws.Config) { cfg.Region = "us-east-1" },
	} {
		t.Run(name, func(t *testing.T) {
			_, sts := newChain(t)
			cfg := sts.config()
			change(sts, &cfg)
			_, err := awsassertion.New(cfg, nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"})
			if want := "SignatureDoesNotMatch: the secret access key is wrong, or this machine's clock is"; !strings.Contains(fmt.Sprint(err), want) {
				t.Errorf("Assertion: %v, want %s", err, want)
			}
			checkClean(t, err)
		})
	}
}

// Whatever else goes wrong has a row here.
func TestFaults(t *testing.T) {
	dialer := func(err error) func(*aws.Config) {
		return func(cfg *aws.Config) {
			cfg.HTTPClient = &http.Client{Transport: &http.Transport{
				DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, err },
			}}
		}
	}
	answer := func(status int, body string) func(*aws.Config) {
		return func(cfg *aws.Config) {
			cfg.HTTPClient = doer(func(*http.Request) (*http.Response, error) {
				rec := httptest.NewRecorder()
				rec.WriteHeader(status)
				io.WriteString(rec, body)
				return rec.Result(), nil
			})
		}
	}
	credentials := func(err error) func(*aws.Config) {
		return func(cfg *aws.Config) {
			cfg.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
				return aws.Credentials{}, err
			})
		}
	}
	canary := errors.New("parse failed of process output: " + secretKey)
	for name, tc := range map[string]struct {
		change func(*aws.Config)
		want   string
	}{
		"refused": {dialer(&net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}), "STS cannot be reached: dial: connection refused"},
		"no name": {dialer(&net.DNSError{Name: "sts.eu-west-1.amazonaws.com", Err: "no such host", IsNotFound: true}), "STS cannot be reached: sts.eu-west-1.amazonaws.com: no such host"},
		"other":   {dialer(errors.New("tls: unknown authority")), "STS cannot be reached: tls: unknown authority"},
		"empty":   {answer(200, ""), "the answer has no token"},
		"no token": {answer(200, "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult></GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"),
			"the answer has no token"},
		"not XML":        {answer(200, "<html>canary"), "the answer cannot be read"},
		"a proxy's page": {answer(403, "<html>canary</html>"), "does a proxy answer in its place?"},
		"endless": {answer(200, "<GetWebIdentityTokenResponse><GetWebIdentityTokenResult><WebIdentityToken>"+strings.Repeat("canary", 1<<18)),
			"the answer cannot be read"},
		"no role":       {credentials(canary), `no AWS credentials: their provider failed; "aws sts get-caller-identity" shows more`},
		"role refused":  {credentials(&smithy.OperationError{ServiceID: "STS", OperationName: "AssumeRole", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: secretKey}}), "no AWS credentials: STS AssumeRole: AccessDenied;"},
		"no metadata":   {credentials(&smithy.OperationError{ServiceID: "ec2imds", OperationName: "GetMetadata", Err: &net.OpError{Op: "dial", Err: errors.New("no route to host")}}), "no AWS credentials: ec2imds GetMetadata: dial: no route to host;"},
		"role unclear":  {credentials(&smithy.OperationError{ServiceID: "SSO", OperationName: "GetRoleCredentials", Err: canary}), "no AWS credentials: SSO GetRoleCredentials failed;"},
		"broken config": {func(cfg *aws.Config) { cfg.BaseEndpoint = aws.String(":") }, "the request could not be made"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, sts := newChain(t)
				cfg := sts.config()
				tc.change(&cfg)
				_, err := awsassertion.New(cfg, nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"})
				if !errors.Is(err, apponly.ErrCredentialUnavailable) || !strings.Contains(fmt.Sprint(err), tc.want) {
					t.Errorf("Assertion: %v, want %s", err, tc.want)
				}
				checkClean(t, err, "canary")
			})
		})
	}
}

// What passes is tried again by AWS's SDK, and not for long.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, sts := newChain(t)
		sts.respond = func(w http.ResponseWriter, form url.Values) {
			if sts.requests.Load() == 1 {
				fault(w, 503, "ServiceUnavailable", "")
				return
			}
			sts.token(w, form)
		}
		if _, err := awsassertion.New(sts.config(), nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"}); err != nil {
			t.Error(err)
		}

		sts.respond = func(w http.ResponseWriter, _ url.Values) { fault(w, 503, "ServiceUnavailable", "") }
		sts.requests.Store(0)
		began := time.Now()
		_, err := awsassertion.New(sts.config(), nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"})
		if n, took := sts.requests.Load(), time.Since(began); err == nil || n != 3 || took > 30*time.Second {
			t.Errorf("after %d requests in %v: %v, want 3", n, took, err)
		}
	})
}

// What AWS's SDK logs for debugging has neither the request nor the assertion.
func TestLog(t *testing.T) {
	_, sts := newChain(t)
	cfg := sts.config()
	var log strings.Builder
	cfg.Logger, cfg.ClientLogMode = logging.NewStandardLogger(&log), aws.LogRequestWithBody|aws.LogResponseWithBody|aws.LogSigning
	token, err := awsassertion.New(cfg, nil).Assertion(t.Context(), apponly.AssertionRequest{Audience: "a"})
	if err != nil {
		t.Fatal(err)
	}
	checkClean(t, errors.New(log.String()), token)
}

// checkClean looks for what must not be shown, in all that can be printed of an
// error and of those beneath it.
func checkClean(t *testing.T, err error, secrets ...string) {
	t.Helper()
	secrets = append(secrets, secretKey, sessionToken, "AWS4-HMAC-SHA256")
	for _, text := range printed(err) {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%q is in %s", secret, text)
			}
		}
	}
}

func printed(err error) []string {
	texts := []string{fmt.Sprintf("%v", err), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err)}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		if cause := err.Unwrap(); cause != nil {
			texts = append(texts, printed(cause)...)
		}
	case interface{ Unwrap() []error }:
		for _, cause := range err.Unwrap() {
			texts = append(texts, printed(cause)...)
		}
	}
	return texts
}
