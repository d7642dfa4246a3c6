// SPDX-License-Identifier: MIT

package recipes_test

import (
	"context"
	"fmt"
	"log"
	"net"
	"time"

	"github.com/apponly/apponly"
	"github.com/redis/rueidis"
)

// A rueidisStore lets processes share tokens in Redis or Valkey, by rueidis or
// valkey-go, which is the same under another name. For go-redis there is the module
// rediscache.
type rueidisStore struct{ rueidis.Client }

func (s rueidisStore) Get(ctx context.Context, key string) ([]byte, time.Duration, error) {
	r := s.DoMulti(ctx, s.B().Get().Key("apponly:"+key).Build(), s.B().Pttl().Key("apponly:"+key).Build())
	value, err := r[0].AsBytes()
	if rueidis.IsRedisNil(err) {
		return nil, 0, nil
	}
	left, _ := r[1].AsInt64() // 0: not known
	return value, time.Duration(max(left, 0)) * time.Millisecond, err
}

func (s rueidisStore) Set(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	return s.Do(ctx, s.B().Set().Key("apponly:"+key).Value(rueidis.BinaryString(value)).Px(ttl).Build()).Error()
}

func (s rueidisStore) Add(ctx context.Context, key string, value []byte, ttl time.Duration) (bool, error) {
	err := s.Do(ctx, s.B().Set().Key("apponly:"+key).Value(rueidis.BinaryString(value)).Nx().Px(ttl).Build()).Error()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	return err == nil, err
}

// newRueidisStore connects, as rueidis does at once. Where that fails, the program need
// not: without a store it asks for tokens of its own.
func newRueidisStore(addr string) apponly.SharedStore {
	client, err := rueidis.NewClient(rueidis.ClientOption{
		InitAddress:  []string{addr},
		Dialer:       net.Dialer{Timeout: time.Second},
		DisableCache: true, // the tokens are in memory already
		DisableRetry: true, // a token request costs less
	})
	if err != nil {
		log.Printf("tokens are not shared: %v", err)
		return nil
	}
	return rueidisStore{client}
}

// Two processes, of which each has a cache of its own: the second one need not ask.
func Example_rueidis() {
	sts, _ := emulated()
	defer sts.Close()
	addr, stop := redisServer() // where there is none, nothing fails
	defer stop()

	for range 2 {
		client := sharing(sts, newRueidisStore(addr))
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
