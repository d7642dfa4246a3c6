// SPDX-License-Identifier: MIT

package verify_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/apponly/apponly/verify"
)

// What is remembered is who is calling. Whether it may, and for how long, is judged
// every time.
func TestRememberedIsJudged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newSigner("k1")
		var known, revoked bool
		var broken error
		var since time.Time
		rules := []verify.Rule{{TenantFunc: func(context.Context, string) (bool, error) { return known, broken }, Client: daemon}}
		s := serveKeys(k.entry())
		v := open(t, s, rules, verify.Options{Revoked: func(context.Context, *verify.Caller) (time.Time, bool) { return since, revoked }})
		token := k.token(claims(nil))
		expect(t, v, token, verify.ErrTenant)
		s.fails() // all that follows is about a token that is remembered
		if !v.Remembers(token) {
			t.Error("a genuine token of a caller who is refused is not remembered")
		}
		known = true
		expect(t, v, token, nil)
		broken = errors.New("the database is down")
		expect(t, v, token, verify.ErrTenantUnknown)
		broken = nil
		revoked = true
		expect(t, v, token, verify.ErrRevoked)
		since = time.Now().Add(-time.Hour)
		expect(t, v, token, nil)
		since = time.Now()
		expect(t, v, token, verify.ErrRevoked)
		revoked = false
		time.Sleep(time.Hour + time.Minute - time.Nanosecond)
		expect(t, v, token, nil)
		time.Sleep(time.Nanosecond)
		expect(t, v, token, verify.ErrExpired)
		known = false
		expect(t, v, token, verify.ErrExpired)
	})
}

// Only what Entra has signed for this API is remembered, up to a size.
func TestWhatIsRemembered(t *testing.T) {
	k := newSigner("k1")
	filled := func(size int) string {
		long := func(n int) string { return k.token(claims(fields{"groups": strings.Repeat("g", n)})) }
		for n := (size - len(long(0))) * 3 / 4; ; n++ {
			if token := long(n); len(token) >= size {
				return token
			}
		}
	}
	at, above := filled(8190), filled(8193)
	for name, tc := range map[string]struct {
		token    string
		want     error
		remember int
		is       bool
	}{
		"good":               {k.token(claims(nil)), nil, 0, true},
		"v1.0":               {k.token(claimsV1(nil)), nil, 0, true},
		"for one of one":     {k.token(claims(nil)), nil, 1, true},
		"a user's":           {k.token(claims(fields{"scp": "x"})), verify.ErrNotAppOnly, 0, true},
		"none":               {k.token(claims(nil)), nil, -1, false},
		"forged":             {damaged(k.token(claims(nil))), verify.ErrSignature, 0, false},
		"for another API":    {k.token(claims(fields{"aud": daemon})), verify.ErrAudience, 0, false},
		"expired":            {k.token(claims(fields{"exp": time.Now().Unix() - 3600})), verify.ErrExpired, 0, false},
		"malformed":          {"x", verify.ErrMalformed, 0, false},
		"of 8 KiB":           {at, nil, 0, len(at) <= 8192},
		"of more than 8 KiB": {above, nil, 0, false},
	} {
		v := open(t, serveKeys(k.entry()), byRole, verify.Options{Remember: tc.remember})
		for range 2 {
			if err := expect(t, v, tc.token, tc.want); t.Failed() {
				t.Fatalf("%s: %v", name, err)
			}
			if got := v.Remembers(tc.token); got != tc.is {
				t.Errorf("%s: remembered: %v", name, got)
			}
		}
	}
	if len(at) > 8192 || len(above) > 8300 {
		t.Errorf("the tokens have %d and %d bytes", len(at), len(above))
	}
}

// The memory never holds more than it was made for, and loses what ends first.
func TestMemoryIsBounded(t *testing.T) {
	for n, most := range map[int]int{-1: 0, 1: 4, 4: 4, 16: 16, 17: 20, 256: 256} {
		m := verify.NewMemory(n)
		tokens := 5000
		if n == 16 {
			tokens = 100_000
		}
		for i := range tokens {
			token := fmt.Sprint("token ", i)
			if m.Add(token, int64(i%977)); n > 0 && !m.Has(token) {
				t.Fatalf("of %d: token %d is not there", n, i)
			}
			m.Add(token, int64(i%977)) // the same one takes no other place
		}
		if got := m.Len(); got != most {
			t.Errorf("of %d: %d tokens, want %d", n, got, most)
		}
	}
	m := verify.NewMemory(4)
	m.Add("a", 1)
	for range 10 {
		m.Add("b", 2)
	}
	if m.Len() != 2 || !m.Has("a") {
		t.Errorf("one token is there %d times", m.Len()-1)
	}
	m = verify.NewMemory(4)
	for i, expires := range []int64{50, 20, 40, 30} {
		m.Add(fmt.Sprint(i), expires)
	}
	for i, gone := range []string{"1", "3", "4", "2"} { // 20, 30, then 35 which has come, 40
		m.Add(fmt.Sprint(4+i), []int64{35, 60, 61, 62}[i])
		if m.Has(gone) || !m.Has("0") || m.Len() != 4 {
			t.Errorf("after %d more: %s is there: %v", i+1, gone, m.Has(gone))
		}
	}
}

