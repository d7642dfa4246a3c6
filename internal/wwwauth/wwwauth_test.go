// SPDX-License-Identifier: MIT

package wwwauth_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/apponly/apponly/internal/wwwauth"
)

func header(lines ...string) http.Header { return http.Header{"Www-Authenticate": lines} }

func challenge(scheme string, namesAndValues ...string) wwwauth.Challenge {
	c := wwwauth.Challenge{Scheme: scheme}
	for i := 0; i < len(namesAndValues); i += 2 {
		c.Params = append(c.Params, wwwauth.Param{Name: namesAndValues[i], Value: namesAndValues[i+1]})
	}
	return c
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  []wwwauth.Challenge
	}{
		{},
		{lines: []string{"", " \t, ,"}},
		// The example of RFC 9110 section 11.6.1.
		{[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`}, []wwwauth.Challenge{
			challenge("Basic", "realm", "simple"), challenge("Newauth", "realm", "apps", "type", "1", "title", `Login to "apps"`),
		}},
		{[]string{`Bearer REALM = "" ,	error=invalid_token`}, []wwwauth.Challenge{challenge("Bearer", "REALM", "", "error", "invalid_token")}},
		{[]string{"Negotiate", "Negotiate YWJj==", "NTLM,Bearer"}, []wwwauth.Challenge{
			challenge("Negotiate"), challenge("Negotiate"), challenge("NTLM"), challenge("Bearer"),
		}},
		{[]string{`Basic realm="a, b", x="never ends`, "Bearer"}, []wwwauth.Challenge{challenge("Basic", "realm", "a, b"), challenge("Bearer")}},
		{[]string{"Negotiate/YWJj, Basic", `realm="x", Basic`, "é", "/"}, []wwwauth.Challenge{challenge("Negotiate")}},
	} {
		if got := wwwauth.Parse(header(test.lines...)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%q:\n got %q\nwant %q", test.lines, got, test.want)
		}
	}
}

func TestGet(t *testing.T) {
	c := challenge("Bearer", "error", "", "Error", "first", "ERROR", "second", "realm", "")
	for name, want := range map[string]string{"error": "first", "ERROR": "first", "realm": "", "claims": ""} {
		if got := c.Get(name); got != want {
			t.Errorf("Get(%q) = %q, want %q", name, got, want)
		}
	}
}

// What an API answers that checks tokens of Entra ID.
func TestAppendText(t *testing.T) {
	const authorize = "https://login.microsoftonline.com/common/oauth2/v2.0/authorize"
	claims := challenge("Bearer", "realm", "", "authorization_uri", authorize, "error", "insufficient_claims")
	claims.Params = append(claims.Params, wwwauth.ClaimsParam(someClaims))
	for _, test := range []struct {
		c    wwwauth.Challenge
		want string
	}{
		{challenge("Negotiate"), "Negotiate"},
		{challenge("Bearer", "realm", "", "authorization_uri", authorize), `Bearer realm="", authorization_uri="` + authorize + `"`},
		{
			challenge("Bearer", "error", "invalid_token", "error_description", "the access token is not valid for this API"),
			`Bearer error="invalid_token", error_description="the access token is not valid for this API"`,
		},
		{
			claims, `Bearer realm="", authorization_uri="` + authorize + `", error="insufficient_claims", claims="` +
				base64.StdEncoding.EncodeToString([]byte(someClaims)) + `"`,
		},
		{challenge("Basic", "realm", `a "b" \ c, d`), `Basic realm="a \"b\" \\ c, d"`},
	} {
		got, err := test.c.AppendText([]byte("> "))
		if string(got) != "> "+test.want || err != nil {
			t.Errorf("got  %q, %v\nwant %q", got, err, "> "+test.want)
		}
	}
	text, err := claims.AppendText(nil)
	if got, malformed := wwwauth.Claims(header(string(text))); got != someClaims || malformed || err != nil {
		t.Errorf("Claims = %q, %v of %s, %v", got, malformed, text, err)
	}
}

func TestAppendTextRefuses(t *testing.T) {
	for name, c := range map[string]wwwauth.Challenge{
		"no scheme":           challenge(""),
		"a scheme of two":     challenge("Bearer realm"),
		"no name":             challenge("Bearer", "", "x"),
		"a name of two":       challenge("Bearer", "a, b", "x"),
		"a name with equals":  challenge("Bearer", "a=b", "x"),
		"a name in UTF-8":     challenge("Bearer", "é", "x"),
		"a name twice":        challenge("Bearer", "realm", "a", "error", "x", "Realm", "b"),
		"a line break":        challenge("Bearer", "realm", "x\r\nSet-Cookie: a=b"),
		"a NUL":               challenge("Bearer", "realm", "\x00"),
		"a DEL":               challenge("Bearer", "realm", "\x7f"),
		"a value in UTF-8":    challenge("Bearer", "realm", "é"),
		"a value not in text": challenge("Bearer", "realm", "\xff"),
	} {
		if got, err := c.AppendText(nil); err == nil {
			t.Errorf("%s: %q, want an error", name, got)
		}
	}
}

// What is written is read again as it was, also beside other challenges.
func TestRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		var want []wwwauth.Challenge
		var texts []string
		for range 1 + random.IntN(3) {
			c := randomChallenge(random)
			text, err := c.AppendText(nil)
			if err != nil {
				t.Fatalf("%q: %v", c, err)
			}
			want, texts = append(want, c), append(texts, string(text))
		}
		if got := wwwauth.Parse(header(strings.Join(texts, ", "))); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\n got %q\nwant %q", texts, got, want)
		}
	}
}

