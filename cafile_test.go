// SPDX-License-Identifier: MIT

package apponly_test

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// A file of roots that is missing or holds none is nobody's outage.
func TestCAFile(t *testing.T) {
	s, other := entratest.New(t), entratest.New(t)
	s.StartTLS()
	ca := s.CAPEM()
	block, _ := pem.Decode(ca)
	broken := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte{0x30, 0}})
	for name, tc := range map[string]struct {
		content []byte // nil: there is no file
		text    string // "": it works
	}{
		"missing":                 {nil, "no such file or directory"},
		"empty":                   {[]byte{}, "is empty"},
		"blank":                   {[]byte(" \r\n"), "is empty"},
		"something else":          {[]byte("nothing"), "has no certificate in PEM"},
		"a key":                   {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}), "has no certificate in PEM"},
		"a certificate of no use": {broken, "has no certificate that can be read"},
		"the root":                {ca, ""},
		"one of two":              {append(bytes.Clone(other.CAPEM()), ca...), ""},
		"beside one of no use":    {append(bytes.Clone(broken), ca...), ""},
		"with a byte order mark":  {append([]byte("\ufeff"), ca...), ""},
		"with one in the middle":  {append(append(bytes.Clone(other.CAPEM()), "\ufeff"...), ca...), ""},
		"indented":                {[]byte("  " + strings.ReplaceAll(string(ca), "\n", "\n  ")), ""},
		"of an old Macintosh":     {bytes.ReplaceAll(ca, []byte("\n"), []byte("\r")), ""},
		"of Windows":              {bytes.ReplaceAll(ca, []byte("\n"), []byte("\r\n")), ""},
		"with words in between":   {append([]byte("# our root\nsubject=CN\n"), ca...), ""},
		`with \n in two letters`:  {bytes.ReplaceAll(ca, []byte("\n"), []byte(`\n`)), ""},
		"in one line":             {bytes.ReplaceAll(ca, []byte("\n"), []byte(" ")), ""},
		"in base64":               {[]byte(base64.StdEncoding.EncodeToString(ca)), ""},
		"DER in base64":           {[]byte(base64.StdEncoding.EncodeToString(block.Bytes)), ""},
		"beside a damaged one":    {append([]byte("-----BEGIN CERTIFICATE-----\nMII%%%\n-----END CERTIFICATE-----\n"), ca...), ""},
		"behind one cut off":      {append([]byte("-----BEGIN CERTIFICATE-----\nMIIB\n"), ca...), ""},
		"in DER":                  {block.Bytes, ""},
		"as OpenSSL trusts it":    {pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: append(bytes.Clone(block.Bytes), 0x30, 0)}), ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ca.pem")
			if tc.content != nil {
				writeFile(t, path, tc.content)
			}
			c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), &apponly.Options{Cloud: s.Cloud(), CAFile: path, Cache: apponly.NewCache(nil)})
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Token(t.Context(), s.API().Scope())
			if tc.text == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantKind(t, err, apponly.ErrCAFile, "CAFile", path, tc.text)
			wantKind(t, err, apponly.ErrConfiguration)
			if errors.Is(err, apponly.ErrUnreachable) || errors.Is(err, apponly.ErrTransient) || asError(t, err).HTTPStatus != 0 {
				t.Errorf("%v is an outage", err)
			}
			if tc.content == nil && !errors.Is(err, os.ErrNotExist) {
				t.Errorf("%v is not os.ErrNotExist", err)
			}
		})
	}
}

// A file that changes ends the memory of what was wrong with it.
func TestCAFileIsLookedAtAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSTS(t)
		path := filepath.Join(t.TempDir(), "ca.pem")
		c, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), &apponly.Options{Cloud: s.Cloud(), CAFile: path, Cache: apponly.NewCache(nil)})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 { // until the pause is long
			_, err = c.Token(t.Context(), s.API().Scope())
			wantKind(t, err, apponly.ErrCAFile, "no such file")
			time.Sleep(15 * time.Second)
		}
		_, err = c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCAFile, "no such file")
		writeFile(t, path, []byte("nothing"))
		time.Sleep(1100 * time.Millisecond)
		_, err = c.Token(t.Context(), s.API().Scope())
		wantKind(t, err, apponly.ErrCAFile, "no certificate in PEM")
	})
}

// A path that is none is a fault of the option, not of a credential.
func TestCAFileThatIsNoPath(t *testing.T) {
	s := newSTS(t)
	for _, path := range []string{"$(CA_FILE)", `"/etc/ca.pem"`, string(s.CAPEM())} {
		_, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), &apponly.Options{CAFile: path})
		wantKind(t, err, apponly.ErrCAFile, "Options.CAFile")
		setEnv(t, "APPONLY_CA_FILE="+path, "AZURE_CLIENT_SECRET="+s.Secret(), "AZURE_TENANT_ID="+s.Tenant().ID(), "AZURE_CLIENT_ID="+s.App().ClientID())
		_, err = apponly.FromEnv(nil)
		wantKind(t, err, apponly.ErrCAFile, "APPONLY_CA_FILE")
	}
}

func TestCAFileAndHTTPClient(t *testing.T) {
	s := newSTS(t)
	o := s.options()
	o.CAFile = "ca.pem"
	_, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	wantKind(t, err, apponly.ErrConfiguration, "Options.CAFile", "Options.HTTPClient")
	_, err = apponly.FromTokenCredential(s.client(t).TokenCredential(), &apponly.Options{CAFile: "ca.pem"})
	wantKind(t, err, apponly.ErrConfiguration, "Options.CAFile")

	// Clients of one path share their tokens, and what is set wins over the environment.
	s.StartTLS()
	path := filepath.Join(t.TempDir(), "ca.pem")
	writeFile(t, path, s.CAPEM())
	setEnv(t, "APPONLY_CA_FILE=/not/read", "AZURE_CLIENT_SECRET="+s.Secret(), "AZURE_TENANT_ID="+s.Tenant().ID(), "AZURE_CLIENT_ID="+s.App().ClientID())
	o = &apponly.Options{Cloud: s.Cloud(), CAFile: path, Cache: apponly.NewCache(nil)}
	one, err := apponly.New(s.Tenant().ID(), s.App().ClientID(), apponly.Secret(s.Secret()), o)
	if err != nil {
		t.Fatal(err)
	}
	two, err := apponly.FromEnv(o)
	if err != nil {
		t.Fatal(err)
	}
	if mustToken(t, one, s.API().Scope()) != mustToken(t, two, s.API().Scope()) {
		t.Error("two tokens for clients of one path")
	}
}
