// SPDX-License-Identifier: MIT

package keyfile

import (
	"errors"
	"math/big"
)

// parseDER reads a file that is one element of DER, or of BER, in the way of a block
// of PEM with the label that it would have there.
func (c *Contents) parseDER(b []byte, password string) error {
	der, err := toDER(b)
	if err != nil {
		return errBadFile
	}
	var content contentInfo
	if unmarshal(der, &content) == nil && content.Type.String() == oidSignedData {
		return errors.New("certificates in PKCS#7; convert with: openssl pkcs7 -inform der -print_certs -in OLD -out NEW.pem")
	}
	return c.parseBlocks([]block{{label: labelOf(der), der: der}}, password)
}

func labelOf(der []byte) string {
	var sealed encryptedKey
	var info privateKeyInfo
	var pkcs1 []*big.Int
	cert, _ := ParseCertificate(der)
	switch {
	case cert != nil:
		return "CERTIFICATE"
	case unmarshal(der, &sealed) == nil, unmarshal(der, &info) == nil, unmarshal(der, &pkcs1) == nil && len(pkcs1) >= 9:
		return "PRIVATE KEY"
	}
	return "PKCS12"
}
