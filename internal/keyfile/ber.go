// SPDX-License-Identifier: MIT

package keyfile

import (
	"bytes"
	"encoding/asn1"
	"errors"
)

var errBER = errors.New("not BER")

// maxDepth bounds the nesting of BER; PKCS#12 needs about ten levels.
const maxDepth = 32

// toDER rewrites the first element of b, in BER (X.690 section 8), with definite
// lengths in their shortest form and strings in one piece, which encoding/asn1
// asks for. NSS, BouncyCastle and Windows write PKCS#12 in pieces and without
// lengths. What strings hold is left as it is; so is what comes behind.
func toDER(b []byte) (der []byte, err error) {
	der, _, err = elementToDER(b, maxDepth)
	return der, err
}

const (
	constructed = 0x20
	octetString = 0x04
)

func elementToDER(b []byte, depth int) (der, rest []byte, err error) {
	if depth == 0 || len(b) < 2 || b[0]&0x1f == 0x1f { // of longer tags PKCS#12 has none
		return nil, nil, errBER
	}
	tag := b[0]
	content, rest, indefinite, err := berContent(b[1:])
	if err != nil || indefinite && tag&constructed == 0 {
		return nil, nil, errBER
	}
	if tag&constructed == 0 {
		return appendElement(tag, content), rest, nil
	}
	inner, after, err := childrenToDER(content, indefinite, tag == octetString|constructed, depth-1)
	if err != nil {
		return nil, nil, err
	}
	if indefinite {
		rest = after
	}
	if tag == octetString|constructed {
		tag = octetString
	}
	return appendElement(tag, inner), rest, nil
}

// childrenToDER rewrites the elements of content: to its end, or to the two zeros
// that end what is of indefinite length. Those of a string are joined.
func childrenToDER(content []byte, indefinite, isString bool, depth int) (inner, after []byte, err error) {
	for len(content) > 0 {
		if indefinite && bytes.HasPrefix(content, []byte{0, 0}) {
			return inner, content[2:], nil
		}
		var child []byte
		if child, content, err = elementToDER(content, depth); err != nil {
			return nil, nil, err
		}
		if isString {
			child, err = stringIn(child)
		}
		if err != nil {
			return nil, nil, err
		}
		inner = append(inner, child...)
	}
	if indefinite {
		return nil, nil, errBER
	}
	return inner, nil, nil
}

// stringIn returns what a string in DER holds.
func stringIn(der []byte) (s []byte, err error) {
	if _, err := asn1.Unmarshal(der, &s); err != nil {
		return nil, errBER
	}
	return s, nil
}

// berContent reads a length and returns what it covers, and what comes behind:
// all of it in content if the length is indefinite.
func berContent(b []byte) (content, rest []byte, indefinite bool, err error) {
	n, b := int(b[0]), b[1:]
	switch {
	case n == 0x80:
		return b, nil, true, nil
	case n > 0x80:
		octets := n & 0x7f
		if octets > 4 || octets > len(b) {
			return nil, nil, false, errBER
		}
		n = 0
		for _, o := range b[:octets] {
			if n >= 1<<22 { // longer than any file that is read
				return nil, nil, false, errBER
			}
			n = n<<8 | int(o)
		}
		b = b[octets:]
	}
	if n > len(b) {
		return nil, nil, false, errBER
	}
	return b[:n], b[n:], false, nil
}

func appendElement(tag byte, content []byte) []byte {
	n := len(content)
	var header []byte
	switch {
	case n < 0x80:
		header = []byte{tag, byte(n)}
	case n < 1<<8:
		header = []byte{tag, 0x81, byte(n)}
	case n < 1<<16:
		header = []byte{tag, 0x82, byte(n >> 8), byte(n)}
	default:
		header = []byte{tag, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return append(header, content...)
}
