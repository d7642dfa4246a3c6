// SPDX-License-Identifier: MIT

package entratest_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/apponly/apponly/entratest"
)

// rawResponse is an answer that need not be JSON.
type rawResponse struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// token says whether there is one in the body.
func (r rawResponse) token() bool {
	var body struct {
		AccessToken string `json:"access_token"`
	}
	return r.err == nil && json.Unmarshal([]byte(r.body), &body) == nil && body.AccessToken != ""
}

func tokenRequest(ctx context.Context, s *entratest.Server, tenant string, form url.Values) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.Cloud().TokenEndpoint(tenant), strings.NewReader(form.Encode()))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return req
}

// send returns an error only if there was no answer.
func send(c *http.Client, req *http.Request) (rawResponse, error) {
	resp, err := c.Do(req)
	if err != nil {
		return rawResponse{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return rawResponse{resp.StatusCode, resp.Header, string(body), err}, nil
}

// askToken sends a correct request of the demo app.
func askToken(t *testing.T, s *entratest.Server, tenant string) rawResponse {
	t.Helper()
	got, err := send(s.HTTPClient(), tokenRequest(t.Context(), s, tenant, secretForm(s)))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func addFault(t *testing.T, s *entratest.Server, f entratest.Fault) (remove func()) {
	t.Helper()
	remove, err := s.AddFault(f)
	if err != nil {
		t.Fatal(err)
	}
	return remove
}

func TestFaultAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		fault   entratest.Fault
		status  int
		code    int
		body    string // instead of a code
		summary string
	}{
		{"status", entratest.Fault{Status: 503}, 503, 0, "Service Unavailable", "status 503"},
		{"status without a body", entratest.Fault{Status: 204}, 204, 0, "", "status 204"},
		{"retry-after", entratest.Fault{Status: 429, RetryAfter: "soon"}, 429, 0, "Too Many Requests", "status 429"},
		{"code", entratest.Fault{Code: 90033}, 503, 90033, "", "code 90033"},
		{"code with arguments", entratest.Fault{Code: 700016, RetryAfter: "3"}, 400, 700016, "", "code 700016"},
		{"code with another status", entratest.Fault{Code: 90033, Status: 500}, 500, 90033, "", "status 500, code 90033"},
		{"garble", entratest.Fault{Connection: "garble"}, 200, 0, "<html>\x00 this is not JSON", "garble"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := entratest.New(t)
			addFault(t, s, tt.fault)
			got := askToken(t, s, s.Tenant().ID())
			if got.status != tt.status || got.err != nil || got.header.Get("Retry-After") != tt.fault.RetryAfter {
				t.Errorf("got %+v, want status %d, Retry-After %q", got, tt.status, tt.fault.RetryAfter)
			}
			if tt.code == 0 && got.body != tt.body {
				t.Errorf("body = %q, want %q", got.body, tt.body)
			}
			if tt.code != 0 {
				var body struct {
					Codes []int  `json:"error_codes"`
					Trace string `json:"trace_id"`
				}
				if err := json.Unmarshal([]byte(got.body), &body); err != nil || len(body.Codes) != 1 || body.Codes[0] != tt.code || body.Trace == "" {
					t.Errorf("body = %s, want one with %d", got.body, tt.code)
				}
			}
			log := s.Requests()[0]
			log.Time = time.Time{}
			want := entratest.Request{
				Method: "POST", Host: "login.entra.test", Path: "/" + s.Tenant().ID() + "/oauth2/v2.0/token",
				Tenant: s.Tenant().ID(), ClientID: s.App().ClientID(), Scope: s.API().Scope(),
				Status: tt.status, Code: tt.code, Fault: tt.summary,
			}
			if !reflect.DeepEqual(log, want) {
				t.Errorf("record\n got %+v\nwant %+v", log, want)
			}
		})
	}
}