func randomChallenge(random *rand.Rand) wwwauth.Challenge {
	text := func(chars string, least int) string {
		b := make([]byte, least+random.IntN(8))
		for i := range b {
			b[i] = chars[random.IntN(len(chars))]
		}
		return string(b)
	}
	const token = "abzABZ019!#$%&'*+-.^_`|~"
	const printable = token + ` ",=\/()<>@:;?[]{}`
	c := wwwauth.Challenge{Scheme: text(token, 1)}
	for i := range random.IntN(4) { // a digit at the end makes each name another
		c.Params = append(c.Params, wwwauth.Param{Name: text(token, 0) + strconv.Itoa(i), Value: text(printable, 0)})
	}
	return c
}

// What was read and can be written is read again as it was.
func FuzzRoundTrip(f *testing.F) {
	f.Add(`Bearer realm="a\"b\\", error=invalid_token, Negotiate YWJj==`)
	f.Fuzz(func(t *testing.T, line string) {
		for _, c := range wwwauth.Parse(header(line)) {
			text, err := c.AppendText(nil)
			if err != nil {
				continue
			}
			if got := wwwauth.Parse(header(string(text))); !reflect.DeepEqual(got, []wwwauth.Challenge{c}) {
				t.Errorf("%q became %q, and that is read as %q", c, text, got)
			}
		}
	})
}

// someClaims has characters that differ between the base64 alphabets, and a length
// that needs padding.
const someClaims = `{"access_token":{"nbf":{"essential":true,"value":"1768000000"},"x":"??>>~~"}}`

