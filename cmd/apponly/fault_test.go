// SPDX-License-Identifier: MIT

package main

import (
	"net/http"
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
	fault("clear")
	expect(http.StatusOK)

	status, _, stderr := outcome(t, "emulator", "fault", "add", "--dir", dir, `{"statsu":503}`)
	if status != 2 || !strings.Contains(stderr, "statsu") {
		t.Errorf("status %d, %q; want 2 and the key that is wrong", status, stderr)
	}
}

func TestFaultWithoutAdminPath(t *testing.T) {
	dir := t.TempDir()
	start(t, "--dir", dir, "--admin=false")
	status, _, stderr := outcome(t, "emulator", "fault", "list", "--dir", dir)
	if status != 1 || !strings.Contains(stderr, "no admin path") {
		t.Errorf("status %d, %q", status, stderr)
	}
}
