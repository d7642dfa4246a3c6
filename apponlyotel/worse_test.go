// SPDX-License-Identifier: MIT

package apponlyotel_test

import (
	"testing"
	"time"

	"github.com/apponly/apponly/apponlyotel"
)

// Of tokens that go by the same names one is told of: the first of these that there is.
func TestWhichTokenIsToldOf(t *testing.T) {
	order := []struct {
		name string
		apponlyotel.State
	}{
		{"none, refused often", apponlyotel.State{Failures: 9}},
		{"none, refused once", apponlyotel.State{Failures: 1}},
		{"ends in a minute, not refreshed", apponlyotel.State{Ready: true, Failures: 1, Remaining: time.Minute}},
		{"ends in an hour, often not refreshed", apponlyotel.State{Ready: true, Failures: 9, Remaining: time.Hour}},
		{"ends in an hour, once not refreshed", apponlyotel.State{Ready: true, Failures: 1, Remaining: time.Hour}},
		{"ends in a minute", apponlyotel.State{Ready: true, Remaining: time.Minute}},
		{"ends in an hour", apponlyotel.State{Ready: true, Remaining: time.Hour}},
		{"ended, and nobody asks", apponlyotel.State{}},
	}
	for i, a := range order {
		for j, b := range order {
			if got, want := a.Worse(b.State), i < j; got != want {
				t.Errorf("%q is worse than %q: %v, want %v", a.name, b.name, got, want)
			}
		}
	}
}
