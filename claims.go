// SPDX-License-Identifier: MIT

package apponly

import (
	"bytes"
	"encoding/json"
)

// withCP1 returns claims, a JSON object or "", with the client capability cp1
// declared in it, which Entra reads at access_token.xms_cc.values. ok is false
// where access_token is something that nothing can be added to. Everything else
// stays as it is, byte for byte: parsing and writing it anew, as MSAL does, changes
// numbers above 2^53, and what is in claims is between the API and Entra.
func withCP1(claims string) (merged string, ok bool) {
	ok = true
	b := withMember([]byte(claims), "access_token", func(token []byte) []byte {
		ok = isObject(token) || isNothing(token)
		return withMember(token, "xms_cc", func(cc []byte) []byte {
			return withMember(cc, "values", withValue)
		})
	})
	return string(b), ok
}

// withValue returns the values of xms_cc with cp1 among them.
func withValue(list []byte) []byte {
	var values []json.RawMessage
	if json.Unmarshal(list, &values) != nil || len(values) == 0 {
		return []byte(`["cp1"]`)
	}
	for _, v := range values {
		if string(v) == `"cp1"` {
			return list
		}
	}
	return append([]byte(`["cp1",`), bytes.TrimSpace(list)[1:]...)
}

// withMember returns a JSON object in which the value of name, nil if there is
// none, is changed. What is no object becomes one.
func withMember(object []byte, name string, change func(value []byte) []byte) []byte {
	if !isObject(object) {
		object = []byte("{}")
	}
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // the brace
	open := int(d.InputOffset())
	start, end, sep := open, open, ","
	var value []byte
	if !d.More() {
		sep = ""
	}
	for d.More() {
		key, err := d.Token()
		var raw json.RawMessage
		if err != nil || d.Decode(&raw) != nil {
			return object // it is JSON, or it would not have come here
		}
		if key == name { // of two the last one counts
			value, end = raw, int(d.InputOffset())
			start = end - len(raw)
		}
	}
	changed := change(value)
	if value == nil {
		changed = []byte(`"` + name + `":` + string(changed) + sep)
	}
	return bytes.Join([][]byte{object[:start], changed, object[end:]}, nil)
}

func isObject(value []byte) bool { return bytes.HasPrefix(bytes.TrimSpace(value), []byte("{")) }

func isNothing(value []byte) bool { return value == nil || string(value) == "null" }
