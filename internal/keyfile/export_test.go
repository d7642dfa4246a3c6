// SPDX-License-Identifier: MIT

package keyfile

// ParseLast parses the end of a file whose beginning has spent all iterations but
// one.
func ParseLast(b []byte, password string) error {
	c := &Contents{spent: maxIterations - 1}
	return c.parse(b, password, true)
}
