// SPDX-License-Identifier: MIT

package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// A place is where a fleet shares tokens, and which can be killed.
type place interface {
	name() string
	env() string // what leads a pod there
	start() error
	kill()
}

// newPlace starts a redis-server, or takes a directory where there is none.
func newPlace(dir string) (place, error) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		return &directory{filepath.Join(dir, "tokens")}, nil
	}
	r := &redisServer{socket: filepath.Join(dir, "redis.sock")}
	return r, r.start()
}

type redisServer struct {
	socket string
	cmd    *exec.Cmd
}

func (r *redisServer) name() string { return "redis-server" }
func (r *redisServer) env() string  { return "APPONLY_REDIS_URL=unix://" + r.socket }

// start starts a server that keeps nothing on disk, and waits until it listens.
func (r *redisServer) start() error {
	r.cmd = exec.Command("redis-server", "--port", "0", "--unixsocket", r.socket, "--save", "")
	if err := r.cmd.Start(); err != nil {
		return err
	}
	for range 500 {
		if conn, err := net.Dial("unix", r.socket); err == nil {
			return conn.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("redis-server does not listen at %s", r.socket)
}

// kill is kill -9.
func (r *redisServer) kill() {
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	_ = os.Remove(r.socket)
}

// A directory is killed by a file in its place.
type directory struct{ path string }

func (d *directory) name() string { return "the directory" }
func (d *directory) env() string  { return envDir + "=" + d.path }
func (d *directory) start() error { return os.RemoveAll(d.path) }

func (d *directory) kill() {
	_ = os.RemoveAll(d.path)
	_ = os.WriteFile(d.path, nil, 0o600)
}
