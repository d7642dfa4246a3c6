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

// String names the variable.
func (v Variable) String() string { return v.Name }

// Once implements Source.
func (Variable) Once() bool { return true }

// Variables implements Source.
func (v Variable) Variables() []string { return []string{v.Name} }

// Check implements Source.
func (v Variable) Check() error {
	if v.Name == "" || strings.ContainsAny(v.Name, "=\x00") {
		return errors.New("the name of the variable with the assertion is none")
	}
	_, err := v.Ask(context.Background(), nil, "")
	return err
}

// Ask implements Source.
func (v Variable) Ask(context.Context, *http.Client, string) (string, error) {
	return variable(v.Name, "the job has to ask for an ID token under this name")
}
