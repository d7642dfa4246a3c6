// SPDX-License-Identifier: MIT

//go:build !linux

package agent

import (
	"errors"
	"net"
	"os"
)

// peerCredentials: a socket that does not tell who is at its other end is no way to
// know a caller, so there is none.
const peerCredentials = false

var errNoPeer = errors.New("this system does not tell who is at the other end of a socket")

func peerUID(*net.UnixConn) (uint32, error) { return 0, errNoPeer }

func listenSocket(string, os.FileMode) (net.Listener, error) { return nil, errNoPeer }

func chmodSocket(string, os.FileMode) error { return errNoPeer }
