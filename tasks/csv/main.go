// Sample task: CSV to JSON, as a WASI command. Rows come in on standard input and go out one by one, so
// that a file of any size needs no more memory than its longest row.
//
//	csv [-delimiter CHARACTER] [-header=false] [-infer] [-trim] < CSV > JSON
//
// Out comes an array with an object for each row, named by the first row. Exit code 0 if all went well,
// 1 if the CSV is malformed (the line is told), 2 if the flags are wrong.
package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// options say how the CSV is read and what is made of it.
type options struct {
	delimiter rune // between the cells of a row
	header    bool // the first row holds the names; without, a row becomes an array
	infer     bool // numbers, true, false and empty cells become JSON's own
	trim      bool // blanks around a cell are no part of it
}

func main() {
	options, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	if err := convert(os.Stdin, os.Stdout, options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// parse reads the flags.
func parse(arguments []string) (options, error) {
	var usage bytes.Buffer
	flags := flag.NewFlagSet("csv", flag.ContinueOnError)
	flags.SetOutput(&usage)
	delimiter := flags.String("delimiter", ",", "one character between cells, or \"tab\"")
	header := flags.Bool("header", true, "the first row holds the names of the columns")
	infer := flags.Bool("infer", false, "cells that read as numbers, true, false or nothing become such")
	trim := flags.Bool("trim", false, "drop blanks around cells")
	if err := flags.Parse(arguments); err != nil {
		return options{}, errors.New(strings.TrimSpace(usage.String()))
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("found the argument %q, expected only flags, as in ?arg=-infer; the CSV is the request's body", flags.Arg(0))
	}
	text := *delimiter
	if text == "tab" {
		text = "\t"
	}
	character, size := utf8.DecodeRuneInString(text)
	if size == 0 || size != len(text) || strings.ContainsRune("\"\r\n\uFFFD", character) {
		return options{}, fmt.Errorf("found the delimiter %q, expected one character other than a quote or a line break, or \"tab\"", *delimiter)
	}
	return options{character, *header, *infer, *trim}, nil
}

// convert writes the rows of a CSV text as JSON.
func convert(in io.Reader, out io.Writer, options options) error {
	source := bufio.NewReaderSize(in, 64<<10)
	// Spreadsheets mark their files as UTF-8 by three bytes that are no part of the first name.
	if mark, _ := source.Peek(3); bytes.Equal(mark, []byte("\xef\xbb\xbf")) {
		_, _ = source.Discard(3)
	}
	reader := csv.NewReader(source)
	reader.Comma = options.delimiter
	reader.ReuseRecord = true
	sink := bufio.NewWriterSize(out, 64<<10)

	var names [][]byte
	columns := 0
	rows := 0
	for {
		cells, err := reader.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return explain(err, len(cells), columns)
		}
		if columns == 0 {
			columns = len(cells)
			if options.header {
				if names, err = headers(cells, options.trim); err != nil {
					return err
				}
				continue
			}
		}
		before := ",\n"
		if rows == 0 {
			before = "[\n"
		}
		if _, err := sink.WriteString(before); err != nil {
			return fmt.Errorf("writing the rows: %w", err)
		}
		for column, cell := range cells {
			if !utf8.ValidString(cell) {
				line, at := reader.FieldPos(column)
				return fmt.Errorf("line %d, column %d: found bytes that are no UTF-8: save the file as UTF-8", line, at)
			}
		}
		if err := write(sink, names, cells, options); err != nil {
			return fmt.Errorf("writing the rows: %w", err)
		}
		rows++
	}
	after := "\n]\n"
	if rows == 0 {
		after = "[]\n"
	}
	_, _ = sink.WriteString(after)
	if err := sink.Flush(); err != nil {
		return fmt.Errorf("writing the rows: %w", err)
	}
	return nil
}

// explain puts the line first, and says what would help.
func explain(err error, found, expected int) error {
	var mistake *csv.ParseError
	if !errors.As(err, &mistake) {
		return fmt.Errorf("reading the CSV: %w", err)
	}
	switch {
	case errors.Is(mistake.Err, csv.ErrFieldCount):
		return fmt.Errorf("line %d: found %d cells, expected %d as in the first row: quote cells that hold the delimiter", mistake.Line, found, expected)
	case errors.Is(mistake.Err, csv.ErrQuote) && mistake.StartLine != mistake.Line:
		return fmt.Errorf("line %d, column %d: a quote in the middle of the cells that begin on line %d: double each quote within a quoted cell, and close it", mistake.Line, mistake.Column, mistake.StartLine)
	case errors.Is(mistake.Err, csv.ErrQuote), errors.Is(mistake.Err, csv.ErrBareQuote):
		return fmt.Errorf("line %d, column %d: a quote in the middle of a cell: put the cell in quotes and double those within", mistake.Line, mistake.Column)
	}
	return fmt.Errorf("line %d, column %d: %w", mistake.Line, mistake.Column, mistake.Err)
}

// headers gives the names of the columns as JSON strings.
func headers(cells []string, trim bool) ([][]byte, error) {
	names := make([][]byte, len(cells))
	seen := make(map[string]int, len(cells))
	for column, name := range cells {
		if trim {
			name = strings.TrimSpace(name)
		}
		if before, twice := seen[name]; twice {
			return nil, fmt.Errorf("line 1: columns %d and %d are both named %q: rename one, or ask for arrays by -header=false", before+1, column+1, name)
		}
		if !utf8.ValidString(name) {
			return nil, fmt.Errorf("line 1: the name of column %d is no UTF-8: save the file as UTF-8", column+1)
		}
		seen[name] = column
		names[column] = quote(name)
	}
	return names, nil
}

// write writes one row: an object if there are names, else an array.
func write(sink *bufio.Writer, names [][]byte, cells []string, options options) error {
	open, end := byte('{'), byte('}')
	if names == nil {
		open, end = '[', ']'
	}
	_ = sink.WriteByte(open)
	for column, cell := range cells {
		if column > 0 {
			_ = sink.WriteByte(',')
		}
		if names != nil {
			_, _ = sink.Write(names[column])
			_ = sink.WriteByte(':')
		}
		if options.trim {
			cell = strings.TrimSpace(cell)
		}
		if options.infer {
			if value, ok := infer(cell); ok {
				_, _ = sink.WriteString(value)
				continue
			}
		}
		_, _ = sink.Write(quote(cell))
	}
	// A writer that failed once fails ever after: the last error is the first.
	return sink.WriteByte(end)
}

// infer gives the JSON value that a cell reads as. What JSON would not give back unchanged stays text: a
// postcode such as 01067, a number too long to be exact.
func infer(cell string) (string, bool) {
	switch cell {
	case "":
		return "null", true
	case "true", "false":
		return cell, true
	}
	digits := strings.TrimPrefix(cell, "-")
	if len(digits) == 0 || len(digits) > 16 || strings.Trim(digits, "0123456789.") != "" {
		return "", false
	}
	if digits[0] == '.' || digits[len(digits)-1] == '.' || len(digits) > 1 && digits[0] == '0' && digits[1] != '.' {
		return "", false
	}
	if _, err := strconv.ParseFloat(cell, 64); err != nil {
		return "", false
	}
	if integer, err := strconv.ParseInt(cell, 10, 64); err == nil && (integer > 1<<53-1 || integer < -(1<<53-1)) {
		return "", false
	}
	return cell, true
}

// quote gives a text as a JSON string, with <, > and & as they are.
func quote(text string) []byte {
	if strings.IndexFunc(text, func(c rune) bool { return c < ' ' || c > '~' || c == '"' || c == '\\' }) < 0 {
		return []byte("\"" + text + "\"") // most cells, ten times as fast
	}
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text)
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n"))
}
