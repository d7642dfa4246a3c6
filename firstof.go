// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"strings"
)

// FirstOf returns a credential that is the first of creds that works: the
// secret of today and the one of tomorrow, or a certificate and a secret for
// when it has ended. A credential that Entra refuses for its own fault, or that
// cannot be read, is passed over for that tenant for five minutes, or until it
// changes; the next one then serves. An app that is unknown in a tenant, a
// policy or an outage is no fault of a credential's and changes nothing.
func FirstOf(creds ...Credential) Credential {
	f := &firstOf{}
	for _, c := range creds {
		if inner, ok := c.(*firstOf); ok {
			f.members = append(f.members, inner.members...)
		} else {
			f.members = append(f.members, c)
		}
	}
	return f
}

type firstOf struct{ members []Credential }

// firstOfID is a list that is comparable.
type firstOfID struct{ member, rest any }

func (f *firstOf) identity() any {
	var id any
	for i := len(f.members) - 1; i >= 0; i-- {
		id = firstOfID{f.members[i].identity(), id}
	}
	return id
}

func (f *firstOf) check() error {
	if len(f.members) == 0 {
		return faultf(ErrCredentialMissing, "apponly: FirstOf has no credential")
	}
	var errs []error
	for _, c := range f.members {
		if c == nil {
			errs = append(errs, faultf(ErrCredentialMissing, "apponly: FirstOf has a nil credential"))
			continue
		}
		errs = append(errs, c.check())
	}
	return errors.Join(errs...)
}

func (f *firstOf) stamp() string {
	var b strings.Builder
	for _, c := range f.members {
		b.WriteString(c.stamp())
	}
	return b.String()
}

// resolve is not called: a source goes through the members itself.
func (f *firstOf) resolve(ctx context.Context, req AssertionRequest) (*material, error) {
	return f.members[0].resolve(ctx, req)
}

// membersOf returns the credentials that c stands for.
func membersOf(c Credential) []Credential {
	if f, ok := c.(*firstOf); ok {
		return f.members
	}
	return []Credential{c}
}
