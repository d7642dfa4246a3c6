// SPDX-License-Identifier: MIT

package awsassertion

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/apponly/apponly"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"golang.org/x/sync/singleflight"
)

// Options of [New]. The zero value is fine, and so is nil.
type Options struct {
	// Audience is what the assertion is made out to. Empty: the exchange audience
	// of the client's cloud, which is right unless the federated credential names
	// another.
	Audience string
	// Duration is how long the assertion is good, between a minute and an hour. It
	// must not outlive the session of the AWS credentials. 0: the 5 minutes that STS
	// gives by itself; the assertion is used at once.
	Duration time.Duration
}

// What STS takes: see
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetWebIdentityToken.html
const (
	minDuration = time.Minute
	maxDuration = time.Hour
	maxAudience = 1000
)

// New returns a source of assertions that says who the workload is to AWS: the
// IAM principal whose credentials cfg has. What is wrong with cfg or opts is the
// error of the first token request, before anything is sent.
//
// A source is equal to itself only: an aws.Config cannot be compared. Build it
// once and keep it, so that the clients made with it share their tokens.
func New(cfg aws.Config, opts *Options) apponly.AssertionSource {
	s := &source{region: cfg.Region}
	if opts != nil {
		s.opts = *opts
	}
	if s.fault = check(cfg, s.opts); s.fault == nil {
		cfg.Credentials = provider{cfg.Credentials}
		s.client = sts.NewFromConfig(cfg, func(o *sts.Options) {
			o.HTTPClient = bounded{o.HTTPClient}
			// What a request holds can be used in the workload's name, and so can what
			// the answer to it holds: neither belongs in a log.
			o.ClientLogMode &= aws.LogRetries
		})
	}
	return s
}

// check finds what STS would refuse, or answer from an endpoint that does not
// have this call.
func check(cfg aws.Config, opts Options) error {
	switch {
	case cfg.Region == "":
		return errors.New("no region: set AWS_REGION or Region of the aws.Config")
	case strings.HasPrefix(cfg.Region, "aws-") || strings.HasSuffix(cfg.Region, "-global"):
		return fmt.Errorf("%q is not a region: the global endpoint does not have this call, set AWS_REGION to one like eu-west-1", cfg.Region)
	case strings.ContainsFunc(cfg.Region, notInRegion):
		return fmt.Errorf("%q is not a region: want one like eu-west-1", cfg.Region)
	case cfg.Credentials == nil || aws.IsCredentialsProvider(cfg.Credentials, (*aws.AnonymousCredentials)(nil)):
		return errors.New("the aws.Config has no credentials: take that of config.LoadDefaultConfig")
	case opts.Duration != 0 && (opts.Duration < minDuration || opts.Duration > maxDuration):
		return fmt.Errorf("Options.Duration is %v, want %v to %v", opts.Duration, minDuration, maxDuration)
	}
	return nil
}

func notInRegion(r rune) bool {
	return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-'
}

type source struct {
	client *sts.Client // nil if there is a fault
	fault  error
	region string
	opts   Options
	calls  singleflight.Group // by audience
}

// Assertion asks STS.
func (s *source) Assertion(ctx context.Context, req apponly.AssertionRequest) (string, error) {
	audience := cmp.Or(s.opts.Audience, req.Audience)
	// Thousands of tenants may need one at once, and one will do for all.
	token, err, _ := s.calls.Do(audience, func() (any, error) { return s.ask(ctx, audience) })
	if err != nil {
		return "", s.explain(ctx, err)
	}
	return token.(string), nil
}

func (s *source) ask(ctx context.Context, audience string) (string, error) {
	if s.fault != nil {
		return "", s.fault
	}
	if audience == "" || len(audience) > maxAudience {
		return "", fmt.Errorf("the audience has %d characters, want 1 to %d", len(audience), maxAudience)
	}
	in := &sts.GetWebIdentityTokenInput{Audience: []string{audience}, SigningAlgorithm: aws.String("RS256")}
	if s.opts.Duration != 0 {
		in.DurationSeconds = aws.Int32(int32(s.opts.Duration / time.Second))
	}
	out, err := s.client.GetWebIdentityToken(ctx, in)
	if err != nil {
		return "", err
	}
	if aws.ToString(out.WebIdentityToken) == "" {
		return "", errNoToken
	}
	return *out.WebIdentityToken, nil
}

// maxAnswer is more than STS ever sends: a token has a few kilobytes.
const maxAnswer = 1 << 20

// A bounded client reads no more of an answer than maxAnswer.
type bounded struct{ sts.HTTPClient }

func (c bounded) Do(req *http.Request) (*http.Response, error) {
	resp, err := c.HTTPClient.Do(req)
	if err == nil {
		resp.Body = body{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

type body struct {
	io.Reader
	io.Closer
}

// A provider marks the errors of another one: what is wrong with the
// credentials is told apart from what is wrong with the call.
type provider struct{ aws.CredentialsProvider }

func (p provider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	c, err := p.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		err = &credentialsError{err}
	}
	return c, err
}

// A credentialsError is why there are no AWS credentials. Its own text is never
// shown: some providers quote what they could not parse.
type credentialsError struct{ error }

func (e *credentialsError) Unwrap() error { return e.error }
