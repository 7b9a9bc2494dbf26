package ingest

import (
	"bufio"
	"encoding/csv"
	"errors"
	"io"
	"strings"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
	"golang.org/x/text/encoding/unicode"
)

// encodings a mapping may name. Spreadsheets in Chinese locales write gb18030.
var encodings = []string{"utf-8", "gb18030", "gbk", "big5", "utf-16", "windows-1252", "iso-8859-1"}

func decoded(r io.Reader, name string) io.Reader {
	var e encoding.Encoding
	switch name {
	case "gb18030":
		e = simplifiedchinese.GB18030
	case "gbk":
		e = simplifiedchinese.GBK
	case "big5":
		e = traditionalchinese.Big5
	case "utf-16":
		e = unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "windows-1252":
		e = charmap.Windows1252
	case "iso-8859-1":
		e = charmap.ISO8859_1
	default:
		return r
	}
	return e.NewDecoder().Reader(r)
}

// rowReader gives the fields of the next row with content and the number of its
// first line. The fields hold until the next call. An error of type *rowError
// spoils one row; reading goes on after it.
type rowReader interface {
	read() (fields []string, line int64, err error)
}

type rowError struct{ reason string }

func (e *rowError) Error() string { return e.reason }

func newRowReader(r io.Reader, m *Mapping) rowReader {
	r = decoded(r, m.encoding)
	if m.whitespace {
		s := bufio.NewScanner(r)
		s.Buffer(make([]byte, 64<<10), maxLine)
		return &spacedRows{scanner: s}
	}
	c := csv.NewReader(r)
	c.Comma = m.separator
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	return &quotedRows{c}
}

// quotedRows reads RFC 4180.
type quotedRows struct{ csv *csv.Reader }

func (q *quotedRows) read() ([]string, int64, error) {
	fields, err := q.csv.Read()
	var parse *csv.ParseError
	if errors.As(err, &parse) {
		return nil, int64(parse.StartLine), &rowError{"not CSV: " + parse.Err.Error()}
	}
	if err != nil {
		return nil, 0, err
	}
	line, _ := q.csv.FieldPos(0)
	return fields, int64(line), nil
}

// spacedRows reads fields parted by any number of spaces and tabs.
type spacedRows struct {
	scanner *bufio.Scanner
	line    int64
}

func (s *spacedRows) read() ([]string, int64, error) {
	for s.scanner.Scan() {
		s.line++
		if fields := strings.Fields(s.scanner.Text()); len(fields) > 0 {
			return fields, s.line, nil
		}
	}
	if err := s.scanner.Err(); err != nil {
		return nil, s.line + 1, err
	}
	return nil, 0, io.EOF
}
