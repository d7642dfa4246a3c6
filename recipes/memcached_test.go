// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/bradfitz/gomemcache/memcache"
)

// A memcachedStore lets processes share tokens in memcached. The client knows no
// contexts, so its Timeout has to be well below the 250 ms that a store has.
type memcachedStore struct{ *memcache.Client }

func (s memcachedStore) Get(_ context.Context, key string) ([]byte, time.Duration, error) {
	item, err := s.Client.Get("apponly:" + key)
	if err == memcache.ErrCacheMiss {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	return item.Value, 0, nil // memcached does not tell for how much longer
}

func (s memcachedStore) Set(_ context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Client.Set(memcachedItem(key, value, ttl))
}

func (s memcachedStore) Add(_ context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	err := s.Client.Add(memcachedItem(key, value, ttl))
	if err == memcache.ErrNotStored {
		return false, nil
	}
	return err == nil, err
}

// memcachedItem counts in seconds. Less than one lets go, which is -1 there; 0 would be
// for ever.
func memcachedItem(key string, value []byte, ttl time.Duration) *memcache.Item {
	seconds := int32(ttl / time.Second)
	if seconds == 0 {
		seconds = -1
	}
	return &memcache.Item{Key: "apponly:" + key, Value: value, Expiration: seconds}
}

// Two processes, of which each has a cache of its own: the second one need not ask.
func Example_memcached() {
	sts, _ := emulated()
	defer sts.Close()
	addr, stop := memcachedServer() // where there is none, nothing fails
	defer stop()

	for range 2 {
		store := memcachedStore{memcache.New(addr)}
		store.Timeout = 100 * time.Millisecond
		client := sharing(sts, store)
		token, err := client.Token(context.Background(), sts.API().Scope())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(token.Value() != "")
	}
	// Output:
	// true
	// true
}