// TestFaultCodes asks for every number there is: a fault either refuses it or
// answers with a text that is whole.
func TestFaultCodes(t *testing.T) {
	file, err := os.Open("../aadsts.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := entratest.New(t)
	known := map[int]bool{}
	for _, row := range rows[1:] {
		code, err := strconv.Atoi(row[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.AddFault(entratest.Fault{Code: code, Times: 1}); err != nil {
			continue
		}
		known[code] = true
		got := postForm(t, s, s.Tenant().ID(), secretForm(s))
		if len(got.Codes) != 1 || got.Codes[0] != code || strings.Contains(got.Description, "%!") || got.Status < 400 {
			t.Errorf("%d: got %d %v %s", code, got.Status, got.Codes, got.Description)
		}
	}
	for _, code := range []int{50033, 50196, 90006, 90012, 90024, 90033, 90055, 90090, 7000215} {
		if !known[code] {
			t.Errorf("code %d cannot be had", code)
		}
	}
}

func TestFaultMatches(t *testing.T) {
	s := entratest.New(t)
	home := s.Tenant().ID()
	guest := s.AddTenant("contoso.example")
	guest.Install(s.App())
	guest.Provide(s.API())
	app := s.App().ClientID()
	const other = "11111111-2222-4333-8444-555555555555"

	inBody := func(tenant string) *http.Request { return tokenRequest(t.Context(), s, tenant, secretForm(s)) }
	basic := func() *http.Request {
		form := secretForm(s)
		form.Del("client_id")
		form.Del("client_secret")
		req := tokenRequest(t.Context(), s, home, form)
		req.SetBasicAuth(url.QueryEscape(app), url.QueryEscape(s.Secret()))
		return req
	}
	get := func(path string) *http.Request {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Cloud().Authority()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		return req
	}
	for _, tt := range []struct {
		name  string
		fault entratest.Fault
		req   *http.Request
		hit   bool
	}{
		{"anything", entratest.Fault{}, inBody(home), true},
		{"anything, nothing there", entratest.Fault{}, get("/nowhere"), true},
		{"endpoint", entratest.Fault{Endpoint: "token"}, inBody(home), true},
		{"other endpoint", entratest.Fault{Endpoint: "keys"}, inBody(home), false},
		{"keys v1", entratest.Fault{Endpoint: "keys"}, get("/common/discovery/keys"), true},
		{"keys v2", entratest.Fault{Endpoint: "keys"}, get("/" + home + "/discovery/v2.0/keys"), true},
		{"configuration", entratest.Fault{Endpoint: "configuration"}, get("/" + home + "/v2.0/.well-known/openid-configuration"), true},
		{"discovery", entratest.Fault{Endpoint: "discovery"}, get("/common/discovery/instance"), true},
		{"token, nothing there", entratest.Fault{Endpoint: "token"}, get("/nowhere"), false},
		{"tenant", entratest.Fault{Tenant: home}, inBody(home), true},
		{"tenant in capitals", entratest.Fault{Tenant: strings.ToUpper(home)}, inBody(home), true},
		{"other tenant", entratest.Fault{Tenant: guest.ID()}, inBody(home), false},
		{"tenant by its domain", entratest.Fault{Tenant: "Contoso.example"}, inBody(guest.ID()), true},
		{"tenant that came by its domain", entratest.Fault{Tenant: guest.ID()}, inBody("CONTOSO.example"), true},
		{"tenant that is none", entratest.Fault{Tenant: "nobody.example"}, inBody("nobody.example"), true},
		{"common", entratest.Fault{Tenant: "common"}, get("/common/discovery/keys"), true},
		{"client", entratest.Fault{ClientID: app}, inBody(home), true},
		{"client in capitals", entratest.Fault{ClientID: strings.ToUpper(app)}, inBody(home), true},
		{"client by Basic", entratest.Fault{ClientID: app}, basic(), true},
		{"other client", entratest.Fault{ClientID: other}, inBody(home), false},
		{"other client by Basic", entratest.Fault{ClientID: other}, basic(), false},
		{"no client", entratest.Fault{ClientID: app}, get("/common/discovery/keys"), false},
		{"all of them", entratest.Fault{Endpoint: "token", Tenant: home, ClientID: app}, inBody(home), true},
		{"all but one", entratest.Fault{Endpoint: "token", Tenant: home, ClientID: other}, inBody(home), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.fault.Status = 599
			defer addFault(t, s, tt.fault)()
			got, err := send(s.HTTPClient(), tt.req)
			if err != nil {
				t.Fatal(err)
			}
			if hit := got.status == 599; hit != tt.hit {
				t.Errorf("got %d, want hit = %v", got.status, tt.hit)
			}
			// What is looked into has to reach its handler whole.
			if !tt.hit && tt.req.Method == http.MethodPost && !got.token() {
				t.Errorf("got %d %s, want a token", got.status, got.body)
			}
		})
	}
}

func TestFaultsInOrder(t *testing.T) {
	s := entratest.New(t)
	status := func(want int) {
		t.Helper()
		if got := askToken(t, s, s.Tenant().ID()); got.status != want {
			t.Errorf("got %d, want %d", got.status, want)
		}
	}
	addFault(t, s, entratest.Fault{Status: 501, Times: 2})
	remove := addFault(t, s, entratest.Fault{Status: 502})
	addFault(t, s, entratest.Fault{Status: 503})
	status(501)
	status(501)
	status(502)
	remove()
	remove() // again is no harm
	status(503)
	s.ClearFaults()
	status(200)
}

func TestFaultForTheNext(t *testing.T) {
	s := entratest.New(t)
	addFault(t, s, entratest.Fault{Times: 37, Status: 503})
	var refused, served atomic.Int32
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			switch askToken(t, s, s.Tenant().ID()).status {
			case 503:
				refused.Add(1)
			case 200:
				served.Add(1)
			}
		})
	}
	wg.Wait()
	if refused.Load() != 37 || served.Load() != 163 {
		t.Errorf("%d refused, %d served; want 37, 163", refused.Load(), served.Load())
	}
	if c := s.Counters(); c.Faults != 37 || c.Statuses[503] != 37 || c.Statuses[200] != 163 || c.Endpoints["token"] != 200 {
		t.Errorf("counters %+v", c)
	}
}

