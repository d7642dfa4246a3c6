// SPDX-License-Identifier: MIT

package ops_test

import (
	"crypto/tls"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/apponly/apponly/entratest"
)

// A Prometheus judges by real time, of which beside all other tests there is little.
var withPrometheus = flag.Bool("prometheus", false, "run the test that starts a Prometheus")

// patience is how long a Prometheus may take for what it does every second.
const patience = 30 * time.Second

// A program is refused its token; the alert that is shipped fires, and resolves when the
// token has come. Nothing is changed but how long it has to last.
func TestAlertInPrometheus(t *testing.T) {
	path, err := exec.LookPath("prometheus")
	switch {
	case !*withPrometheus:
		t.Skip("-prometheus is not set")
	case err != nil:
		t.Skip("no prometheus here: ", err)
	}
	p := newProgram(t, overTLS)
	target := httptest.NewServer(p.metrics())
	defer target.Close()
	server := startPrometheus(t, path, target.Listener.Addr().String())

	go p.KeepWarm(t.Context(), p.API().Scope())
	server.wait("a token", func([]alert) bool { return server.has(`apponly_token_ready{job="program"} == 1`) })

	const code = 700016 // the app is not known
	if _, err := p.AddFault(entratest.Fault{Endpoint: "token", Code: code}); err != nil {
		t.Fatal(err)
	}
	another := p.Tenant().NewResource("api://another").Scope() // whose token is needed only now
	go p.KeepWarm(t.Context(), another)
	began := time.Now()
	server.wait("the alert", func(alerts []alert) bool {
		return slices.ContainsFunc(alerts, func(a alert) bool { return a.State == "firing" && a.Labels["alertname"] == "AppOnlyNoToken" })
	})
	t.Logf("it fires after %v", time.Since(began).Round(time.Second/10))
	for _, a := range server.alerts() {
		if a.Labels["apponly_scope"] != another || a.Labels["apponly_client_id"] != p.App().ClientID() || a.Labels["apponly_tenant_id"] != p.Tenant().ID() || a.Labels["job"] != "program" {
			t.Errorf("%s is about %v", a.Labels["alertname"], a.Labels)
		}
	}
	if !server.has(`apponly_token_request_duration_seconds_count{error_type="app_not_found"} > 0`) || !server.has(`apponly_token_ready == 1`) {
		t.Error("the refusal has no kind, or the other token is gone")
	}

	p.ClearFaults()
	began = time.Now()
	server.wait("the end of the alert", func(alerts []alert) bool {
		return len(alerts) == 0 && server.has(`count(apponly_token_ready == 1) == 2`)
	})
	t.Logf("it is over after %v", time.Since(began).Round(time.Second/10))
}

// overTLS has the emulator listen and returns what trusts it.
func overTLS(s *entratest.Server) *http.Client {
	_, pool := s.StartTLS()
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
}

type alert struct {
	Labels, Annotations map[string]string
	State               string
}

// A promServer is a Prometheus that runs.
type promServer struct {
	*testing.T
	base string
}

// startPrometheus has one scrape a target each second and judge it by the rules.
func startPrometheus(t *testing.T, path, target string) *promServer {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	shipped := read(t, directory, "prometheus-rules.yaml")
	write("rules.yaml", regexp.MustCompile(`(?m)^( +for): \d+m$`).ReplaceAllString(shipped, "$1: 2s"))
	write("prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [rules.yaml]
scrape_configs:
  - {job_name: program, static_configs: [{targets: ["%s"]}]}
`, target))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(path, "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+addr)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		if t.Failed() {
			t.Logf("prometheus said:\n%s", read(t, log.Name()))
		}
	})
	return &promServer{t, "http://" + addr + "/api/v1/"}
}

// get reads an answer of the API, and reports whether there was one.
func (s *promServer) get(path string, into any) bool {
	resp, err := http.Get(s.base + path)
	if err != nil {
		return false // it is starting
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(into) == nil
}

// has reports whether there is anything in the answer to a query.
func (s *promServer) has(query string) bool {
	var got struct{ Data struct{ Result []any } }
	return s.get("query?query="+url.QueryEscape(query), &got) && len(got.Data.Result) > 0
}

// alerts returns what is pending or firing.
func (s *promServer) alerts() []alert {
	var got struct{ Data struct{ Alerts []alert } }
	s.get("alerts", &got)
	return got.Data.Alerts
}

// wait waits until the alerts are as they should be.
func (s *promServer) wait(what string, ok func([]alert) bool) {
	s.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		if ok(s.alerts()) {
			return
		}
	}
	s.Fatalf("%s has not come; the alerts are %+v", what, s.alerts())
}
