// SPDX-License-Identifier: MIT

package apponly_test

import (
	"net/http"
	"testing"

	"github.com/apponly/apponly"
)

// Classifying an answer must cost next to nothing beside the request, also when
// an outage brings one after the other.
func BenchmarkClassify(b *testing.B) {
	body := []byte(`{"error":"invalid_client","error_description":"AADSTS7000222: The secret that was provided has reached its end date and is not accepted any more. Make a new one for this app, and think about using a certificate. Trace ID: 2f8f0a3c-5a53-4c1c-9a38-0a7cf3c70a00 Correlation ID: 6b1a3a5e-6e0f-49ad-9ab6-33fb3c77b7a2 Timestamp: 2026-11-20 10:11:12Z","error_codes":[7000222],"timestamp":"2026-11-20 10:11:12Z","trace_id":"2f8f0a3c-5a53-4c1c-9a38-0a7cf3c70a00","correlation_id":"6b1a3a5e-6e0f-49ad-9ab6-33fb3c77b7a2","error_uri":"https://login.microsoftonline.com/error?code=7000222"}`)
	header := http.Header{"Content-Type": {"application/json; charset=utf-8"}}
	apponly.Classify(401, header, body) // parses the table
	b.ReportAllocs()
	for b.Loop() {
		apponly.Classify(401, header, body)
	}
	b.ReportMetric(float64(len(body)), "body-bytes")
}
