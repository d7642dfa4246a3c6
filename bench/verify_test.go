// SPDX-License-Identifier: MIT

package main

import "testing"

// Each library accepts the token that is measured, and not one with another signature.
func TestVerifiersVerify(t *testing.T) {
	p, err := newPublisher()
	if err != nil {
		t.Fatal(err)
	}
	good, err := p.token(1)
	if err != nil {
		t.Fatal(err)
	}
	bad := good[:len(good)-20] + "AAAA" + good[len(good)-16:]
	for _, v := range verifiers {
		check, err := v.open(p)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(good); err != nil {
			t.Errorf("%s: %v", v.name, err)
		}
		if check(bad) == nil {
			t.Errorf("%s accepts a changed signature", v.name)
		}
	}
}
