// SPDX-License-Identifier: MIT

// Package kittest is what the tests of the example programs have in common.
package kittest

import (
	"crypto/fips140"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/cryptotest"
	"time"
)

// Where FIPS 140 is on, random numbers come of the jitter of the clock, which stands
// still in a synctest bubble: Go panics when it makes a generator there.
func init() {
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(new(testing.T), uint64(time.Now().UnixNano()))
	}
}

// An Output is where a program writes that is told of events or has a Logger: a
// client calls those from goroutines of its own, after a failure shows in its
// Status, and so perhaps when the program has ended. Its zero value is empty, and
// it is safe for concurrent use.
type Output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Isolate takes the environment of whoever runs the test away, and gives
// temporary files a place of their own. What the program sets besides has to be
// named, so that no test sees another's.
func Isolate(t *testing.T, sets ...string) (tmp string) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "AZURE_") || strings.HasPrefix(name, "APPONLY_") {
			t.Setenv(name, "")
		}
	}
	for _, name := range sets {
		t.Setenv(name, "")
	}
	tmp = t.TempDir()
	for _, name := range []string{"TMPDIR", "TMP", "TEMP"} {
		t.Setenv(name, tmp)
	}
	return tmp
}

// WantEmpty fails the test if a program has left files behind in dir.
func WantEmpty(t *testing.T, dir string) {
	t.Helper()
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary directory: %v, %v", left, err)
	}
}

// WantLines fails the test unless each text is in the output after the one
// before it.
func WantLines(t *testing.T, out string, texts ...string) {
	t.Helper()
	rest := out
	for _, text := range texts {
		_, after, ok := strings.Cut(rest, text)
		if !ok {
			t.Fatalf("output lacks %q at its place; it is:\n%s", text, out)
		}
		rest = after
	}
}

// WantNoSecrets fails the test if there is a JWT, a key or one of secrets in
// the output.
func WantNoSecrets(t *testing.T, out string, secrets ...string) {
	t.Helper()
	// Every JWT begins with the base64 of {" and has three parts.
	for _, secret := range append(secrets, "eyJ", "PRIVATE KEY", "this-is-not-the-secret") {
		if strings.Contains(out, secret) {
			t.Errorf("output holds %q", secret)
		}
	}
}
