package outbound_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"paylane/shared/webhook"
	"paylane/shared/webhook/outbound"
)

func public() *outbound.Client { return outbound.New(outbound.Policy{}, time.Now) }

func loopback() *outbound.Client { return outbound.New(outbound.Policy{Loopback: true}, time.Now) }

type row struct{ name, url string }

func taken() []row {
	return []row{
		{"a host", "https://shop.example"},
		{"path and query", "https://hooks.shop.example/a/b?token=x%20y"},
		{"a port", "https://shop.example:8443/"},
		{"the last port", "https://shop.example:65535/"},
		{"upper case", "HTTPS://Shop.Example/"},
		{"a trailing dot", "https://shop.example./"},
		{"Punycode", "https://xn--bcher-kva.example/"},
		{"an at sign in the path", "https://shop.example/@shop"},
		{"an at sign in the query", "https://shop.example?@127.0.0.1"},
		{"a public address", "https://93.184.215.14/"},
		{"a public IPv6 address", "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/"},
		{"an address within a name", "https://127.0.0.1.example/"},
		{"a number within a name", "https://0x7f.example/"},
		{"the end of a local name within a name", "https://notlocal.mylocal/"},
		{"the longest URL", "https://shop.example/" + strings.Repeat("a", 2048-len("https://shop.example/"))},
		{"the longest name", "https://" + strings.Repeat("abcdefg.", 31) + "abcde/"},
	}
}

