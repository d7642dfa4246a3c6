// SPDX-License-Identifier: MIT

package verify_test

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/verify"
)

// worstCases are tokens that cost the most that we know of. Without a good signature
// anybody can send them.
func worstCases() map[string]string {
	k := newSigner("k1")
	filled := func(item string, in string) string {
		empty := k.sign(k.header(), fmt.Sprintf(in, ""))
		n := (verify.MaxToken - len(empty)) * 3 / 4 / len(item)
		return k.sign(k.header(), fmt.Sprintf(in, strings.Repeat(item, n-2)))
	}
	good := strings.ReplaceAll(string(marshal(claims(fields{"roles": nil, "uti": nil, "xms_cc": nil}))), "%", "%%")
	in := func(member string) string { return "{" + member + "," + good[1:] }
	extra := 256 - len(claims(nil))
	return map[string]string{
		"colliding names":       k.sign(k.header(), "{"+colliding(extra)+string(marshal(claims(nil)))[1:]),
		"numbered names":        k.inserted(numbered(extra), nil),
		"names in capitals":     k.sign(k.header(), in(strings.TrimSuffix(strings.ToUpper(numbered(extra)), ","))),
		"depth":                 filled(nest("[", "]", 14)+",", in(`"a":[%s1]`)),
		"objects":               filled(`{"":1},`, in(`"a":[%s1]`)),
		"escapes":               filled(`\u0041`, in(`"uti":"%s"`)),
		"pairs":                 filled(`\ud83d\ude00`, in(`"uti":"%s"`)),
		"short escapes":         filled(`\n`, in(`"uti":"%s"`)),
		"escapes, unknown":      filled(`\u0041`, in(`"a":"%s"`)),
		"roles":                 filled(`"a",`, in(`"roles":[%s"Orders.Read"]`)),
		"roles, empty":          filled(`"",`, in(`"roles":[%s"Orders.Read"]`)),
		"roles of two letters":  filled(`"ab",`, in(`"roles":[%s"Orders.Read"]`)),
		"roles in escapes":      filled(`"\n\n",`, in(`"roles":[%s"Orders.Read"]`)),
		"500 roles":             k.token(claims(fields{"roles": manyRoles(500)})),
		"500 long roles":        k.token(claims(fields{"roles": strings.Fields(strings.Repeat("abcdefghijklmnopqrs ", 500))})),
		"500 roles in escapes":  k.sign(k.header(), in(`"roles":[`+strings.Repeat(`"\n\n\n\n\n\n\n\n",`, 499)+`"x"]`)),
		"roles, numbers":        filled(`1,`, in(`"roles":[%s1]`)),
		"xms_cc":                filled(`"a",`, in(`"xms_cc":[%s"cp1"]`)),
		"long audience":         filled(`x`, in(`"uti":"%s"`)),
		"blanks":                filled(` `, "%s"+good),
		"long number":           filled(`9`, in(`"a":%s1`)),
		"a long name":           filled(`X`, in(`"%s":1`)),
		"a long name in header": k.sign(`{"`+strings.Repeat("X", 10000)+`":1,"alg":"RS256","kid":"k1"}`, claims(nil)),
		"header":                k.sign(with(k.header(), fields{"foo": strings.Repeat(`\`, 5000)}), claims(nil)),
		"dots":                  strings.Repeat(".", verify.MaxToken),
		"letters":               strings.Repeat("a", verify.MaxToken),
		"long signature":        k.token(claims(nil)) + strings.Repeat("a", 12000),
		"megabytes":             strings.Repeat("a", 4<<20),
	}
}

// colliding are members whose names have one slot of the table of names: they are
// found as whoever attacks it finds them.
func colliding(n int) string {
	var b strings.Builder
	for i := 0; n > 0; i++ {
		name := fmt.Sprintf("%x", i)
		h := uint32(2166136261)
		for _, c := range []byte(name) {
			h = (h ^ uint32(c)) * 16777619
		}
		if h%512 == 0 {
			fmt.Fprintf(&b, `"%s":1,`, name)
			n--
		}
	}
	return b.String()
}

// TestBounds: whatever is sent, a token takes a millisecond more than the RSA
// verification at most, and 64 KiB.
func TestBounds(t *testing.T) {
	v := setup{opts: verify.Options{Remember: -1}}.open(t)
	cost := func(token string) (least time.Duration, bytes, allocs uint64) {
		const runs = 20
		least = time.Hour
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			began := time.Now()
			_, _ = v.Verify(t.Context(), token)
			least = min(least, time.Since(began))
		}
		runtime.ReadMemStats(&after)
		return least, (after.TotalAlloc - before.TotalAlloc) / runs, (after.Mallocs - before.Mallocs) / runs
	}
	usual := newSigner("k1").token(claims(nil))
	cost(usual)
	plain, bytes, allocs := cost(usual)
	t.Logf("%-22s %8v %6d bytes %5d allocations", "as usual", plain, bytes, allocs)
	limit, most := time.Millisecond, uint64(64<<10)
	if raceEnabled() { // which costs time and room of its own
		limit, most = 20*limit, 2*most
	}
	for name, token := range worstCases() {
		took, bytes, allocs := cost(token)
		_, err := v.Verify(t.Context(), token)
		t.Logf("%-22s %8v %6d bytes %5d allocations: %.60v", name, took, bytes, allocs, err)
		if took > plain+limit || bytes > most {
			t.Errorf("%s: %v and %d bytes", name, took, bytes)
		}
	}
}

func raceEnabled() bool {
	info, _ := debug.ReadBuildInfo()
	return slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestEveryBit changes bits of a token, before it was seen and when it is remembered.
func TestEveryBit(t *testing.T) {
	v := setup{}.open(t)
	token := newSigner("k1").token(claims(nil))
	for range 2 {
		for bit := 0; bit < 8*len(token); bit += 13 { // each bit of a byte in turn
			changed := []byte(token)
			changed[bit/8] ^= 1 << (bit % 8)
			if c, err := v.Verify(t.Context(), string(changed)); c != nil || !errors.Is(err, verify.ErrUnauthenticated) {
				t.Errorf("bit %d: %v, %v", bit, c, err)
			}
		}
		if _, err := v.Verify(t.Context(), token); err != nil { // which remembers it
			t.Fatal(err)
		}
	}
}
