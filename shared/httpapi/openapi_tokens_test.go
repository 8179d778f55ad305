package httpapi_test

import (
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/gateway"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// vault is the tokens of a gateway without a default, whose texts need escaping.
type vault struct{}

func (vault) Describe() gateway.TokenDescription {
	return gateway.TokenDescription{
		Pattern:  `^v\.[a-z"<&\\]+$`,
		Approved: `v.yes"<&\`, Declined: "v.no<",
		Doc: `Made by the "vault": <v.> & more, \d not.`,
	}
}

func (v vault) CheckMoney(order.Money) error { return nil }

func (v vault) CheckToken(token order.Token) error {
	if !regexp.MustCompile(v.Describe().Pattern).MatchString(string(token)) {
		return errors.New("is not a token of the vault")
	}
	return nil
}

// cautious is a gateway at which nothing is approved without moving money.
type cautious struct{ vault }

func (c cautious) Describe() gateway.TokenDescription {
	d := c.vault.Describe()
	d.Approved = ""
	return d
}

// documented is how the document shows its tokens.
func (c cautious) documented() gateway.TokenDescription {
	d := c.Describe()
	d.Approved = d.Declined
	return d
}

// TestDocumentedTokens: the document and the page describe the tokens of the gateway in
// use, and no other's.
func TestDocumentedTokens(t *testing.T) {
	simulated := newAPI(t)
	for name, tt := range map[string]struct {
		a            *api
		tokens       gateway.TokenDescription
		required     any
		requiredCell string
	}{
		"the simulator": {simulated, simulated.tokens, nil, ""},
		"a gateway without a default": {
			newAPI(t, func(c *pipeline.CheckoutConfig) { c.Tokens = vault{} }), vault{}.Describe(), []any{"paymentToken"}, "required",
		},
		"a gateway that moves money": {
			newAPI(t, func(c *pipeline.CheckoutConfig) { c.Tokens = cautious{} }), cautious{}.documented(), []any{"paymentToken"}, "required",
		},
	} {
		t.Run(name, func(t *testing.T) {
			doc := document(t, tt.a)
			create := at(t, doc, "components", "schemas", "CreateRequest")
			token := at(t, create, "properties", "paymentToken")
			want := map[string]any{
				"type": []any{"string", "null"}, "minLength": 1.0, "maxLength": 64.0, "pattern": tt.tokens.Pattern,
				"description": "Stands for the means of payment at the gateway. " + tt.tokens.Doc + " Never a card number.",
				"examples":    []any{string(tt.tokens.Approved)},
			}
			limits := "1 to 64 characters"
			if tt.tokens.Default != "" {
				want["default"] = string(tt.tokens.Default)
				limits += "; default " + string(tt.tokens.Default)
			}
			if diff := cmp.Diff(want, plain(t, token)); diff != "" {
				t.Errorf("paymentToken (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.required, create["required"]); diff != "" {
				t.Errorf("required (-want +got):\n%s", diff)
			}
			sent := make(map[string]any)
			for name, example := range at(t, doc, "paths", "/orders", "post", "requestBody", "content", "application/json", "examples") {
				if token := at(t, example.(map[string]any), "value")["paymentToken"]; token != nil {
					sent[name] = token
				}
			}
			tokens := map[string]any{"items": string(tt.tokens.Approved), "declined": string(tt.tokens.Declined)}
			if tt.tokens.Default == "" {
				tokens["amount"] = string(tt.tokens.Approved)
			}
			if diff := cmp.Diff(tokens, sent); diff != "" {
				t.Errorf("tokens of the examples (-want +got):\n%s", diff)
			}

			page := read(t, tt.a.do(t, request{path: "/docs"}))
			row := `<tr><td>paymentToken</td><td class="short">string</td><td class="short">` + tt.requiredCell + `</td><td>` +
				html.EscapeString(want["description"].(string)+" ("+limits+")") + `</td></tr>`
			if !strings.Contains(page, row) {
				t.Errorf("the page lacks %s", row)
			}
			tokens["token"] = string(tt.tokens.Approved) // of another payment
			shown := make(map[string]any)
			for _, found := range regexp.MustCompile(`<p>Request: (\w+)</p><pre>([^<]*)</pre>`).FindAllStringSubmatch(page, -1) {
				var body map[string]any
				if err := json.Unmarshal([]byte(html.UnescapeString(found[2])), &body); err != nil {
					t.Fatal(err)
				}
				if token := body["paymentToken"]; token != nil {
					shown[found[1]] = token
				}
			}
			if diff := cmp.Diff(tokens, shown); diff != "" {
				t.Errorf("tokens of the page's examples (-want +got):\n%s", diff)
			}
			text := read(t, tt.a.do(t, request{path: "/openapi.json"})) + page
			if strings.Contains(text, "${") || strings.Contains(text, "tok_") != (tt.a == simulated) {
				t.Error("a placeholder is left, or the tokens are another gateway's")
			}
		})
	}
}

// TestRequiredToken: a request without a token is refused by a gateway without a default.
func TestRequiredToken(t *testing.T) {
	a := newAPI(t, func(c *pipeline.CheckoutConfig) { c.Tokens = vault{} })
	for text, status := range map[string]int{
		`{"amount": 1}`: http.StatusUnprocessableEntity, `{"amount": 1, "paymentToken": null}`: http.StatusUnprocessableEntity,
		`{"amount": 1, "paymentToken": "tok_ok"}`: http.StatusUnprocessableEntity, `{"amount": 1, "paymentToken": "v.a"}`: http.StatusCreated,
	} {
		r := a.do(t, request{method: http.MethodPost, path: "/orders", body: text})
		if body := read(t, r); r.StatusCode != status || status != http.StatusCreated && !strings.Contains(body, `"body.paymentToken"`) {
			t.Errorf("%s: %d %s", text, r.StatusCode, body)
		}
	}
}
