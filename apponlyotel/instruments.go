// SPDX-License-Identifier: MIT

package apponlyotel

import (
	"errors"

	"go.opentelemetry.io/otel/metric"
)

// instruments are what is measured. Their units are chosen with Prometheus in mind: there
// a gauge of unit "1" becomes a ratio by its name, and a unit in braces is left out.
type instruments struct {
	requests metric.Float64Histogram
	changes  metric.Int64Counter

	// Of each token and app that is watched.
	ready, failures metric.Int64ObservableGauge
	remaining, ends metric.Float64ObservableGauge
	// Of all that are watched.
	skew                          metric.Float64ObservableGauge
	unavailable                   metric.Int64ObservableGauge
	entries                       metric.Int64ObservableUpDownCounter
	evictions, exchanges, lookups metric.Int64ObservableCounter
}

func newInstruments(m metric.Meter) (i instruments, err error) {
	errs := make([]error, 12)
	i.requests, errs[0] = m.Float64Histogram("apponly.token.request.duration", metric.WithUnit("s"),
		metric.WithDescription("Duration of the token requests made to Entra, repeated attempts included."),
		metric.WithExplicitBucketBoundaries(.05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	i.changes, errs[1] = m.Int64Counter("apponly.credential.events", metric.WithUnit("{event}"),
		metric.WithDescription("What happened to the credentials, by event."))
	i.ready, errs[2] = m.Int64ObservableGauge("apponly.token.ready", metric.WithUnit("{token}"),
		metric.WithDescription("1 if there is a token that is good, 0 if there is none."))
	i.failures, errs[3] = m.Int64ObservableGauge("apponly.token.failures", metric.WithUnit("{request}"),
		metric.WithDescription("Token requests that failed since the last that succeeded."))
	i.remaining, errs[4] = m.Float64ObservableGauge("apponly.token.remaining_lifetime", metric.WithUnit("s"),
		metric.WithDescription("How long the token is good for, 0 if there is none."))
	i.ends, errs[5] = m.Float64ObservableGauge("apponly.credential.remaining_lifetime", metric.WithUnit("s"),
		metric.WithDescription("How long the certificate is valid that last proved the app. Nobody but Entra knows that of a secret."))
	i.skew, errs[6] = m.Float64ObservableGauge("apponly.clock.skew", metric.WithUnit("s"),
		metric.WithDescription("By how much Entra's clock is ahead of the local one."))
	i.unavailable, errs[7] = m.Int64ObservableGauge("apponly.shared.unavailable", metric.WithUnit("{cache}"),
		metric.WithDescription("Shared caches that failed when they were last used."))
	i.entries, errs[8] = m.Int64ObservableUpDownCounter("apponly.cache.entries", metric.WithUnit("{entry}"),
		metric.WithDescription("Tokens and refusals in the cache."))
	i.evictions, errs[9] = m.Int64ObservableCounter("apponly.cache.evictions", metric.WithUnit("{entry}"),
		metric.WithDescription("Entries that left the cache for want of room or because they had ended."))
	i.exchanges, errs[10] = m.Int64ObservableCounter("apponly.cache.exchanges", metric.WithUnit("{request}"),
		metric.WithDescription("Token requests begun, also those that could not be sent."))
	i.lookups, errs[11] = m.Int64ObservableCounter("apponly.shared.lookups", metric.WithUnit("{lookup}"),
		metric.WithDescription("What came of asking the shared cache, by result."))
	return i, errors.Join(errs...)
}

// observed returns the instruments that are read when metrics are collected.
func (i *instruments) observed() []metric.Observable {
	return []metric.Observable{
		i.ready, i.failures, i.remaining, i.ends, i.skew,
		i.unavailable, i.entries, i.evictions, i.exchanges, i.lookups,
	}
}
