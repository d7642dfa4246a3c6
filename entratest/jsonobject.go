// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"errors"
	"fmt"
)

// jsonObject is a JSON object whose members have to be called by their exact
// names. The tags of encoding/json would take "EXP" for "exp", while names in
// JOSE are case-sensitive (RFC 7515, section 4; RFC 7519, section 4).
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

// read decodes a member. v stays as it is if there is none, or it is null.
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
