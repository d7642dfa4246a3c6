// SPDX-License-Identifier: MIT

package awsassertion_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/aws/aws-sdk-go-v2/aws"
)

const (
	region    = "eu-west-1"
	roleARN   = "arn:aws:iam::111122223333:role/worker"
	issuerURL = "https://7c1d0f1e-aaaa-bbbb-cccc-000000000000.tokens.sts.global.api.aws"

	accessKey    = "ASIAEXAMPLEEXAMPLE00"
	secretKey    = "canary-secret-access-key/+0123456789abcdef"
	sessionToken = "canary-session-token//////////wEaCXVzLWVhc3QtMQ"
)

// A fakeSTS is the STS of one region. It checks the signature by its own reading
// of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html and signs
// tokens as an issuer that the emulator of Entra knows.
type fakeSTS struct {
	issuer *entratest.Issuer
	// respond answers in place of a token, if set, once the signature was checked.
	respond func(w http.ResponseWriter, form url.Values)

	requests  atomic.Int32
	lastToken atomic.Value // string
}

// Do answers in memory, so that AWS's client runs in a bubble.
func (f *fakeSTS) Do(req *http.Request) (*http.Response, error) {
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	rec := httptest.NewRecorder()
	f.ServeHTTP(rec, req)
	return rec.Result(), nil
}

// config is that of a workload in the region.
func (f *fakeSTS) config() aws.Config {
	return aws.Config{
		Region: region,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKey, SecretAccessKey: secretKey, SessionToken: sessionToken}, nil
		}),
		HTTPClient: f,
	}
}

func (f *fakeSTS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<16))
	if err != nil {
		fault(w, http.StatusBadRequest, "MalformedInput", err.Error())
		return
	}
	if err := checkSignature(r, payload); err != nil {
		// The real one shows the request that it has signed itself.
		fault(w, http.StatusForbidden, "SignatureDoesNotMatch", fmt.Sprintf("%v\nx-amz-security-token:%s\nAuthorization: %s",
			err, r.Header.Get("X-Amz-Security-Token"), r.Header.Get("Authorization")))
		return
	}
	form, err := url.ParseQuery(string(payload))
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/" || r.URL.RawQuery != "" ||
		form.Get("Action") != "GetWebIdentityToken" || form.Get("Version") != "2011-06-15" {
		fault(w, http.StatusBadRequest, "InvalidAction", "Could not find operation for version 2011-06-15")
		return
	}
	if f.respond != nil {
		f.respond(w, form)
		return
	}
	f.token(w, form)
}

func (f *fakeSTS) token(w http.ResponseWriter, form url.Values) {
	seconds := 300
	if form.Has("DurationSeconds") {
		seconds, _ = strconv.Atoi(form.Get("DurationSeconds"))
	}
	audience := form.Get("Audience.member.1")
	if seconds < 60 || seconds > 3600 || audience == "" || form.Has("Audience.member.2") || form.Get("SigningAlgorithm") != "RS256" {
		fault(w, http.StatusBadRequest, "ValidationError", "1 validation error detected")
		return
	}
	expires := time.Now().Add(time.Duration(seconds) * time.Second)
	token := f.issuer.Token(entratest.Claims{Subject: roleARN, Audience: audience, ExpiresAt: expires})
	f.lastToken.Store(token)
	fmt.Fprintf(w, `<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>`+
		`<WebIdentityToken>%s</WebIdentityToken><Expiration>%s</Expiration></GetWebIdentityTokenResult>`+
		`<ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata></GetWebIdentityTokenResponse>`,
		token, expires.UTC().Format(time.RFC3339))
}

// fault answers as STS does.
func fault(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	io.WriteString(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>`+code+`</Code><Message>`)
	xml.EscapeText(w, []byte(message))
	io.WriteString(w, `</Message></Error><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ErrorResponse>`)
}

// checkSignature makes the signature anew, from the request as it came.
func checkSignature(r *http.Request, payload []byte) error {
	scheme, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		fields[name] = value
	}
	date := r.Header.Get("X-Amz-Date")
	at, err := time.Parse("20060102T150405Z", date)
	if err != nil || scheme != "AWS4-HMAC-SHA256" || time.Since(at).Abs() > 5*time.Minute {
		return fmt.Errorf("scheme %q, date %q", scheme, date)
	}
	scope := date[:8] + "/" + region + "/sts/aws4_request"
	if fields["Credential"] != accessKey+"/"+scope {
		return fmt.Errorf("the credential is %q", fields["Credential"])
	}
	if r.Header.Get("X-Amz-Security-Token") != sessionToken {
		return fmt.Errorf("the session token is another")
	}
	names := strings.Split(fields["SignedHeaders"], ";")
	for _, name := range []string{"content-type", "host", "x-amz-date", "x-amz-security-token"} {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%s is not signed", name)
		}
	}
	var canonical strings.Builder
	canonical.WriteString(r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n")
	for _, name := range names {
		canonical.WriteString(name + ":" + header(r, name) + "\n")
	}
	canonical.WriteString("\n" + fields["SignedHeaders"] + "\n" + hexSum(payload))

	key := []byte("AWS4" + secretKey)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	want := mac(key, "AWS4-HMAC-SHA256\n"+date+"\n"+scope+"\n"+hexSum([]byte(canonical.String())))
	if got, err := hex.DecodeString(fields["Signature"]); err != nil || !hmac.Equal(got, want) {
		return fmt.Errorf("the signature is another")
	}
	return nil
}

// header returns a header's value as it is signed: net/http keeps two of them
// elsewhere.
func header(r *http.Request, name string) string {
	switch name {
	case "host":
		if r.Host != "" {
			return r.Host
		}
		return r.URL.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	}
	return strings.Join(strings.Fields(strings.Join(r.Header.Values(name), ",")), " ")
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	io.WriteString(h, data)
	return h.Sum(nil)
}

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
