// SPDX-License-Identifier: MIT

//go:build unix

package rediscache_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/filecache"
	"github.com/apponly/apponly/rediscache"
)

// podEnv makes this binary a pod; its value is the scope.
const podEnv, podDirEnv = "REDISCACHE_TEST_POD", "REDISCACHE_TEST_DIR"

func TestMain(m *testing.M) {
	scope := os.Getenv(podEnv)
	if scope == "" {
		os.Exit(m.Run())
	}
	if err := beAPod(scope); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// A podReport is what a pod has to say in the end.
type podReport struct {
	Calls, Failed int
	Slowest       time.Duration
	First         string // error
	Stats         apponly.CacheStats
}

// beAPod calls for tokens until standard input ends. It is configured as a pod is, by
// the environment.
func beAPod(scope string) error {
	client, err := podClient()
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(ended)
	}()
	var report podReport
	for {
		began := time.Now()
		_, err := client.Token(context.Background(), scope)
		report.Slowest = max(report.Slowest, time.Since(began))
		if report.Calls++; report.Calls == 1 {
			fmt.Println() // has begun
		}
		if err != nil {
			if report.Failed++; report.First == "" {
				report.First = err.Error()
			}
		}
		select {
		case <-ended:
			report.Stats = client.Cache().Stats()
			return json.NewEncoder(os.Stdout).Encode(report)
		case <-time.After(time.Duration(10+mathrand.IntN(40)) * time.Millisecond):
		}
	}
}

func podClient() (*apponly.Client, error) {
	var opts apponly.CacheOptions
	if dir := os.Getenv(podDirEnv); dir != "" {
		store, err := filecache.Open(dir)
		if err != nil {
			return nil, err
		}
		if opts.SharedKeys, err = filecache.Key(dir); err != nil {
			return nil, err
		}
		opts.Shared = store
	} else {
		store, keys, err := rediscache.FromEnv()
		if err != nil {
			return nil, err
		}
		opts.Shared, opts.SharedKeys = store, keys
	}
	return apponly.FromEnv(&apponly.Options{Cache: apponly.NewCache(&opts)})
}

// A fleet is many pods, processes of their own, and an emulated Entra.
type fleet struct {
	t    *testing.T
	sts  *entratest.Server
	env  []string
	pods []*pod
}

type pod struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   bytes.Buffer
	begun atomic.Bool
}

// Write takes what the pod prints.
func (p *pod) Write(b []byte) (int, error) {
	defer p.begun.Store(true)
	return p.out.Write(b)
}

func newFleet(t *testing.T, env ...string) *fleet {
	sts := entratest.New(t)
	sts.SetTokenLifetime(40 * time.Second)
	sts.SetRefreshIn(4 * time.Second)
	authority, _ := sts.StartTLS()
	dir := t.TempDir()
	caFile, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key")
	key := base64.StdEncoding.EncodeToString([]byte(rand.Text() + rand.Text())[:32])
	for path, content := range map[string][]byte{caFile: sts.CAPEM(), keyFile: []byte(key + "\n")} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return &fleet{t: t, sts: sts, env: append(env,
		podEnv+"="+sts.API().Scope(), "GORACE=atexit_sleep_ms=0",
		"AZURE_TENANT_ID="+sts.Tenant().ID(), "AZURE_CLIENT_ID="+sts.App().ClientID(), "AZURE_CLIENT_SECRET="+sts.Secret(),
		"AZURE_AUTHORITY_HOST="+authority, "APPONLY_TRUST_AUTHORITY_HOST=1",
		"APPONLY_CA_FILE="+caFile, "APPONLY_SHARED_KEY_FILE="+keyFile,
	)}
}

