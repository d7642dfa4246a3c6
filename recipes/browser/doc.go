// SPDX-License-Identifier: MIT

// Package browser has a real browser go through admin consent: the consent page of the
// emulator, the redirects and cookies of package consent, and what sites that mean harm can
// do. It also looks at the page that the emulator has for people, and at that of package
// health. There is nothing to import.
//
// It is here, and not beside package consent, because driving a browser takes modules that
// whoever uses the root or installs the command should not meet in their go.mod. The tests
// are skipped without -browser, and where there is no Chromium.
//
//	go test ./recipes/browser -browser
//	go test ./recipes/browser -browser -run Screenshot -screenshots ../../docs
package browser
