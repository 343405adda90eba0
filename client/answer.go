package client

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	maxAnswerHead  = 64 << 10 // bytes of an answer's head, with those of the interim answers before it
	maxInterim     = 5        // interim answers
	answerBuffer   = 4 << 10
	maxRefusalRead = 4 * maxRefusal // bytes read for a body, its framing included
	refusalTime    = 500 * time.Millisecond
)

// answer is the answer to a request that asks for a connection of its own.
type answer struct {
	conn     net.Conn
	response *http.Response
	source   io.LimitedReader
	reader   *bufio.Reader
}

// exchange sends the request and reads the head of the answer, but not much more: what follows it may be somebody
// else's.
func exchange(conn net.Conn, request *http.Request) (*answer, error) {
	if err := request.Write(conn); err != nil {
		return nil, fmt.Errorf("writing the request: %w", err)
	}
	a := &answer{conn: conn, source: io.LimitedReader{R: conn, N: maxAnswerHead}}
	a.reader = bufio.NewReaderSize(&a.source, answerBuffer)
	for range maxInterim + 1 {
		response, err := http.ReadResponse(a.reader, request)
		switch {
		case err != nil && a.source.N <= 0:
			return nil, fmt.Errorf("the answer's head has more than %d bytes", maxAnswerHead)
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, fmt.Errorf("the connection ends without a whole answer: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return nil, fmt.Errorf("reading the answer: %w", err)
		}
		if response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			a.response = response
			return a, nil
		}
		// 100 and 103 announce that an answer follows (RFC 9110 section 15.2).
	}
	return nil, fmt.Errorf("more than %d interim answers", maxInterim)
}

// rest returns what has been read behind the head.
func (a *answer) rest() []byte {
	rest, _ := a.reader.Peek(a.reader.Buffered())
	return rest
}

// keepBody reads the first part of the body, for those who want to know why they were refused: what comes at once, as
// the refusal itself is known already. An error in it changes nothing: what came before is what there is.
func (a *answer) keepBody() {
	_ = a.conn.SetReadDeadline(time.Now().Add(refusalTime)) // fails when it has closed
	a.source.N = maxRefusalRead
	body, _ := io.ReadAll(io.LimitReader(a.response.Body, maxRefusal))
	a.response.Body = io.NopCloser(bytes.NewReader(body))
}
