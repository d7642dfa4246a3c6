// SPDX-License-Identifier: MIT

//go:build unix

package rediscache_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/rediscache"
)

const secret = "hunter2"

func TestOpenFaults(t *testing.T) {
	for url, want := range map[string]string{
		"":                                       "begins with none of redis://, rediss:// and unix://",
		secret:                                   "begins with none of",
		"https://:" + secret + "@host":           "begins with none of",
		"redis://:" + secret + "@":               "names no host",
		"redis://:" + secret + "@:6379":          "names no host",
		"redis://:/" + secret + "@host":          "names no host",
		"redis://:%" + secret + "@host":          `cannot be read: in user and password "/" is written as %2F`,
		"redis://:" + secret + "@host:port":      "cannot be read",
		"redis://user:12/" + secret + "@host":    "the database in the URL is not a number",
		"redis://:a#" + secret + "@host":         "cannot be read",
		"redis://host#" + secret:                 `has a "#"`,
		"redis://host?" + secret:                 `has a "?"`,
		"rediss://host?skip_verify=true":         `has a "?"`,
		"redis://host/-1":                        "the database in the URL is not a number",
		"unix://" + secret + "/run/s":            "has no absolute path of a socket",
		"unix://:" + secret + "@":                "has no absolute path of a socket",
		"unix:///run/s?db=" + secret:             "the database in the URL is not a number",
		"unix:///run/s?db=1&max_retries=" + "10": `has a "?"`,
	} {
		s, err := rediscache.Open(url, nil)
		if err == nil || s != nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("Open(%q): %v, want %q", url, err, want)
		}
	}
	for _, url := range []string{"redis://host", "unix:///run/s"} {
		if _, err := rediscache.Open(url, &rediscache.Options{CAFile: "roots.pem"}); err == nil || !strings.Contains(err.Error(), "rediss://") {
			t.Errorf("Open(%q) with roots: %v", url, err)
		}
	}
}

// Nothing tells the password: neither store nor error, however they are printed.
func TestNoPassword(t *testing.T) {
	srv := startRedis(t, "--requirepass", "another")
	for what, url := range map[string]string{
		"a wrong password": "unix://:" + secret + "@" + srv.socket,
		"nobody there":     "redis://user:" + secret + "@127.0.0.1:1/7",
		"no TLS":           "rediss://user:" + secret + "@127.0.0.1:1",
	} {
		s := open(t, url, nil)
		_, _, err := s.Get(budget(t), key)
		if err == nil {
			t.Fatalf("%s: no error", what)
		}
		var log strings.Builder
		slog.New(slog.NewJSONHandler(&log, nil)).Info("", "store", s, "error", err)
		slog.New(slog.NewTextHandler(&log, nil)).Info("", "store", s, "error", err)
		for _, text := range []string{fmt.Sprintf("%v %+v %#v %+v", s, s, s, *s), fmt.Sprintf("%v %+v %#v", err, err, err), log.String()} {
			if strings.Contains(text, secret) {
				t.Errorf("%s: %s", what, text)
			}
		}
		if !strings.HasPrefix(err.Error(), "rediscache: ") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTLS(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "roots.pem")
	writeCertificate(t, certFile, keyFile)
	startRedis(t, "--tls-port", port, "--tls-cert-file", certFile, "--tls-key-file", keyFile, "--tls-auth-clients", "no")
	url := "rediss://localhost:" + port

	s := open(t, url, &rediscache.Options{CAFile: caFile})
	if _, _, err := s.Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), caFile) {
		t.Errorf("without a file of roots: %v", err)
	}
	if _, _, err := open(t, url, nil).Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("with the system's roots: %v", err)
	}
	if err := os.WriteFile(caFile, []byte("no roots"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), caFile+" has no certificate") {
		t.Errorf("without roots: %v", err)
	}
	// The file is read for each connection, so it can come later.
	roots, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(caFile, roots, 0o600); err != nil {
		t.Fatal(err)
	}
	wantAgain(t, s)
	wantWorks(t, s, key)
	if _, _, err := open(t, "rediss://127.0.0.1:"+port, &rediscache.Options{CAFile: caFile}).Get(t.Context(), key); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("under another name: %v", err)
	}
}

// A server that takes the connection and never shakes hands.
func TestTLSHangs(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := open(t, "rediss://"+l.Addr().String(), nil)
	wantInTime(t, "Get", false, func() error { _, _, err := s.Get(budget(t), key); return err })
}

func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: encoded},
	} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFromEnv(t *testing.T) {
	setenv := func(url, keyFile, caFile string) {
		t.Setenv("APPONLY_REDIS_URL", url)
		t.Setenv("APPONLY_SHARED_KEY_FILE", keyFile)
		t.Setenv("APPONLY_REDIS_CA_FILE", caFile)
	}
	for _, test := range []struct{ url, keyFile, caFile, want string }{
		{"", "", "", "not set: APPONLY_REDIS_URL, APPONLY_SHARED_KEY_FILE"},
		{" ", "/key", "", "not set: APPONLY_REDIS_URL"},
		{"redis://host", "", "", "not set: APPONLY_SHARED_KEY_FILE"},
		{"http://:" + secret + "@host", "/key", "", "APPONLY_REDIS_URL"},
		{"redis://host", "/key", "/roots.pem", "APPONLY_REDIS_CA_FILE"},
		{" redis://:" + secret + "@host\n", "/key", "", ""},
		{"rediss://host", "/key", "/roots.pem", ""},
	} {
		setenv(test.url, test.keyFile, test.caFile)
		s, _, err := rediscache.FromEnv()
		switch {
		case test.want == "" && (err != nil || s == nil), test.want != "" && (err == nil || s != nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%q: %v, want %q", test, err, test.want)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("the error tells the password: %v", err)
		}
		if s != nil {
			s.Close()
		}
	}
}