func TestClaimsChallenge(t *testing.T) {
	std := base64.StdEncoding.EncodeToString([]byte(someClaims))
	if !strings.ContainsAny(std, "+/") || !strings.HasSuffix(std, "=") {
		t.Fatalf("%q proves nothing", std)
	}
	want := `Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", error="insufficient_claims", claims="` + std + `"`
	for name, tc := range map[string]struct {
		headers   []string
		claims    string
		malformed bool
	}{
		"as documented":              {headers: []string{want}, claims: someClaims},
		"URL-safe":                   {headers: []string{`Bearer error="insufficient_claims", claims="` + base64.URLEncoding.EncodeToString([]byte(someClaims)) + `"`}, claims: someClaims},
		"not padded":                 {headers: []string{`Bearer error="insufficient_claims", claims="` + base64.RawStdEncoding.EncodeToString([]byte(someClaims)) + `"`}, claims: someClaims},
		"URL-safe, not padded":       {headers: []string{`Bearer error="insufficient_claims", claims="` + base64.RawURLEncoding.EncodeToString([]byte(someClaims)) + `"`}, claims: someClaims},
		"tokens instead of strings":  {headers: []string{`bearer error=insufficient_claims,claims=` + base64.RawURLEncoding.EncodeToString([]byte(someClaims))}, claims: someClaims},
		"another order and case":     {headers: []string{`BEARER Claims="` + std + `" , ERROR = "insufficient_claims"`}, claims: someClaims},
		"behind another":             {headers: []string{`Basic realm="a, Bearer error=\"x\"", ` + want}, claims: someClaims},
		"in front of another":        {headers: []string{want + `, PoP nonce="x"`}, claims: someClaims},
		"behind token68":             {headers: []string{`Negotiate YWJj==, ` + want}, claims: someClaims},
		"behind spaced token68":      {headers: []string{"Negotiate \t YWJj== \t, " + want}, claims: someClaims},
		"in front of token68":        {headers: []string{want + `, Negotiate YWJj==`}, claims: someClaims},
		"behind a bare scheme":       {headers: []string{`Negotiate, ` + want}, claims: someClaims},
		"behind a scheme and space":  {headers: []string{`Negotiate , ` + want}, claims: someClaims},
		"in the second header":       {headers: []string{`Negotiate`, want}, claims: someClaims},
		"behind a malformed header":  {headers: []string{`Basic realm="never ends`, want}, claims: someClaims},
		"two of Bearer":              {headers: []string{`Bearer error="invalid_token", ` + want}, claims: someClaims},
		"escapes":                    {headers: []string{`Bearer realm="a\"b\\", error="insufficient\_claims", claims="` + std + `"`}, claims: someClaims},
		"empty first parameter":      {headers: []string{strings.Replace(want, "Bearer ", "Bearer , ", 1)}, claims: someClaims},
		"empty elements":             {headers: []string{`, ,` + want + `, ,`}, claims: someClaims},
		"none":                       {},
		"another error":              {headers: []string{`Bearer error="invalid_token", claims="` + std + `"`}, claims: someClaims},
		"no error":                   {headers: []string{`Bearer claims="` + std + `"`}},
		"another scheme":             {headers: []string{`PoP error="insufficient_claims", claims="` + std + `"`}},
		"in a quoted string":         {headers: []string{`Basic realm="Bearer error=insufficient_claims, claims=e30"`}},
		"no claims":                  {headers: []string{`Bearer error="insufficient_claims"`}, malformed: true},
		"claims that end as others":  {headers: []string{`Bearer error="insufficient_claims", claims="e30!"`}, malformed: true},
		"claims of 65 KiB":           {headers: []string{`Bearer error="insufficient_claims", claims="` + base64.StdEncoding.EncodeToString([]byte(`{"x":"`+strings.Repeat("x", 65<<10)+`"}`)) + `"`}, malformed: true},
		"claims that are not base64": {headers: []string{`Bearer error="insufficient_claims", claims="{}"`}, malformed: true},
		"claims that are not JSON":   {headers: []string{`Bearer error="insufficient_claims", claims="YWJj"`}, malformed: true},
		"claims that are null":       {headers: []string{`Bearer error="insufficient_claims", claims="bnVsbA"`}, malformed: true},
		"bad, and then good":         {headers: []string{`Bearer error="insufficient_claims", claims="!"`, want}, claims: someClaims},
		"and then malformed":         {headers: []string{want + `, nonce="never ends`}, claims: someClaims},
		"ends in a backslash":        {headers: []string{`Bearer error="insufficient_claims\`}, malformed: true},
		"the first of a name counts": {headers: []string{want + `, claims="e30", error="invalid_token"`}, claims: someClaims},
		"no challenge":               {headers: []string{want[len("Bearer "):]}, malformed: true},
		"behind a missing value":     {headers: []string{`Bearer a="b", realm=, ` + want}, claims: someClaims},
		"behind a missing name":      {headers: []string{`Bearer ="x", ` + want[len("Bearer "):]}, malformed: true},
	} {
		claims, malformed := wwwauth.Claims(header(tc.headers...))
		if claims != tc.claims || malformed != tc.malformed {
			t.Errorf("%s: %q, %v; want %q, %v", name, claims, malformed, tc.claims, tc.malformed)
		}
	}
}

// Challenges in the forms in which services have been seen to send them.
func TestClaimsInTheWild(t *testing.T) {
	std := base64.StdEncoding.EncodeToString([]byte(someClaims))
	const tenant = "https://login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/oauth2/authorize"
	ask := `error="insufficient_claims", claims="` + std + `"`
	for name, lines := range map[string][]string{
		"Graph":                          {`Bearer realm="", authorization_uri="https://login.microsoftonline.com/common/oauth2/authorize", client_id="00000003-0000-0000-c000-000000000000", errorDescription="Continuous access evaluation resulted in challenge with result: InteractionRequired and code: TokenIssuedBeforeRevocationTimestamp", ` + ask},
		"Graph, the URL without quotes":  {`Bearer authorization_uri=https://login.microsoftonline.com/common/oauth2/authorize, client_id="00000003-0000-0000-c000-000000000000", ` + ask},
		"a session that was revoked":     {`Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description="User session has been revoked", claims="` + std + `"`},
		"Resource Manager":               {`Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description="The authentication failed because of missing 'Authorization' header."`, `Bearer ` + ask},
		"Dataverse":                      {"Bearer authorization_uri=" + tenant + ", resource_id=https://orgxyz.crm11.dynamics.com/, " + ask},
		"Storage, blanks for commas":     {"Bearer authorization_uri=" + tenant + ` resource_id=https://storage.azure.com error=insufficient_claims claims=` + std},
		"Storage, quoted":                {`Bearer authorization_uri="` + tenant + `" resource_id="https://storage.azure.com" ` + ask},
		"Key Vault":                      {`Bearer authorization="https://login.windows.net/de763a21-49f7-4b08-a8e1-52c8fbc103b4", resource="https://vault.azure.net", ` + ask},
		"SharePoint":                     {`Bearer realm="6c482541-f706-4168-9e58-8e35a9992f58",client_id="00000003-0000-0ff1-ce00-000000000000",trusted_issuers="00000001-0000-0000-c000-000000000000@*,https://sts.windows.net/*/,00000003-0000-0ff1-ce00-000000000000@90140122-8516-11e1-8eff-49304924019b",authorization_uri="https://login.windows.net/common/oauth2/authorize",error="insufficient_claims",claims="` + std + `"`},
		"Azure DevOps":                   {"Bearer authorization_uri=https://login.windows.net/de763a21-49f7-4b08-a8e1-52c8fbc103b4, Basic realm=\"https://tfs.test/\", TFS-Federated, Bearer " + ask},
		"PoP in front of Bearer":         {"PoP authorization_uri=" + tenant + `, Bearer ` + ask},
		"folded by the documentation":    {"Bearer  authorization_uri=\"" + tenant + "\",  error=\"insufficient_claims\",  claims=\"" + std[:20] + " " + std[20:] + "\""},
		"semicolons":                     {`Bearer realm=""; authorization_uri=` + tenant + `; error="insufficient_claims"; claims="` + std + `"`},
		"semicolons without blanks":      {`Bearer error=insufficient_claims;claims=` + std + `;realm=x`},
		"no separators":                  {`Bearer realm=""error="insufficient_claims"claims="` + std + `"`},
		"another case of the error":      {`Bearer error="Insufficient_Claims", claims="` + std + `"`},
		"single quotes":                  {`Bearer error='insufficient_claims', claims='` + std + `'`},
		"a comma in a URL":               {"Bearer authorization_uri=https://x.test/a,b;c?d=e&f=g,h, " + ask},
		"a sentence without quotes":      {"Bearer error_description=The token has expired, or was revoked, please sign in, " + ask},
		"padding of a value not in quot": {`Bearer claims=` + std + `, error=insufficient_claims`},
		"escaped padding":                {`Bearer error="insufficient_claims", claims="` + strings.ReplaceAll(std, "=", "%3D") + `"`},
		"an empty value":                 {`Bearer realm=, resource=,, ` + ask},
		"the error last":                 {`Bearer claims="` + std + `" error_description=see https://x.test/ error=insufficient_claims`},
	} {
		if claims, malformed := wwwauth.Claims(header(lines...)); claims != someClaims || malformed {
			t.Errorf("%s: %q, %v", name, claims, malformed)
		}
	}
	for name, test := range map[string]struct {
		line      string
		malformed bool
	}{
		"cut off in the claims":    {`Bearer error="insufficient_claims", claims="` + std[:20], true},
		"revoked, cut off":         {`Bearer error="invalid_token", claims="` + std[:20], true},
		"cut off, not in quotes":   {`Bearer error=insufficient_claims, claims=` + std[:21], true},
		"a scheme is missing":      {ask, true},
		"a quote is missing":       {`Bearer realm="x, error="insufficient_claims", claims="` + std + `"`, true},
		"65 parameters in front":   {"Bearer " + strings.Repeat("a=b, ", 65) + ask, true},
		"revoked, no base64":       {`Bearer error="invalid_token", claims="not base64!"`, true},
		"revoked, no JSON":         {`Bearer error="invalid_token", claims="ey=="`, true},
		"no claims asked for":      {"Bearer authorization_uri=" + tenant + " resource_id=https://storage.azure.com", false},
		"the word in another":      {`Bearer error="invalid_token", error_description="no insufficient_claims here"`, false},
		"a quote is missing there": {`Bearer error="invalid_token", error_description="no`, false},
	} {
		if claims, malformed := wwwauth.Claims(header(test.line)); claims != "" || malformed != test.malformed {
			t.Errorf("%s: %q, %v", name, claims, malformed)
		}
	}
}

// A value without quotes ends where what follows is something else.
func TestParseUnquoted(t *testing.T) {
	for line, want := range map[string][]wwwauth.Challenge{
		"Bearer a=https://x.test/ b=c":                 {challenge("Bearer", "a", "https://x.test/", "b", "c")},
		"Bearer a=https://x.test/,y ; b = c":           {challenge("Bearer", "a", "https://x.test/,y", "b", "c")},
		"Bearer a=https://x.test/?y=z&b=c,d=e":         {challenge("Bearer", "a", "https://x.test/?y=z&b=c", "d", "e")},
		`Bearer a=x y, z, Basic realm="b"`:             {challenge("Bearer", "a", "x y, z"), challenge("Basic", "realm", "b")},
		"Bearer a=":                                    {challenge("Bearer")}, // a token68
		"Bearer x=y, a=":                               {challenge("Bearer", "x", "y", "a", "")},
		"Bearer a=(x) [y] , b=c":                       {challenge("Bearer", "a", "(x) [y]", "b", "c")},
		`Bearer a=x"y, z", b=c`:                        {challenge("Bearer", "a", `x"y, z"`, "b", "c")},
		"Bearer a=x, Negotiate":                        {challenge("Bearer", "a", "x, Negotiate")}, // as a sentence may end
		`Basic realm=x, Bearer realm="", y=z, NTLM y=`: {challenge("Basic", "realm", "x"), challenge("Bearer", "realm", "", "y", "z"), challenge("NTLM")},
	} {
		if got := wwwauth.Parse(header(line)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n got %q\nwant %q", line, got, want)
		}
	}
}

func TestInvalidToken(t *testing.T) {
	for line, want := range map[string]bool{
		`Bearer error="invalid_token"`: true, `bearer x=https://y.test error=Invalid_Token`: true,
		`Bearer error="insufficient_claims"`: false, `Basic error="invalid_token"`: false, "": false,
	} {
		if got := wwwauth.InvalidToken(header(line)); got != want {
			t.Errorf("%s: %v", line, got)
		}
	}
}

func FuzzClaimsChallenge(f *testing.F) {
	f.Add(`Bearer realm="", error="insufficient_claims", claims="e30="`)
	f.Add(`Negotiate YWJj==, Basic realm="a\"b", Bearer x=y`)
	f.Add("Bearer \t,=\"\\")
	f.Add("Bearer a=https://x.test/,y; error=insufficient_claims claims=e30=, PoP b=c")
	f.Fuzz(func(t *testing.T, line string) {
		claims, _ := wwwauth.Claims(header(line))
		var object map[string]json.RawMessage
		if claims != "" && json.Unmarshal([]byte(claims), &object) != nil {
			t.Errorf("%q gives claims that are no JSON object: %q", line, claims)
		}
	})
}

// An API must not decide by the size of its answer how much memory reading it takes.
func TestHugeChallenge(t *testing.T) {
	for what, format := range map[string]string{"parameters": "%x=a,", "challenges": "a%x,"} {
		var b strings.Builder
		b.WriteString("Bearer ")
		for i := 0; b.Len() < 9<<20; i++ { // net/http reads headers up to 10 MiB
			fmt.Fprintf(&b, format, i)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		wwwauth.Claims(header(b.String()))
		runtime.ReadMemStats(&after)
		if mib := (after.TotalAlloc - before.TotalAlloc) >> 20; mib > 16 {
			t.Errorf("a header of %d MiB of %s made %d MiB", b.Len()>>20, what, mib)
		}
	}
}
