package netfd

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"syscall"
)

// Network is what the name of a network stands for.
type Network struct {
	Name   string // "tcp4", say
	Type   int    // of its sockets: syscall.SOCK_STREAM, say
	family int    // 0: either of IPv4 and IPv6
}

// NetworkNamed returns the network of that name: tcp, udp, each also with 4 or 6 for one version of IP, unix, unixgram
// or unixpacket. The error is a net.UnknownNetworkError.
func NetworkNamed(name string) (Network, error) {
	switch name {
	case "tcp":
		return Network{name, syscall.SOCK_STREAM, 0}, nil
	case "tcp4":
		return Network{name, syscall.SOCK_STREAM, syscall.AF_INET}, nil
	case "tcp6":
		return Network{name, syscall.SOCK_STREAM, syscall.AF_INET6}, nil
	case "udp":
		return Network{name, syscall.SOCK_DGRAM, 0}, nil
	case "udp4":
		return Network{name, syscall.SOCK_DGRAM, syscall.AF_INET}, nil
	case "udp6":
		return Network{name, syscall.SOCK_DGRAM, syscall.AF_INET6}, nil
	case "unix":
		return Network{name, syscall.SOCK_STREAM, syscall.AF_UNIX}, nil
	case "unixgram":
		return Network{name, syscall.SOCK_DGRAM, syscall.AF_UNIX}, nil
	case "unixpacket":
		return Network{name, syscall.SOCK_SEQPACKET, syscall.AF_UNIX}, nil
	}
	return Network{}, net.UnknownNetworkError(name)
}

// Literal returns the address to connect to, if that takes no look-up: the path of a Unix socket, or an IP address with
// a port in digits. No host means this machine. ok is false when names are to be looked up; the error, a *net.AddrError
// or *net.ParseError, says that there is nothing to look up either.
func (n Network) Literal(address string) (to Sockaddr, ok bool, err error) {
	if n.family == syscall.AF_UNIX {
		err = to.SetUnix(address)
		return to, err == nil, err
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return to, false, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		if _, number := strconv.Atoi(service); number == nil || service == "" {
			return to, false, &net.AddrError{Err: "invalid port", Addr: address}
		}
		return to, false, nil // the name of a service
	}
	ip := n.loopback()
	if host != "" {
		if ip, err = netip.ParseAddr(host); err != nil {
			return to, false, nil
		}
	}
	to, err = n.sockaddr(ip, uint16(port))
	return to, err == nil, err
}

// Lookup finds the addresses to connect to, in the order in which they are to be tried; there is at least one. It
// blocks.
func (n Network) Lookup(ctx context.Context, resolver *net.Resolver, address string) ([]Sockaddr, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := resolver.LookupPort(ctx, n.Name, service)
	if err != nil {
		return nil, err
	}
	ips := []netip.Addr{n.loopback()}
	if host != "" {
		if ips, err = resolver.LookupNetIP(ctx, n.ipNetwork(), host); err != nil {
			return nil, err
		}
	}
	var found []Sockaddr
	for _, ip := range ips {
		if to, err := n.sockaddr(ip, uint16(port)); err == nil {
			found = append(found, to)
		}
	}
	if len(found) == 0 {
		return nil, &net.AddrError{Err: "no suitable address", Addr: host}
	}
	return found, nil
}

func (n Network) loopback() netip.Addr {
	if n.family == syscall.AF_INET6 {
		return netip.IPv6Loopback()
	}
	return netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

// sockaddr is the address of a port for a socket of the IP address's own family, which the network has to be of.
func (n Network) sockaddr(ip netip.Addr, port uint16) (to Sockaddr, err error) {
	ip = ip.Unmap()
	if n.family == syscall.AF_INET6 && ip.Is4() {
		return to, &net.AddrError{Err: "not an IPv6 address", Addr: ip.String()}
	}
	err = to.SetAddrPort(netip.AddrPortFrom(ip, port), n.family)
	return to, err
}

// ipNetwork is what the resolver calls a version of IP.
func (n Network) ipNetwork() string {
	switch n.family {
	case syscall.AF_INET:
		return "ip4"
	case syscall.AF_INET6:
		return "ip6"
	}
	return "ip"
}
