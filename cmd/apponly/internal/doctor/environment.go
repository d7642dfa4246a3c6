// SPDX-License-Identifier: MIT

package doctor

import (
	"context"
	"os"
	"slices"
	"strings"

	"github.com/apponly/apponly"
	"github.com/apponly/apponly/cloud"
	"github.com/apponly/apponly/internal/ident"
	"github.com/apponly/apponly/internal/inside"
)

func lookAtEnvironment(_ context.Context, p *patient) finding {
	var quoted []string
	for _, name := range p.env.Used {
		if ident.InQuotes(strings.TrimSpace(os.Getenv(name))) && !slices.Contains(secretVariables, name) {
			quoted = append(quoted, name)
		}
	}
	return judgeEnvironment(p.env, quoted)
}

// secretVariables hold what is judged with the credential: a password may have quotes.
var secretVariables = []string{"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD"}

const setVariables = "Correct the variables where this process gets them from: the pod's spec, the unit file, the job."

// judgeEnvironment judges which variables are set and how they fit together.
func judgeEnvironment(e inside.Environment, quoted []string) finding {
	if len(quoted) > 0 {
		verb := " is in quotes"
		if len(quoted) > 1 {
			verb = " are in quotes"
		}
		return fault(strings.Join(quoted, " and ")+verb, "Set the value without quotes: docker --env-file and kubectl's --from-env-file keep them.", string(apponly.ErrConfiguration))
	}
	if f, found := firstFault(e, inside.Variables); found {
		return f
	}
	text := e.Credential + " (" + e.Reason + ")"
	if !strings.Contains(e.Reason, " ") { // a variable by its name alone
		text = e.Credential + " (by " + e.Reason + ")"
	}
	if e.Cloud != cloud.Public {
		text += ", at " + e.Cloud.Authority()
	}
	switch {
	case e.Warning != "":
		return warn(text+"; "+e.Warning, setVariables)
	case len(e.PassedOver) > 0:
		return warn(text+"; passed over: "+strings.Join(e.PassedOver, ", "), "Unset what is not used, or say with APPONLY_CREDENTIAL which one is meant.")
	}
	return ok(text)
}

// firstFault returns all faults about one thing as one finding.
func firstFault(e inside.Environment, about inside.About) (f finding, found bool) {
	for _, one := range e.Faults {
		if one.About != about {
			continue
		}
		g := faultOf(one.Err, setVariables)
		if !found {
			f, found = g, true
			continue
		}
		f.text += "; " + g.text
	}
	return f, found
}
