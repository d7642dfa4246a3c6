// SPDX-License-Identifier: MIT

package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
)

// healthy reports what is not right with a report of an environment in good health.
func healthy(t *testing.T, c *clinic, base string) {
	t.Helper()
	status, r := c.report()
	if status != 0 || !r.OK || r.Cause != "" || r.Kind != "" {
		t.Fatalf("the healthy %s is ill: status %d, %+v", base, status, r)
	}
	for _, check := range r.Checks {
		if apart := check.Status == doctor.Skipped && base == "managed-identity"; check.Status != doctor.OK && !apart || check.Text == "" || check.Remedy != "" {
			t.Errorf("%+v, want it ok", check)
		}
	}
}

func TestDoctorHealthy(t *testing.T) {
	t.Parallel()
	for base, open := range bases {
		t.Run(base, func(t *testing.T) {
			t.Parallel()
			healthy(t, open(t), base)
		})
	}
}

// A setUp is an environment in good health and the one fault that is planted there.
type setUp struct {
	name, base  string
	plant       func(*clinic)
	cause, kind string // what is to be found; no cause: a warning at warns
	text        string // in what is said
	warns       string
}

// TestDoctorFinds plants one fault at a time. The environment is in good health before,
// so that it is the fault that is found and nothing else.
func TestDoctorFinds(t *testing.T) {
	t.Parallel()
	all := slices.Concat(environmentSetUps, identifierSetUps, credentialSetUps, certificateSetUps, assertionSetUps, networkSetUps, refusalSetUps, permissionSetUps)
	broken := 0
	for _, s := range all {
		if s.cause != "" {
			broken++
		}
		t.Run(s.cause+s.warns+"/"+s.name, func(t *testing.T) {
			t.Parallel()
			open, known := bases[s.base]
			if !known {
				t.Fatalf("no base %q", s.base)
			}
			c := open(t)
			healthy(t, c, s.base)
			s.plant(c)
			status, r := c.report()
			if s.cause == "" {
				judgeWarning(t, s, status, r)
			} else {
				judgeFault(t, s, status, r)
			}
		})
	}
	if broken < 45 {
		t.Errorf("%d broken set-ups, want 45", broken)
	}
}

func judgeFault(t *testing.T, s setUp, status int, r doctor.Report) {
	t.Helper()
	if status != exitFailed || r.OK || r.Cause != s.cause || r.Kind != s.kind {
		t.Errorf("status %d, ok %t, cause %q, kind %q; want 1, false, %q, %q", status, r.OK, r.Cause, r.Kind, s.cause, s.kind)
	}
	at := slices.Index(checkNames, r.Cause)
	for i, check := range r.Checks {
		switch {
		case i < at && (check.Status == doctor.Fault || check.Status == doctor.Warning && s.warns != check.Check):
			t.Errorf("before the cause: %+v", check)
		case i == at && (check.Status != doctor.Fault || !strings.Contains(check.Text, s.text) || check.Remedy == ""):
			t.Errorf("got %+v, want a fault with %q and a remedy", check, s.text)
		case i > at && check != doctor.Result{Check: check.Check, Status: doctor.Skipped}:
			t.Errorf("after the cause: %+v", check)
		}
	}
	if t.Failed() {
		t.Logf("%+v", r)
	}
}

func judgeWarning(t *testing.T, s setUp, status int, r doctor.Report) {
	t.Helper()
	if status != 0 || !r.OK || r.Cause != "" {
		t.Errorf("status %d, ok %t, cause %q; want all well but for a warning\n%+v", status, r.OK, r.Cause, r)
	}
	for _, check := range r.Checks {
		want := doctor.OK
		if check.Check == s.warns {
			want = doctor.Warning
		}
		if check.Status != want || want == doctor.Warning && (!strings.Contains(check.Text, s.text) || check.Remedy == "") {
			t.Errorf("%+v, want it %s with %q", check, want, s.text)
		}
	}
}
