// SPDX-License-Identifier: MIT

// Package rediscache keeps tokens in Redis or Valkey, for the processes of a fleet:
// one of them asks Entra, and the others get its token.
//
//	store, keys, err := rediscache.FromEnv()
//	…
//	cache := apponly.NewCache(&apponly.CacheOptions{Shared: store, SharedKeys: keys})
//	client, err := apponly.FromEnv(&apponly.Options{Cache: cache})
//
// Without the environment, [Open] takes a URL and [New] a client that the program has
// anyhow: one for Sentinel, a cluster, or with another way to authenticate.
//
// # Nothing depends on it
//
// The server sees no token, and no tenant, app or scope: keys are hashes, values are
// sealed. It may be down when the program starts, be killed, hang, forget everything,
// have no memory left or take no writes. All that comes of it are token requests.
//
// go-redis logs connections that cannot be made to standard error, by a logger of the
// whole process: see redis.SetLogger and its package logging.
//
// # What it may do
//
// A user of Redis for the store needs no more than this:
//
//	ACL SETUSER apponly on >PASSWORD ~apponly:* +get +set +pttl +hello +ping
//
// All commands are of one key, so a cluster needs no hash tags.
package rediscache
