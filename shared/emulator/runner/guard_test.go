package runner_test

import (
	"net/http"
	"strings"
	"testing"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/emulator/runner"
)

// TestPages: without tokens, pages of other origins are kept out, by the Host of their
// requests or by their Origin. Each function URL has CORS settings of its own.
func TestPages(t *testing.T) {
	t.Parallel()
	path := inTemplate(t, "  Api: {Type: AWS::Serverless::HttpApi, Properties: {CorsConfiguration: {AllowOrigins: [https://shop.test]}}}\n"+twoFunctions)
	serve := func(tokens *runner.Tokens) string {
		p := &platform{handlers: map[string]any{"Front": says("front"), "Side": says("side")}}
		return start(t, runner.Config{Template: path, Platform: p.open, Tokens: tokens}).URL()
	}
	open, closed := serve(nil), serve(&runner.Tokens{Client: tokentest.New(t, "https://own.test").Client()})
	_, port, _ := strings.Cut(strings.TrimPrefix(open, "http://"), ":")
	const api, url = "/letters", "/_url/Side/x"
	rows := []struct {
		name, path, host string
		headers          []string
		status           int
	}{
		{"this machine", api, "127.0.0.1:" + port, nil, 200},
		{"its name", api, "localhost", nil, 200},
		{"a complete name, in capitals", api, "LocalHost.:1", nil, 200},
		{"a name below it", api, "shop.localhost:80", nil, 200},
		{"another loopback address", api, "127.1.2.3", nil, 200},
		{"IPv6", api, "[::1]:8080", nil, 200},
		{"IPv6 without a port", api, "[::1]", nil, 200},
		{"a name that was rebound", api, "rebind.test:" + port, nil, 421},
		{"a name that begins like the machine's", api, "localhost.rebind.test", nil, 421},
		{"a name that ends like the machine's", api, "notlocalhost", nil, 421},
		{"a name that begins like its address", api, "127.0.0.1.rebind.test", nil, 421},
		{"every address", api, "0.0.0.0:" + port, nil, 421},
		{"an address of the network", api, "192.168.0.1", nil, 421},
		{"a name behind the colon", api, "localhost:rebind.test", nil, 421},
		{"a name that was rebound, at a function URL", url, "rebind.test:" + port, nil, 421},
		{"a name that was rebound, and its own origin", api, "rebind.test", []string{"Origin", "http://rebind.test"}, 421},

		{"the same origin", api, "localhost:80", []string{"Origin", "http://localhost:80"}, 200},
		{"an allowed origin", api, "localhost", []string{"Origin", "https://shop.test"}, 200},
		{"an origin that is not allowed", api, "localhost", []string{"Origin", "https://shop.test.evil.test"}, 403},
		{"an origin that only the API allows, at a function URL", url, "localhost", []string{"Origin", "https://shop.test"}, 403},
		{"an origin that only the API allows, at a local path", "/letters/7/events", "localhost", []string{"Origin", "https://shop.test"}, 403},
		{"another port", api, "localhost:80", []string{"Origin", "http://localhost:81"}, 403},
		{"another name of this machine", api, "localhost:80", []string{"Origin", "http://127.0.0.1:80"}, 403},
		{"a page without an origin", api, "localhost", []string{"Origin", "null"}, 403},
		{"an empty origin", api, "localhost", []string{"Origin", ""}, 403},
		{"two origins", api, "localhost", []string{"Origin", "https://shop.test", "Origin", "https://evil.test"}, 403},
		{"an image", api, "localhost", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"an image on another port", api, "localhost", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a link", api, "localhost", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"an own image", api, "localhost", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "no-cors"}, 200},
		{"an address that was typed", api, "localhost", []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}, 200},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
				if got := status(t, method, open+row.path, row.host, row.headers); got != row.status {
					t.Errorf("%s: %d, want %d", method, got, row.status)
				}
			}
			if got := status(t, http.MethodGet, closed+row.path, row.host, row.headers); got != http.StatusOK {
				t.Errorf("with tokens: %d", got)
			}
		})
	}
}

func status(t *testing.T, method, url, host string, headers []string) int {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	for i := 0; i < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}
