package outbound

import "net/netip"

// special lists what is not a public unicast address: IANA's registries of special-purpose
// addresses for IPv4 and IPv6 (RFC 6890), where these are not globally reachable, and what leads on
// to an IPv4 address that could be one of them.
func special() []netip.Prefix {
	texts := []string{
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
		"192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
		"198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
	}
	prefixes := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		prefixes[i] = netip.MustParsePrefix(text)
	}
	return prefixes
}

// unicast6 is all that IANA has given out for public IPv6. What has a special purpose within it
// follows.
func unicast6() (public netip.Prefix, except []netip.Prefix) {
	return netip.MustParsePrefix("2000::/3"), []netip.Prefix{
		netip.MustParsePrefix("2001::/23"),     // protocol assignments, Teredo
		netip.MustParsePrefix("2001:db8::/32"), // documentation
		netip.MustParsePrefix("2002::/16"),     // 6to4
		netip.MustParsePrefix("2620:4f:8000::/48"),
		netip.MustParsePrefix("3fff::/20"), // documentation
	}
}

// allowed reports whether requests may go to an address.
func allowed(address netip.Addr, p Policy) bool {
	if address.Zone() != "" {
		return false
	}
	plain := address.Unmap()
	if plain.IsLoopback() {
		// An IPv4 loopback address in IPv6's clothes is nobody's honest spelling.
		return p.Loopback && plain == address
	}
	if plain.Is4() {
		if plain != address {
			return false
		}
		for _, prefix := range special() {
			if prefix.Contains(plain) {
				return false
			}
		}
		return true
	}
	public, except := unicast6()
	if !public.Contains(plain) {
		return false // also NAT64, 64:ff9b::/96
	}
	for _, prefix := range except {
		if prefix.Contains(plain) {
			return false
		}
	}
	return true
}
