package client

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/momentics/hioload-ws/api"
)

// target is where a WebSocket URL leads (RFC 6455 section 3).
type target struct {
	url     *url.URL // the http or https form, without user
	user    *url.Userinfo
	secure  bool
	address string // host and port to connect to
}

// parseTarget reads a URL, or says what is wrong with it.
func parseTarget(text string) (*target, error) {
	u, err := url.Parse(text)
	if err != nil {
		if wrapped, ok := err.(*url.Error); ok { // without the URL, which may hold a password
			err = wrapped.Err
		}
		return nil, fmt.Errorf("client: URL: %w: %w", err, api.ErrInvalidArgument)
	}
	t := &target{url: u, user: u.User}
	port := "80"
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme, port, t.secure = "https", "443", true
	case "":
		return nil, badURL("no scheme: ws:// or wss:// is missing in front")
	default:
		return nil, badURL("the scheme is %.20q, not ws or wss", u.Scheme)
	}
	host := u.Hostname()
	switch {
	case u.Opaque != "":
		return nil, badURL("// is missing behind the scheme")
	case host == "":
		return nil, badURL("there is no host in it")
	case strings.IndexFunc(host, func(r rune) bool { return r >= 0x80 }) >= 0:
		return nil, badURL("the host %.60q is not ASCII: write it in Punycode", host)
	case u.Fragment != "" || strings.HasSuffix(text, "#"): // RFC 6455 section 3
		return nil, badURL("it has a fragment, %.60q, which means nothing to a WebSocket", "#"+u.Fragment)
	}
	if u.Port() != "" {
		port = u.Port()
	}
	t.address = net.JoinHostPort(host, port)
	u.User = nil
	return t, nil
}

func badURL(format string, args ...any) error {
	return fmt.Errorf("client: URL: %s: %w", fmt.Sprintf(format, args...), api.ErrInvalidArgument)
}
