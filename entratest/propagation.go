// SPDX-License-Identifier: MIT

package entratest

import "time"

// SetPropagation makes what is added from now on count only after d, by the
// emulator's clock: apps, secrets, certificates, federated credentials, service
// principals ([Tenant.Install], [Tenant.Provide]) and roles ([Resource.Grant]).
// Entra's nodes learn of them one by one, in seconds or minutes, and documents
// no limit; what is taken away is gone at once here. Zero, the default, is no
// delay.
func (s *Server) SetPropagation(d time.Duration) {
	s.update(func() { s.propagation = max(d, 0) })
}

// countsFrom is when something added now begins to count.
func (s *Server) countsFrom() instant {
	s.mu.RLock()
	d := s.propagation
	s.mu.RUnlock()
	if d == 0 {
		return 0
	}
	return instant(s.Now().Add(d).UnixNano())
}

// instant is a time in Unix nanoseconds, 0 for always.
type instant int64

func (i instant) reached(now time.Time) bool { return i == 0 || now.UnixNano() >= int64(i) }
