// SPDX-License-Identifier: MIT

package consent

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"net/http"
	"strconv"
	"time"
)

// A state is what goes through the browser: enough to know the request again without
// having kept it.
type state struct {
	nonce        [16]byte
	expires      time.Time // in whole seconds
	tenant, data string
}

func newState(tenant, data string, expires time.Time) *state {
	s := &state{tenant: tenant, data: data, expires: expires}
	rand.Read(s.nonce[:])
	return s
}

// stateHead is the length of what stands before the tenant: nonce, time of the end
// and length of the tenant.
const stateHead = 16 + 8 + 2

// seal writes s with its authentication code.
func (f *Flow) seal(s *state) string {
	b := append([]byte(nil), s.nonce[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.expires.Unix()))
	b = binary.BigEndian.AppendUint16(b, uint16(len(s.tenant)))
	b = append(append(b, s.tenant...), s.data...)
	return base64.RawURLEncoding.EncodeToString(append(b, f.macs[0]("state", b)...))
}

// open reads what seal wrote. ok is false for anything else, and once its time is up.
func (f *Flow) open(text string, now time.Time) (s *state, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < stateHead+sha256.Size || base64.RawURLEncoding.EncodeToString(b) != text {
		return nil, false
	}
	b, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	for _, mac := range f.macs {
		ok = hmac.Equal(sum, mac("state", b)) || ok
	}
	tenant := b[stateHead:]
	n := int(binary.BigEndian.Uint16(b[24:]))
	if !ok || n > len(tenant) {
		return nil, false
	}
	s = &state{nonce: [16]byte(b), expires: time.Unix(int64(binary.BigEndian.Uint64(b[16:])), 0), tenant: string(tenant[:n]), data: string(tenant[n:])}
	return s, now.Before(s.expires)
}

// macWith returns what authenticates b for one use and this flow alone: keys may be
// shared with other flows, of which a Link one gives states to anybody. The key is in
// nothing that fmt prints.
func (f *Flow) macWith(key []byte) func(use string, b []byte) []byte {
	return func(use string, b []byte) []byte {
		h := hmac.New(sha256.New, key)
		for _, s := range []string{"apponly consent 1", use, f.authority, f.clientID, f.redirectURL, f.scope, strconv.FormatBool(f.link)} {
			h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
			h.Write([]byte(s))
		}
		h.Write(b)
		return h.Sum(nil)
	}
}

// cookie returns the one that holds s to a browser, or clears it if ttl is negative.
// Each consent has its own, as there may be several under way.
func (f *Flow) cookie(s *state, ttl time.Duration) *http.Cookie {
	c := &http.Cookie{
		Name: f.cookieName(s), Value: base64.RawURLEncoding.EncodeToString(f.macs[0]("cookie", s.nonce[:])),
		Path: "/", MaxAge: int(ttl / time.Second), Secure: f.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
	if ttl < 0 {
		c.Value = ""
	}
	return c
}

// cookieName begins so that browsers take the cookie from this host alone, not from a
// neighbour under the same domain. Over http, on a loopback address, not all browsers
// would take it at all then.
func (f *Flow) cookieName(s *state) string {
	name := "apponly-consent-" + hex.EncodeToString(s.nonce[:4])
	if f.secure {
		name = "__Host-" + name
	}
	return name
}

// fromBrowser reports whether r comes from the browser that s was given to.
func (f *Flow) fromBrowser(r *http.Request, s *state) (ok bool) {
	for _, c := range r.CookiesNamed(f.cookieName(s)) {
		value, err := base64.RawURLEncoding.DecodeString(c.Value)
		for _, mac := range f.macs {
			ok = err == nil && hmac.Equal(value, mac("cookie", s.nonce[:])) || ok
		}
	}
	return ok
}
