// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// An sts is the token service all libraries talk to: in memory, so that what is
// measured is the library. It counts, delays and fails on command. Set it up
// before it is asked; only fault may change afterwards.
type sts struct {
	requests  atomic.Int64 // for tokens; what libraries ask besides is not counted
	fault     atomic.Int32 // the HTTP status to answer with, 0: none
	delay     func(tenant string) time.Duration
	tokenSize int           // bytes; 0: 1,500, what Entra's come to
	expiresIn time.Duration // 0: an hour
	refreshIn time.Duration // 0: not said
	serial    atomic.Int64
	wire      *http.Transport // to where it answers over TLS; nil: it answers in memory
}

const tokenSize = 1500

var padding = strings.Repeat("x", tokenSize)

func (s *sts) client() *http.Client { return &http.Client{Transport: s} }

// RoundTrip answers for login.microsoftonline.com.
func (s *sts) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.wire != nil {
		return s.wire.RoundTrip(r)
	}
	return s.answer(r)
}

func (s *sts) answer(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		_ = r.Body.Close()
	}
	tenant, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	base := "https://" + r.URL.Host + "/" + tenant
	switch {
	case r.Method == http.MethodPost:
		return s.token(r, tenant)
	case rest == "discovery/instance":
		return answer(r, 200, `{"tenant_discovery_endpoint":"https://`+host+`/common/v2.0/.well-known/openid-configuration",`+
			`"metadata":[{"preferred_network":"`+host+`","preferred_cache":"login.windows.net","aliases":["`+host+`","login.windows.net"]}]}`), nil
	case strings.HasSuffix(rest, "openid-configuration"):
		return answer(r, 200, `{"issuer":"`+base+`/v2.0","token_endpoint":"`+base+`/oauth2/v2.0/token","authorization_endpoint":"`+base+`/oauth2/v2.0/authorize"}`), nil
	}
	return nil, fmt.Errorf("the benchmark's STS does not serve %s %s", r.Method, r.URL)
}

const host = "login.microsoftonline.com"

func (s *sts) token(r *http.Request, tenant string) (*http.Response, error) {
	s.requests.Add(1)
	if s.delay != nil {
		if d := s.delay(tenant); d > 0 {
			select {
			case <-time.After(d):
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}
	}
	switch status := int(s.fault.Load()); status {
	case 0:
	case http.StatusUnauthorized:
		return answer(r, status, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided.","error_codes":[7000215]}`), nil
	default:
		return answer(r, status, `{"error":"server_error"}`), nil
	}
	var b strings.Builder
	b.Grow(tokenSize + 200)
	b.WriteString(`{"token_type":"Bearer","expires_in":`)
	b.WriteString(seconds(s.expiresIn, time.Hour))
	b.WriteString(`,"ext_expires_in":`)
	b.WriteString(seconds(s.expiresIn, time.Hour))
	if s.refreshIn > 0 {
		b.WriteString(`,"refresh_in":`)
		b.WriteString(seconds(s.refreshIn, 0))
	}
	b.WriteString(`,"access_token":"`)
	n := strconv.FormatInt(s.serial.Add(1), 10)
	size := s.tokenSize
	if size == 0 {
		size = tokenSize
	}
	b.WriteString(n)
	b.WriteString(padding[:size-len(n)])
	b.WriteString(`"}`)
	return answer(r, 200, b.String()), nil
}

func seconds(d, otherwise time.Duration) string {
	if d == 0 {
		d = otherwise
	}
	return strconv.Itoa(int(d / time.Second))
}

func answer(r *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header:        http.Header{"Content-Type": {"application/json"}},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
	}
}
