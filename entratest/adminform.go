// SPDX-License-Identifier: MIT

package entratest

import (
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// usualFaults are those that the page has switches for.
var usualFaults = []struct {
	name  string
	fault Fault
}{
	{"Entra is unavailable", Fault{Endpoint: endpointToken, Status: http.StatusServiceUnavailable, RetryAfter: "5"}},
	{"Entra asks to wait", Fault{Endpoint: endpointToken, Status: http.StatusTooManyRequests, RetryAfter: "30"}},
	{"Transient error", Fault{Endpoint: endpointToken, Code: 90033}},
	{"Secret refused", Fault{Endpoint: endpointToken, Code: 7000215}},
	{"Conditional Access blocks", Fault{Endpoint: endpointToken, Code: 53003}},
	{"No answer ever", Fault{Endpoint: endpointToken, Connection: connBlackHole}},
	{"Connection is reset", Fault{Endpoint: endpointToken, Connection: connReset}},
	{"Keys out of reach", Fault{Endpoint: "keys", Status: http.StatusServiceUnavailable}},
}

// A faultView is an active fault.
type faultView struct {
	ID, Hits int
	JSON     string
}

// A faultSwitch is a fault that can be switched, with its ID if it is on.
type faultSwitch struct {
	Name, What string
	Index      int
	On         *faultView
}

// switches sorts the active faults into those that have a switch, and the rest.
func switches(active []activeFault) (list []faultSwitch, rest []faultView) {
	for i, usual := range usualFaults {
		list = append(list, faultSwitch{Name: usual.name, What: usual.fault.summary(), Index: i})
	}
	for _, a := range active {
		text, _ := json.Marshal(a.Fault) // it has been checked
		v := faultView{a.ID, a.Hits, string(text)}
		i := slices.IndexFunc(list, func(s faultSwitch) bool { return s.On == nil && usualFaults[s.Index].fault == a.Fault })
		if i < 0 {
			rest = append(rest, v)
		} else {
			list[i].On = &v
		}
	}
	return list, rest
}

// adminForm does what a form of the page says, and shows the page anew.
func adminForm(s *Server, r *http.Request, body []byte) (any, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("want a form")
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, errors.New("the form cannot be read")
	}
	if err := s.doForm(form); err != nil {
		return s.adminPage(http.StatusBadRequest, r.URL.Query(), form, err), nil
	}
	to := url.URL{Path: adminPrefix, RawQuery: r.URL.Query().Encode(), Fragment: "control"}
	return answer{status: http.StatusSeeOther}.with("Location", to.String()), nil
}

func (s *Server) doForm(form url.Values) error {
	number, err := strconv.Atoi(form.Get("number"))
	switch form.Get("do") {
	case "add fault":
		return s.addFormFault(form)
	case "switch on":
		if err != nil || number < 0 || number >= len(usualFaults) {
			return errors.New("there is no such switch")
		}
		s.faults.add(usualFaults[number].fault)
	case "remove fault":
		s.faults.remove(number) // one that is gone has used itself up
	case "remove all faults":
		s.ClearFaults()
	case "set clock":
		return s.setFormClock(form)
	case "right clock":
		s.SetClockOffset(0)
	default:
		return errors.New("the form does not say what to do")
	}
	return nil
}

// formObject makes an object of the fields that are filled in, those that are numbers in a
// script as numbers, so that a form is read as strictly and refused in the same words.
func formObject(form url.Values, fields []string, numbers ...string) []byte {
	object := map[string]any{}
	for _, name := range fields {
		value := strings.TrimSpace(form.Get(name))
		if value == "" {
			continue
		}
		object[name] = value
		if slices.Contains(numbers, name) {
			if _, err := strconv.ParseFloat(value, 64); err == nil && json.Valid([]byte(value)) {
				object[name] = json.Number(value)
			}
		}
	}
	data, err := json.Marshal(object)
	if err != nil { // strings and numbers
		panic(err)
	}
	return data
}

// faultFields are the fields of the form for a fault: the keys of one.
var faultFields = []string{"endpoint", "tenant", "client_id", "times", "probability", "delay", "status", "retry_after", "code", "connection"}

func (s *Server) addFormFault(form url.Values) error {
	_, err := adminAddFault(s, nil, formObject(form, faultFields, "times", "probability", "status", "code"))
	return err
}

func (s *Server) setFormClock(form url.Values) error {
	_, err := adminSetClock(s, nil, formObject(form, []string{"offset", "now"}))
	return err
}
