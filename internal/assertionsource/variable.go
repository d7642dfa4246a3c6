// SPDX-License-Identifier: MIT

package assertionsource

import (
	"context"
	"errors"
	"net/http"
	"strings"
)

// Variable is an assertion in an environment variable, as GitLab, HCP Terraform,
// CircleCI and Bitbucket give it to a job. It is one for the whole job.
type Variable struct{ Name string }

// String names the variable, unless its name is none and may be what it should hold.
func (v Variable) String() string {
	if !v.named() {
		return "a variable"
	}
	return v.Name
}

func (v Variable) named() bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return v.Name != "" && len(v.Name) <= 100 && strings.Trim(v.Name, letters+"0123456789") == "" && strings.ContainsRune(letters, rune(v.Name[0]))
}

// Once implements Source.
func (Variable) Once() bool { return true }

// Variables implements Source.
func (v Variable) Variables() []string { return []string{v.Name} }

// Check implements Source.
func (v Variable) Check() []error {
	_, err := v.Ask(context.Background(), nil, "")
	return faults(err)
}

// Ask implements Source.
func (v Variable) Ask(context.Context, *http.Client, string) (string, error) {
	if !v.named() {
		return "", errors.New("the name of the variable is none: want letters, digits and _")
	}
	return variable(v.Name, "the job has to ask for an ID token under this name")
}
