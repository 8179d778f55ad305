package outbound

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const (
	maxURL  = 2048
	maxName = 253 // RFC 1035
)

// CheckURL returns why nothing is posted to a URL, in words for whoever registers it: all that can
// be known of it without a look at the network. Where a name leads is checked each time that it is
// dialled.
func (p Policy) CheckURL(raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("must be at most %d bytes long", maxURL)
	}
	for i := range len(raw) {
		if raw[i] <= ' ' || raw[i] > '~' {
			return errors.New("must be ASCII without blanks: percent-encode the path, and write the host in Punycode")
		}
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "":
		return errors.New("must be an absolute URL, such as https://shop.example/webhooks")
	case u.User != nil:
		return errors.New("must not contain a user or a password")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return errors.New("must not have a fragment")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return errors.New("must have a port from 1 to 65535, or none")
		}
	}
	loopback, err := p.checkHost(u.Hostname())
	switch {
	case err != nil:
		return err
	case u.Scheme != "https" && !loopback:
		return errors.New("must begin with https://")
	}
	return nil
}

// notPublic are the ends of names that no public server has (RFC 6761, RFC 6762, RFC 8375, RFC 9476,
// and ICANN's reservation of .internal), and under some of which clouds answer with credentials.
func notPublic() []string {
	return []string{".localhost", ".local", ".internal", ".test", ".invalid", ".onion", ".alt", ".home.arpa"}
}

// checkHost reports whether a host is certainly this machine, if that is allowed.
func (p Policy) checkHost(host string) (loopback bool, err error) {
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	if address, err := netip.ParseAddr(name); err == nil {
		if allowed(address, p) {
			return address.Unmap().IsLoopback(), nil
		}
		return false, errors.New("must not lead to an address that is private or has a special purpose")
	}
	if name == "localhost" && p.Loopback {
		return true, nil
	}
	labels := strings.Split(name, ".")
	last := labels[len(labels)-1]
	switch {
	case numeric(last):
		// What inet_aton takes for an address in another spelling, such as 0x7f.1.
		return false, errors.New("must have an IPv4 address as four decimal numbers, or a name")
	case len(labels) < 2:
		return false, errors.New("must have the full name of a public host")
	}
	if len(name) > maxName {
		return false, fmt.Errorf("must have a host whose name is at most %d characters long", maxName)
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false, errors.New("must have the name of a host")
		}
	}
	for _, end := range notPublic() {
		if strings.HasSuffix("."+name, end) {
			return false, fmt.Errorf("must have the name of a public host, not one that ends in %s", end)
		}
	}
	return false, nil
}

// numeric reports whether a label is a number, as the last part of an IPv4 address is in all of its
// spellings (WHATWG's URL standard, "ends in a number").
func numeric(label string) bool {
	if label == "" {
		return false
	}
	if strings.Trim(label, "0123456789") == "" {
		return true
	}
	return strings.HasPrefix(label, "0x") && strings.Trim(label[2:], "0123456789abcdef") == ""
}
