// SPDX-License-Identifier: MIT

package emuconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/ident"
	"go.yaml.in/yaml/v4"
)

// fault reads an entratest.Fault by the keys of its JSON. The emulator judges them
// itself; only the names that the file has for tenants and apps become IDs first.
func (l *loader) fault(v node) {
	before := len(l.errs.Faults)
	keys := v.anyKeys(asFault)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		if _, err := decodeFault(map[string]scalar[any]{key: keys[key]}); err != nil {
			l.errs.add(keys[key].Place, "%s", strings.TrimPrefix(reason(err), fmt.Sprintf("the value of %q ", key)))
		}
	}
	replace(keys, "tenant", l.tenantID)
	replace(keys, "client_id", l.clientID)
	if len(l.errs.Faults) > before {
		return
	}
	fault, err := decodeFault(keys)
	if err == nil {
		_, err = l.sts.AddFault(fault)
	}
	if err != nil { // its text begins with the key that it is about
		place, text := v.Place, reason(err)
		key, rest, _ := strings.Cut(text, " ")
		if value, ok := keys[key]; ok {
			place, text = value.Place, rest
		}
		l.errs.add(place, "%s", text)
	}
}

// asFault takes the value of a key. A Retry-After is sent as it is written,
// whatever YAML would make of it.
func asFault(key string, n *yaml.Node) (v any, err error) {
	if key == "retry_after" || n.ShortTag() == "!!timestamp" {
		return n.Value, nil
	}
	if err = n.Decode(&v); err == nil {
		_, err = json.Marshal(v) // as it cannot be for .nan
	}
	if err != nil { // its text may quote the value, and that a secret
		return nil, errors.New("want text, a number, true or false")
	}
	return v, nil
}

// replace puts an ID into the place of a name.
func replace(keys map[string]scalar[any], key string, id func(scalar[string]) string) {
	value := keys[key]
	if name, ok := value.v.(string); ok {
		value.v = id(scalar[string]{value.Place, name, true})
		keys[key] = value
	}
}

// tenantID returns the ID of the tenant that a fault is for. A fault may be for
// a tenant that does not exist, and for such an app.
func (l *loader) tenantID(ref scalar[string]) string {
	lower := strings.ToLower(ref.v)
	if l.tenants[lower] == nil && (ident.IsGUID(lower) || lower == "common" || lower == "organizations") {
		return ref.v
	}
	if t := find(l, l.tenants, ref, "tenant"); t != nil {
		return t.ID()
	}
	return ""
}

func (l *loader) clientID(ref scalar[string]) string {
	if l.apps[strings.ToLower(ref.v)] == nil && ident.IsGUID(ref.v) {
		return ref.v
	}
	if a := find(l, l.apps, ref, "app"); a != nil {
		return a.ClientID()
	}
	return ""
}

func decodeFault(keys map[string]scalar[any]) (fault entratest.Fault, err error) {
	all := make(map[string]any, len(keys))
	for key, value := range keys {
		all[key] = value.v
	}
	data, err := json.Marshal(all)
	if err != nil {
		return fault, err
	}
	err = json.Unmarshal(data, &fault)
	return fault, err
}

func (l *loader) throttle(v node) {
	var requests scalar[int]
	var per, retryAfter scalar[time.Duration]
	v.object(fields{
		"requests":    into(&requests, asCount),
		"per":         into(&per, between(time.Millisecond, forever)),
		"retry_after": into(&retryAfter, between(time.Second, time.Hour)),
	}, "requests", "per")
	throttle := entratest.Throttle{Requests: requests.v, Per: per.v, RetryAfter: retryAfter.v}
	if requests.good && per.good && l.load.SetThrottle(throttle) != nil {
		l.errs.add(requests.Place, "want 1 or more; leave throttle out to have none")
	}
}
