// SPDX-License-Identifier: MIT

package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestFault(t *testing.T) {
	dir := t.TempDir()
	e := start(t, "--dir", dir)
	fault := func(args ...string) string {
		t.Helper()
		status, stdout, stderr := outcome(t, append([]string{"emulator", "fault", "--dir", dir}, args...)...)
		if status != 0 {
			t.Fatalf("fault %s: status %d, %s", args[0], status, stderr)
		}
		return stdout
	}
	expect := func(want int) {
		t.Helper()
		if got := e.ask(t, e.TenantID); got.Status != want {
			t.Errorf("status %d, want %d", got.Status, want)
		}
	}

	expect(http.StatusOK)
	fault("add", `{"endpoint":"token","status":503,"times":2}`)
	if got := fault("list"); !strings.Contains(got, `"status":503`) {
		t.Errorf("list gives %q, want the fault", got)
	}
	expect(http.StatusServiceUnavailable)
	expect(http.StatusServiceUnavailable)
	expect(http.StatusOK)
	if got := fault("list"); got != "[]\n" {
		t.Errorf("list gives %q, want none: it has used itself up", got)
	}
	fault("add", `{"status":500}`)
	expect(http.StatusInternalServerError)
	if got := fault("clear"); got != "{}\n" {
		t.Errorf("clear gives %q, want JSON", got)
	}
	expect(http.StatusOK)
	var added struct{ ID int }
	if err := json.Unmarshal([]byte(fault("add", `{"status":502}`)), &added); err != nil {
		t.Fatal(err)
	}
	expect(http.StatusBadGateway)
	fault("remove", strconv.Itoa(added.ID))
	expect(http.StatusOK)
	for id, want := range map[string]int{strconv.Itoa(added.ID): 1, "x": 2, "-1": 2} {
		if status, _, stderr := outcome(t, "emulator", "fault", "remove", "--dir", dir, "--", id); status != want {
			t.Errorf("remove %s: status %d, want %d; %s", id, status, want, stderr)
		}
	}

	status, _, stderr := outcome(t, "emulator", "fault", "add", "--dir", dir, `{"statsu":503}`)
	if status != 2 || !strings.Contains(stderr, "statsu") {
		t.Errorf("status %d, %q; want 2 and the key that is wrong", status, stderr)
	}
}

func TestFaultWithoutAdminPath(t *testing.T) {
	dir := t.TempDir()
	start(t, "--dir", dir, "--admin=false")
	for _, args := range [][]string{{"list"}, {"remove", "1"}, {"clear"}} {
		status, _, stderr := outcome(t, append([]string{"emulator", "fault", "--dir", dir}, args...)...)
		if status != 1 || !strings.Contains(stderr, "no admin path") {
			t.Errorf("%s: status %d, %q", args[0], status, stderr)
		}
	}
}

// A long list must not be cut.
func TestFaultListIsWhole(t *testing.T) {
	dir := t.TempDir()
	e := start(t, "--dir", dir)
	client := e.client(t)
	body := `{"retry_after":"` + strings.Repeat("x", 300_000) + `","status":503,"endpoint":"imds"}`
	for range 5 {
		resp, err := client.Post(e.AuthorityHost+faultsPath, "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	status, stdout, stderr := outcome(t, "emulator", "fault", "list", "--dir", dir)
	if status != 0 || !json.Valid([]byte(stdout)) || len(stdout) < 5*300_000 {
		t.Errorf("status %d and %d bytes; %s", status, len(stdout), stderr)
	}
}
