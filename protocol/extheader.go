package protocol

import (
	"fmt"
	"strings"

	"github.com/momentics/hioload-ws/api"
)

// namedExtension is one element of Sec-WebSocket-Extensions: the name of an extension with its parameters
// (RFC 6455 section 9.1).
type namedExtension struct {
	name   string
	params []extensionParam
}

// extensionParam is a parameter of an extension. "x" has no value, "x=y" and `x="y"` have the same.
type extensionParam struct {
	name, value string
	valued      bool
}

// parseExtensions reads the lines of Sec-WebSocket-Extensions, which count as one list (RFC 6455 section 9.1):
//
//	extension-list  = 1#extension
//	extension       = extension-token *( ";" extension-param )
//	extension-param = token [ "=" (token | quoted-string) ]
//
// Empty elements are passed over (RFC 9110 section 5.6.1.2). An error matches api.ErrInvalidArgument; whoever meets
// one has to fail the connection (RFC 6455 section 9.1).
func parseExtensions(lines []string) ([]namedExtension, error) {
	var list []namedExtension
	for _, line := range lines {
		s := headerScanner{rest: line}
		for !s.done() {
			if s.skip(',') {
				continue
			}
			x, err := s.extension()
			if err != nil {
				return nil, fmt.Errorf("protocol: Sec-WebSocket-Extensions: %w: %w", err, api.ErrInvalidArgument)
			}
			list = append(list, x)
		}
	}
	return list, nil
}

// headerScanner takes a header's value apart, token by token.
type headerScanner struct{ rest string }

// done skips blanks and tells whether nothing is left.
func (s *headerScanner) done() bool {
	s.rest = strings.TrimLeft(s.rest, " \t")
	return s.rest == ""
}

// skip skips blanks and then c, if that is what comes.
func (s *headerScanner) skip(c byte) bool {
	if s.done() || s.rest[0] != c {
		return false
	}
	s.rest = s.rest[1:]
	return true
}

// extension reads an extension with its parameters, up to the comma or the end behind it.
func (s *headerScanner) extension() (x namedExtension, err error) {
	if x.name, err = s.token("an extension"); err != nil {
		return x, err
	}
	for s.skip(';') {
		p, err := s.param()
		if err != nil {
			return x, fmt.Errorf("%s: %w", x.name, err)
		}
		x.params = append(x.params, p)
	}
	if !s.done() && s.rest[0] != ',' {
		return x, fmt.Errorf("%s: %.10q where a semicolon, a comma or the end should be", x.name, s.rest)
	}
	return x, nil
}

// param reads a parameter and its value.
func (s *headerScanner) param() (p extensionParam, err error) {
	if p.name, err = s.token("a parameter"); err != nil {
		return p, err
	}
	if !s.skip('=') {
		return p, nil
	}
	p.valued = true
	if s.skip('"') {
		p.value, err = s.quoted()
	} else {
		p.value, err = s.token("a value")
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", p.name, err)
	}
	return p, err
}

// token reads a token (RFC 9110 section 5.6.2); what says whose it is.
func (s *headerScanner) token(what string) (string, error) {
	if s.done() {
		return "", fmt.Errorf("the end where %s should be", what)
	}
	n := 0
	for n < len(s.rest) && isTokenByte(s.rest[n]) {
		n++
	}
	if n == 0 {
		return "", fmt.Errorf("%.10q where %s should be", s.rest, what)
	}
	token := s.rest[:n]
	s.rest = s.rest[n:]
	return token, nil
}

// quoted reads a quoted string behind its first quotation mark. Without quotation marks and escapes it has to be a
// token (RFC 6455 section 9.1).
func (s *headerScanner) quoted() (string, error) {
	var value []byte
	for i := 0; i < len(s.rest); i++ {
		c := s.rest[i]
		switch {
		case c == '"' && len(value) == 0:
			return "", fmt.Errorf("the quoted value is empty")
		case c == '"':
			s.rest = s.rest[i+1:]
			return string(value), nil
		case c == '\\' && i+1 < len(s.rest):
			i++
			c = s.rest[i]
		}
		if !isTokenByte(c) {
			return "", fmt.Errorf("%q in a quoted value", c)
		}
		value = append(value, c)
	}
	return "", fmt.Errorf("a quoted value without end")
}

// isTokenByte tells whether c may be in a token: a tchar of RFC 9110 section 5.6.2.
func isTokenByte(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	return strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
