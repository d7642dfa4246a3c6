// SPDX-License-Identifier: MIT

package apponly

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/apponly/apponly/internal/flight"
	"github.com/apponly/apponly/internal/tokencache"
)

// A Reason says why a token request was made.
type Reason string

// The reasons of a token request.
const (
	ReasonMiss     = Reason(tokencache.ReasonMiss)     // nothing was cached
	ReasonStale    = Reason(tokencache.ReasonStale)    // the token was past its refresh time
	ReasonExpired  = Reason(tokencache.ReasonExpired)  // the token had ended
	ReasonClaims   = Reason(tokencache.ReasonClaims)   // a resource answered with a claims challenge
	ReasonRejected = Reason(tokencache.ReasonRejected) // a resource refused the token
	ReasonForced   = Reason(tokencache.ReasonForced)   // TokenRequest.Force
	ReasonKeepWarm = Reason("keep-warm")               // Client.KeepWarm
)

// An EventKind says what an [Event] tells of.
type EventKind string

const (
	// EventTokenRequest: a token request has ended. Serving a token from memory
	// is no event.
	EventTokenRequest EventKind = "token-request"
	// EventAttemptFailed: the first attempt of a token request failed, Err says how,
	// and it is going to be repeated while callers wait. At most one for each token
	// request, whose EventTokenRequest follows.
	EventAttemptFailed EventKind = "attempt-failed"
	// EventCredentialChanged: Entra has taken new material for the first time.
	EventCredentialChanged EventKind = "credential-changed"
	// EventCredentialUnreadable: the source of the credential failed, Err says
	// how, and the material that worked last was used.
	EventCredentialUnreadable EventKind = "credential-unreadable"
	// EventCredentialSetAside: a credential of a [FirstOf] failed and is passed
	// over for this tenant; Err says why.
	EventCredentialSetAside EventKind = "credential-set-aside"
	// EventCredentialExpiring: the certificate or assertion that proved the app
	// ends at ExpiresOn, in at most 30, 7 or 1 days.
	EventCredentialExpiring EventKind = "credential-expiring"
	// EventChainIncomplete: [CertificateOptions.SendX5C] is set, and Err names
	// certificates that were given along and are not sent, because by name and key
	// identifier the chain of the app's certificate does not lead to them, or is too
	// long. Told of once for each certificate.
	EventChainIncomplete EventKind = "chain-incomplete"
	// EventChallengeUnreadable: an API asked a [Transport] for other claims in a
	// way that cannot be read. Its 401 went to the caller.
	EventChallengeUnreadable EventKind = "challenge-unreadable"
	// EventIdentityBinding: an AKS identity binding is not in effect although
	// [Options.IdentityBinding], or the environment, says that there is one; Err says
	// which. Told of with the first token request of a client, once.
	EventIdentityBinding EventKind = "identity-binding"
	// EventShared: another process of the fleet had the answer, and [CacheOptions.Shared]
	// brought it in place of a token request: the token that ends at ExpiresOn, or the
	// refusal in Err.
	EventShared EventKind = "shared"
	// EventSharedUnavailable: [CacheOptions.Shared] has failed, Err says how, and is
	// left alone for seconds while Entra is asked; or, without Err, it works again.
	// Told of once each. So it is of a [SharedKeyFile] that cannot be read and then can
	// again: the keys that were read last go on, if there are any.
	EventSharedUnavailable EventKind = "shared-unavailable"
	// EventSharedRejected: what lies in [CacheOptions.Shared] does not open with any of
	// our keys, or was tampered with. Entra was asked. Told of once a minute at most.
	EventSharedRejected EventKind = "shared-rejected"
	// EventClockSkew: the local clock is off by Skew. Assertions are corrected
	// for it, up to a day; what else the host does is not.
	EventClockSkew EventKind = "clock-skew"
)

// An Event tells of one token request that has ended, or of what has changed
// with it.
type Event struct {
	Kind                      EventKind
	Time                      time.Time
	TenantID, ClientID, Scope string

	// Reason and Duration, retries included, are those of the token request, or of what
	// came in its place. That of an EventAttemptFailed has none yet.
	Reason   Reason
	Duration time.Duration
	// Behind says that nobody waited for it: the token was refreshed while it was good,
	// behind the caller whose context the observer gets.
	Behind bool
	// ExpiresOn is when the token ends that a request brought, zero if it
	// failed; or the credential.
	ExpiresOn time.Time
	// Err is an *Error if the token request failed.
	Err error
	// Skew is by how much Entra's clock is ahead of the local one.
	Skew time.Duration
}

