// SPDX-License-Identifier: MIT

package apponly

import (
	"strconv"
	"strings"

	"github.com/apponly/apponly/internal/inside"
)

// readBinding decides whether token requests go to the proxy of an AKS identity binding.
func (p *envPlan) readBinding() {
	on, err := strconv.ParseBool(p.get(envBinding))
	if err != nil && isSet(envBinding) {
		on = true // somebody wants it, and what else is wrong is told at once
		p.fault(ErrConfiguration, "%s is neither true nor false", envBinding)
	}
	if p.opts.IdentityBinding = p.opts.IdentityBinding || on; p.opts.IdentityBinding {
		for _, name := range envProxyAll {
			p.get(name)
		}
		if isSet(envProxyCAFile) {
			p.files = append(p.files, envProxyCAFile)
		}
	}
	s, err := p.opts.sender([]*credential{{federated: true}})
	p.note(inside.Variables, err)
	if note := s.notice.give(); note != nil {
		p.warning = strings.TrimPrefix(note.Error(), "apponly: ")
	}
}