func TestFaultProbability(t *testing.T) {
	s := entratest.New(t)
	addFault(t, s, entratest.Fault{Probability: 0.5, Status: 501})
	addFault(t, s, entratest.Fault{Status: 502}) // who escapes the first meets the second
	for range 2000 {
		resp, err := s.HTTPClient().Get(s.Cloud().Authority() + "/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	// The standard deviation is 22: this fails by chance once in 10^18 runs.
	c := s.Counters()
	if n := c.Statuses[501]; n < 800 || n > 1200 || c.Statuses[502] != 2000-n {
		t.Errorf("statuses %v, want about half of 2,000 each", c.Statuses)
	}
}

func TestFaultErrors(t *testing.T) {
	s := entratest.New(t)
	for _, tt := range []struct {
		fault entratest.Fault
		names string
	}{
		{entratest.Fault{}, "does nothing"},
		{entratest.Fault{Endpoint: "token", Times: 3, Probability: 0.5}, "does nothing"},
		{entratest.Fault{Endpoint: "Token", Status: 500}, `endpoint "Token" is unknown`},
		{entratest.Fault{Tenant: "contoso", Status: 500}, `tenant "contoso"`},
		{entratest.Fault{ClientID: "worker", Status: 500}, `client_id "worker"`},
		{entratest.Fault{Times: -1, Status: 500}, "times is -1"},
		{entratest.Fault{Probability: -0.1, Status: 500}, "probability is -0.1"},
		{entratest.Fault{RetryAfter: " 30", Status: 500}, "retry_after"},
		{entratest.Fault{Probability: 1.1, Status: 500}, "probability is 1.1"},
		{entratest.Fault{Probability: math.NaN(), Status: 500}, "probability is NaN"},
		{entratest.Fault{Delay: -1}, "delay is -1ns"},
		{entratest.Fault{Status: 99}, "status is 99"},
		{entratest.Fault{Status: 100}, "status is 100"},
		{entratest.Fault{Status: 600}, "status is 600"},
		{entratest.Fault{Status: -500}, "status is -500"},
		{entratest.Fault{Code: 1}, "code 1 "},
		{entratest.Fault{Code: -90033}, "code -90033"},
		{entratest.Fault{Code: 90033, Status: 200}, "status 200 is none for code 90033"},
		{entratest.Fault{Connection: "slow"}, `connection "slow" is unknown`},
		{entratest.Fault{Connection: "hang", Status: 500}, `connection "hang" goes with neither`},
		{entratest.Fault{Connection: "garble", Code: 90033}, `connection "garble" goes with neither`},
		{entratest.Fault{Connection: "hang", RetryAfter: "1"}, "retry_after goes with"},
		{entratest.Fault{RetryAfter: "1"}, "retry_after goes with"},
		{entratest.Fault{Status: 503, RetryAfter: "1\r\nX: y"}, "retry_after"},
	} {
		remove, err := s.AddFault(tt.fault)
		if err == nil || remove != nil || !strings.HasPrefix(err.Error(), "entratest: fault: ") ||
			!strings.Contains(err.Error(), tt.names) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%+v: %v, want a line that names %s", tt.fault, err, tt.names)
		}
	}
	if got := askToken(t, s, s.Tenant().ID()); got.status != http.StatusOK {
		t.Errorf("got %d: a fault with a mistake acts", got.status)
	}
	for _, fault := range []entratest.Fault{ // the ends of what is right
		{Probability: 1, Status: 200}, {Status: 599}, {Code: 90033, Status: 400}, {Status: 503, RetryAfter: "a b"},
	} {
		if _, err := s.AddFault(fault); err != nil {
			t.Errorf("%+v: %v, want none", fault, err)
		}
	}
}

func TestFaultDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		start := time.Now()
		addFault(t, s, entratest.Fault{Delay: 5 * time.Second, Times: 1})
		got := postForm(t, s, s.Tenant().ID(), secretForm(s))
		if waited := time.Since(start); waited != 5*time.Second || got.AccessToken == "" {
			t.Fatalf("status %d after %v, want a token after 5s", got.Status, waited)
		}
		// It is Entra that is late: the token is young.
		claims := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(got.AccessToken, claims); err != nil {
			t.Fatal(err)
		}
		if iat, err := claims.GetIssuedAt(); err != nil || !iat.Equal(start.Add(5*time.Second)) {
			t.Errorf("iat = %v, %v; want %v", iat, err, start.Add(5*time.Second))
		}
		if log := s.Requests()[0]; !log.Time.Equal(start) || log.Fault != "delay 5s" || log.Status != 200 || log.AuthMethod != "secret" {
			t.Errorf("record %+v", log)
		}

		start = time.Now()
		addFault(t, s, entratest.Fault{Delay: time.Minute, Status: 504, Times: 1})
		if got := askToken(t, s, s.Tenant().ID()); got.status != 504 || time.Since(start) != time.Minute {
			t.Errorf("got %d after %v, want 504 after 1m", got.status, time.Since(start))
		}

		start = time.Now()
		addFault(t, s, entratest.Fault{Delay: time.Hour, Times: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := send(s.HTTPClient(), tokenRequest(ctx, s, s.Tenant().ID(), secretForm(s)))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v, want DeadlineExceeded after 1s", err, time.Since(start))
		}
		synctest.Wait()
		if c := s.Counters(); c.Statuses[0] != 1 || c.Faults != 3 {
			t.Errorf("counters %+v, want one without a status of 3 faults", c)
		}
	})
}

