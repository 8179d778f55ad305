package apiclient_test

import (
	"testing"

	"paylane/cmd/paylane/internal/apiclient"
)

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost":            true,
		"LocalHost":            true,
		"127.0.0.1":            true,
		"127.0.0.2":            true,
		"127.255.255.254":      true,
		"[::1]":                true,
		"[::ffff:127.0.0.1]":   true,
		"0.0.0.0":              false,
		"[::]":                 false,
		"126.255.255.255":      false,
		"128.0.0.1":            false,
		"10.0.0.1":             false,
		"192.168.0.1":          false,
		"[fe80::1]":            false,
		"[::ffff:10.0.0.1]":    false,
		"example.com":          false,
		"localhost.evil.test":  false,
		"127.0.0.1.evil.test":  false,
		"my-machine":           false,
		"127.1":                false, // what it means is up to the resolver
		"2130706433":           false, // the same
		"a.localhost.evil.com": false,
	} {
		for _, port := range []string{"", ":3000"} {
			_, err := apiclient.New("http://"+host+port, "", 1, false)
			if (err == nil) != want {
				t.Errorf("%s%s: error %v, want one: %v", host, port, err, !want)
			}
			if _, err := apiclient.New("http://"+host+port, "", 1, true); err != nil {
				t.Errorf("%s%s, remote allowed: %v", host, port, err)
			}
		}
	}
}

func TestAllowRemote(t *testing.T) {
	t.Parallel()
	got, err := apiclient.New("https://example.com/stage/", "", 1, true)
	if err != nil {
		t.Fatal(err)
	}
	if got.URL != "https://example.com/stage" {
		t.Errorf("the URL is %s", got.URL)
	}
}
