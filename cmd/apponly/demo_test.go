// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
)

// TestFederatedTokenStaysFresh looks at the file every minute of a day, half an
// hour of which the directory is gone.
func TestFederatedTokenStaysFresh(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sts := entratest.NewServer()
		d := newDemo(sts, "https://sts.test", dir)
		if err := d.write(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var failures []error
		go d.keepFresh(ctx, func(err error) { failures = append(failures, err) })

		written, last := 0, ""
		for minute := range 24 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			switch minute {
			case 600:
				if err := os.Rename(dir, dir+"-away"); err != nil {
					t.Fatal(err)
				}
			case 630:
				if err := os.Rename(dir+"-away", dir); err != nil {
					t.Fatal(err)
				}
			}
			if minute >= 600 && minute <= 630 {
				continue
			}
			token, left := readAssertion(t, filepath.Join(dir, federatedFile))
			if token != last {
				written, last = written+1, token
			}
			if least := renewFederated - time.Minute; left < least {
				t.Fatalf("minute %d: %v left, want %v", minute, left, least)
			}
		}
		cancel()
		synctest.Wait()
		if len(failures) == 0 || written < 40 || written > 60 {
			t.Errorf("written %d times, failed %d times; want about 48, and failures while the directory was away", written, len(failures))
		}
		entries, err := os.ReadDir(dir)
		if err != nil || len(entries) != 6 {
			t.Errorf("the directory holds %v, %v, want the six files and nothing left over", entries, err)
		}
	})
}

func readAssertion(t *testing.T, path string) (token string, left time.Duration) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Exp int64 }
	readClaims(t, string(data), &claims)
	return string(data), time.Until(time.Unix(claims.Exp, 0))
}

func readClaims(t *testing.T, token string, claims any) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %d parts", len(parts))
	}
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, claims); err != nil {
		t.Fatal(err)
	}
}

func TestQuote(t *testing.T) {
	for in, want := range map[string]string{"": "''", "a b": "'a b'", "it's": `'it'\''s'`, "$(x)`y`\\": "'$(x)`y`\\'"} {
		if got := quote(in); got != want {
			t.Errorf("quote(%q) = %s, want %s", in, got, want)
		}
	}
}

// Of two emulators in one directory the later one owns it.
func TestTwoEmulatorsInOneDirectory(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		first, second := entratest.NewServer(), entratest.NewServer()
		var told []error
		ctx, cancel := context.WithCancel(t.Context())
		for _, sts := range []*entratest.Server{first, second} {
			d := newDemo(sts, sts.Cloud().Authority(), dir)
			if err := d.write(); err != nil {
				t.Fatal(err)
			}
			go d.keepFresh(ctx, func(err error) { told = append(told, err) })
			time.Sleep(time.Minute)
		}
		time.Sleep(renewFederated - time.Minute - time.Second) // the first renews, the second does a minute later
		synctest.Wait()
		token, err := os.ReadFile(filepath.Join(dir, federatedFile))
		if err != nil {
			t.Fatal(err)
		}
		var claims struct{ Iss string }
		readClaims(t, string(token), &claims)
		if claims.Iss != second.Issuer().URL() {
			t.Errorf("the token is of %v, the other files are of the emulator with %v", claims.Iss, second.Issuer().URL())
		}
		time.Sleep(2 * renewFederated)
		cancel()
		synctest.Wait()
		if len(told) != 1 || !errors.Is(told[0], errTaken) {
			t.Errorf("told %v, want once that the directory is taken", told)
		}
	})
}

// TestFederatedTokenFollowsTheClock sets the emulator's clock while it runs.
func TestFederatedTokenFollowsTheClock(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		sts := entratest.NewServer()
		d := newDemo(sts, sts.Cloud().Authority(), dir)
		if err := d.write(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go d.keepFresh(ctx, func(err error) { t.Error(err) })
		for _, offset := range []time.Duration{2 * time.Hour, -3 * time.Hour, 0, 48 * time.Hour} {
			sts.SetClockOffset(offset)
			time.Sleep(2 * lookAtClock)
			synctest.Wait()
			token, err := os.ReadFile(filepath.Join(dir, federatedFile))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := sts.HTTPClient().PostForm(sts.Cloud().TokenEndpoint(sts.Tenant().ID()), url.Values{
				"grant_type":            {"client_credentials"},
				"client_id":             {sts.App().ClientID()},
				"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
				"client_assertion":      {string(token)},
				"scope":                 {sts.API().Scope()},
			})
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("clock off by %v: the token in the file is answered %s", offset, resp.Status)
			}
		}
		cancel()
		synctest.Wait()
	})
}
