package accesstoken_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
)

const issuerURL = "https://issuer.test/pool"

func noon() time.Time { return time.Date(2026, 7, 10, 12, 0, 0, 0, time.UTC) }

// served returns an issuer whose URL has a path, like Cognito's.
func served(t *testing.T) (*tokentest.Issuer, *http.Client) {
	t.Helper()
	issuer := tokentest.New(t, issuerURL)
	return issuer, &http.Client{Transport: handler(http.StripPrefix("/pool", issuer).ServeHTTP)}
}

func verifier(client *http.Client, now func() time.Time) *accesstoken.Verifier {
	return accesstoken.New(accesstoken.Config{
		Issuer: issuerURL, Audience: []string{"web", tokentest.Audience}, Client: client, Now: now,
	})
}

// TestGood: what a token may be.
func TestGood(t *testing.T) {
	issuer, client := served(t)
	v := verifier(client, noon)
	for name, other := range map[string]map[string]any{
		"one audience":                    nil,
		"an audience in a list":           {"aud": []any{"other", 1, "web"}},
		"client_id, and no aud":           {"aud": nil, "client_id": "web"},
		"no nbf, no iat":                  {"nbf": nil, "iat": nil},
		"expires in the next millisecond": {"exp": jsonNumber("1783684800.001")},
		"never expires":                   {"exp": jsonNumber("1e999")},
		"valid from now":                  {"nbf": noon().Unix(), "iat": noon().Unix()},
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), issuer.Token(t, issuer.Claims(noon(), other)))
			if err != nil || claims.Text("iss") != issuerURL {
				t.Errorf("%v, %v", claims, err)
			}
		})
	}
	if n := issuer.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times, want once", n)
	}
}

// TestAlgorithms: RSA with SHA-2 of any size is accepted.
func TestAlgorithms(t *testing.T) {
	issuer, client := served(t)
	v := verifier(client, noon)
	for _, method := range []jwt.SigningMethod{jwt.SigningMethodRS256, jwt.SigningMethodRS384, jwt.SigningMethodRS512} {
		if _, err := v.Verify(t.Context(), issuer.TokenBy(t, method, issuer.Claims(noon(), nil))); err != nil {
			t.Errorf("%s: %v", method.Alg(), err)
		}
	}
}

// TestBad: what is refused, by an error that contains nothing of the token.
func TestBad(t *testing.T) {
	issuer, client := served(t)
	v := verifier(client, noon)
	tokens := issuer.Bad(t, noon(), map[string]any{"scope": "secret-scope"})
	tokens["nothing"] = ""
	tokens["exp that is text"] = issuer.Token(t, issuer.Claims(noon(), map[string]any{"exp": "9999999999"}))
	tokens["nbf that is text"] = issuer.Token(t, issuer.Claims(noon(), map[string]any{"nbf": "1"}))
	tokens["nbf beyond all clocks"] = issuer.Token(t, issuer.Claims(noon(), map[string]any{"nbf": jsonNumber("1e300")}))
	tokens["neither aud nor client_id"] = issuer.Token(t, issuer.Claims(noon(), map[string]any{"aud": nil}))
	tokens["claims that are a list"] = issuer.Token(t, []string{"iss"})
	tokens["claims that are null"] = issuer.Token(t, nil)
	tokens["a line break at the end"] = issuer.Token(t, issuer.Claims(noon(), nil)) + "\r\n"
	tokens["two tokens"] = tokens["wrong issuer"] + "," + issuer.Token(t, issuer.Claims(noon(), nil))
	for name, token := range tokens {
		t.Run(name, func(t *testing.T) {
			claims, err := v.Verify(t.Context(), token)
			var invalid *accesstoken.InvalidError
			if claims != nil || !errors.As(err, &invalid) || invalid.Description == "" {
				t.Fatalf("%v, %v", claims, err)
			}
			for part := range strings.SplitSeq(token, ".") {
				if len(part) > 3 && strings.Contains(err.Error(), part) {
					t.Errorf("the error contains a part of the token: %v", err)
				}
			}
		})
	}
}

func TestBearer(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "a.b.c": "a.b.c", "Bearer a.b.c": "a.b.c", "Bearer ": "", "Bearer  a": " a", "bearer a": "a", "BEARER a": "a", "bearer": "bearer", "Bearera": "Bearera", "Basic a": "Basic a",
	} {
		if got := accesstoken.Bearer(value); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	if got := accesstoken.Bearer("Bearer a", "Bearer a"); got != "a,Bearer a" {
		t.Errorf("two: %q", got)
	}
	if got := accesstoken.Bearer(); got != "" {
		t.Errorf("none: %q", got)
	}
}

func TestClaims(t *testing.T) {
	issuer, client := served(t)
	claims, err := verifier(client, noon).Verify(t.Context(), issuer.Token(t, []byte(`{"iss":"`+issuerURL+`","exp":1783714745,"aud":"web",`+
		`"cognito:groups":["admin","ops"],"sub":"u1","yes":true,"large":12345678901234567890,"part":1.50,"none":null,`+
		`"address":{"b":"<1>","a":[1]},"mixed":["a",1,null,{"k":"v"}],"empty":[]}`)))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"iss": issuerURL, "exp": "1783714745", "aud": "web", "cognito:groups": "[admin ops]", "sub": "u1", "yes": "true",
		"large": "12345678901234567890", "part": "1.50", "address": `{"a":[1],"b":"<1>"}`, "mixed": `[a 1  {"k":"v"}]`, "empty": "[]",
	}
	if d := cmp.Diff(want, claims.Strings()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for name := range want {
		if claims.Text(name) != want[name] {
			t.Errorf("%s: %q", name, claims.Text(name))
		}
	}
	if claims.Text("none") != "" || claims.Text("absent") != "" {
		t.Errorf("an absent claim: %q, %q", claims.Text("none"), claims.Text("absent"))
	}
}

func TestExpires(t *testing.T) {
	for exp, want := range map[string]time.Time{
		"1783684800":   noon(),
		"1783684800.5": noon().Add(500 * time.Millisecond),
		"253402300800": {},
		"1e999":        {},
	} {
		if got := (accesstoken.Claims{"exp": jsonNumber(exp)}).Expires(); !got.Equal(want) {
			t.Errorf("%s: %v, want %v", exp, got, want)
		}
	}
}

func TestScopes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		claims accesstoken.Claims
		want   []string
	}{
		{"none", accesstoken.Claims{}, nil},
		{"scope", accesstoken.Claims{"scope": "a  b"}, []string{"a", "b"}},
		{"scp", accesstoken.Claims{"scp": []any{"a", 1, "b"}}, []string{"a", "b"}},
		{"both", accesstoken.Claims{"scope": "a", "scp": []any{"b"}}, []string{"a"}},
		{"a number", accesstoken.Claims{"scope": 1}, nil},
	} {
		if got := tt.claims.Scopes(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
