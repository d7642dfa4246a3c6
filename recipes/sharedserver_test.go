// SPDX-License-Identifier: MIT

package recipes_test

import (
	"bytes"
	"log"
	"net"
	"os/exec"
	"time"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/entratest"
)

// sharing returns a client of the app of sts as another process would have it: with a
// cache of its own over the store, which all have the same key for.
func sharing(sts *entratest.Server, store apponly.SharedStore) *apponly.Client {
	opts := apponly.CacheOptions{Shared: store}
	if store != nil {
		opts.SharedKeys = apponly.SharedKey([]byte("32 random bytes, of apponly keys")) // in a program apponly.SharedKeyFile
	}
	client, err := apponly.New(sts.Tenant().ID(), sts.App().ClientID(), apponly.Secret(sts.Secret()), &apponly.Options{
		Cloud: sts.Cloud(), HTTPClient: sts.HTTPClient(), Cache: apponly.NewCache(&opts),
	})
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// redisServer starts a redis-server with nothing on disk. Where there is none nobody
// listens at the address.
func redisServer() (addr string, stop func()) {
	return localServer("redis-server", "--bind", "127.0.0.1", "--save", "", "--port")
}

// memcachedServer does the same with memcached.
func memcachedServer() (addr string, stop func()) {
	return localServer("memcached", "-u", "nobody", "-l", "127.0.0.1", "-p")
}

// localServer starts a program whose last argument is a free port.
func localServer(name string, args ...string) (addr string, stop func()) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	addr = l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	cmd := exec.Command(name, append(args, port)...)
	if cmd.Start() != nil {
		return addr, func() {}
	}
	stop = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	for range 500 {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return addr, stop
		}
		time.Sleep(10 * time.Millisecond)
	}
	log.Fatalf("%s does not listen", name)
	return "", nil
}

// has reports whether a program is there.
func has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// sealed is like what a store is handed: bytes of all kinds.
var sealed = bytes.Repeat([]byte{0, 1, '\r', '\n', 0xff}, 300)
