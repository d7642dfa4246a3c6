// SPDX-License-Identifier: MIT

package entratest_test

import (
	"bufio"
	"context"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// follow opens the stream of a page.
func follow(t *testing.T, s *entratest.Server, query string) (*http.Response, <-chan string) {
	t.Helper()
	return followBy(t, s.HTTPClient(), s.Cloud().Authority()+"/_emulator/events"+query)
}

func followBy(t *testing.T, client *http.Client, address string) (*http.Response, <-chan string) {
	t.Helper()
	resp, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 10_000)
	go func() {
		defer close(lines)
		for in := bufio.NewScanner(resp.Body); in.Scan(); {
			lines <- in.Text()
		}
	}()
	return resp, lines
}

// taken is what has come by a stream.
func taken(lines <-chan string) string {
	var all strings.Builder
	for {
		select {
		case line, ok := <-lines:
			if !ok {
				return all.String() + "(end)"
			}
			all.WriteString(line + "\n")
		default:
			return all.String()
		}
	}
}

func TestAdminEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		postForm(t, s, s.Tenant().ID(), secretForm(s))
		postForm(t, s, "nobody.example", secretForm(s))
		all, lines := follow(t, s, "?after=1")
		_, refused := follow(t, s, "?only=refused")
		if got := all.Header.Get("Content-Type"); all.StatusCode != http.StatusOK || got != "text/event-stream" {
			t.Errorf("%s, %s", all.Status, got)
		}
		synctest.Wait()
		if got := taken(lines); strings.Contains(got, "id: 1\n") || !strings.Contains(got, "event: request\nid: 2\ndata: <li id=\"request-2\" class=\"refused\">") || !strings.Contains(got, "event: state\n") {
			t.Errorf("at first: %s", got)
		}
		taken(refused)

		postForm(t, s, s.Tenant().ID(), secretForm(s))
		time.Sleep(time.Second)
		synctest.Wait()
		if got := taken(lines); !strings.Contains(got, "id: 3\n") || strings.Contains(got, "id: 2\n") {
			t.Errorf("one more: %s", got)
		}
		if got := taken(refused); strings.Contains(got, "id: 3\n") {
			t.Errorf("of the refused alone: %s", got)
		}

		for range 250 { // faster than is worth to be drawn
			postForm(t, s, "nobody.example", secretForm(s))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if n := strings.Count(taken(lines), "event: request\n"); n < 100 || n > 200 {
			t.Errorf("%d of 250 are drawn", n)
		}
		// What changes without a request is shown at once as well.
		for _, tt := range []struct {
			text   string
			shown  bool
			change func()
		}{
			{`{"status":503}`, true, func() { addFault(t, s, entratest.Fault{Status: 503}) }},
			{`{"status":503}`, false, s.ClearFaults},
			{"2 requests in 1m0s, then 429", true, func() { s.SetThrottle(entratest.Throttle{Requests: 2, Per: time.Minute}) }},
			{"<dt>Clock</dt><dd>+1h0m0s</dd>", true, func() { s.SetClockOffset(time.Hour) }},
		} {
			tt.change()
			time.Sleep(time.Second)
			synctest.Wait()
			if got := html.UnescapeString(taken(lines)); !strings.Contains(got, "event: state\n") || strings.Contains(got, tt.text) != tt.shown {
				t.Errorf("%s, want it shown: %t: %s", tt.text, tt.shown, got)
			}
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if got := taken(lines); !strings.Contains(got, ": alive\n") || strings.Contains(got, "event: ") {
			t.Errorf("when nothing comes: %s", got)
		}
		taken(refused)

		// A browser that connects anew says what it has seen, even of an emulator that is gone.
		for last, want := range map[string]bool{"252": true, "253": false, "99999": true} {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, s.Cloud().Authority()+"/_emulator/events?after=0", nil)
			req.Header.Set("Last-Event-ID", last)
			resp, err := s.HTTPClient().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			start := make([]byte, 200)
			n, _ := io.ReadFull(resp.Body, start)
			resp.Body.Close()
			if got := strings.Contains(string(start[:n]), "id: 253\n") || strings.Contains(string(start[:n]), "event: request"); got != want {
				t.Errorf("after %s: %s", last, start[:n])
			}
		}

		var more []*http.Response
		for range 30 {
			resp, _ := follow(t, s, "")
			more = append(more, resp)
		}
		if got := page(t, s, "events"); got.status != http.StatusServiceUnavailable {
			t.Errorf("the 33rd reader: %d", got.status)
		}
		for _, resp := range more {
			resp.Body.Close()
		}
		synctest.Wait()
		resp, _ := follow(t, s, "")
		if resp.StatusCode != http.StatusOK {
			t.Errorf("once others have gone: %s", resp.Status)
		}
		s.Close() // the bubble ends only if nothing is left
		synctest.Wait()
		if got := taken(lines); !strings.HasSuffix(got, "(end)") {
			t.Errorf("after Close: %s", got)
		}
	})
}