// observers get the events of a client.
type observers struct {
	logger  *slog.Logger                 // nil: none
	onEvent func(context.Context, Event) // nil: none
	hung    *flight.Guard
}

// observerTimeout is how long a caller waits for the observers.
const observerTimeout = time.Second

// emit tells the observers of ev and before it of what has changed with it, and
// waits for them for a while. They are not ours: one that panics is ignored, and
// one that does not return is tried again in minutes, until it has.
func (o observers) emit(ctx context.Context, ev Event, changes []Event) {
	if o.onEvent == nil && o.logger == nil {
		return
	}
	ctx, cancel := context.WithTimeout(flight.Safe(ctx), observerTimeout)
	defer cancel()
	flight.RunFor(ctx, 0, o.hung, "the observer", func(ctx context.Context) (struct{}, error) {
		for _, change := range append(changes, ev) {
			change.Time, change.TenantID, change.ClientID, change.Scope = ev.Time, ev.TenantID, ev.ClientID, ev.Scope
			if o.logger != nil {
				change.log(ctx, o.logger)
			}
			if o.onEvent != nil {
				o.onEvent(ctx, change)
			}
		}
		return struct{}{}, nil
	})
}

// messages are the levels and texts that events are logged with.
var messages = map[EventKind]struct {
	level slog.Level
	text  string
}{
	EventTokenRequest:         {slog.LevelDebug, "token obtained"},
	EventAttemptFailed:        {slog.LevelWarn, "token request is repeated"},
	EventCredentialChanged:    {slog.LevelInfo, "credential changed"},
	EventCredentialUnreadable: {slog.LevelWarn, "credential cannot be read"},
	EventCredentialSetAside:   {slog.LevelWarn, "credential set aside"},
	EventCredentialExpiring:   {slog.LevelWarn, "credential expires soon"},
	EventChainIncomplete:      {slog.LevelWarn, "certificates are left out of the chain"},
	EventChallengeUnreadable:  {slog.LevelWarn, "claims challenge cannot be read"},
	EventIdentityBinding:      {slog.LevelWarn, "identity binding is not in effect"},
	EventShared:               {slog.LevelDebug, "token obtained by another process"},
	EventSharedUnavailable:    {slog.LevelWarn, "shared cache is not available"},
	EventSharedRejected:       {slog.LevelWarn, "entries of the shared cache cannot be opened"},
	EventClockSkew:            {slog.LevelWarn, "the local clock is wrong"},
}

func (ev Event) log(ctx context.Context, l *slog.Logger) {
	m := messages[ev.Kind]
	attrs := []slog.Attr{
		slog.String("tenant", ev.TenantID),
		slog.String("client", ev.ClientID),
		slog.String("scope", ev.Scope),
	}
	switch ev.Kind {
	case EventAttemptFailed:
		attrs = append(attrs, slog.String("reason", string(ev.Reason)))
	case EventSharedUnavailable:
		if ev.Err == nil {
			m.level, m.text = slog.LevelInfo, "shared cache is available again"
		}
	case EventTokenRequest, EventShared:
		if ev.Err != nil {
			m.level, m.text = slog.LevelWarn, "token request failed"
		}
		attrs = append(attrs, slog.String("reason", string(ev.Reason)), slog.Duration("duration", ev.Duration))
	case EventClockSkew:
		attrs = append(attrs, slog.Duration("skew", ev.Skew))
	}
	if !ev.ExpiresOn.IsZero() {
		attrs = append(attrs, slog.Time("expires", ev.ExpiresOn))
	}
	if ev.Err != nil {
		attrs = append(attrs, slog.Any("error", ev.Err))
	}
	if e, ok := errors.AsType[*Error](ev.Err); ok { // beside the group, for who filters and who reads
		attrs = append(attrs, slog.String("kind", string(e.Kind)), slog.String("remedy", e.Kind.Remedy()))
	}
	l.LogAttrs(ctx, m.level, m.text, attrs...)
}
