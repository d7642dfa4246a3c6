// SPDX-License-Identifier: MIT

package assertionsource

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/apponly/apponly/internal/wire"
)

// GoogleMetadata is the metadata server of a machine, pod or function in Google
// Cloud: https://cloud.google.com/compute/docs/instances/verifying-instance-identity.
type GoogleMetadata struct {
	Audience string // "": that of the question
}

// googleHost is the variable that leads Google's own libraries to another host.
const googleHost = "GCE_METADATA_HOST"

// String returns "the metadata server of Google Cloud".
func (GoogleMetadata) String() string { return "the metadata server of Google Cloud" }

// Once implements Source.
func (GoogleMetadata) Once() bool { return false }

// Variables implements Source.
func (GoogleMetadata) Variables() []string { return []string{googleHost} }

// Check implements Source.
func (g GoogleMetadata) Check() []error {
	_, err := g.host()
	return faults(err)
}

// host returns the metadata server's address. It is that of the link, as Google's
// libraries have it: its name is not resolved everywhere.
func (GoogleMetadata) host() (string, error) {
	host := strings.TrimSpace(os.Getenv(googleHost))
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || host != "" && u.Hostname() == "" {
		return "", errors.New(googleHost + " is not a host, or a host and a port")
	}
	return cmp.Or(host, "169.254.169.254"), nil
}

// Ask implements Source. The server is on this machine, and never asked by way of a
// proxy: that would tell who the proxy is.
func (g GoogleMetadata) Ask(ctx context.Context, client *http.Client, audience string) (string, error) {
	host, err := g.host()
	if err != nil {
		return "", err
	}
	q := question{
		source: g.String(), method: http.MethodGet,
		url: "http://" + host + "/computeMetadata/v1/instance/service-accounts/default/identity?" +
			url.Values{"audience": {cmp.Or(g.Audience, audience)}, "format": {"standard"}}.Encode(),
		header: http.Header{"Metadata-Flavor": {"Google"}},
		hints: map[int]string{
			http.StatusNotFound:  "there is no service account here: give the machine or the pod one",
			http.StatusForbidden: "it is closed to this workload",
		},
	}
	body, err := q.ask(ctx, wire.WithoutProxy(client))
	return string(body), err
}
