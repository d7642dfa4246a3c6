// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azruntime "github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"golang.org/x/oauth2"

	"github.com/apponly/apponly"
)

// A canned transport answers every request at once with the same response: what
// is measured is what stands in front of it.
type canned struct{ resp http.Response }

func (c *canned) RoundTrip(*http.Request) (*http.Response, error) { return &c.resp, nil }
func (c *canned) Do(*http.Request) (*http.Response, error)        { return &c.resp, nil }

func newCanned() *canned { return &canned{http.Response{StatusCode: http.StatusOK, Body: http.NoBody}} }

// apiRequest is a request with some headers of the usual kind.
func apiRequest(headers int) (*http.Request, error) {
	req, err := http.NewRequest(http.MethodGet, "https://graph.microsoft.com/v1.0/users", nil)
	if err != nil {
		return nil, err
	}
	for i := range headers {
		req.Header.Set(fmt.Sprintf("X-Header-%d", i), "value")
	}
	return req, nil
}

// attaching returns what a request with some headers costs: nothing but the
// base, a clone, and through the transports of several libraries with their
// tokens cached.
func attaching(headers int) (base, clone contender, transports []contender, err error) {
	req, err := apiRequest(headers)
	if err != nil {
		return base, clone, nil, err
	}
	trip := func(name string, rt http.RoundTripper) contender {
		return contender{name, []loop{func(n int) error {
			for range n {
				if _, err := rt.RoundTrip(req); err != nil {
					return err
				}
			}
			return nil
		}}}
	}
	base = trip("base", newCanned())
	clone = contender{"req.Clone", []loop{func(n int) error {
		for range n {
			_ = req.Clone(req.Context())
		}
		return nil
	}}}

	client, err := openOurs(&sts{})
	if err != nil {
		return base, clone, nil, err
	}
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{Base: newCanned()})
	if err != nil {
		return base, clone, nil, err
	}
	bearer, err := azcoreBearer(headers)
	if err != nil {
		return base, clone, nil, err
	}
	transports = []contender{
		trip(ours.name, rt),
		trip("x/oauth2", oauth2Transport(&sts{})),
		bearer,
	}
	for _, c := range transports {
		if err := c.loops[0](1); err != nil { // fetches the token
			return base, clone, nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return base, clone, transports, nil
}

func oauth2Transport(s *sts) http.RoundTripper {
	ctx := context.WithValue(context.Background(), oauth2.HTTPClient, s.client())
	return &oauth2.Transport{Source: oauth2Config(home).TokenSource(ctx), Base: newCanned()}
}

// azcoreBearer is azcore's bearer token policy, over azidentity, in a pipeline
// of its own. A pipeline is not a RoundTripper: the request is made once and
// sent again and again, as a retry would.
func azcoreBearer(headers int) (contender, error) {
	opts := &azidentity.ClientSecretCredentialOptions{}
	opts.Transport = (&sts{}).client()
	cred, err := azidentity.NewClientSecretCredential(home, clientID, secret, opts)
	if err != nil {
		return contender{}, err
	}
	pipeline := newBearerPipeline(cred)
	plain, err := apiRequest(headers)
	if err != nil {
		return contender{}, err
	}
	req, err := azruntime.NewRequest(context.Background(), plain.Method, plain.URL.String())
	if err != nil {
		return contender{}, err
	}
	maps.Copy(req.Raw().Header, plain.Header)
	return contender{"azidentity", []loop{func(n int) error {
		for range n {
			if _, err := pipeline.Do(req); err != nil {
				return err
			}
		}
		return nil
	}}}, nil
}

func newBearerPipeline(cred azcore.TokenCredential) azruntime.Pipeline {
	opts := &policy.ClientOptions{Transport: newCanned()}
	opts.Retry.MaxRetries = -1
	opts.Telemetry.Disabled = true
	return azruntime.NewPipeline("bench", "v0", azruntime.PipelineOptions{
		PerRetry: []policy.Policy{azruntime.NewBearerTokenPolicy(cred, []string{scope}, nil)},
	}, opts)
}

// overhead is what attaching a cached token costs, beyond the base. The second
// one has the number of headers at which one more makes a map grow.
func overhead(r *run) ([]row, error) {
	each := 1500 * time.Millisecond
	if r.short {
		each /= 6
	}
	var rows []row
	for _, headers := range []int{3, 8} {
		base, clone, transports, err := attaching(headers)
		if err != nil {
			return nil, err
		}
		results, err := compare(200*time.Microsecond, each, append([]contender{base, clone}, transports...)...)
		if err != nil {
			return nil, err
		}
		line := newRow(fmt.Sprintf("attaching a cached token to a request with %d headers, beyond the base (floor: req.Clone; azidentity: azcore's bearer policy)", headers))
		least := results[0].ns
		line.floor = nanoseconds(results[1].ns) + ", " + plural(int(results[1].allocs), "alloc")
		our := results[2].ns - least
		for _, res := range results[2:] {
			ns := res.ns - least
			line.cells[res.name] = fmt.Sprintf("%s (%s×), %s", nanoseconds(ns), ratio(ns/our), plural(int(res.allocs), "alloc"))
		}
		line.cells[ours.name] = fmt.Sprintf("**%s** (%.2f × req.Clone), %s", nanoseconds(our), our/results[1].ns, plural(int(results[2].allocs), "alloc"))
		rows = append(rows, line)
	}
	return rows, nil
}

// tripDeadline is deadline for a request through a transport. It and the token
// request are the only ones, and http.Client stands in front as it would.
func tripDeadline(*run) ([]row, error) {
	slow := &sts{delay: func(string) time.Duration { return 2 * time.Second }}
	client, err := openOurs(slow)
	if err != nil {
		return nil, err
	}
	rt, err := apponly.NewTransport(client, scope, &apponly.TransportOptions{Base: newCanned()})
	if err != nil {
		return nil, err
	}
	line := newRow("request with a 50 ms deadline, no token yet, STS takes 2 s: returns after")
	times := map[string]time.Duration{}
	for name, rt := range map[string]http.RoundTripper{ours.name: rt, "x/oauth2": oauth2Transport(slow)} {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0/users", nil)
		if err != nil {
			cancel()
			return nil, err
		}
		begun := time.Now()
		resp, err := (&http.Client{Transport: rt}).Do(req)
		times[name] = time.Since(begun)
		cancel()
		if err == nil { // right either way, as above
			_ = resp.Body.Close()
		}
	}
	line.durations(times)
	return []row{line}, nil
}
