package reactor

import (
	"bytes"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// Buffer is received bytes where the kernel has put them: in the loop's receive buffer, which the next read overwrites.
// It is valid until DataReceived returns; what is to be kept longer has to be copied (Copy, append,
// bytes.Buffer.Write).
//
// A Buffer is a []byte, so it can be indexed, sliced, ranged over, measured and appended, and given to package bytes or
// to an io.Writer, without a copy. Its methods take strings where package bytes takes slices, and allocate nothing but
// what they say.
type Buffer []byte

// At is byte i. A negative i counts from the end: At(-1) is the last byte. Like an index, it panics out of range.
func (b Buffer) At(i int) byte {
	if i < 0 {
		i += len(b)
	}
	return b[i]
}

// Slice is the bytes from one position up to another, still without a copy. Negative positions count from the end, and
// positions beyond an end mean that end: it never panics, and is empty when there is nothing between the two.
func (b Buffer) Slice(from, to int) Buffer {
	from, to = b.position(from), b.position(to)
	return b[min(from, to):to]
}

func (b Buffer) position(i int) int {
	if i < 0 {
		i += len(b)
	}
	return min(max(i, 0), len(b))
}

// Find is where s begins for the first time, -1 if nowhere.
func (b Buffer) Find(s string) int { return bytes.Index(b, view(s)) }

// FindLast is where s begins for the last time, -1 if nowhere.
func (b Buffer) FindLast(s string) int { return bytes.LastIndex(b, view(s)) }

// Contains tells whether s is among the bytes.
func (b Buffer) Contains(s string) bool { return bytes.Contains(b, view(s)) }

// Count is how often s is among the bytes, without overlap; of "" as bytes.Count has it.
func (b Buffer) Count(s string) int { return bytes.Count(b, view(s)) }

// HasPrefix tells whether the bytes begin with s.
func (b Buffer) HasPrefix(s string) bool { return bytes.HasPrefix(b, view(s)) }

// HasSuffix tells whether the bytes end with s.
func (b Buffer) HasSuffix(s string) bool { return bytes.HasSuffix(b, view(s)) }

// Equal tells whether the bytes are those of s.
func (b Buffer) Equal(s string) bool { return string(b) == s }

// Compare is -1, 0 or 1 as the bytes come before s, are its, or come after it, in the order of bytes.
func (b Buffer) Compare(s string) int { return bytes.Compare(b, view(s)) }

// Decode returns a copy of the bytes as text. The error says where they stop being UTF-8 (RFC 3629); a character that
// is only cut off is none either.
func (b Buffer) Decode() (string, error) {
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size <= 1 {
			return "", fmt.Errorf("reactor: decode: %w: no UTF-8 at byte %d of %d", ErrInvalid, i, len(b))
		}
		i += size
	}
	return string(b), nil
}

// String returns a copy of the bytes, whatever they are.
func (b Buffer) String() string { return string(b) }

// Copy returns a copy of the bytes, which stays when the Buffer goes.
func (b Buffer) Copy() []byte { return append([]byte{}, b...) }

// view is s for those who only read it.
func view(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }
