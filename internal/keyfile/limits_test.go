// SPDX-License-Identifier: MIT

package keyfile_test

import (
	"strings"
	"testing"
	"time"

	"github.com/apponly/apponly/internal/keyfile"
)

// What a file may cost is for all that is in it together, however it is put there.
func TestLimitIsOfTheFile(t *testing.T) {
	for _, name := range []string{"pbes2-aes256-sha256.pem", "pbes2-aes256-scrypt.pem", "gnutls-p12.pem", "openssl3-chain.p12"} {
		err := keyfile.ParseLast(read(t, name), corpusPassword)
		if err == nil || !strings.HasPrefix(err.Error(), "a password hash with more than 10000000 iterations is not supported") {
			t.Errorf("%s: error = %v", name, err)
		}
	}
}

// Blocks that never end do not take time in proportion to the square of their number.
func TestManyBlocksThatNeverEnd(t *testing.T) {
	text := strings.Repeat("-----BEGIN A-----", 1<<20/17)
	began := time.Now()
	if _, err := keyfile.Parse([]byte(text), ""); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("took %v", took)
	}
}
