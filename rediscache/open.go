// SPDX-License-Identifier: MIT

package rediscache

import (
	"errors"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Open returns the store behind a URL. It connects when the store is first asked.
//
//	redis://user:password@host:port/database
//	rediss://…                                with TLS
//	unix://user:password@/path?db=database    a socket of this machine
//
// User, password, port and database may be missing. Of user and password all but
// letters, digits, "-", ".", "_" and "~" is written as in "%2F". No error holds any of
// the URL.
//
// Connections are few, made in 250 ms, and not tried again: whoever waits for a token
// is better off with a token request. One that was of no use for half a minute is not used
// again, as servers and what lies before them end it unseen.
func Open(url string, opts *Options) (*Store, error) {
	o, err := parse(url)
	if err != nil {
		return nil, err
	}
	caFile := ""
	if opts != nil {
		caFile = opts.CAFile
	}
	if caFile != "" && o.TLSConfig == nil {
		return nil, errors.New("rediscache: Options.CAFile is for a URL that begins with rediss://")
	}
	o.ContextTimeoutEnabled = true
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.PoolTimeout = dialTimeout, time.Second, time.Second
	o.PoolSize, o.PipelinePoolSize, o.ConnMaxIdleTime = 2, -1, 30*time.Second
	o.ReadBufferSize, o.WriteBufferSize = 4<<10, 4<<10
	// Neither is in the smallest ACL.
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	o.Dialer = dialer{tls: o.TLSConfig, caFile: caFile}.dial

	c := redis.NewClient(o)
	return &Store{c, opts.prefix(), c.Close}, nil
}

const dialTimeout = 250 * time.Millisecond

// parse reads a URL. redis.ParseURL takes options in it, of which those of above must
// not be set and InsecureSkipVerify must not be easy; and its errors quote the URL.
func parse(text string) (*redis.Options, error) {
	u, err := url.Parse(strings.TrimSpace(text))
	if err != nil {
		return nil, errors.New(`rediscache: the URL cannot be read: in user and password "/" is written as %2F, "@" as %40, "#" as %23, "%" as %25`)
	}
	o := &redis.Options{Network: "tcp", Username: u.User.Username()}
	o.Password, _ = u.User.Password()
	database := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "unix":
		o.Network, o.Addr, database = "unix", u.Path, u.Query().Get("db")
	case "rediss":
		o.TLSConfig = tlsConfig(u.Hostname())
		fallthrough
	case "redis":
		o.Addr = net.JoinHostPort(u.Hostname(), portOf(u))
	}
	if fault := faultOf(u); fault != "" {
		return nil, errors.New("rediscache: the URL " + fault)
	}
	if database != "" {
		if o.DB, err = strconv.Atoi(database); err != nil || o.DB < 0 {
			return nil, errors.New("rediscache: the database in the URL is not a number")
		}
	}
	return o, nil
}

// faultOf says what is wrong with a URL, without a word of it.
func faultOf(u *url.URL) string {
	query := u.Query()
	if u.Scheme == "unix" {
		query.Del("db")
	}
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss" && u.Scheme != "unix":
		return "begins with none of redis://, rediss:// and unix://"
	case u.Scheme == "unix" && (u.Host != "" || !strings.HasPrefix(u.Path, "/")):
		return "has no absolute path of a socket: it is like unix:///run/redis.sock"
	case u.Scheme != "unix" && u.Hostname() == "":
		return "names no host"
	case u.Fragment != "":
		return `has a "#", which in a password is written as %23`
	case len(query) > 0 || u.ForceQuery:
		return `has a "?" and options, of which there are none; in a password it is written as %3F`
	}
	return ""
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "6379"
}
