package main

import (
	"strings"
	"testing"
)

func run(t *testing.T, in string, arguments ...string) (string, error) {
	t.Helper()
	options, err := parse(arguments)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = convert(strings.NewReader(in), &out, options)
	return out.String(), err
}

func TestRowsBecomeJSON(t *testing.T) {
	for _, c := range []struct{ in, out, arguments string }{
		{"", "[]\n", ""},
		{"a,b\n", "[]\n", ""},
		{"a,b\n1,2\n", "[\n{\"a\":\"1\",\"b\":\"2\"}\n]\n", ""},
		{"\xef\xbb\xbfa\r\n\"x, \"\"y\"\"\nz\"\r\n", "[\n{\"a\":\"x, \\\"y\\\"\\nz\"}\n]\n", ""},
		{"1;<&>\n", "[\n[\"1\",\"<&>\"]\n]\n", "-delimiter=; -header=false"},
		{"a\tb\n 1 \t\n", "[\n{\"a\":1,\"b\":null}\n]\n", "-delimiter=tab -infer -trim"},
		{"n\n01067\n-0.5\n9007199254740993\n1e3\ntrue\n",
			"[\n{\"n\":\"01067\"},\n{\"n\":-0.5},\n{\"n\":\"9007199254740993\"},\n{\"n\":\"1e3\"},\n{\"n\":true}\n]\n", "-infer"},
	} {
		out, err := run(t, c.in, strings.Fields(c.arguments)...)
		if err != nil {
			t.Errorf("%q: %v", c.in, err)
		}
		if out != c.out {
			t.Errorf("%q %s: got %q, want %q", c.in, c.arguments, out, c.out)
		}
	}
}

func TestMistakesAreToldWithTheirLine(t *testing.T) {
	for _, c := range []struct{ in, want, arguments string }{
		{"a,b\n1,2\n1,2,3\n", "line 3: found 3 cells, expected 2", ""},
		{"a,b\nx\"y,2\n", "line 2, column 2: a quote in the middle of a cell", ""},
		{"a\n\"open\nmore", "begin on line 2", ""},
		{"a,a\n1,2\n", "columns 1 and 2 are both named \"a\"", ""},
		{"a\nb\n\xff\n", "line 3, column 1: found bytes that are no UTF-8", ""},
		{"", "found the delimiter \";;\"", "-delimiter=;;"},
		{"", "flag provided but not defined: -x", "-x"},
		{"", "expected only flags", "file.csv"},
	} {
		if _, err := run(t, c.in, strings.Fields(c.arguments)...); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.in, err, c.want)
		}
	}
}