// start starts n pods more, at once, and waits until each has its first token.
func (f *fleet) start(n int) {
	f.t.Helper()
	fresh := make([]*pod, n)
	for i := range fresh {
		p := &pod{cmd: exec.CommandContext(f.t.Context(), os.Args[0])}
		p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = f.env, p, os.Stderr
		stdin, err := p.cmd.StdinPipe()
		if err != nil {
			f.t.Fatal(err)
		}
		p.stdin, fresh[i] = stdin, p
		if err := p.cmd.Start(); err != nil {
			f.t.Fatal(err)
		}
	}
	f.pods = append(f.pods, fresh...)
	for deadline := time.Now().Add(time.Minute); !all(fresh, func(p *pod) bool { return p.begun.Load() }); {
		if time.Now().After(deadline) {
			f.t.Fatal("some pods do not begin")
		}
		<-time.After(10 * time.Millisecond)
	}
}

func all[T any](s []T, is func(T) bool) bool {
	for _, v := range s {
		if !is(v) {
			return false
		}
	}
	return true
}

// stop ends the pods and fails the test if a call of theirs has failed.
func (f *fleet) stop() (taken uint64) {
	f.t.Helper()
	calls, slowest := 0, time.Duration(0)
	for i, p := range f.pods {
		p.stdin.Close()
		if err := p.cmd.Wait(); err != nil {
			f.t.Errorf("pod %d: %v", i, err)
		}
		var report podReport
		if err := json.Unmarshal(p.out.Bytes(), &report); err != nil {
			f.t.Fatalf("pod %d: %v: %q", i, err, p.out.String())
		}
		if report.Failed > 0 {
			f.t.Errorf("pod %d: %d of %d calls failed, the first with %s", i, report.Failed, report.Calls, report.First)
		}
		if report.Slowest > 10*time.Second { // on a busy machine; a call waits for half a second at most
			f.t.Errorf("pod %d: a call took %v", i, report.Slowest)
		}
		calls, slowest, taken = calls+report.Calls, max(slowest, report.Slowest), taken+report.Stats.SharedHits
	}
	f.t.Logf("%d pods, %d calls, the slowest %v, %d tokens taken from the store, %d token requests",
		len(f.pods), calls, slowest.Round(time.Millisecond), taken, f.sts.TokenRequests())
	return taken
}

// wantOnePerRefresh fails the test if the pods have asked for more than one token at
// a time; a refresh is due every few seconds.
func (f *fleet) wantOnePerRefresh(atLeast int) {
	f.t.Helper()
	var last time.Time
	tokens := 0
	for _, r := range f.sts.Requests() {
		if r.AuthMethod == "" {
			continue
		}
		if tokens++; r.Time.Sub(last) < time.Second {
			f.t.Errorf("a token request %v after the one before it", r.Time.Sub(last))
		}
		last = r.Time
	}
	if tokens < atLeast {
		f.t.Errorf("%d token requests, want %d at least", tokens, atLeast)
	}
}

// The whole thing: processes, a server, and the server's death.
func TestFleet(t *testing.T) {
	srv := startRedis(t)
	f := newFleet(t, "APPONLY_REDIS_URL=unix://"+srv.socket)
	f.start(24)
	if n := f.sts.TokenRequests(); n != 1 {
		t.Errorf("%d token requests by pods that began at once, want 1", n)
	}
	<-time.After(9 * time.Second)
	f.start(4)
	f.wantOnePerRefresh(3)

	srv.kill()
	<-time.After(3 * time.Second)
	f.start(4)
	<-time.After(3 * time.Second)
	srv.start(t)
	<-time.After(time.Second)
	if taken := f.stop(); taken < 24*2 {
		t.Errorf("%d tokens were taken from the store, want those of the first pods", taken)
	}
}

func TestFleetWithFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	f := newFleet(t, podDirEnv+"="+dir)
	f.start(50)
	if n := f.sts.TokenRequests(); n != 1 {
		t.Errorf("%d token requests by processes that began at once, want 1", n)
	}
	<-time.After(5 * time.Second)
	f.start(5)
	f.wantOnePerRefresh(2)
	f.stop()
}
