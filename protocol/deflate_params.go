package protocol

import (
	"fmt"
	"strings"
)

// Names of the parameters (RFC 7692 section 7.1).
const (
	serverFreshName = "server_no_context_takeover"
	clientFreshName = "client_no_context_takeover"
	serverBitsName  = "server_max_window_bits"
	clientBitsName  = "client_max_window_bits"
)

// deflateParams are the parameters of one offer or answer.
type deflateParams struct {
	serverFresh, clientFresh bool // no context takeover
	serverBits, clientBits   int  // 0: not there
}

// anyBits is client_max_window_bits without a value, which only offers have (RFC 7692 section 7.1.2.2).
const anyBits = -1

// String returns the parameters as they stand in the header.
func (p deflateParams) String() string {
	var b strings.Builder
	b.WriteString(deflateName)
	if p.serverFresh {
		b.WriteString("; " + serverFreshName)
	}
	if p.clientFresh {
		b.WriteString("; " + clientFreshName)
	}
	if p.serverBits != 0 {
		fmt.Fprintf(&b, "; %s=%d", serverBitsName, p.serverBits)
	}
	if p.clientBits == anyBits {
		b.WriteString("; " + clientBitsName)
	} else if p.clientBits != 0 {
		fmt.Fprintf(&b, "; %s=%d", clientBitsName, p.clientBits)
	}
	return b.String()
}

// parseDeflate reads the parameters of an offer or an answer. Unknown ones, double ones and bad values are errors: they
// decline an offer and fail a connection (RFC 7692 section 7.1).
func parseDeflate(params []extensionParam, offer bool) (p deflateParams, err error) {
	for i, param := range params {
		for _, before := range params[:i] {
			if before.name == param.name {
				return p, fmt.Errorf("parameter %s is there twice", param.name)
			}
		}
		switch param.name {
		case serverFreshName: // 7.1.1.1
			p.serverFresh, err = true, param.bare()
		case clientFreshName: // 7.1.1.2
			p.clientFresh, err = true, param.bare()
		case serverBitsName: // 7.1.2.1
			p.serverBits, err = param.bits()
		case clientBitsName: // 7.1.2.2
			if offer && !param.valued {
				p.clientBits = anyBits
			} else {
				p.clientBits, err = param.bits()
			}
		default:
			err = fmt.Errorf("parameter %.40q is unknown", param.name)
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// bare checks that a parameter has no value.
func (p *extensionParam) bare() error {
	if p.valued {
		return fmt.Errorf("parameter %s has a value: %.40q", p.name, p.value)
	}
	return nil
}

// bits returns a window's size: a decimal number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2).
func (p *extensionParam) bits() (int, error) {
	for bits := minWindowBits; bits <= maxWindowBits; bits++ {
		if p.value == fmt.Sprint(bits) {
			return bits, nil
		}
	}
	return 0, fmt.Errorf("parameter %s is %.40q, not a number from %d to %d",
		p.name, p.value, minWindowBits, maxWindowBits)
}
