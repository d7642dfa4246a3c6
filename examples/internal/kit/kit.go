// SPDX-License-Identifier: MIT

// Package kit is what the example programs have in common besides what they
// show: how to tell a person of an error.
package kit

import (
	"errors"

	"github.com/apponly/apponly"
)

// Explain adds what to do about an error to what it says. An [apponly.Error]
// keeps the two apart: the first belongs in a log, the second in front of a
// person.
func Explain(err error) string {
	e, ok := errors.AsType[*apponly.Error](err)
	if !ok {
		return err.Error()
	}
	text := err.Error() + "\n  what to do: " + e.Kind.Remedy()
	if e.CorrelationID != "" {
		text += "\n  for support: correlation ID " + e.CorrelationID + ", trace ID " + e.TraceID
	}
	return text
}
