// SPDX-License-Identifier: MIT

package entratest

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// signJWT signs claims with RS256, the algorithm of Entra's tokens and the one
// it supports from outside issuers.
func signJWT(key *rsa.PrivateKey, header map[string]any, claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	maps.Copy(token.Header, header)
	signed, err := token.SignedString(key)
	if err != nil { // RSA keys of 2048 bits sign
		panic(err)
	}
	return signed
}

// newOpaque returns n random bytes as unpadded base64url.
func newOpaque(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// decodePart returns nil if a part is not a JSON object.
func decodePart(part string) jsonObject {
	data, err := decodeBase64URL(part)
	if err != nil {
		return nil
	}
	object, _ := parseObject(data)
	return object
}

// decodeBase64URL reads the one form that RFC 7515, section 2, allows: no padding,
// no line breaks, which Go would skip, and no bits set that are left over at the
// end. Otherwise a signature could be written in several ways.
func decodeBase64URL(text string) ([]byte, error) {
	if i := strings.IndexAny(text, "\r\n"); i >= 0 {
		return nil, base64.CorruptInputError(i)
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}

// date is a NumericDate (RFC 7519). MSAL .NET writes it as a string of digits.
type date struct{ time.Time }

// UnmarshalJSON implements json.Unmarshaler.
func (d *date) UnmarshalJSON(data []byte) error {
	text := string(data)
	if text == "null" {
		return nil
	}
	if text[0] == '"' {
		if err := json.Unmarshal(data, &text); err != nil {
			return err
		}
		if strings.Trim(text, "0123456789") != "" {
			return strconv.ErrSyntax // ParseFloat would take "0x1p35" and "NaN"
		}
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return err
	}
	if math.Abs(seconds) > lastSecond {
		return strconv.ErrRange
	}
	d.Time = time.Unix(int64(math.Floor(seconds)), 0)
	return nil
}

// lastSecond is the end of the year 9999, the last that RFC 3339 can write.
const lastSecond = 253402300799

// jsonObject is a JSON object whose members are read by their exact names. The tags
// of encoding/json would take "EXP" for "exp", while names in JOSE are
// case-sensitive (RFC 7515, section 4; RFC 7519, section 4).
type jsonObject map[string]json.RawMessage

func parseObject(data []byte) (jsonObject, error) {
	var o jsonObject
	if err := json.Unmarshal(data, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("null is not an object")
	}
	return o, nil
}

// read decodes a member. v stays as it is if there is no such member, or it is null.
func (o jsonObject) read(name string, v any) error {
	raw, ok := o[name]
	if !ok {
		return nil
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
