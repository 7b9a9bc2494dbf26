package main

import (
	"fmt"
	"strconv"
	"strings"
)

// count is a number as people write it: 250, 100k, 1m.
type count int

func (c *count) UnmarshalText(b []byte) error {
	s, unit := strings.ToLower(string(b)), 1
	switch {
	case strings.HasSuffix(s, "k"):
		s, unit = s[:len(s)-1], 1000
	case strings.HasSuffix(s, "m"):
		s, unit = s[:len(s)-1], 1_000_000
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > 1_000_000_000/unit {
		return fmt.Errorf("want a number such as 250, 100k or 1m, not %q", b)
	}
	*c = count(n * unit)
	return nil
}

func (c count) String() string {
	switch {
	case c >= 1_000_000 && c%1_000_000 == 0:
		return strconv.Itoa(int(c/1_000_000)) + "m"
	case c >= 1000 && c%1000 == 0:
		return strconv.Itoa(int(c/1000)) + "k"
	}
	return strconv.Itoa(int(c))
}
