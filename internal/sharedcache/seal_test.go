// SPDX-License-Identifier: MIT

package sharedcache

import (
	"bytes"
	"math"
	"strings"
	"testing"
	"time"
)

func master(n byte) []byte {
	b := make([]byte, keySize)
	for i := range b {
		b[i] = n + byte(i)
	}
	return b
}

func ringOf(t testing.TB, ns ...byte) Ring {
	t.Helper()
	var masters [][]byte
	for _, n := range ns {
		masters = append(masters, master(n))
	}
	r, err := NewRing(masters...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What was sealed opens under its name with its key, whole and unchanged, and not
// otherwise.
func TestSeal(t *testing.T) {
	k, other := ringOf(t, 1)[0], ringOf(t, 2)[0]
	plain := []byte("a token")
	sealed := k.seal("name", plain)
	if got, ok := k.open("name", sealed); !ok || !bytes.Equal(got, plain) || bytes.Contains(sealed, plain) {
		t.Fatalf("open = %q, %v", got, ok)
	}
	if bytes.Equal(sealed, k.seal("name", plain)) {
		t.Error("the same twice")
	}
	for i := range sealed {
		for bit := range 8 {
			b := bytes.Clone(sealed)
			b[i] ^= 1 << bit
			if _, ok := k.open("name", b); ok {
				t.Errorf("opens with bit %d of byte %d flipped", bit, i)
			}
		}
		if _, ok := k.open("name", sealed[:i]); ok {
			t.Errorf("opens cut to %d bytes", i)
		}
	}
	for name, open := range map[string]func() ([]byte, bool){
		"another name": func() ([]byte, bool) { return k.open("names", sealed) },
		"another key":  func() ([]byte, bool) { return other.open("name", sealed) },
		"more":         func() ([]byte, bool) { return k.open("name", append(bytes.Clone(sealed), 0)) },
		"nothing":      func() ([]byte, bool) { return k.open("name", nil) },
		"another key's mark": func() ([]byte, bool) {
			b := bytes.Clone(sealed)
			b[1] = other.seal("", nil)[1]
			return other.open("name", b)
		},
	} {
		if _, ok := open(); ok {
			t.Errorf("opens with %s", name)
		}
	}
}

// Names are of one size and of all that tokens depend on.
func TestNames(t *testing.T) {
	k, seen := ringOf(t, 1)[0], map[string]bool{}
	for _, name := range []string{
		k.name("token", "tenant", "scope"), k.name("lease", "tenant", "scope"), k.name("token", "tenants", "cope"),
		k.name("token", "tenant", "scope", ""), k.name("token", "", "tenant", "scope"), k.name("token", "scope", "tenant"),
		ringOf(t, 2)[0].name("token", "tenant", "scope"), k.name("tokentenant", "scope"),
	} {
		if seen[name] || len(name) != 32 || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			t.Errorf("name %q", name)
		}
		seen[name] = true
	}
	if got := k.name("token", "tenant", "scope"); got != "z2eHvJ8QMSQYlxCkG-xF-qI5cChI2BmV" {
		t.Errorf("the name is %s now: other versions do not find the entry", got)
	}
}

// What was written stays readable: this is v1, and processes of two versions may run side
// by side.
func TestRecord(t *testing.T) {
	r := record{kind: aToken, at: time.UnixMilli(1_790_000_000_123), lifetime: time.Hour, refreshIn: time.Minute, code: 7, claims: [16]byte{1, 2}, text: "Bearer x"}
	got, ok := decode(r.encode())
	if !ok || got != r {
		t.Errorf("decode = %+v, %v", got, ok)
	}
	const want = "t\x00\x00\x01\xa0\xc4Pl{\x00\x00\x00\x00\x00\x36\xee\x80\x00\x00\x00\x00\x00\x00\xea\x60\x00\x00\x00\x07\x01\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00Bearer x"
	if string(r.encode()) != want {
		t.Errorf("encode = %q", r.encode())
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(record{kind: aToken, at: time.UnixMilli(1), lifetime: time.Hour, text: "x"}.encode(), int64(0))
	f.Add(record{kind: aRefusal, at: time.UnixMilli(math.MaxInt64), text: "x"}.encode(), int64(math.MaxInt64))
	f.Add(record{kind: aLease, at: time.UnixMilli(math.MinInt64)}.encode(), int64(-1))
	f.Fuzz(func(t *testing.T, b []byte, left int64) {
		r, ok := decode(b)
		if !ok {
			return
		}
		if string(r.encode()) != string(b) {
			t.Errorf("%q is encoded as %q", b, r.encode())
		}
		now := time.Unix(1_790_000_000, 0)
		e := entry{r, time.Duration(left)}
		if d := e.remaining(now); d > r.lifetime || d > maxLifetime || left > 0 && d > e.left {
			t.Errorf("%v remain of %v", d, r.lifetime)
		}
		if d := e.pause(now); d > time.Hour {
			t.Errorf("a pause of %v", d)
		}
		if e.holds(now) && (r.kind != aLease || now.Sub(r.at).Abs() > leaseAge) {
			t.Errorf("holds: %+v", r)
		}
	})
}

func FuzzParseRing(f *testing.F) {
	f.Add([]byte("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=\r\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ring, err := ParseRing(b); err == nil && (len(ring) == 0 || len(ring) > mostKeys) {
			t.Errorf("%d keys", len(ring))
		}
	})
}
