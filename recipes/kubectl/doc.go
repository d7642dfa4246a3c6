// SPDX-License-Identifier: MIT

// Package kubectl has client-go, as kubectl uses it, get its tokens from "apponly token"
// by a kubeconfig.
package kubectl
