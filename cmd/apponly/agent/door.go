// SPDX-License-Identifier: MIT

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
)

// Bounds of a connection.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = maxHold + 20*time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	stopTimeout    = 15 * time.Second
)

// A doorPlan is a place where requests are to come in.
type doorPlan struct {
	key     string // in the configuration
	network string // tcp or unix
	addr    string
	mode    uint32 // of a socket
	handler http.Handler
	streams bool // bodies may last
}

// doorPlans are the places that a configuration has.
func (a *Agent) doorPlans(c *Config) []doorPlan {
	var all []doorPlan
	add := func(key, network, addr, mode string, streams bool, h http.Handler) {
		if addr != "" {
			m, _ := parseMode(mode, 0o600) // checked before
			all = append(all, doorPlan{key, network, addr, m, h, streams})
		}
	}
	add("listen.tcp", "tcp", c.Listen.TCP, "", false, a.routes(tokenRoutes))
	add("listen.socket", "unix", c.Listen.Socket, c.Listen.SocketMode, false, a.routes(tokenRoutes))
	add("listen.imds", "tcp", c.Listen.IMDS, "", false, a.routes(imdsRoutes))
	add("health.tcp", "tcp", c.Health.TCP, "", false, a.health())
	for _, p := range c.Proxies {
		key := p.key()
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serveProxy(key, w, r) })
		add("proxy.listen", "tcp", p.Listen, "", true, h)
		add("proxy.socket", "unix", p.Socket, p.SocketMode, true, h)
	}
	return all
}

// id tells doors apart that are at different places or serve different things.
func (p doorPlan) id() string { return p.key + " " + p.network + " " + p.addr }

// A door is a listener with its server.
type door struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

// openDoor listens; serve has it answer.
func openDoor(p doorPlan, log *slog.Logger) (*door, error) {
	l, err := listen(p)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.key, err)
	}
	server := &http.Server{
		Handler:           p.handler,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ConnContext: arrive,
		ErrorLog:    slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	if p.streams {
		server.ReadTimeout, server.WriteTimeout = 0, 0
	}
	return &door{&limitedListener{Listener: l}, server, make(chan struct{})}, nil
}

func listen(p doorPlan) (net.Listener, error) {
	if p.network == "unix" {
		return listenSocket(p.addr, os.FileMode(p.mode))
	}
	return net.Listen(p.network, p.addr)
}

// serve answers until the door is closed.
func (d *door) serve(failed chan<- error) {
	defer close(d.done)
	if err := d.server.Serve(d.listener); !errors.Is(err, http.ErrServerClosed) {
		select {
		case failed <- err:
		default:
		}
	}
}

// close lets the calls under way end.
func (d *door) close() {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	if d.server.Shutdown(ctx) != nil {
		d.server.Close()
	}
	<-d.done
}

// errServing is what a socket in use is refused with.
var errServing = errors.New("another process is listening on it")

// removeStale removes the socket of a process that was killed.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return nil // nothing is there, or listening says why not
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s is there and not a socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("%s: %w", path, errServing)
	case !errors.Is(err, syscall.ECONNREFUSED): // it is another user's, for datagrams, or busy
		return fmt.Errorf("%s is there and may be in use: %w", path, err)
	}
	return os.Remove(path)
}
