package reactor

import (
	"net"
	"strconv"

	"github.com/momentics/hioload-ws/internal/netfd"
)

// ClientInfo says who is at the other end of a connection. Addr, with Port, and Type are asked of the system where they
// are left empty when a descriptor is handed off.
type ClientInfo struct {
	Addr string // the IP address, or the name of a Unix socket, mostly empty
	Port int    // 0 if there is none
	Type string // "tcp", "udp", "unix", "unixgram", "unixpacket", or "fd" for what is none of them, a pipe say
}

// String is the address as package net has it: with the port, if there is one, the name of a Unix socket, or else the
// type.
func (info ClientInfo) String() string {
	switch {
	case info.Addr == "":
		return info.Type
	case info.Port == 0:
		return info.Addr
	}
	return net.JoinHostPort(info.Addr, strconv.Itoa(info.Port))
}

// clientAt is what is known of a peer by its address, nil for none.
func clientAt(addr net.Addr) ClientInfo {
	switch addr := addr.(type) {
	case *net.TCPAddr:
		return ClientInfo{Addr: host(addr.IP, addr.Zone), Port: addr.Port, Type: "tcp"}
	case *net.UDPAddr:
		return ClientInfo{Addr: host(addr.IP, addr.Zone), Port: addr.Port, Type: "udp"}
	case *net.UnixAddr:
		info := ClientInfo{Type: addr.Net}
		if addr.Name != "@" { // as net calls the nameless
			info.Addr = addr.Name
		}
		return info
	}
	return ClientInfo{}
}

func host(ip net.IP, zone string) string { return (&net.IPAddr{IP: ip, Zone: zone}).String() }

// complete fills in what the caller has left empty.
func (info ClientInfo) complete(fd int) ClientInfo {
	if info.Addr != "" && info.Type != "" {
		return info
	}
	known := clientAt(netfd.RemoteAddr(fd))
	if known.Type == "" { // a socket without a peer is of a type all the same
		known.Type = clientAt(netfd.LocalAddr(fd)).Type
	}
	if known.Type == "" {
		known.Type = "fd"
	}
	if info.Addr == "" {
		info.Addr = known.Addr
		if info.Port == 0 {
			info.Port = known.Port
		}
	}
	if info.Type == "" {
		info.Type = known.Type
	}
	return info
}
