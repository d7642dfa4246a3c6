// SPDX-License-Identifier: MIT

//go:build unix

package rediscache_test

import (
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/rediscache"
	"github.com/redis/go-redis/v9"
)

var _ apponly.SharedStore = (*rediscache.Store)(nil)

const key = "0123456789abcdefghijklmnopqrstuv"

// wantWorks fails the test unless the store does all that it is for, of a key that
// nothing is under.
func wantWorks(t *testing.T, s *rediscache.Store, key string) {
	t.Helper()
	wantGet(t, s, key, "", 0)
	for i, want := range []bool{true, false} {
		if added, err := s.Add(t.Context(), key, []byte("first"), 1500*time.Millisecond); err != nil || added != want {
			t.Fatalf("Add %d = %v, %v, want %v", i, added, err, want)
		}
	}
	wantGet(t, s, key, "first", 1500*time.Millisecond)
	if err := s.Set(t.Context(), key, []byte("second"), time.Hour); err != nil {
		t.Fatal(err)
	}
	wantGet(t, s, key, "second", time.Hour)
	if err := s.Set(t.Context(), key, []byte("let go"), 0); err != nil {
		t.Fatal(err)
	}
	<-time.After(5 * time.Millisecond) // Redis has no virtual time
	wantGet(t, s, key, "", 0)
}

// wantGet fails the test unless value is there, for most of ttl; "" is nothing.
func wantGet(t *testing.T, s *rediscache.Store, key, value string, ttl time.Duration) {
	t.Helper()
	got, left, err := s.Get(t.Context(), key)
	if err != nil || string(got) != value || (got == nil) != (value == "") || left > ttl || left < ttl-time.Second {
		t.Fatalf("Get = %q, %v, %v, want %q, %v", got, left, err, value, ttl)
	}
}

func TestStore(t *testing.T) {
	srv := startRedis(t)
	admin := srv.admin(t)
	url := "unix://" + srv.socket
	for name, s := range map[string]*rediscache.Store{
		"a URL":          open(t, url, nil),
		"a client":       rediscache.New(admin, nil),
		"another prefix": open(t, url+"?db=3", &rediscache.Options{Prefix: "b:"}),
	} {
		t.Run(name, func(t *testing.T) { wantWorks(t, s, key) })
	}
	s := open(t, url, nil)

	t.Run("keys", func(t *testing.T) {
		if err := s.Set(t.Context(), key, []byte("v"), time.Hour); err != nil {
			t.Fatal(err)
		}
		if keys := admin.Keys(t.Context(), "*").Val(); len(keys) != 1 || keys[0] != "apponly:"+key {
			t.Errorf("there are %q", keys)
		}
	})
	t.Run("without an end", func(t *testing.T) {
		srv.do(t, "set", "apponly:"+key, "v")
		wantGet(t, s, key, "v", 0)
	})
	t.Run("of another type", func(t *testing.T) {
		srv.do(t, "del", "apponly:"+key)
		srv.do(t, "lpush", "apponly:"+key, "v")
		if value, _, err := s.Get(t.Context(), key); err == nil || value != nil {
			t.Errorf("Get = %q, %v", value, err)
		}
	})
	t.Run("large", func(t *testing.T) {
		large := strings.Repeat("v", 64<<10)
		if err := s.Set(t.Context(), key, []byte(large), time.Hour); err != nil {
			t.Fatal(err)
		}
		wantGet(t, s, key, large, time.Hour)
		large += "v"
		if added, err := s.Add(t.Context(), "other", []byte(large), time.Hour); err == nil || added {
			t.Errorf("Add = %v, %v", added, err)
		}
		if err := s.Set(t.Context(), key, []byte(large), time.Hour); err == nil {
			t.Error("Set: no error")
		}
		for _, size := range []int{64<<10 + 1, 16 << 20} {
			srv.do(t, "set", "apponly:"+key, strings.Repeat("v", size))
			if value, _, err := s.Get(t.Context(), key); err == nil || value != nil {
				t.Errorf("Get of %d bytes = %d bytes, %v", size, len(value), err)
			}
		}
		srv.do(t, "del", "apponly:"+key)
		wantWorks(t, s, key)
	})
}

// A thousand processes each have few connections.
func TestFewConnections(t *testing.T) {
	srv := startRedis(t)
	s := open(t, "unix://"+srv.socket, nil)
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if _, _, err := s.Get(t.Context(), key); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list := srv.do(t, "client", "list").(string); strings.Count(list, "\n") > 3 { // with the administrator's
		t.Errorf("there are more than two connections:\n%s", list)
	}
}