func TestFaultHang(t *testing.T) {
	start := func(ctx context.Context, t *testing.T, s *entratest.Server) *http.Response {
		t.Helper()
		resp, err := s.HTTPClient().Do(tokenRequest(ctx, s, s.Tenant().ID(), secretForm(s)))
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	for name, tt := range map[string]struct {
		end  func(t *testing.T, s *entratest.Server, cancel func(), body io.Closer)
		want error
	}{
		"context":    {func(_ *testing.T, _ *entratest.Server, cancel func(), _ io.Closer) { cancel() }, context.Canceled},
		"Close":      {func(_ *testing.T, s *entratest.Server, _ func(), _ io.Closer) { s.Close() }, io.ErrUnexpectedEOF},
		"body close": {func(_ *testing.T, _ *entratest.Server, _ func(), body io.Closer) { body.Close() }, io.ErrUnexpectedEOF},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := entratest.New(t)
				addFault(t, s, entratest.Fault{Connection: "hang"})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				resp := start(ctx, t, s)
				defer resp.Body.Close()
				if resp.StatusCode != http.StatusOK || resp.ContentLength < 100 {
					t.Errorf("status %d, length %d; want those of the whole answer", resp.StatusCode, resp.ContentLength)
				}
				half := make([]byte, resp.ContentLength/2)
				if _, err := io.ReadFull(resp.Body, half); err != nil || !strings.HasPrefix(string(half), "{") {
					t.Errorf("%q, %v; want the first half", half, err)
				}
				begun := time.Now()
				time.AfterFunc(time.Hour, func() { tt.end(t, s, cancel, resp.Body) })
				n, err := resp.Body.Read(make([]byte, 1))
				if n != 0 || !errors.Is(err, tt.want) || time.Since(begun) != time.Hour {
					t.Errorf("%d bytes, %v after %v; want %v after 1h", n, err, time.Since(begun), tt.want)
				}
			})
		})
	}
}

func TestFaultBlackHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		addFault(t, s, entratest.Fault{Connection: "black-hole"})
		begun := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 24*time.Hour)
		defer cancel()
		_, err := send(s.HTTPClient(), tokenRequest(ctx, s, s.Tenant().ID(), secretForm(s)))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != 24*time.Hour {
			t.Errorf("%v after %v, want DeadlineExceeded after a day", err, time.Since(begun))
		}

		time.AfterFunc(time.Hour, s.Close)
		begun = time.Now()
		_, err = send(s.HTTPClient(), tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
		if !errors.Is(err, io.ErrUnexpectedEOF) || time.Since(begun) != time.Hour {
			t.Errorf("%v after %v, want a lost connection after 1h", err, time.Since(begun))
		}
		// Whoever comes later does not even wait.
		if _, err := send(s.HTTPClient(), tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after Close: %v, want a lost connection", err)
		}
	})
}

// The dice and the number of hits are one step, whoever asks at the same time.
func TestFaultTimesAreExact(t *testing.T) {
	for name, tr := range transports {
		t.Run(name, func(t *testing.T) {
			s := entratest.New(t)
			client := tr.client(t, s)
			// HTTP/2 has its connection before the crowd comes. With 300 begun at
			// once a slow machine misses the two seconds that net/http's server
			// gives a client for its SETTINGS, and drops who is on that connection.
			if got, err := send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s))); err != nil || !got.token() {
				t.Fatalf("%+v, %v", got, err)
			}
			addFault(t, s, entratest.Fault{Status: 503, Times: 37, Probability: 0.5})
			addFault(t, s, entratest.Fault{Code: 90033, Times: 20})
			var n503, n900, n200 atomic.Int32
			var wg sync.WaitGroup
			for range 300 {
				wg.Go(func() {
					got, err := send(client, tokenRequest(t.Context(), s, s.Tenant().ID(), secretForm(s)))
					switch {
					case err != nil:
						t.Error(err)
					case got.token():
						n200.Add(1)
					case strings.Contains(got.body, "90033"):
						n900.Add(1)
					default:
						n503.Add(1)
					}
				})
			}
			wg.Wait()
			if n503.Load() != 37 || n900.Load() != 20 || n200.Load() != 243 {
				t.Errorf("%d times 503, %d times 90033, %d tokens, want 37, 20, 243", n503.Load(), n900.Load(), n200.Load())
			}
			if c := s.Counters(); c.Faults != 57 || c.Requests != 301 {
				t.Errorf("counters %+v", c)
			}
		})
	}
}
