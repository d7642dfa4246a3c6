// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/verify"
)

// rehearse runs the pod in an environment such as secret.yaml makes, and asks its
// probes as Kubernetes would.
func rehearse(ctx context.Context, stdout io.Writer, entra *entratest.Server) error {
	dir, err := os.MkdirTemp("", "apponly-pod-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	env, err := environment(entra, dir)
	if err != nil {
		return err
	}
	secretFile := filepath.Join(dir, "client-secret")
	env["APPONLY_CLIENT_SECRET_FILE"] = secretFile
	env["APPONLY_SCOPE"] = "api://orders/.default"
	env["APPONLY_URL"] = "https://api.example.com/orders"
	if err := os.WriteFile(secretFile, []byte(entra.Secret()), 0o600); err != nil {
		return err
	}
	for name, value := range env {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	return live(ctx, stdout, entra, []string{"/healthz", "/readyz"})
}

// environment returns what makes the app and the Entra of a pod those of an
// emulator. It keeps the CA of the emulator in dir.
func environment(entra *entratest.Server, dir string) (map[string]string, error) {
	authority, _ := entra.StartTLS()
	ca := filepath.Join(dir, "ca.pem")
	return map[string]string{
		"AZURE_TENANT_ID":              entra.Tenant().ID(),
		"AZURE_CLIENT_ID":              entra.App().ClientID(),
		"AZURE_AUTHORITY_HOST":         authority + "/",
		"APPONLY_TRUST_AUTHORITY_HOST": "1",
		"APPONLY_CA_FILE":              ca,
	}, os.WriteFile(ca, entra.CAPEM(), 0o600)
}

// live runs the pod with the environment as it is, until the API has been called
// and each probe has been answered with 200, and prints so.
func live(ctx context.Context, stdout io.Writer, entra *entratest.Server, probes []string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	called := make(chan struct{})
	api, err := serveAPI(entra, sync.OnceFunc(func() { close(called) }))
	if err != nil {
		return err
	}
	defer api.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var served error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer cancel()
		served = serve(ctx, stdout, ln, api.Client().Transport)
	}()
	var probed error
	for _, path := range probes {
		if probed == nil {
			probed = probe(ctx, "http://"+ln.Addr().String()+path)
		}
	}
	select {
	case <-called:
	case <-ctx.Done():
	}
	err = context.Cause(ctx)
	cancel()
	<-ended
	switch {
	case served != nil:
		return served
	case probed != nil:
		return probed
	case err != nil:
		return err
	}
	for _, path := range probes {
		fmt.Fprintf(stdout, "GET %s was answered 200 OK.\n", path)
	}
	return nil
}

// serveAPI runs the API of the manifests, https://api.example.com, on a port of
// this machine; the server's own client connects that name to it.
func serveAPI(entra *entratest.Server, called func()) (*httptest.Server, error) {
	const role = "Data.Read.All"
	resource := entra.Tenant().NewResource("https://api.example.com", role)
	resource.AddURI("api://orders")
	resource.Grant(entra.Tenant(), entra.App(), role)
	verifier, err := verify.New(resource.AppID(), []verify.Rule{
		{Tenant: entra.Tenant().ID(), Roles: []string{role}},
	}, &verify.Options{Cloud: entra.Cloud(), HTTPClient: entra.HTTPClient()})
	if err != nil {
		return nil, fmt.Errorf("protected API: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET api.example.com/orders", verifier.Middleware(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "no orders")
		called()
	})))
	return httptest.NewTLSServer(mux), nil
}

// probe asks url until the answer is 200, as Kubernetes does.
func probe(ctx context.Context, url string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s answers %s: %w", url, resp.Status, context.Cause(ctx))
		}
	}
}
