// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"
)

// poolSize is how many bare POSTs the floor of a cold start has under way: what it
// takes, and no more than an HTTP/2 server has streams for.
const poolSize = 100

// coldStart is a process that needs a token in 10,000 tenants at once, over TLS,
// and gives up after a minute.
// The floor is a pool of bare POSTs.
func coldStart(http2 bool) func(*run) ([]row, error) {
	return func(r *run) ([]row, error) {
		n, delay := 10_000, 20*time.Millisecond
		if r.short {
			n = 1000
		}
		name := "HTTP/1.1"
		if http2 {
			name = "HTTP/2"
		}
		took := newRow(fmt.Sprintf("cold start: %s tenants at once, TLS, %s, STS takes 20 ms: until the last one has its token (floor: bare POSTs, %d at a time)", thousands(n), name, poolSize))
		failed, conns := newRow("… calls that failed"), newRow("… connections, most at a time")
		times := map[string]time.Duration{}
		ids, _ := tenants(n)
		once := func(open func(s *sts) func(ctx context.Context, i int) error, width, maxConns int) (time.Duration, int, int64, error) {
			s := &sts{delay: func(string) time.Duration { return delay }}
			server, err := s.serve(http2)
			if err != nil {
				return 0, 0, 0, err
			}
			defer server.close()
			s.wire.MaxConnsPerHost = maxConns
			d, failures := atOnce(n, width, open(s))
			return d, failures, server.most.Load(), nil
		}
		floor, failures, most, err := once(func(s *sts) func(context.Context, int) error {
			return func(ctx context.Context, i int) error {
				_, _, err := (provider{s, tokenURL(ids[i])}).ask(ctx)
				return err
			}
		}, poolSize, poolSize)
		if err != nil || failures > 0 {
			return nil, fmt.Errorf("%d bare POSTs failed: %w", failures, err)
		}
		took.floor, conns.floor, failed.floor = duration(floor), thousands(int(most)), "0"
		for _, lib := range libraries {
			switch lib.name {
			case ours.name, "azidentity", "MSAL Go", "x/oauth2":
			default:
				continue
			}
			r.logf("%s", lib.name)
			maxConns := 0
			if lib.name == ours.name {
				maxConns = poolSize // as its own transport has it
			}
			d, failures, most, err := once(func(s *sts) func(context.Context, int) error {
				inst := lib.open(s, 0)
				return func(ctx context.Context, i int) error {
					if lib.name == ours.name {
						return inst.by(ctx, ids[i])
					}
					token, err := inst.hold(ids[i]) // what its users would keep for each tenant
					if err != nil {
						return err
					}
					return token(ctx)
				}
			}, n, maxConns)
			if err != nil {
				return nil, err
			}
			times[lib.name] = d
			failed.cells[lib.name] = thousands(failures)
			conns.cells[lib.name] = thousands(int(most))
		}
		took.durations(times)
		took.cells[ours.name] += fmt.Sprintf(" (%.2f × floor)", float64(times[ours.name])/float64(floor))
		return []row{took, failed, conns}, nil
	}
}

// patience is how long a start may take.
const patience = time.Minute

// atOnce calls f for 0 to n-1, width at a time, and returns how long it took and
// how many failed.
func atOnce(n, width int, f func(ctx context.Context, i int) error) (time.Duration, int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var wg sync.WaitGroup
	var next, failed atomic.Int64
	begun := time.Now()
	for range width {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				if f(ctx, i) != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(begun), int(failed.Load())
}

// A stsServer is an sts behind TLS.
type stsServer struct {
	*httptest.Server
	s         *sts
	now, most atomic.Int64 // connections
}

// serve has s answer over TLS on a loopback port, to a transport that keeps as many
// idle connections as the pool needs.
func (s *sts) serve(http2 bool) (*stsServer, error) {
	server := &stsServer{s: s}
	server.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Host = host
		resp, err := s.answer(r)
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if n := server.now.Add(1); n > server.most.Load() {
				server.most.Store(n)
			}
		case http.StateClosed:
			server.now.Add(-1)
		}
	}
	server.EnableHTTP2 = http2
	server.StartTLS()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	addr := server.Listener.Addr().String()
	s.wire = &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		TLSClientConfig:   &tls.Config{RootCAs: roots, ServerName: "example.com"},
		ForceAttemptHTTP2: http2, MaxIdleConnsPerHost: poolSize,
	}
	return server, nil
}

func (s *stsServer) close() {
	s.s.wire.CloseIdleConnections()
	s.Server.CloseClientConnections()
	s.Server.Close()
}
