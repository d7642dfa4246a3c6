// SPDX-License-Identifier: MIT

package tokencache_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/apponly/apponly/internal/tokencache"
)

// Against a map, with hashes that collide and are the table's own marks.
func TestTable(t *testing.T) {
	var tab tokencache.TestTable
	hash := func(key int) uint64 { return uint64(key % 7) } // every key collides
	want := map[int]func(){}
	for i := range 20_000 {
		key := rand.IntN(300)
		name := fmt.Sprint(key)
		if remove, ok := want[key]; ok {
			remove()
			delete(want, key)
		} else {
			want[key] = tab.Put(name, hash(key))
		}
		if i%500 != 0 {
			continue
		}
		if live, found := tab.Len(); live != len(want) || found != len(want) {
			t.Fatalf("table has %d live, %d found; want %d", live, found, len(want))
		}
		for k := range 300 {
			if _, ok := want[k]; tab.Has(fmt.Sprint(k), hash(k)) != ok {
				t.Fatalf("Has(%d) = %v", k, !ok)
			}
		}
	}
}

// Readers without a lock find what is there while a writer adds, removes and
// rebuilds.
func TestTableConcurrent(t *testing.T) {
	var tab tokencache.TestTable
	hash := func(key int) uint64 { return uint64(key) * 0x9E3779B97F4A7C15 }
	names := make([]string, 200)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	for i := range 100 {
		tab.Put(names[i], hash(i)) // these stay
	}
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for !stop.Load() {
				if i := rand.IntN(100); !tab.Has(names[i], hash(i)) {
					t.Errorf("%d is not found", i)
					return
				}
				tab.Has(names[100+rand.IntN(100)], hash(100+rand.IntN(100)))
			}
		})
	}
	removes := map[int]func(){}
	for range 50_000 {
		i := 100 + rand.IntN(100)
		if remove, ok := removes[i]; ok {
			remove()
			delete(removes, i)
		} else {
			removes[i] = tab.Put(names[i], hash(i))
		}
	}
	stop.Store(true)
	wg.Wait()
}
