// SPDX-License-Identifier: MIT

package main

import (
	"context"
	"fmt"
	"runtime"
)

// memory is what a cached token takes beside its own bytes, everything that
// leads to it counted.
func memory(r *run) ([]row, error) {
	line := newRow("memory per cached token of 1,500 bytes beyond these, 10,000 tenants")
	ids, _ := tenants(manyTenants)
	per := map[string]float64{}
	for _, lib := range libraries {
		// Once for nothing: what a library makes once per process is not
		// counted.
		if _, err := fill(lib, ids[:10]); err != nil {
			return nil, err
		}
		before := heap()
		kept, err := fill(lib, ids)
		if err != nil {
			return nil, err
		}
		per[lib.name] = float64(heap()-before)/manyTenants - tokenSize
		runtime.KeepAlive(kept)
	}
	for _, lib := range libraries {
		b := per[lib.name]
		if lib.name == ours.name {
			line.cells[lib.name] = fmt.Sprintf("**%.0f B**", b)
		} else {
			line.cells[lib.name] = fmt.Sprintf("%s B (%s×)", thousands(int(b)), ratio(b/per[ours.name]))
		}
	}
	runtime.KeepAlive(ids)
	return []row{line}, nil
}

// fill gets a token for each tenant, from one client where the library has one
// for all tenants, and returns whatever must be kept.
func fill(lib library, ids []string) (any, error) {
	inst := lib.open(&sts{}, 0)
	if inst.by == nil {
		start, err := inst.loop(ids)
		return start, err
	}
	for _, id := range ids {
		if err := inst.by(context.Background(), id); err != nil {
			return nil, fmt.Errorf("%s: %w", lib.name, err)
		}
	}
	return inst, nil
}

func heap() int64 {
	var m runtime.MemStats
	for range 3 { // what had a finalizer goes one round later
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