// The server comes back, and so does the store.
func TestTrouble(t *testing.T) {
	for _, test := range []struct {
		what          string
		begin, end    func(t *testing.T, srv *server)
		reads, writes bool // whether they succeed meanwhile
		forgets       bool
	}{
		{"killed", func(_ *testing.T, srv *server) { srv.kill() }, func(t *testing.T, srv *server) { srv.start(t) }, false, false, true},
		{"stopped", func(t *testing.T, srv *server) { srv.signal(t, syscall.SIGSTOP) }, func(t *testing.T, srv *server) { srv.signal(t, syscall.SIGCONT) }, false, false, false},
		{"emptied", func(t *testing.T, srv *server) { srv.do(t, "flushall") }, func(*testing.T, *server) {}, true, true, true},
		{"out of memory", func(t *testing.T, srv *server) { srv.do(t, "config", "set", "maxmemory", "1") }, func(t *testing.T, srv *server) { srv.do(t, "config", "set", "maxmemory", "0") }, true, false, false},
		{"a replica without its master", func(t *testing.T, srv *server) { srv.do(t, "replicaof", "127.0.0.1", "1") }, func(t *testing.T, srv *server) { srv.do(t, "replicaof", "no", "one") }, true, false, false},
		{"restarted", func(t *testing.T, srv *server) { srv.kill(); srv.start(t) }, func(*testing.T, *server) {}, true, true, true},
		{"connections ended", func(t *testing.T, srv *server) { srv.do(t, "client", "kill", "type", "normal", "skipme", "yes") }, func(*testing.T, *server) {}, true, true, false},
	} {
		t.Run(test.what, func(t *testing.T) {
			srv := startRedis(t)
			s := open(t, "unix://"+srv.socket, nil)
			if err := s.Set(t.Context(), key, []byte("before"), time.Hour); err != nil {
				t.Fatal(err)
			}
			test.begin(t, srv)
			for range 2 {
				wantInTime(t, "Get", test.reads, func() error { _, _, err := s.Get(budget(t), key); return err })
				wantInTime(t, "Set", test.writes, func() error { return s.Set(budget(t), "other", []byte("v"), time.Hour) })
				wantInTime(t, "Add", test.writes, func() error { _, err := s.Add(budget(t), "another", []byte("v"), time.Hour); return err })
			}
			test.end(t, srv)
			wantAgain(t, s)
			want := "before"
			if test.forgets {
				want = ""
			}
			if got, _, err := s.Get(t.Context(), key); err != nil || string(got) != want {
				t.Errorf("Get = %q, %v, want %q", got, err, want)
			}
			wantWorks(t, s, "third")
		})
	}
}

func wantInTime(t *testing.T, what string, succeeds bool, do func() error) {
	t.Helper()
	began := time.Now()
	err := do()
	if took := time.Since(began); took > 750*time.Millisecond {
		t.Errorf("%s took %v", what, took)
	}
	if (err == nil) != succeeds {
		t.Errorf("%s: %v, want success: %v", what, err, succeeds)
	}
}

// wantAgain waits until the server is reached again: a client that could not dial
// tries once a second.
func wantAgain(t *testing.T, s *rediscache.Store) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; <-time.After(50 * time.Millisecond) {
		_, _, err := s.Get(budget(t), key)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still: %v", err)
		}
	}
}

// What the package documents is enough for all that the store sends.
func TestSmallestACL(t *testing.T) {
	srv := startRedis(t)
	srv.do(t, "acl", "setuser", "apponly", "on", ">a/b@c#d%", "~apponly:*", "+get", "+set", "+pttl", "+hello", "+ping")
	s := open(t, "unix://apponly:a%2Fb%40c%23d%25@"+srv.socket, nil)
	wantWorks(t, s, key)
	if denied := srv.do(t, "acl", "log").([]any); len(denied) > 0 {
		t.Errorf("denied: %v", denied)
	}
	if _, _, err := open(t, "unix://apponly:a%2Fb%40c%23d%25@"+srv.socket, &rediscache.Options{Prefix: "x:"}).Get(t.Context(), key); err == nil {
		t.Error("the user reads other keys too")
	}
}

func TestCluster(t *testing.T) {
	port := freePort(t)
	srv := startRedis(t, "--cluster-enabled", "yes", "--port", port)
	srv.do(t, "cluster", "addslotsrange", "0", "16383")
	c := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{"127.0.0.1:" + port}})
	defer c.Close()
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(c.ClusterInfo(t.Context()).Val(), "cluster_state:ok"); {
		if time.Now().After(deadline) {
			t.Fatal("the cluster has no good state")
		}
		<-time.After(50 * time.Millisecond)
	}
	s := rediscache.New(c, nil)
	for _, first := range "abcdefgh" {
		wantWorks(t, s, string(first)+key[1:])
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	wantWorks(t, s, key) // the client is the program's own
}
