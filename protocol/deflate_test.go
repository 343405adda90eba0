package protocol

import (
	"errors"
	"strings"
	"testing"

	"github.com/momentics/hioload-ws/api"
)

// headerLines makes a header of several lines out of one string: they are parted by '|'.
func headerLines(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, "|")
}

func TestParseExtensions(t *testing.T) {
	for _, c := range []struct{ name, header, want string }{
		{"nothing", "", ""},
		{"an empty line", " ", ""},
		{"9.1: one", "foo", "foo"},
		{"9.1: a list", "foo, bar; baz=2", "foo,bar;baz=2"},
		{"9.1: several lines are one list", "foo|bar; baz=2", "foo,bar;baz=2"},
		{"9.1: a parameter without value", "foo; bar", "foo;bar"},
		{"9.1: several parameters", "foo; a=1; b; c=3", "foo;a=1;b;c=3"},
		{"9.1: a quoted value is what is in it", `foo; a="10"; b=2`, "foo;a=10;b=2"},
		{"9.1: an escaped one likewise", `foo; a="1\0"`, "foo;a=10"},
		{"blanks anywhere", " \tfoo ;a = 1 ; b = \"2\"\t,bar ", "foo;a=1;b=2,bar"},
		{"no blanks", "foo;a=1;b,bar", "foo;a=1;b,bar"},
		{"RFC 9110 5.6.1.2: empty elements", ", foo,,bar ,", "foo,bar"},
		{"RFC 9110 5.6.2: all that a token may hold", "!#$%&'*+-.^_`|~09azAZ", "!#$%&'*+-.^_`,~09azAZ"},
	} {
		list, err := parseExtensions(headerLines(c.header))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var names []string
		for _, x := range list {
			text := x.name
			for _, p := range x.params {
				text += ";" + p.name
				if p.valued {
					text += "=" + p.value
				}
			}
			names = append(names, text)
		}
		if got := strings.Join(names, ","); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// RFC 6455 section 9.1: what does not conform fails the connection.
func TestParseExtensionsRefuses(t *testing.T) {
	for header, want := range map[string]string{
		"foo bar":          `"bar" where a semicolon`,
		"foo; a=1 b":       `"b" where a semicolon`,
		";":                `where an extension should be`,
		"foo;":             "the end where a parameter should be",
		"foo;;a":           "where a parameter should be",
		"foo; =1":          "where a parameter should be",
		"foo; a=":          "the end where a value should be",
		"foo; a=;b":        "where a value should be",
		"foo; a=,bar":      "where a value should be",
		"foo/1":            `"/1" where a semicolon`,
		"f\x00o":           `where a semicolon`,
		"föö":              "where a semicolon",
		`foo; a=""`:        "the quoted value is empty",
		`foo; a="x`:        "without end",
		`foo; a="x\`:       `'\\' in a quoted value`,
		`foo; a="x y"`:     `' ' in a quoted value`,
		`foo; a="x\" y"`:   `'"' in a quoted value`,
		`foo; a="x"y`:      `"y" where a semicolon`,
		`foo; "a"`:         "where a parameter should be",
		"foo|bar; a=|good": "foo",
	} {
		list, err := parseExtensions(headerLines(header))
		if !errors.Is(err, api.ErrInvalidArgument) || list != nil {
			t.Errorf("%q: %v, %v", header, list, err)
			continue
		}
		if header != "foo|bar; a=|good" && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %q does not say %q", header, err, want)
		}
	}
}

func TestNegotiateDeflate(t *testing.T) {
	const plain = "permessage-deflate"
	for _, c := range []struct {
		name, header string
		c            Compression
		want         string // "": declined
		agreed       Deflate
	}{
		{"7.1: without parameters", plain, Compression{}, plain, Deflate{6, 8, 128, 15, 15, true, true}},
		{"7.1: an unknown extension is passed over", "x-foo; a=1, " + plain, Compression{}, plain,
			Deflate{6, 8, 128, 15, 15, true, true}},
		{"7.1.1.1: the client asks for no takeover", plain + "; server_no_context_takeover", Compression{},
			plain + "; server_no_context_takeover", Deflate{6, 8, 512, 15, 15, false, true}},
		{"7.1.1.1: the server says it unasked", plain, Compression{ServerNoContextTakeover: true},
			plain + "; server_no_context_takeover", Deflate{6, 8, 512, 15, 15, false, true}},
		{"7.1.1.2: the client's hint is repeated", plain + "; client_no_context_takeover", Compression{},
			plain + "; client_no_context_takeover", Deflate{6, 8, 128, 15, 15, true, false}},
		{"7.1.1.2: the server demands it unasked", plain, Compression{ClientNoContextTakeover: true},
			plain + "; client_no_context_takeover", Deflate{6, 8, 128, 15, 15, true, false}},
		{"7.1.2.1: the server's window is limited", plain + "; server_max_window_bits=10", Compression{},
			plain + "; server_max_window_bits=10", Deflate{6, 8, 128, 10, 15, true, true}},
		{"7.1.2.1: quoted", plain + `; server_max_window_bits="10"`, Compression{},
			plain + "; server_max_window_bits=10", Deflate{6, 8, 128, 10, 15, true, true}},
		{"7.1.2.1: the limit is none", plain + "; server_max_window_bits=15", Compression{},
			plain + "; server_max_window_bits=15", Deflate{6, 8, 128, 15, 15, true, true}},
		{"7.1.2.1: ours is smaller", plain + "; server_max_window_bits=12", Compression{ServerBits: 10},
			plain + "; server_max_window_bits=10", Deflate{6, 8, 128, 10, 15, true, true}},
		{"7.1.2.1: theirs is smaller", plain + "; server_max_window_bits=10", Compression{ServerBits: 12},
			plain + "; server_max_window_bits=10", Deflate{6, 8, 128, 10, 15, true, true}},
		{"7.1.2.1: ours, unasked", plain, Compression{ServerBits: 10},
			plain + "; server_max_window_bits=10", Deflate{6, 8, 128, 10, 15, true, true}},
		{"7.1.2.1: 8 is more than we can do", plain + "; server_max_window_bits=8", Compression{}, "", Deflate{}},
		{"5.1: then the next offer is taken", plain + "; server_max_window_bits=8, " + plain, Compression{}, plain,
			Deflate{6, 8, 128, 15, 15, true, true}},
		{"5.1: on another line, too", plain + "; server_max_window_bits=8|" + plain, Compression{}, plain,
			Deflate{6, 8, 128, 15, 15, true, true}},
		{"5.1: the first that is good wins", plain + "; server_max_window_bits=9, " + plain, Compression{},
			plain + "; server_max_window_bits=9", Deflate{6, 8, 128, 9, 15, true, true}},
		{"7.1.2.2: no wish of ours, no answer", plain + "; client_max_window_bits", Compression{}, plain,
			Deflate{6, 8, 128, 15, 15, true, true}},
		{"7.1.2.2: the client's hint becomes its limit", plain + "; client_max_window_bits=11", Compression{},
			plain + "; client_max_window_bits=11", Deflate{6, 8, 128, 15, 11, true, true}},
		{"7.1.2.2: 8 is received with 9", plain + "; client_max_window_bits=8", Compression{},
			plain + "; client_max_window_bits=8", Deflate{6, 8, 128, 15, 9, true, true}},
		{"7.1.2.2: ours", plain + "; client_max_window_bits", Compression{ClientBits: 12},
			plain + "; client_max_window_bits=12", Deflate{6, 8, 128, 15, 12, true, true}},
		{"7.1.2.2: the smaller of both", plain + "; client_max_window_bits=11", Compression{ClientBits: 12},
			plain + "; client_max_window_bits=11", Deflate{6, 8, 128, 15, 11, true, true}},
		{"7.1.2.2: a client that cannot is not asked", plain, Compression{ClientBits: 12}, plain,
			Deflate{6, 8, 128, 15, 15, true, true}},
		{"7.1: everything at once",
			plain + "; client_max_window_bits; server_max_window_bits=10; client_no_context_takeover" +
				"; server_no_context_takeover",
			Compression{Level: 1, Threshold: 7, ClientBits: 9},
			plain + "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10" +
				"; client_max_window_bits=9",
			Deflate{1, 8, 7, 10, 9, false, false}},
		{"7.1: an unknown parameter", plain + "; x=1", Compression{}, "", Deflate{}},
		{"7.1: the same one twice", plain + "; client_max_window_bits; client_max_window_bits=10", Compression{}, "",
			Deflate{}},
		{"7.1.1.1: a value where none may be", plain + "; server_no_context_takeover=1", Compression{}, "", Deflate{}},
		{"7.1.1.2: likewise", plain + "; client_no_context_takeover=true", Compression{}, "", Deflate{}},
		{"7.1.2.1: no value where one must be", plain + "; server_max_window_bits", Compression{}, "", Deflate{}},
		{"7.1.2.1: too small", plain + "; server_max_window_bits=7", Compression{}, "", Deflate{}},
		{"7.1.2.1: too large", plain + "; server_max_window_bits=16", Compression{}, "", Deflate{}},
		{"7.1.2.2: not a number", plain + "; client_max_window_bits=ten", Compression{}, "", Deflate{}},
		{"7.1.2: a leading zero", plain + "; client_max_window_bits=09", Compression{}, "", Deflate{}},
		{"another name", "permessage-bzip2", Compression{}, "", Deflate{}},
		{"an older name", "x-webkit-deflate-frame", Compression{}, "", Deflate{}},
		{"nothing", "", Compression{}, "", Deflate{}},
	} {
		response, d, err := NegotiateDeflate(headerLines(c.header), &c.c)
		if err != nil || response != c.want || (d == nil) != (c.want == "") {
			t.Errorf("%s: %q, %+v, %v; want %q", c.name, response, d, err, c.want)
		} else if d != nil && *d != c.agreed {
			t.Errorf("%s: agreed on %+v, want %+v", c.name, *d, c.agreed)
		}
	}
	bad := []string{plain + "; a="}
	if _, d, err := NegotiateDeflate(bad, &Compression{}); d != nil || !errors.Is(err, api.ErrInvalidArgument) {
		t.Errorf("9.1: a malformed header: %v, %v", d, err)
	}
	if response, d, err := NegotiateDeflate(bad, nil); response != "" || d != nil || err != nil {
		t.Errorf("without compression the header counts for nothing: %q, %v, %v", response, d, err)
	}
}

func TestOfferAndAccept(t *testing.T) {
	const plain = "permessage-deflate"
	const cmwb = "; client_max_window_bits"
	for _, c := range []struct {
		name   string
		c      Compression
		offer  string
		answer string
		agreed *Deflate
		fails  string
	}{
		{"5.1: the server declines", Compression{}, plain + cmwb, "", nil, ""},
		{"7.1: and accepts", Compression{}, plain + cmwb, plain, &Deflate{6, 8, 128, 15, 15, true, true}, ""},
		{"7.1.1.1: unasked", Compression{}, plain + cmwb, plain + "; server_no_context_takeover",
			&Deflate{6, 8, 128, 15, 15, true, false}, ""},
		{"7.1.1.1: asked", Compression{ServerNoContextTakeover: true}, plain + "; server_no_context_takeover" + cmwb,
			plain + "; server_no_context_takeover", &Deflate{6, 8, 128, 15, 15, true, false}, ""},
		{"7.1.1.1: asked and forgotten", Compression{ServerNoContextTakeover: true},
			plain + "; server_no_context_takeover" + cmwb, plain, nil,
			"server_no_context_takeover was offered and is missing"},
		{"7.1.1.2: the server demands", Compression{}, plain + cmwb, plain + "; client_no_context_takeover",
			&Deflate{6, 8, 512, 15, 15, false, true}, ""},
		{"7.1.1.2: our hint needs no answer", Compression{ClientNoContextTakeover: true},
			plain + "; client_no_context_takeover" + cmwb, plain, &Deflate{6, 8, 512, 15, 15, false, true}, ""},
		{"7.1.2.1: unasked", Compression{}, plain + cmwb, plain + "; server_max_window_bits=9",
			&Deflate{6, 8, 128, 15, 9, true, true}, ""},
		{"7.1.2.1: 8 is received with 9", Compression{}, plain + cmwb, plain + "; server_max_window_bits=8",
			&Deflate{6, 8, 128, 15, 9, true, true}, ""},
		{"7.1.2.1: asked", Compression{ServerBits: 11}, plain + "; server_max_window_bits=11" + cmwb,
			plain + "; server_max_window_bits=11", &Deflate{6, 8, 128, 15, 11, true, true}, ""},
		{"7.1.2.1: smaller than asked", Compression{ServerBits: 11}, plain + "; server_max_window_bits=11" + cmwb,
			plain + "; server_max_window_bits=10", &Deflate{6, 8, 128, 15, 10, true, true}, ""},
		{"7.1.2.1: larger than asked", Compression{ServerBits: 11}, plain + "; server_max_window_bits=11" + cmwb,
			plain + "; server_max_window_bits=12", nil, "server_max_window_bits is 12, and 11 was offered"},
		{"7.1.2.1: forgotten", Compression{ServerBits: 11}, plain + "; server_max_window_bits=11" + cmwb, plain, nil,
			"server_max_window_bits=11 was offered and is missing"},
		{"7.1.2.2: the server limits us", Compression{}, plain + cmwb, plain + "; client_max_window_bits=10",
			&Deflate{6, 8, 128, 10, 15, true, true}, ""},
		{"7.1.2.2: quoted", Compression{}, plain + cmwb, plain + `; client_max_window_bits="10"`,
			&Deflate{6, 8, 128, 10, 15, true, true}, ""},
		{"7.1.2.2: our own limit", Compression{ClientBits: 10}, plain + cmwb + "=10", plain,
			&Deflate{6, 8, 128, 10, 15, true, true}, ""},
		{"7.1.2.2: larger than offered", Compression{ClientBits: 10}, plain + cmwb + "=10",
			plain + "; client_max_window_bits=11", nil, "client_max_window_bits is 11, and 10 was offered"},
		{"7.1: less than we can do", Compression{}, plain + cmwb, plain + "; client_max_window_bits=8", nil,
			"client_max_window_bits is 8"},
		{"7.1.2.2: an answer has a value", Compression{}, plain + cmwb, plain + "; client_max_window_bits", nil,
			`client_max_window_bits is ""`},
		{"7.1: an unknown parameter", Compression{}, plain + cmwb, plain + "; x", nil, `"x" is unknown`},
		{"7.1: the same one twice", Compression{}, plain + cmwb,
			plain + "; client_max_window_bits=10; client_max_window_bits=10", nil, "twice"},
		{"7.1: a bad value", Compression{}, plain + cmwb, plain + "; server_max_window_bits=16", nil, "16"},
		{"RFC 6455 4.1: another extension", Compression{}, plain + cmwb, "x-foo", nil, `"x-foo", which was not`},
		{"RFC 6455 4.1: one more", Compression{}, plain + cmwb, plain + ", x-foo", nil, `"x-foo", which was not`},
		{"5.1: two answers", Compression{}, plain + cmwb, plain + "|" + plain, nil, "twice"},
		{"RFC 6455 9.1: malformed", Compression{}, plain + cmwb, plain + ";", nil, "the end where a parameter"},
	} {
		if got := OfferDeflate(&c.c); got != c.offer {
			t.Errorf("%s: offers %q, want %q", c.name, got, c.offer)
		}
		d, err := AcceptDeflate(headerLines(c.answer), &c.c)
		if c.fails != "" {
			if d != nil || !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %+v, %v; want an error that says %q", c.name, d, err, c.fails)
			}
			continue
		}
		if err != nil || (d == nil) != (c.agreed == nil) || d != nil && *d != *c.agreed {
			t.Errorf("%s: %+v, %v; want %+v", c.name, d, err, c.agreed)
		}
	}
	if got := OfferDeflate(nil); got != "" {
		t.Errorf("without compression %q is offered", got)
	}
	if _, err := AcceptDeflate([]string{plain}, nil); err == nil {
		t.Error("RFC 6455 4.1: an answer without an offer")
	}
}

// Whatever the two sides are configured with, they understand each other, and what one sends the other can receive.
func TestBothSidesAgree(t *testing.T) {
	choices := []Compression{
		{}, {ServerBits: 9}, {ClientBits: 9}, {ServerBits: 12, ClientBits: 10}, {ServerNoContextTakeover: true},
		{ClientNoContextTakeover: true}, {MaxMemory: 64 << 10}, {MaxMemory: 20 << 10}, {MaxMemory: leastMemory()},
		{ServerBits: 10, ServerNoContextTakeover: true, ClientNoContextTakeover: true, MaxMemory: 100 << 10},
	}
	for _, client := range choices {
		for _, server := range choices {
			answer, s, err := NegotiateDeflate([]string{OfferDeflate(&client)}, &server)
			if err != nil || s == nil {
				t.Errorf("%+v, %+v: %v", client, server, err)
				continue
			}
			c, err := AcceptDeflate([]string{answer}, &client)
			if err != nil || c == nil {
				t.Errorf("%+v, %+v: the client refuses %q: %v", client, server, answer, err)
				continue
			}
			for _, way := range []struct {
				name   string
				out    *Deflate
				in     *Deflate
				sender Compression
			}{{"server to client", s, c, server}, {"client to server", c, s, client}} {
				if way.out.OutBits > way.in.InBits || way.out.OutTakeover && !way.in.InTakeover {
					t.Errorf("%s: sends as %+v, receives as %+v", way.name, *way.out, *way.in)
				}
				if limit := way.sender.MaxMemory; limit > 0 {
					config := way.out.config()
					if used := config.Cost(); used > uint64(limit) {
						t.Errorf("%s: %+v takes %d bytes of %d", way.name, *way.out, used, limit)
					}
				}
			}
		}
	}
}

func TestCompressionMemory(t *testing.T) {
	full := (&plan{outBits: 15, memLevel: 8, inBits: 15}).memory()
	receiver := (&plan{outFresh: true, inBits: 15}).memory()
	for _, c := range []struct {
		name   string
		limit  int
		offer  string
		answer string // what it becomes; "": declined
	}{
		{"no limit", 0, "", "permessage-deflate"},
		{"just enough", full, "", "permessage-deflate"},
		{"one byte short", full - 1, "", "permessage-deflate; server_max_window_bits=14"},
		{"the client's window is fixed", receiver, "", "permessage-deflate; server_no_context_takeover"},
		{"and too large", receiver - 1, "", ""},
		{"the least", leastMemory(), "; client_max_window_bits",
			"permessage-deflate; server_no_context_takeover; client_max_window_bits=9"},
	} {
		response, d, err := NegotiateDeflate([]string{deflateName + c.offer}, &Compression{MaxMemory: c.limit})
		if err != nil || response != c.answer {
			t.Errorf("%s: %q, %+v, %v; want %q", c.name, response, d, err, c.answer)
		}
	}
	// Where the client's window is not fixed, both become smaller; how much depends on the zlib in use.
	offer := []string{deflateName + "; client_max_window_bits"}
	_, d, err := NegotiateDeflate(offer, &Compression{MaxMemory: receiver - 1})
	if err != nil || d == nil || !d.OutTakeover || d.OutBits == 15 || d.InBits == 15 || d.MemLevel == 8 {
		t.Errorf("a window that is not fixed: %+v, %v", d, err)
	}
}

func TestCompressionValidate(t *testing.T) {
	for _, good := range []*Compression{
		nil, {}, {Level: 1}, {Level: 9, ServerBits: 9, ClientBits: 15, Threshold: 1}, {MaxMemory: leastMemory()},
	} {
		if err := good.Validate(); err != nil {
			t.Errorf("%+v: %v", good, err)
		}
	}
	for want, bad := range map[string]*Compression{
		"Level is 10, not 0 or from 1 to 9":       {Level: 10},
		"Level is -1":                             {Level: -1},
		"ServerBits is 8, not 0 or from 9 to 15":  {ServerBits: 8},
		"ClientBits is 16, not 0 or from 9 to 15": {ClientBits: 16},
		"Threshold is -1":                         {Threshold: -1},
		"MaxMemory is 4096 bytes, but":            {MaxMemory: 4096},
		"MaxMemory is -1 bytes":                   {MaxMemory: -1},
	} {
		err := bad.Validate()
		if !errors.Is(err, api.ErrInvalidArgument) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v; want %q", bad, err, want)
		}
	}
}

func FuzzExtensions(f *testing.F) {
	f.Add("permessage-deflate; client_max_window_bits; server_max_window_bits=\"10\", x; a=\"\\b\"")
	f.Add("permessage-deflate; server_no_context_takeover; client_no_context_takeover")
	f.Fuzz(func(t *testing.T, header string) {
		client := Compression{}
		answer, d, err := NegotiateDeflate([]string{header}, &Compression{MaxMemory: 64 << 10, ClientBits: 12})
		if (d == nil) != (answer == "") || err != nil && d != nil {
			t.Fatalf("%q, %+v, %v", answer, d, err)
		}
		if d != nil {
			if _, err := parseExtensions([]string{answer}); err != nil {
				t.Fatalf("the answer %q cannot be read: %v", answer, err)
			}
		}
		if d, err := AcceptDeflate([]string{header}, &client); err != nil && d != nil {
			t.Fatalf("%+v with %v", d, err)
		}
	})
}