// refused are URLs by why they are.
func refused() map[string][]row {
	return map[string][]row{
		"absolute URL": {
			{"nothing", ""},
			{"no scheme", "shop.example/hook"},
			{"no scheme, two slashes", "//shop.example/hook"},
			{"another scheme", "ftp://shop.example/"},
			{"a file", "file:///etc/passwd"},
			{"Gopher", "gopher://127.0.0.1:6379/_INFO"},
			{"opaque", "https:shop.example"},
			{"no host", "https:///hook"},
			{"a port that is not a number", "https://shop.example:https/"},
			{"a port below 0", "https://shop.example:-1/"},
			{"a bad escape", "https://shop.example/%zz"},
			{"an escaped host", "https://127%2e0%2e0%2e1/"},
			{"an escaped blank", "https://shop.example%20.b/"},
			{"brackets that are not closed", "https://[::1/"},
			{"a backslash", `https://shop.example\@127.0.0.1/`},
		},
		"begin with https://": {
			{"http", "http://shop.example/hook"},
			{"http to a public address", "http://93.184.215.14/"},
		},
		"user or a password": {
			{"user info", "https://user:secret@shop.example/"},
			{"an empty user", "https://@shop.example/"},
			{"a host in the user's place", "https://shop.example@127.0.0.1/"},
			{"a host and a port in the user's place", "https://shop.example:443@169.254.169.254/"},
		},
		"fragment": {
			{"a fragment", "https://shop.example/#a"},
			{"an empty fragment", "https://shop.example/#"},
			{"a fragment before a host", "https://shop.example#@127.0.0.1/"},
		},
		"port from 1": {
			{"port 0", "https://shop.example:0/"},
			{"port 0, in full", "https://shop.example:00000/"},
			{"an empty port", "https://shop.example:/"},
			{"a port too large", "https://shop.example:65536/"},
			{"a port that wraps around to 443", "https://shop.example:4294967739/"},
		},
		"ASCII": {
			{"a blank", "https://shop.example/a b"},
			{"a blank before it", " https://shop.example/"},
			{"a line break", "https://shop.example/a\r\nHost:b"},
			{"NUL", "https://shop.example\x00.internal/"},
			{"DEL", "https://shop.example/\x7f"},
			{"a host beyond ASCII", "https://bücher.example/"},
			{"full-width digits", "https://１２７.0.0.1/"},
			{"an ideographic full stop", "https://127。0。0。1/"},
		},
		"2048 bytes": {
			{"too long", "https://shop.example/" + strings.Repeat("a", 2049-len("https://shop.example/"))},
		},
		"full name": {
			{"localhost", "https://localhost/"},
			{"localhost with a dot", "https://localhost./"},
			{"a single label", "https://intranet/"},
			{"a dot", "https://./"},
		},
		"not one that ends in": {
			{"below localhost", "https://a.localhost/"},
			{"a local name", "https://printer.local/"},
			{"a local name with a dot", "https://printer.LOCAL./"},
			{"metadata by name", "https://metadata.google.internal/computeMetadata/v1/"},
			{"a name of AWS's inside", "https://ip-10-0-0-1.eu-west-1.compute.internal/"},
			{"a test name", "https://shop.test/"},
			{"an invalid name", "https://shop.invalid/"},
			{"an onion", "https://shop.onion/"},
			{"another name space", "https://shop.alt/"},
			{"a home", "https://router.home.arpa/"},
			{"home.arpa itself", "https://home.arpa/"},
		},
		"at most 253": {
			{"a name too long", "https://" + strings.Repeat("abcdefg.", 31) + "abcdef/"},
		},
		"the name of a host": {
			{"an empty label", "https://shop..example/"},
			{"two trailing dots", "https://shop.example../"},
			{"a leading dot", "https://.shop.example/"},
			{"a label too long", "https://" + strings.Repeat("a", 64) + ".example/"},
			{"a star", "https://*.example/"},
			{"escaped full-width digits", "https://%EF%BC%91.0.0.%EF%BC%91/"},
		},
		"four decimal numbers": {
			{"decimal", "https://2130706433/"},
			{"decimal, metadata", "https://2852039166/"},
			{"decimal, past 32 bits", "https://4294967297/"},
			{"octal", "https://0177.0.0.1/"},
			{"octal, padded", "https://0000177.0.0.01/"},
			{"octal, whole", "https://017700000001/"},
			{"hexadecimal", "https://0x7f.0.0.1/"},
			{"hexadecimal at the end", "https://127.0.0.0x1/"},
			{"hexadecimal in upper case", "https://0X7F.0X0.0X0.0X1/"},
			{"hexadecimal, whole", "https://0x7f000001/"},
			{"hexadecimal without digits", "https://127.0.0.0x/"},
			{"mixed", "https://0x7f.1/"},
			{"one part", "https://0/"},
			{"two parts", "https://127.1/"},
			{"three parts", "https://127.0.1/"},
			{"five parts", "https://127.0.0.0.1/"},
			{"a part too large", "https://127.0.0.257/"},
			{"a leading zero", "https://127.0.0.01/"},
			{"public, octal", "https://0135.184.215.14/"},
			{"a name that ends in a number", "https://shop.example.1/"},
			{"a number and a dot", "https://127.1./"},
		},
		"private or has a special purpose": {
			{"loopback", "https://127.0.0.1/"},
			{"loopback, another", "https://127.255.255.254/"},
			{"loopback with a dot", "https://127.0.0.1./"},
			{"loopback with a port", "https://127.0.0.1:8443/"},
			{"metadata", "https://169.254.169.254/latest/meta-data/"},
			{"metadata of Alibaba Cloud", "https://100.100.100.200/"},
			{"metadata of Oracle Cloud", "https://192.0.0.192/"},
			{"metadata in IPv6", "https://[fd00:ec2::254]/latest/meta-data/"},
			{"IPv6 loopback", "https://[::1]/"},
			{"IPv6 loopback in full", "https://[0000:0000:0000:0000:0000:0000:0000:0001]/"},
			{"IPv6-mapped loopback", "https://[::ffff:127.0.0.1]/"},
			{"IPv6-mapped, in hexadecimal", "https://[::FFFF:7F00:1]/"},
			{"IPv6-mapped public", "https://[::ffff:93.184.215.14]/"},
			{"IPv4-compatible", "https://[::127.0.0.1]/"},
			{"IPv4-translated", "https://[::ffff:0:127.0.0.1]/"},
			{"NAT64", "https://[64:ff9b::7f00:1]/"},
			{"NAT64, public", "https://[64:ff9b::5db8:d70e]/"},
			{"NAT64, local", "https://[64:ff9b:1::7f00:1]/"},
			{"6to4", "https://[2002:7f00:1::]/"},
			{"Teredo", "https://[2001:0:7f00:1::]/"},
			{"link-local with a zone", "https://[fe80::1%25eth0]/"},
			{"public with a zone", "https://[2606:2800::1%25eth0]/"},
		},
	}
}

func TestCheckURL(t *testing.T) {
	for _, r := range taken() {
		t.Run("takes "+r.name, func(t *testing.T) {
			if err := (outbound.Policy{}).CheckURL(r.url); err != nil {
				t.Errorf("%s %v", r.url, err)
			}
		})
	}
	for why, rows := range refused() {
		for _, r := range rows {
			t.Run("refuses "+r.name, func(t *testing.T) {
				err := (outbound.Policy{}).CheckURL(r.url)
				if err == nil {
					t.Fatalf("%s is taken", r.url)
				}
				if !strings.HasPrefix(err.Error(), "must ") || !strings.Contains(err.Error(), why) {
					t.Errorf("the reason is %q, not %q", err, why)
				}
				if _, err := public().Post(t.Context(), r.url, nil, nil); !errors.Is(err, webhook.ErrForbidden) {
					t.Errorf("post: %v", err)
				}
			})
		}
	}
}