// Concurrent callers, of more tokens than are remembered, get their own caller each.
func TestRememberConcurrently(t *testing.T) {
	k := newSigner("k1")
	v := open(t, serveKeys(k.entry()), byRole, verify.Options{Remember: 16})
	var tokens []string
	for i := range 40 {
		tokens = append(tokens, k.token(claims(fields{"uti": fmt.Sprint(i)})))
	}
	var wg sync.WaitGroup
	for g := range 20 {
		wg.Go(func() {
			for i := range 200 {
				n := (g + i) % len(tokens)
				c, err := v.Verify(t.Context(), tokens[n])
				if err != nil || c.TokenID != fmt.Sprint(n) {
					t.Errorf("token %d: %+v, %v", n, c, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// A repeat costs no allocation.
func TestRepeatAllocatesNothing(t *testing.T) {
	k := newSigner("k1")
	rules, _ := many(100)
	v := open(t, serveKeys(k.entry()), append(rules, byRole...), verify.Options{})
	for version, token := range map[string]string{"v2": k.token(claims(nil)), "v1": k.token(claimsV1(nil))} {
		expect(t, v, token, nil)
		if n := testing.AllocsPerRun(100, func() {
			if _, err := v.Verify(t.Context(), token); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", version, n)
		}
	}
}

// A token that is a part of something large does not keep that, and one in a buffer
// that is used again stays what it was.
func TestRememberedIsACopy(t *testing.T) {
	k := newSigner("k1")
	v := open(t, serveKeys(k.entry()), byRole, verify.Options{})
	token := k.token(claims(nil))
	buffer := []byte(token + strings.Repeat(" ", 1<<20))
	var freed atomic.Bool
	runtime.AddCleanup(&buffer[0], func(struct{}) { freed.Store(true) }, struct{}{})
	expect(t, v, unsafe.String(&buffer[0], len(token)), nil)
	copy(buffer, "changed")
	if !v.Remembers(token) {
		t.Error("what is remembered is the buffer")
	}
	buffer = nil
	for i := 0; i < 50 && !freed.Load(); i++ {
		runtime.GC()
		runtime.Gosched()
	}
	if !freed.Load() {
		t.Error("the buffer is kept")
	}
	runtime.KeepAlive(v)
}

// Nothing that can be printed of a verifier, a caller or an error holds a token.
func TestTokensAreNotPrinted(t *testing.T) {
	k := newSigner("k1")
	v := open(t, serveKeys(k.entry()), byRole, verify.Options{})
	token := k.token(claims(nil))
	c, err := v.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	_, refused := v.Verify(t.Context(), k.token(claims(fields{"scp": "x"})))
	_, forged := v.Verify(t.Context(), damaged(token))
	piece := strings.Split(token, ".")[1][:40]
	var text strings.Builder
	for _, x := range []any{v, *v, []any{v}, c, *c, refused, forged, v.Status()} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
			fmt.Fprintf(&text, format, x)
		}
		slog.New(slog.NewJSONHandler(&text, nil)).Info("m", "v", x)
	}
	if strings.Contains(text.String(), piece) {
		t.Error("a token is printed")
	}
	seen := map[any]bool{}
	visited := 0
	var walk func(path string, x reflect.Value)
	walk = func(path string, x reflect.Value) {
		switch x.Kind() {
		case reflect.String:
			if visited++; strings.Contains(x.String(), piece) {
				t.Errorf("%s holds a token", path)
			}
		case reflect.Pointer:
			if key := [2]any{x.Pointer(), x.Type()}; !x.IsNil() && !seen[key] {
				seen[key] = true
				walk(path, x.Elem())
			}
		case reflect.Interface:
			walk(path, x.Elem())
		case reflect.Struct:
			if p := x.FieldByName("v"); p.IsValid() && p.Kind() == reflect.UnsafePointer { // sync/atomic's
				if !p.IsNil() {
					walk(path+".Load()", reflect.NewAt(x.Type().Field(0).Type.Elem().Elem(), p.UnsafePointer()))
				}
				return
			}
			for i := range x.NumField() {
				walk(path+"."+x.Type().Field(i).Name, x.Field(i))
			}
		case reflect.Slice, reflect.Array:
			for i := range x.Len() {
				walk(path, x.Index(i))
			}
		case reflect.Map:
			for i := x.MapRange(); i.Next(); {
				walk(path, i.Key())
				walk(path, i.Value())
			}
		}
	}
	for _, x := range []any{v, c, refused, forged} {
		walk(fmt.Sprintf("%T", x), reflect.ValueOf(x))
	}
	if visited < 30 || !v.Remembers(token) {
		t.Errorf("%d texts were looked at", visited)
	}
}
