package netfd

import (
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"unsafe"
)

// Sockaddr is an address as the kernel writes it. The zero value is none. It holds no pointer and may be copied.
type Sockaddr struct {
	raw  syscall.RawSockaddrAny
	size uint32 // bytes of raw that count
}

// Family is the address family, syscall.AF_INET say; 0 of the zero value, and where the kernel gave no address.
func (a *Sockaddr) Family() int {
	if a.size < uint32(unsafe.Sizeof(a.raw.Addr.Family)) {
		return 0
	}
	return int(a.raw.Addr.Family)
}

// SetRaw takes over an address from where the kernel has put it.
func (a *Sockaddr) SetRaw(raw []byte) {
	*a = Sockaddr{}
	a.size = uint32(copy(unsafe.Slice((*byte)(unsafe.Pointer(&a.raw)), unsafe.Sizeof(a.raw)), raw))
}

// SetAddrPort makes it an internet address for sockets of a family; 0 chooses the address's own. IPv6 sockets get IPv4
// addresses mapped (RFC 4291 section 2.5.5.2). A zone is the name or the number of an interface. The error is a
// *net.AddrError: the family has no such address, or there is no such interface.
func (a *Sockaddr) SetAddrPort(ap netip.AddrPort, family int) error {
	ip := ap.Addr()
	if family == 0 {
		family = syscall.AF_INET6
		if ip.Unmap().Is4() {
			family = syscall.AF_INET
		}
	}
	*a = Sockaddr{}
	if family == syscall.AF_INET {
		if ip = ip.Unmap(); !ip.Is4() {
			return &net.AddrError{Err: "not an IPv4 address", Addr: ap.Addr().String()}
		}
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		in.Family, in.Addr = syscall.AF_INET, ip.As4()
		putPort(&in.Port, ap.Port())
		a.size = syscall.SizeofSockaddrInet4
		return nil
	}
	if !ip.IsValid() {
		return &net.AddrError{Err: "no IP address", Addr: ip.String()}
	}
	in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&a.raw))
	in.Family, in.Addr = syscall.AF_INET6, ip.As16()
	putPort(&in.Port, ap.Port())
	if zone := ip.Zone(); zone != "" {
		scope, err := scopeOf(zone)
		if err != nil {
			return err
		}
		in.Scope_id = scope
	}
	a.size = syscall.SizeofSockaddrInet6
	return nil
}

// AddrPort returns an internet address, IPv4 where it is a mapped one, with the number of the interface as its zone;
// the zero AddrPort when it is something else.
func (a *Sockaddr) AddrPort() netip.AddrPort {
	switch {
	case a.Family() == syscall.AF_INET && a.size >= syscall.SizeofSockaddrInet4:
		in := (*syscall.RawSockaddrInet4)(unsafe.Pointer(&a.raw))
		return netip.AddrPortFrom(netip.AddrFrom4(in.Addr), port(&in.Port))
	case a.Family() == syscall.AF_INET6 && a.size >= syscall.SizeofSockaddrInet6:
		in := (*syscall.RawSockaddrInet6)(unsafe.Pointer(&a.raw))
		ip := netip.AddrFrom16(in.Addr).Unmap()
		if in.Scope_id != 0 {
			ip = ip.WithZone(strconv.FormatUint(uint64(in.Scope_id), 10))
		}
		return netip.AddrPortFrom(ip, port(&in.Port))
	}
	return netip.AddrPort{}
}

// SetUnix makes it the address of a Unix socket: a path of at most 107 bytes, or a name that starts with "@" in the
// abstract namespace (unix(7)). The error is a *net.AddrError.
func (a *Sockaddr) SetUnix(name string) error {
	*a = Sockaddr{}
	un := (*syscall.RawSockaddrUnix)(unsafe.Pointer(&a.raw))
	abstract := name != "" && name[0] == '@'
	switch {
	case name == "":
		return &net.AddrError{Err: "empty name of a Unix socket"}
	case len(name) > len(un.Path) || len(name) == len(un.Path) && !abstract:
		return &net.AddrError{Err: "name of a Unix socket is too long", Addr: name}
	}
	un.Family = syscall.AF_UNIX
	path := unixPath(un)
	copy(path, name)
	a.size = unixHeader + uint32(len(name))
	if abstract {
		path[0] = 0
	} else {
		a.size++ // the terminating NUL
	}
	return nil
}

// Unix returns the name of a Unix socket, "" when it has none.
func (a *Sockaddr) Unix() string {
	if a.Family() != syscall.AF_UNIX || a.size <= unixHeader {
		return ""
	}
	un := (*syscall.RawSockaddrUnix)(unsafe.Pointer(&a.raw))
	path := unixPath(un)[:min(a.size-unixHeader, uint32(len(un.Path)))]
	if path[0] == 0 {
		return "@" + string(path[1:])
	}
	for i, c := range path {
		if c == 0 {
			path = path[:i]
			break
		}
	}
	return string(path)
}

// Addr returns it as package net would have it for a socket of that type (syscall.SOCK_STREAM say); nil for families
// that net does not know.
func (a *Sockaddr) Addr(sotype int) net.Addr {
	switch a.Family() {
	case syscall.AF_INET, syscall.AF_INET6:
		if sotype == syscall.SOCK_DGRAM {
			return net.UDPAddrFromAddrPort(a.AddrPort())
		}
		return net.TCPAddrFromAddrPort(a.AddrPort())
	case syscall.AF_UNIX:
		network := "unix"
		switch sotype {
		case syscall.SOCK_DGRAM:
			network = "unixgram"
		case syscall.SOCK_SEQPACKET:
			network = "unixpacket"
		}
		name := a.Unix()
		if name == "" {
			name = "@" // as net calls the nameless
		}
		return &net.UnixAddr{Name: name, Net: network}
	}
	return nil
}

// SetAddr is SetAddrPort or SetUnix for what package net calls an address: a *net.TCPAddr, *net.UDPAddr or
// *net.UnixAddr. The error is a *net.AddrError.
func (a *Sockaddr) SetAddr(addr net.Addr, family int) error {
	switch addr := addr.(type) {
	case *net.UDPAddr:
		return a.SetAddrPort(addr.AddrPort(), family)
	case *net.TCPAddr:
		return a.SetAddrPort(addr.AddrPort(), family)
	case *net.UnixAddr:
		return a.SetUnix(addr.Name)
	case nil:
		return &net.AddrError{Err: "no address"}
	}
	return &net.AddrError{Err: "address of an unknown kind", Addr: addr.String()}
}

const unixHeader = uint32(unsafe.Offsetof(syscall.RawSockaddrUnix{}.Path))

func unixPath(un *syscall.RawSockaddrUnix) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(&un.Path)), len(un.Path))
}

// Ports are in network byte order.
func port(p *uint16) uint16 {
	b := (*[2]byte)(unsafe.Pointer(p))
	return uint16(b[0])<<8 | uint16(b[1])
}

func putPort(p *uint16, port uint16) {
	b := (*[2]byte)(unsafe.Pointer(p))
	b[0], b[1] = byte(port>>8), byte(port)
}

// scopeOf returns the number of an interface.
func scopeOf(zone string) (uint32, error) {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n), nil
	}
	ifi, err := net.InterfaceByName(zone)
	if err != nil {
		return 0, &net.AddrError{Err: "no such network interface", Addr: zone}
	}
	return uint32(ifi.Index), nil
}