// A deafReader takes nothing: its writes last until their deadline.
type deafReader struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (d *deafReader) SetWriteDeadline(t time.Time) error { d.deadline = t; return nil }

func (d *deafReader) Write([]byte) (int, error) {
	time.Sleep(time.Until(d.deadline))
	return 0, os.ErrDeadlineExceeded
}

// A reader that takes nothing is dropped, and costs nobody else anything.
func TestAdminEventsDropSlowReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		start := time.Now()
		done := make(chan time.Duration)
		go func() {
			r := httptest.NewRequest(http.MethodGet, s.Cloud().Authority()+"/_emulator/events", nil)
			s.ServeHTTP(&deafReader{ResponseRecorder: httptest.NewRecorder()}, r)
			done <- time.Since(start)
		}()
		synctest.Wait()
		if got := postForm(t, s, s.Tenant().ID(), secretForm(s)); got.AccessToken == "" || time.Since(start) != 0 {
			t.Errorf("a token request after %v: %+v", time.Since(start), got)
		}
		if after := <-done; after != 10*time.Second {
			t.Errorf("dropped after %v", after)
		}
	})
}

// pipes is a listener whose connections are in memory, as a bubble needs it.
type pipes struct {
	net.Listener
	conns chan net.Conn
}

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error { close(p.conns); return nil }

func (p pipes) DialContext(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	p.conns <- there
	return here, nil
}

// TestAdminEventsHTTP2 has a stream live on, as browsers have it: a deadline that has
// passed ends one of HTTP/2 even while nothing is written.
func TestAdminEventsHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := entratest.New(t)
		ln := pipes{conns: make(chan net.Conn)}
		var protocols http.Protocols
		protocols.SetUnencryptedHTTP2(true)
		server := &http.Server{Handler: s, Protocols: &protocols}
		go server.Serve(ln)
		transport := &http.Transport{DialContext: ln.DialContext, Protocols: &protocols}
		resp, lines := followBy(t, &http.Client{Transport: transport}, "http://127.0.0.1/_emulator/events")
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := taken(lines); resp.ProtoMajor != 2 || strings.HasSuffix(got, "(end)") || strings.Count(got, ": alive\n") != 4 {
			t.Errorf("after a minute of %s: %s", resp.Proto, got)
		}
		s.Close()
		synctest.Wait()
		if got := taken(lines); !strings.HasSuffix(got, "(end)") {
			t.Errorf("after Close: %s", got)
		}
		resp.Body.Close()
		transport.CloseIdleConnections()
		server.Close()
	})
}

// streamed is what a stream begins with, in a bubble.
func streamed(t *testing.T, s *entratest.Server) string {
	t.Helper()
	resp, lines := follow(t, s, "")
	synctest.Wait()
	defer resp.Body.Close()
	return taken(lines)
}