// TestAddresses has the first and the last address of each block that is refused, and their public
// neighbours.
func TestAddresses(t *testing.T) {
	for _, block := range []struct{ before, first, last, after string }{
		{"", "0.0.0.0", "0.255.255.255", "1.0.0.0"},
		{"9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
		{"100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
		{"126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
		{"169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
		{"172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
		{"191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
		{"192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
		{"192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
		{"192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
		{"192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
		{"192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
		{"192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
		{"198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
		{"198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
		{"203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
		{"223.255.255.255", "224.0.0.0", "239.255.255.255", ""},
		{"", "240.0.0.0", "255.255.255.255", ""},
		{"", "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		{"", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
		{"2001:db7:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
		{"2001:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
		{"2620:4f:7fff:ffff:ffff:ffff:ffff:ffff", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"},
		{"3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
		{"3fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		{"", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
		{"", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", ""},
	} {
		for _, address := range []string{block.first, block.last} {
			if (outbound.Policy{}).CheckURL(at(address)) == nil {
				t.Errorf("%s is taken", address)
			}
		}
		for _, address := range []string{block.before, block.after} {
			if address == "" {
				continue // no public address is there
			}
			if err := (outbound.Policy{}).CheckURL(at(address)); err != nil {
				t.Errorf("%s: it %v", address, err)
			}
		}
	}
}

// at returns the URL of an address.
func at(address string) string { return "https://" + net.JoinHostPort(address, "443") + "/" }

func TestCheckURLWithLoopback(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:8080/", "http://localhost:1/", "https://localhost/", "http://[::1]:9/", "http://127.0.0.9/", "https://shop.example/"} {
		if err := (outbound.Policy{Loopback: true}).CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://shop.example/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://a.localhost/", "http://2130706433/", "http://0.0.0.0/", "http://169.254.169.254/", "http://user@localhost/", "http://[::1%25lo]/", "http://localhost:0/"} {
		if (outbound.Policy{Loopback: true}).CheckURL(url) == nil {
			t.Errorf("%s is taken", url)
		}
	}
}

// FuzzCheckURL: a URL that CheckURL takes leads to a public address, if its host is one in any of
// the spellings of inet_aton, or has the client look up a name.
func FuzzCheckURL(f *testing.F) {
	for _, r := range taken() {
		f.Add(r.url)
	}
	for _, rows := range refused() {
		for _, r := range rows {
			f.Add(r.url)
		}
	}
	noNames := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("names are not looked up")
	}}
	f.Fuzz(func(t *testing.T, text string) {
		client := public()
		if (outbound.Policy{}).CheckURL(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.User != nil || u.Scheme != "https" {
			t.Fatalf("%q is taken", text)
		}
		if address, ok := inetAton(strings.TrimSuffix(u.Hostname(), ".")); ok && (special(address) || !strings.Contains(u.Host, address.String())) {
			t.Errorf("%q is taken, for %v", text, address)
		}
		client.Resolve(noNames)
		client.Connecting(func(address string) error {
			if at, err := netip.ParseAddrPort(address); err != nil || special(at.Addr()) {
				t.Errorf("%q leads to %s", text, address)
			}
			return errors.New("that is far enough")
		})
		if _, err := client.Post(t.Context(), text, nil, nil); err == nil || errors.Is(err, webhook.ErrForbidden) {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// inetAton returns the address for which a C library's inet_aton takes a text.
func inetAton(text string) (address netip.Addr, ok bool) {
	parts := strings.Split(strings.ToLower(text), ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var whole uint64
	for i, part := range parts {
		base := 10
		if hex, isHex := strings.CutPrefix(part, "0x"); isHex {
			base, part = 16, "0"+hex // some take 0x alone for 0
		} else if len(part) > 1 && part[0] == '0' {
			base = 8
		}
		n, err := strconv.ParseUint(part, base, 32)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		if err != nil || n>>bits != 0 {
			return netip.Addr{}, false
		}
		whole = whole<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(whole >> 24), byte(whole >> 16), byte(whole >> 8), byte(whole)}), true
}

// special reports whether an address is not a public one, by other means than the client's.
func special(a netip.Addr) bool {
	if a.Is4() {
		b := a.As4()
		switch {
		case b[0] == 0, b[0] == 100 && b[1]&0xc0 == 64, b[0] == 192 && b[1] == 0 && (b[2] == 0 || b[2] == 2),
			b[0] == 198 && b[1]&0xfe == 18, b[0] == 198 && b[1] == 51 && b[2] == 100, b[0] == 203 && b[1] == 0 && b[2] == 113, b[0] >= 224:
			return true
		}
		return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
	}
	b := a.As16()
	switch {
	case a.Zone() != "", b[0]>>5 != 1, // all that is public is in 2000::/3
		b[0] == 0x20 && b[1] == 0x01 && b[2] < 2, b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8,
		b[0] == 0x20 && b[1] == 0x02, b[0] == 0x3f && b[1] == 0xff && b[2] < 0x10:
		return true
	}
	return false
}
