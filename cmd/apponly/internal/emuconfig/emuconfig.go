// SPDX-License-Identifier: MIT

// Package emuconfig reads the file of "apponly emulator --config", which adds
// tenants, apps and more to the emulator's demo.
package emuconfig

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/apponly/apponly/entratest"
	"github.com/apponly/apponly/internal/ident"
)

// demoName refers to the emulator's own tenant, app, API or issuer.
const demoName = "demo"

// A RandomID is one that the file left to chance.
type RandomID struct {
	What string // "ID of tenant"
	Name string // what the file calls its owner
	ID   string
}

// Apply adds what a file says to an emulator that has only its demo. If anything
// is wrong with the file, the error is an [*Error] with all of it. The emulator
// is of no use then: it has what was right in the file, and the demo in place of
// what was not.
func Apply(sts *entratest.Server, path string) ([]RandomID, error) {
	data, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("--config: %w", err)
	}
	l := &loader{
		sts: sts, load: sts.Loader(), dir: filepath.Dir(path), errs: &Error{File: path},
		tenants:   map[string]*tenant{demoName: {Tenant: sts.Tenant()}},
		apps:      map[string]*app{demoName: {registration: registration{in: []*entratest.Tenant{sts.Tenant()}}, App: sts.App()}},
		resources: map[string]*resource{demoName: {registration: registration{in: []*entratest.Tenant{sts.Tenant()}}, Resource: sts.API()}},
		appIDs:    map[string]Place{},
		issuers:   map[string]int{},
	}
	if root := parseYAML(data, l.errs); root.n != nil {
		l.file(root)
	}
	return l.random, l.errs.orNil()
}

// maxFile bounds a configuration and the files it names; a thousand tenants are
// a tenth of it.
const maxFile = 1 << 20

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is larger than 1 MiB", path)
	}
	return data, err
}

// A loader adds one file to one emulator. After a fault it goes on, to report all
// of them at once. What was refused is left out, and the demo stands in for what
// could not be made: nobody will use this emulator.
type loader struct {
	sts    *entratest.Server
	load   entratest.Loader
	dir    string // of the file: paths in it are relative to it
	errs   *Error
	now    time.Time // by the emulator's clock
	random []RandomID

	tenants   map[string]*tenant   // by ID and domain
	apps      map[string]*app      // by name and client ID
	resources map[string]*resource // by URI, without a slash at its end
	appIDs    map[string]Place     // of apps and resources alike
	issuers   map[string]int       // their lines, by URL
	requires  []func()             // what apps require, to be read after the resources
}

// file reads all of a file. What refers to something is read after it, whatever
// their order in the file.
func (l *loader) file(root node) {
	var tenants, apps, resources, issuers, installs, grants, faults node
	var tokenLifetime, refreshIn, clockOffset, propagation scalar[time.Duration]
	root.object(fields{
		"tenants":        later(&tenants),
		"apps":           later(&apps),
		"resources":      later(&resources),
		"issuers":        later(&issuers),
		"installs":       later(&installs),
		"grants":         later(&grants),
		"faults":         later(&faults),
		"throttle":       l.throttle,
		"token_lifetime": into(&tokenLifetime, between(time.Second, forever)),
		"refresh_in":     into(&refreshIn, between(time.Second, forever)),
		"clock_offset":   into(&clockOffset, between(-forever, forever)),
		"propagation":    into(&propagation, between(0, forever)),
	})
	l.now = time.Now().Add(clockOffset.v)
	l.sts.SetClockOffset(clockOffset.v)
	l.sts.SetTokenLifetime(tokenLifetime.v)
	l.sts.SetRefreshIn(refreshIn.v)
	l.sts.SetPropagation(propagation.v) // before what it delays
	tenants.items(l.tenant)
	apps.items(l.app)
	resources.items(l.resource)
	for _, read := range l.requires {
		read()
	}
	issuers.items(l.issuer)
	installs.items(l.install)
	grants.items(l.grant)
	faults.items(l.fault)
}

// ok reports whether err is nil; if not, it is a fault.
func (l *loader) ok(p Place, err error) bool {
	if err != nil {
		l.errs.add(p, "%s", reason(err))
	}
	return err == nil
}

// reason is what an error of the emulator says behind its prefix, which a line
// that names the key does not need.
func reason(err error) string {
	return strings.TrimPrefix(strings.TrimPrefix(err.Error(), "entratest: "), "fault: ")
}

// claim registers a name for its owner. A name that is not free is a fault, and
// counts as one that could not be read from then on.
func claim[T interface{ line() int }](l *loader, known map[string]T, name *scalar[string], owner T) {
	if !name.good {
		return
	}
	other, taken := known[name.v]
	switch {
	case name.v == demoName:
		l.errs.add(name.Place, "%q is the emulator's own", demoName)
	case taken:
		l.errs.add(name.Place, "%q is taken in line %d", clean(name.v), other.line())
	default:
		known[name.v] = owner
		return
	}
	*name = scalar[string]{Place: name.Place}
}

// find looks up a reference, nil if there is nothing. One that was not given or
// could not be read finds nothing without another fault.
func find[T any](l *loader, known map[string]*T, ref scalar[string], what string) *T {
	if !ref.good {
		return nil
	}
	got := known[ref.v]
	if got == nil && (ident.IsGUID(ref.v) || ident.IsDomain(ref.v)) { // which have no letter case
		got = known[strings.ToLower(ref.v)]
	}
	if got == nil {
		l.errs.add(ref.Place, "there is no %s %q in this file", what, clean(ref.v))
	}
	return got
}

// readFile reads a file that the configuration names, nil if it cannot.
func (l *loader) readFile(name scalar[string]) []byte {
	if !name.good {
		return nil
	}
	path := name.v
	if !filepath.IsAbs(path) {
		path = filepath.Join(l.dir, path)
	}
	data, err := readFile(path)
	if !l.ok(name.Place, err) {
		return nil
	}
	return data
}
