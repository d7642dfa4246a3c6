// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/examples/internal/kittest"
)

func TestRehearsal(t *testing.T) {
	tmp := kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		entra := entratest.New(t)
		var out kittest.Output
		start := time.Now()
		if err := rehearse(t.Context(), &out, entra); err != nil {
			t.Fatalf("rehearse: %v\n%s", err, &out)
		}
		if took := time.Since(start); took < lag || took > 2*time.Minute {
			t.Errorf("took %v", took)
		}
		kittest.WantLines(t, out.String(),
			"* the account is not connected\n",
			"(AADSTS7000229)", "app_not_found\n",
			"/connect, and answers: cancel\n", "* consent: the administrator has declined (AADSTS65004)\n",
			"/connect, and answers: approve\n", "which proves nothing\n",
			"* no token yet: ", "app_not_found\n",
			"which does not know the customer, answers 403 Forbidden\n",
			"* connected: the API answers 200 OK\n",
		)
		kittest.WantNoSecrets(t, out.String(), entra.Secret())
	})
	kittest.WantEmpty(t, tmp)
}

// An interrupt ends the waiting for a token.
func TestInterrupt(t *testing.T) {
	kittest.Isolate(t)
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		if err := rehearse(ctx, io.Discard, entratest.New(t)); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("rehearse = %v after %v", err, time.Since(start))
		}
	})
}

// What is served is that which is rehearsed, over sockets.
func TestServe(t *testing.T) {
	kittest.Isolate(t)
	entra := entratest.New(t)
	_, roots := entra.StartTLS()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := "http://" + ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	var out kittest.Output
	ended := make(chan error, 1)
	go func() { ended <- serveOn(ctx, &out, entra, ln) }()

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy, transport.TLSClientConfig = nil, &tls.Config{RootCAs: roots}
	defer transport.CloseIdleConnections()
	browser := &http.Client{Jar: jar, Transport: transport}
	if err := decide(ctx, browser, address+"/connect", "approve"); err != nil {
		t.Fatal(err)
	}
	resp, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if !strings.Contains(string(page), "which proves nothing") && !strings.Contains(string(page), "no token yet") {
		t.Errorf("page %s", page)
	}
	kittest.WantLines(t, out.String(), "open "+address+"\n")
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
}
