package ingest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
)

// openSource opens a file, unpacks it if its first bytes are gzip's, and drops
// a UTF-8 byte order mark.
func openSource(s Source) (io.ReadCloser, error) {
	var raw io.ReadCloser
	switch {
	case s.Reader != nil:
		raw = io.NopCloser(s.Reader)
	case s.FS != nil:
		f, err := s.FS.Open(s.Path)
		if err != nil {
			return nil, fmt.Errorf("ingest: %w", err)
		}
		raw = f
	default:
		f, err := os.Open(s.Path)
		if err != nil {
			return nil, fmt.Errorf("ingest: %w", err)
		}
		raw = f
	}
	buffered := bufio.NewReaderSize(raw, 256<<10)
	if magic, _ := buffered.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			raw.Close()
			return nil, fmt.Errorf("ingest: %s: %w", s.Path, err)
		}
		buffered = bufio.NewReaderSize(z, 256<<10)
	}
	if mark, _ := buffered.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		buffered.Discard(3)
	}
	return struct {
		io.Reader
		io.Closer
	}{buffered, raw}, nil
}

// maxLine bounds a line of JSON Lines. A broker takes records of about 1 MB;
// what is far larger is a file without line ends.
const maxLine = 16 << 20

var errLongLine = errors.New("the line is longer than 16 MiB; JSON Lines has one record a line")

// blockReader cuts a stream into blocks of whole lines.
type blockReader struct {
	in   io.Reader
	size int
	line int64  // the number of the next block's first line
	rest []byte // the beginning of a line whose end was not read yet
	end  bool
}

type lineBlock struct {
	data []byte
	line int64 // number of the first line, from 1
	long bool  // data is the beginning of a line longer than maxLine
}

// next gives the next block, io.EOF after the last. Blocks are not reused.
func (r *blockReader) next() (lineBlock, error) {
	if r.end {
		return lineBlock{}, io.EOF
	}
	buf := make([]byte, max(r.size, 2*len(r.rest)))
	n := copy(buf, r.rest)
	for {
		m, err := fill(r.in, buf[n:])
		n += m
		if err == io.EOF {
			r.end = true
			if n == 0 {
				return lineBlock{}, io.EOF
			}
			return r.block(buf[:n]), nil
		}
		if err != nil {
			return lineBlock{}, err
		}
		if cut := bytes.LastIndexByte(buf, '\n'); cut >= 0 {
			r.rest = buf[cut+1:]
			return r.block(buf[:cut+1]), nil
		}
		if len(buf) > maxLine {
			return r.skipLine(buf)
		}
		buf = append(buf, make([]byte, len(buf))...)
	}
}

func (r *blockReader) block(data []byte) lineBlock {
	b := lineBlock{data: data, line: r.line}
	r.line += int64(bytes.Count(data, []byte{'\n'}))
	return b
}

func (r *blockReader) skipLine(buf []byte) (lineBlock, error) {
	b := lineBlock{line: r.line, long: true}
	r.line++
	for {
		n, err := fill(r.in, buf)
		if cut := bytes.IndexByte(buf[:n], '\n'); cut >= 0 {
			// The rest of buf is the beginning of the next block.
			r.in = io.MultiReader(bytes.NewReader(bytes.Clone(buf[cut+1:n])), r.in)
			r.rest = nil
			return b, nil
		}
		if err == io.EOF {
			r.end = true
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

// fill is io.ReadFull, but for the end: io.EOF however much was read, so that
// io.ErrUnexpectedEOF can only be that of a gzip stream cut short.
func fill(r io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = r.Read(buf[n:])
		n += m
	}
	if n == len(buf) && err == io.EOF {
		err = nil // the next read gives it again
	}
	return n, err
}
