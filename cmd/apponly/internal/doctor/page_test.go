// SPDX-License-Identifier: MIT

package doctor_test

import (
	"strings"
	"testing"

	"github.com/apponly/apponly/cmd/apponly/internal/doctor"
	"github.com/apponly/apponly/cmd/apponly/internal/screen"
)

func TestPage(t *testing.T) {
	result := doctor.Result{Check: "tls", Status: doctor.Fault, Text: "the certificate that was shown is not trusted", Remedy: "Put its root into a file and name that in APPONLY_CA_FILE."}
	for name, tt := range map[string]struct {
		screen screen.Screen
		want   string
	}{
		"pipe": {screen.Screen{}, `
tls          fault    the certificate that was shown is not trusted
                      → Put its root into a file and name that in APPONLY_CA_FILE.
`},
		"terminal": {screen.Screen{Width: 60}, `
tls          fault    the certificate that was shown is not
                      trusted
                      → Put its root into a file and name
                        that in APPONLY_CA_FILE.
`},
		"narrow": {screen.Screen{Width: 30}, `
tls          fault
  the certificate that was
  shown is not trusted
  → Put its root into a file
    and name that in
    APPONLY_CA_FILE.
`},
		"narrower than a word": {screen.Screen{Width: 10}, `
tls          fault
  the
  certificate
  that was
  shown is
  not
  trusted
  → Put
    its
    root
    into a
    file
    and
    name
    that
    in
    APPONLY_CA_FILE.
`},
		"colours": {screen.Screen{Colours: true}, "\ntls          \x1b[1;31mfault\x1b[0m    the certificate that was shown is not trusted\n                      \x1b[1m→ \x1b[0mPut its root into a file and name that in APPONLY_CA_FILE.\n"},
	} {
		var b strings.Builder
		if err := doctor.NewPage(&b, tt.screen).Print(result); err != nil {
			t.Error(err)
		}
		if got := "\n" + b.String(); got != tt.want {
			t.Errorf("%s: got%s\nwant%s", name, got, tt.want)
		}
	}
}
