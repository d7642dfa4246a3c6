// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// MarshalJSON writes f as a script has it; what is zero is left out.
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Endpoint    string   `json:"endpoint,omitzero"`
		Tenant      string   `json:"tenant,omitzero"`
		ClientID    string   `json:"client_id,omitzero"`
		Times       int      `json:"times,omitzero"`
		Probability float64  `json:"probability,omitzero"`
		Delay       duration `json:"delay,omitzero"`
		Status      int      `json:"status,omitzero"`
		RetryAfter  string   `json:"retry_after,omitzero"`
		Code        int      `json:"code,omitzero"`
		Connection  string   `json:"connection,omitzero"`
	}{
		f.Endpoint, f.Tenant, f.ClientID, f.Times, f.Probability,
		duration(f.Delay), f.Status, f.RetryAfter, f.Code, f.Connection,
	})
}

// UnmarshalJSON reads f from a script. A key it does not know and a value of
// another type are errors that name the key; keys are compared with their
// letter case. Whether the values fit together is for [Server.AddFault] to say.
func (f *Fault) UnmarshalJSON(data []byte) error { return prefixed(f.read(data)) }

func (f *Fault) read(data []byte) error {
	var read Fault
	err := readScript("fault", data, map[string]any{
		"endpoint":    &read.Endpoint,
		"tenant":      &read.Tenant,
		"client_id":   &read.ClientID,
		"times":       &read.Times,
		"probability": (*chance)(&read.Probability),
		"delay":       (*duration)(&read.Delay),
		"status":      &read.Status,
		"retry_after": (*header)(&read.RetryAfter),
		"code":        &read.Code,
		"connection":  &read.Connection,
	})
	if err == nil {
		*f = read
	}
	return err
}

// MarshalJSON writes t as a script has it.
func (t Throttle) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Requests   int      `json:"requests"`
		Per        duration `json:"per"`
		RetryAfter duration `json:"retry_after"`
	}{t.Requests, duration(t.Per), duration(t.RetryAfter)})
}

// UnmarshalJSON reads t from a script, the way [Fault.UnmarshalJSON] does.
func (t *Throttle) UnmarshalJSON(data []byte) error { return prefixed(t.read(data)) }

func (t *Throttle) read(data []byte) error {
	var read Throttle
	err := readScript("throttle", data, map[string]any{
		"requests":    &read.Requests,
		"per":         (*duration)(&read.Per),
		"retry_after": (*duration)(&read.RetryAfter),
	})
	if err == nil {
		*t = read
	}
	return err
}

// readScript reads an object into fields by key. It is not left to the struct
// decoder of encoding/json, which takes keys in any letter case, takes null for
// anything, and does not name the key in every error.
func readScript(what string, data []byte, fields map[string]any) error {
	values, err := parseObject(data)
	if err != nil {
		return fmt.Errorf("%s: want a JSON object", what)
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		field, ok := fields[key]
		if !ok {
			known := strings.Join(slices.Sorted(maps.Keys(fields)), ", ")
			return fmt.Errorf("%s: key %q is unknown, want one of %s", what, shorten(key, 40), known)
		}
		if string(values[key]) == "null" || json.Unmarshal(values[key], field) != nil {
			return fmt.Errorf("%s: the value of %q is not %s", what, key, holds(field))
		}
	}
	return nil
}

// holds says what a field holds.
func holds(field any) string {
	switch field.(type) {
	case *string:
		return "a string"
	case *header:
		return "a string or a number"
	case *int:
		return "a whole number"
	case *chance:
		return "a number over 0, up to 1"
	case **time.Time:
		return `a time such as "2030-01-31T12:00:00Z"`
	}
	return `a duration such as "1m30s"`
}

// chance is a probability that somebody has written down: 0 would be one that
// never hits, and the Fault's zero value is one that always does.
type chance float64

// UnmarshalJSON implements json.Unmarshaler.
func (c *chance) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*float64)(c)); err != nil {
		return err
	}
	if !(*c > 0 && *c <= 1) {
		return strconv.ErrRange
	}
	return nil
}

// header is the value of a header, which often is a number.
type header string

// UnmarshalJSON implements json.Unmarshaler.
func (h *header) UnmarshalJSON(data []byte) error {
	var n json.Number
	if json.Unmarshal(data, &n) == nil && data[0] != '"' {
		*h = header(n)
		return nil
	}
	return json.Unmarshal(data, (*string)(h))
}

// duration is a time.Duration that is written as people write it.
type duration time.Duration

// MarshalJSON implements json.Marshaler.
func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON implements json.Unmarshaler.
func (d *duration) UnmarshalJSON(data []byte) error {
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = duration(parsed)
	return err
}
